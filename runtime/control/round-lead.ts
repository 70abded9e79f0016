// Owns what a member does when it is the leader of a round: reads what the members said, asks which tasks there are, and
// writes the picture that all get. When nobody can say which tasks there are, everything stays as it is.

import { decodeWord, encodePicture, type Picture } from '#runtime/control/group-words.ts';
import { planRound, type RoundMember, type TaskLoad } from '#runtime/control/round-plan.ts';
import type { GroupRound } from '#runtime/log/contract.ts';
import { atMost } from '#runtime/std/at-most.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';

export interface LeadParts {
  readonly round: GroupRound;
  /** That the leader's own claims follow. */
  readonly picture: Picture | null;
  readonly wanted: () => Promise<readonly TaskLoad[]>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** All members wait as long: less than they have patience. */
const WANTED_PATIENCE_MS = 3_000;

/** What each member gets; nothing from whoever does not lead. */
export async function leadRound(parts: LeadParts): Promise<ReadonlyMap<string, Uint8Array>> {
  const { leaderId, members } = parts.round;
  if (members === null) return new Map();
  const understood: RoundMember[] = [];
  for (const { memberId, metadata } of members) {
    const word = decodeWord(metadata);
    if (word !== null) understood.push({ memberId, word });
    else parts.logger.warn({ memberId }, 'a member of the group says what this version does not understand');
  }
  const wanted = await askWanted(parts);
  const picture = encodePicture(planRound({ leaderId, members: understood, picture: parts.picture, wanted }));
  return new Map(understood.map(({ memberId }) => [memberId, picture]));
}

async function askWanted({ wanted, clock, logger }: LeadParts): Promise<readonly TaskLoad[] | null> {
  let tasks: readonly TaskLoad[] | null = null;
  let why = 'no answer';
  const asked = wanted().then(
    (known) => {
      tasks = known;
    },
    (error: unknown) => {
      if (!(error instanceof StreamError)) throw error;
      why = error.message;
    },
  );
  await atMost(clock, WANTED_PATIENCE_MS, asked);
  if (tasks === null) logger.warn({}, `who runs what stays as it is, because the tasks are not known: ${why}`);
  return tasks;
}
