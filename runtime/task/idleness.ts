// Owns when a source counts as idle: successful fetches of this attempt show that everything was read, for `idlenessMs`
// of the clock (ARCHITECTURE §5). A reader that is behind, failing or was paused is never idle.

import type { ReaderStatus } from '#runtime/log/contract.ts';
import type { Clock } from '#runtime/std/clock.ts';

export class Idleness {
  readonly #clock: Clock;
  readonly #idlenessMs: number;
  readonly #proofGapMaxMs: number;
  #quietSinceMs: number | null = null;
  #fetchesSeen = -1;
  #provedMonotonicMs = 0;
  #establishedMs: number | null = null;
  #tickedMonotonicMs = 0;

  /**
   * @param proofGapMaxMs when no look proved quiet for so long (an outage, a stopped process), nothing is known of the
   * time between
   */
  constructor(clock: Clock, idlenessMs: number, proofGapMaxMs = 5_000) {
    this.#clock = clock;
    this.#idlenessMs = idlenessMs;
    this.#proofGapMaxMs = proofGapMaxMs;
  }

  /** Input arrived, or the reader was not at the end: quiet time begins anew. */
  interrupted(): void {
    this.#quietSinceMs = null;
    this.#establishedMs = null;
  }

  /**
   * Looks at the reader; `sinceMs` for an entry that may advance idle time now, or null. Idle time never exceeds the
   * monotonic time since the last entry that used it, so a clock that jumps ahead closes nothing early.
   */
  observe(status: ReaderStatus): number | null {
    const { position, lastStable, highWatermark, fault, fetches } = status;
    if (fault !== null || position !== lastStable || position !== highWatermark) {
      this.interrupted();
      this.#fetchesSeen = fetches;
      return null;
    }
    // Without a fetch answered since the last look nothing proves that the partition is still empty.
    if (fetches <= this.#fetchesSeen) return null;
    this.#fetchesSeen = fetches;
    const monotonicMs = this.#clock.monotonicMs();
    if (monotonicMs - this.#provedMonotonicMs > this.#proofGapMaxMs) this.interrupted();
    this.#provedMonotonicMs = monotonicMs;
    if (this.#quietSinceMs === null) {
      this.#quietSinceMs = monotonicMs;
      return null;
    }
    if (monotonicMs - this.#quietSinceMs < this.#idlenessMs) return null;
    const nowMs = this.#clock.nowMs();
    if (this.#establishedMs === null) {
      this.#establishedMs = nowMs;
      this.#tickedMonotonicMs = monotonicMs;
      return null;
    }
    return Math.max(this.#establishedMs, nowMs - Math.floor(monotonicMs - this.#tickedMonotonicMs));
  }

  /** An entry used the idle time that `observe` told. */
  used(): void {
    this.#tickedMonotonicMs = this.#clock.monotonicMs();
  }
}
