// Owns what failed, how often and when: the same failure is one line with a count. Bounded; the oldest is forgotten.

import type { Failure } from '#runtime/task/task-supervisor.ts';

const FAILURES_MAX = 20;

export interface CountedFailure {
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
  readonly firstMs: number;
  readonly lastMs: number;
  readonly count: number;
}

export class FailureBook {
  #failures: CountedFailure[] = [];

  note({ code, message, remedy }: Failure, nowMs: number): void {
    const same = this.#failures.find((one) => one.code === code && one.message === message);
    const others = this.#failures.filter((one) => one !== same);
    const firstMs = same?.firstMs ?? nowMs;
    others.push({ code, message, remedy, firstMs, lastMs: nowMs, count: (same?.count ?? 0) + 1 });
    this.#failures = others.slice(-FAILURES_MAX);
  }

  /** Newest last. */
  list(): readonly CountedFailure[] {
    return this.#failures;
  }
}
