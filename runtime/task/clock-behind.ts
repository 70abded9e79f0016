// Owns telling that this machine's clock is behind the one that made the task's last entry: entries go on from that one,
// so limits on the future and idle sources judge by a clock that is ahead, and nobody would know why.

import { formatDuration } from '#runtime/std/duration.ts';
import type { Logger } from '#runtime/std/logger.ts';

/** Clocks of machines differ by less. */
const TOLD_MS = 60_000;

export function tellClockBehind(lastClockMs: number, nowMs: number, logger: Logger, task: string): void {
  const behindMs = lastClockMs - nowMs;
  if (behindMs < TOLD_MS) return;
  logger.warn(
    {
      task,
      behindMs,
      remedy:
        'compare the clock of this machine with the time; if it is right, the clock of an earlier process was ahead, and samples that came then may have made windows close early',
    },
    `the clock of this machine is ${formatDuration(behindMs)} behind the last entry of the task: entries go on from there, at half speed until it has caught up`,
  );
}
