// Owns that the group hears at once of processes that died on this machine, by the word that each leaves of its membership,
// and takes such a place for this one. Without it the group waits for their sessions to run out.

import { type MemberPlace, takeMemberPlace } from '#runtime/control/member-place.ts';
import type { LogClient } from '#runtime/log/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';

/** Null when there is no place to be had, which costs nothing but that time. */
export async function openPlace(directory: string, log: LogClient, logger: Logger): Promise<MemberPlace | null> {
  let place: MemberPlace;
  try {
    place = await takeMemberPlace(directory);
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    logger.debug({ code: error.code }, `what dies here leaves no word: ${error.message}`);
    return null;
  }
  for (const { group, memberId } of place.departed) {
    const session = log.group({ group });
    await session.dismiss(memberId).catch((error: StreamError) => {
      logger.debug({ code: error.code }, `a member that died here keeps its place for a while: ${error.message}`);
    });
    await session.close();
  }
  return place;
}
