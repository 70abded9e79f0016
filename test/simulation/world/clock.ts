// Owns the clock of one simulated process: virtual time, plus the process's own jumps of the system clock.

import type { Clock } from '#runtime/std/clock.ts';
import type { Process } from '#test/simulation/world/process.ts';

/** What the world's clock shows when it begins: a quarter to midnight UTC, so that days change in a run. */
export const WORLD_EPOCH_MS = Date.UTC(2023, 10, 14, 23, 45);

export function processClock(process: Process): Clock {
  const { scheduler } = process;
  return {
    nowMs: () => WORLD_EPOCH_MS + Math.floor(scheduler.nowMs + process.clockOffsetMs),
    monotonicMs: () => scheduler.nowMs - process.startedMs,
    sleep: (ms, signal) => {
      if (!process.alive) return process.never;
      if (signal?.aborted) return Promise.resolve();
      return new Promise((resolve) => {
        const done = () => {
          signal?.removeEventListener('abort', abort);
          resolve();
        };
        const event = scheduler.schedule(ms, 'wake', process, done);
        const abort = () => {
          scheduler.cancel(event);
          done();
        };
        signal?.addEventListener('abort', abort, { once: true });
      });
    },
  };
}
