// Owns how much of something happens per second: totals remembered at a few moments of the last seconds. Allocates
// nothing when it is told.

import type { Clock } from '#runtime/std/clock.ts';

const WINDOW_MS = 10_000;
const EVERY_MS = 1_000;
/** One more than the window holds, for the moment before it. */
const MOMENTS = WINDOW_MS / EVERY_MS + 2;

export class RateMeter {
  readonly #clock: Clock;
  readonly #width: number;
  /** By moment, oldest overwritten first. */
  readonly #atMs = new Float64Array(MOMENTS).fill(Number.NEGATIVE_INFINITY);
  readonly #totals: Float64Array;
  #newest = 0;

  /** @param width how many totals there are, all 0 now */
  constructor(clock: Clock, width: number) {
    this.#clock = clock;
    this.#width = width;
    this.#totals = new Float64Array(MOMENTS * width);
    this.#atMs[0] = clock.monotonicMs();
  }

  /** To be called after changes; takes what it needs. */
  note(totals: Float64Array): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#atMs[this.#newest] < EVERY_MS) return;
    this.#newest = (this.#newest + 1) % MOMENTS;
    this.#atMs[this.#newest] = nowMs;
    this.#totals.set(totals, this.#newest * this.#width);
  }

  /** Per second, over the last ten or as long as it is known. */
  perSecond(totals: Float64Array): number[] {
    this.note(totals);
    const nowMs = this.#clock.monotonicMs();
    let from = this.#newest;
    // The newest moment that is a whole window ago, else the oldest that is known.
    for (let back = 0; back < MOMENTS; back++) {
      const at = (this.#newest - back + MOMENTS) % MOMENTS;
      if (this.#atMs[at] === Number.NEGATIVE_INFINITY) break;
      from = at;
      if (nowMs - this.#atMs[at] >= WINDOW_MS) break;
    }
    const seconds = (nowMs - this.#atMs[from]) / 1_000;
    return Array.from(totals, (total, i) =>
      seconds > 0 ? (total - this.#totals[from * this.#width + i]) / seconds : 0,
    );
  }
}
