// Owns the cap on transactions per second of a slot: a broker takes some thousands, and many tasks with a short commit
// interval would ask for more. Over the cap intervals stretch; nothing is refused, and it is told.

import type { Clock } from '#runtime/std/clock.ts';
import type { Logger } from '#runtime/std/logger.ts';

const TELL_EVERY_MS = 60_000;

export class CommitPace {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #perSecond: number;
  /** When the next transaction may begin. */
  #nextMs = Number.NEGATIVE_INFINITY;
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, logger: Logger, perSecond: number) {
    this.#clock = clock;
    this.#logger = logger;
    this.#perSecond = perSecond;
  }

  /** Milliseconds until a transaction that can wait may begin; 0: now. A tenth of a second's worth may come at once. */
  waitMs(): number {
    const waitMs = Math.max(0, this.#nextMs - this.#clock.monotonicMs());
    if (waitMs > 0) this.#tell();
    return waitMs;
  }

  /** A transaction begins, whether it waited or could not. */
  began(): void {
    const burstMs = 100;
    const earliestMs = this.#clock.monotonicMs() - burstMs;
    this.#nextMs = Math.max(this.#nextMs, earliestMs) + 1_000 / this.#perSecond;
  }

  #tell(): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#toldMs < TELL_EVERY_MS) return;
    this.#toldMs = nowMs;
    this.#logger.warn(
      { perSecond: this.#perSecond },
      'more transactions are due than a slot may begin: commit intervals stretch; raise commitInterval or add slots',
    );
  }
}
