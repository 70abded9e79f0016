// Owns the clock of entries: the system clock, which never goes back. While the system clock is behind the entry before
// (somebody set it back) it runs at half the speed of real time: standing still for an hour would hold every idle
// window and every quiet partition of an exchange for an hour.

import type { Clock } from '#runtime/std/clock.ts';

export class EntryClock {
  readonly #clock: Clock;
  /** Real time that is already in the clock of the entry before. */
  #countedMonotonicMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#countedMonotonicMs = clock.monotonicMs();
  }

  /** The clock of an entry that began now. */
  peek(previousMs: number): number {
    return Math.max(this.#clock.nowMs(), previousMs + this.#stepMs());
  }

  /** The clock of the entry that begins now. */
  next(previousMs: number): number {
    const clockMs = this.peek(previousMs);
    const behind = this.#clock.nowMs() < clockMs;
    this.#countedMonotonicMs = behind ? this.#countedMonotonicMs + 2 * this.#stepMs() : this.#clock.monotonicMs();
    return clockMs;
  }

  /** Whether the system clock left the clock of an open entry behind by more than an entry may last. */
  isStale(clockMs: number, durationMaxMs: number): boolean {
    return this.#clock.nowMs() - clockMs > durationMaxMs;
  }

  #stepMs(): number {
    return Math.floor((this.#clock.monotonicMs() - this.#countedMonotonicMs) / 2);
  }
}
