// Owns waiting for something no longer than a time. What it waited for may go on; its failure after that concerns nobody.

import type { Clock } from '#runtime/std/clock.ts';

/** Rejects when `work` does so in time. */
export async function atMost(clock: Clock, ms: number, work: Promise<unknown>): Promise<void> {
  const timer = new AbortController();
  try {
    await Promise.race([work, clock.sleep(ms, timer.signal)]);
  } finally {
    timer.abort();
  }
}
