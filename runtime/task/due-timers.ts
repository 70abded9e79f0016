// Owns which timers of a stage fire next: by event time and by the clock of entries, in the total order (time, place in
// the plan, key slot), as far as the entry has room for them. Knows no input. Invariant: replay stops firing exactly
// where the recorded entry stopped.

import type { ClockTimers, FiringBudget, Operator } from '#runtime/task/contract.ts';

/** Timers that fire in one entry, whatever they put out: a leap of the watermark may owe millions, and nothing runs beside them. */
const FIRINGS_MAX = 100_000;

/** Limits of replay: how many firings of timers the recorded entry made. Null while running live. */
export type RecordedFirings = number | null;

export class DueTimers {
  /** Firings in this entry. */
  readonly fired = { clock: 0, event: 0 };
  readonly #operators: readonly Operator[];
  readonly #budget: FiringBudget;
  #recorded: RecordedFirings = null;
  #firing: 'clock' | 'event' = 'event';

  /** @param isFull whether what is staged fills the entry */
  constructor(operators: readonly Operator[], isFull: () => boolean) {
    this.#operators = operators;
    this.#budget = {
      take: () => {
        const fired = this.fired.clock + this.fired.event;
        const stop = this.#recorded === null ? isFull() || fired >= FIRINGS_MAX : fired >= this.#recorded;
        if (stop) return false;
        this.fired[this.#firing]++;
        return true;
      },
    };
  }

  begin(recorded: RecordedFirings): void {
    this.#recorded = recorded;
    this.fired.clock = 0;
    this.fired.event = 0;
  }

  /** Whether the entry is replayed. */
  get isReplay(): boolean {
    return this.#recorded !== null;
  }

  /** Whether a timer would fire if the watermark were there. */
  isDue(watermarkMs: number): boolean {
    return this.#next(watermarkMs) !== null;
  }

  /** Whether a timer would fire if the clock moved there. */
  isClockDue(clockMs: number): boolean {
    return this.#operators.some(({ clockTimers }) => clockTimers !== undefined && clockTimers.nextMs() <= clockMs);
  }

  /** Whether something waits for the watermark to be put out. */
  get oweOutput(): boolean {
    return this.#operators.some(
      (operator) => (operator.nextOutputMs?.() ?? operator.nextTimerMs()) !== Number.POSITIVE_INFINITY,
    );
  }

  /** False when the budget ended it. */
  fire(watermarkMs: () => number): boolean {
    for (;;) {
      const due = this.#next(watermarkMs());
      if (due === null) return true;
      if (!due.fire(due.nextTimerMs(), this.#budget)) return false;
    }
  }

  /** As `fire`, by the clock of the entry. */
  fireClock(clockMs: number): boolean {
    this.#firing = 'clock';
    try {
      for (;;) {
        let due: ClockTimers | null = null;
        let dueMs = Number.POSITIVE_INFINITY;
        for (const { clockTimers } of this.#operators) {
          const timerMs = clockTimers?.nextMs() ?? Number.POSITIVE_INFINITY;
          if (timerMs > clockMs || timerMs >= dueMs) continue;
          due = clockTimers ?? null;
          dueMs = timerMs;
        }
        if (due === null) return true;
        if (!due.fire(dueMs, this.#budget)) return false;
      }
    } finally {
      this.#firing = 'event';
    }
  }

  #next(watermarkMs: number): Operator | null {
    let due: Operator | null = null;
    let dueMs = watermarkMs;
    for (const operator of this.#operators) {
      const timerMs = operator.nextTimerMs();
      if (timerMs > dueMs || (due !== null && timerMs === dueMs)) continue;
      due = operator;
      dueMs = timerMs;
    }
    return due;
  }
}
