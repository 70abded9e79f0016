// Owns how busy a task is: the part of its time that it works, of the last minute or so, older times counting less and
// less. Knows nothing of what work is. Told often, it only adds; what was measured apart can be put together.

import type { Clock } from '#runtime/std/clock.ts';

/** What lies so far back counts 1/e. */
const MEMORY_SECONDS = 60;

/** Times within are of one age. */
const EVERY_MS = 1_000;

/** Plain data, so that it crosses threads. */
export interface BusyMeasure {
  /** 0: it only waits; 1: it takes a core for itself. */
  readonly share: number;
  /** Of how much time that was learnt; it does not grow beyond a minute. */
  readonly overSeconds: number;
}

export class BusyShare {
  readonly #clock: Clock;
  #busySeconds = 0;
  #overSeconds = 0;
  #sinceMs: number;
  /** Not yet in the sums. */
  #addedMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#sinceMs = clock.monotonicMs();
  }

  /** What went before says nothing of how busy it will be. */
  begin(): void {
    this.#sinceMs = this.#clock.monotonicMs();
    this.#addedMs = 0;
  }

  worked(ms: number): void {
    this.#addedMs += ms;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#sinceMs >= EVERY_MS) this.#age(nowMs);
  }

  read(): BusyMeasure {
    this.#age(this.#clock.monotonicMs());
    const share = this.#overSeconds > 0 ? Math.min(1, this.#busySeconds / this.#overSeconds) : 0;
    return { share, overSeconds: this.#overSeconds };
  }

  #age(nowMs: number): void {
    const kept = Math.exp((this.#sinceMs - nowMs) / 1_000 / MEMORY_SECONDS);
    this.#busySeconds = this.#busySeconds * kept + this.#addedMs / 1_000;
    this.#overSeconds = this.#overSeconds * kept + MEMORY_SECONDS * (1 - kept);
    this.#sinceMs = nowMs;
    this.#addedMs = 0;
  }
}

/** What is known of a task that runs anew: the more was learnt since, the less counts what was known before. */
export function knownBefore(before: BusyMeasure, now: BusyMeasure): BusyMeasure {
  const left = before.overSeconds * Math.max(0, 1 - now.overSeconds / MEMORY_SECONDS);
  const overSeconds = left + now.overSeconds;
  if (overSeconds === 0) return now;
  return { share: (left * before.share + now.overSeconds * now.share) / overSeconds, overSeconds };
}
