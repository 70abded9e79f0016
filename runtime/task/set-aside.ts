// Owns telling what came in and entered no result: samples that are not finite, too late, or dead letters, and sums that
// no number can say. A line a minute while there is something to tell, and one at the end: nothing is set aside in silence.

import type { Logger } from '#runtime/std/logger.ts';

const TELL_EVERY_MS = 60_000;
const SET_ASIDE = ['not-finite', 'late', 'dead-letter', 'sum-overflow'];

export class SetAside {
  readonly #counters: ReadonlyMap<string, number>;
  readonly #told = new Map<string, number>();
  #toldMs: number;

  constructor(counters: ReadonlyMap<string, number>, nowMs: number) {
    this.#counters = counters;
    this.#toldMs = nowMs;
  }

  /** To be called now and then with the monotonic time; Infinity tells what is left. */
  tell(nowMs: number, logger: Logger, task: string): void {
    if (nowMs - this.#toldMs < TELL_EVERY_MS) return;
    this.#toldMs = nowMs;
    const since: Record<string, number> = {};
    for (const name of SET_ASIDE) {
      const count = this.#counters.get(name) ?? 0;
      const more = count - (this.#told.get(name) ?? 0);
      if (more > 0) since[name] = more;
      this.#told.set(name, count);
    }
    if (Object.keys(since).length > 0) logger.warn({ task, ...since }, 'samples, records or sums that enter no result');
  }
}
