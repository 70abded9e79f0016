// Owns the cap on transactions per second of a process: a broker takes some thousands, and many tasks with a short
// commit interval would ask for more. Over the cap intervals stretch; nothing is refused, and it is told. The slots of a
// process are threads: what they share is one piece of memory, so that a slot may take what the others leave.

import type { Clock } from '#runtime/std/clock.ts';
import type { Logger } from '#runtime/std/logger.ts';

const TELL_EVERY_MS = 60_000;
/** A tenth of a second's worth may come at once. */
const BURST_MS = 100;

/** Places in the shared memory, both microseconds of the monotonic clock. */
const NEXT = 0;
const TOLD = 1;
const LONG_AGO = -(2n ** 60n);

/** What the slots of a process have in common; crosses threads. */
export interface SharedPace {
  readonly perSecond: number;
  readonly memory: SharedArrayBuffer;
}

export function sharedPace(perSecond: number): SharedPace {
  const memory = new SharedArrayBuffer(2 * BigInt64Array.BYTES_PER_ELEMENT);
  new BigInt64Array(memory).fill(LONG_AGO);
  return { perSecond, memory };
}

export interface CommitPaceParts extends SharedPace {
  readonly clock: Clock;
  readonly logger: Logger;
}

export class CommitPace {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #perSecond: number;
  /** When the next transaction may begin, and when it was last told that some have to wait. */
  readonly #shared: BigInt64Array;

  constructor({ clock, logger, perSecond, memory }: CommitPaceParts) {
    this.#clock = clock;
    this.#logger = logger;
    this.#perSecond = perSecond;
    this.#shared = new BigInt64Array(memory);
  }

  /** Milliseconds until a transaction that can wait may begin; 0: now. */
  waitMs(): number {
    const waitMs = Math.max(0, Number(Atomics.load(this.#shared, NEXT)) / 1_000 - this.#clock.monotonicMs());
    if (waitMs > 0) this.#tell();
    return waitMs;
  }

  /** A transaction begins, whether it waited or could not. */
  began(): void {
    const earliest = micros(this.#clock.monotonicMs() - BURST_MS);
    const each = micros(1_000 / this.#perSecond);
    for (;;) {
      const seen = Atomics.load(this.#shared, NEXT);
      const next = (seen > earliest ? seen : earliest) + each;
      if (Atomics.compareExchange(this.#shared, NEXT, seen, next) === seen) return;
    }
  }

  #tell(): void {
    const now = micros(this.#clock.monotonicMs());
    const told = Atomics.load(this.#shared, TOLD);
    if (now - told < micros(TELL_EVERY_MS)) return;
    // Another slot was faster: it tells.
    if (Atomics.compareExchange(this.#shared, TOLD, told, now) !== told) return;
    this.#logger.warn(
      { perSecond: this.#perSecond },
      'more transactions are due than a process may begin: commit intervals stretch; raise commitInterval, or run some of the jobs in another process',
    );
  }
}

function micros(ms: number): bigint {
  return BigInt(Math.round(ms * 1_000));
}
