// Owns telling what came in and entered no result: samples that are not finite, too late, or dead letters, and sums that
// no number can say. A line a minute while there is something to tell, and one at the end: nothing is set aside in silence.

import type { Logger } from '#runtime/std/logger.ts';

const TELL_EVERY_MS = 60_000;
/** What is told of, each with what to do about it. */
const SET_ASIDE = {
  'not-finite': 'not finite: NaN and infinities belong in no result, look at their producers if there should be none',
  late: "late: raise the source's outOfOrderness or the window's allowedLateness, or look at clocks that are wrong",
  'dead-letter': 'dead letters: the headers error-code and error-message of each say what to mend',
  'sum-overflow': 'sums beyond all numbers: scale the values',
} as const;

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
    const remedies: string[] = [];
    for (const [name, remedy] of Object.entries(SET_ASIDE)) {
      const count = this.#counters.get(name) ?? 0;
      const more = count - (this.#told.get(name) ?? 0);
      if (more > 0) {
        since[name] = more;
        remedies.push(remedy);
      }
      this.#told.set(name, count);
    }
    if (remedies.length === 0) return;
    logger.warn({ task, ...since, remedy: remedies.join('; ') }, 'samples, records or sums that enter no result');
  }
}
