// Owns the one place where a task sleeps: until its reader has something, a time has passed, or somebody wakes it.
// Leaves nothing behind per wait (a race against a long-lived promise would).

import type { PartitionReader } from '#runtime/log/contract.ts';
import type { Clock } from '#runtime/std/clock.ts';

/** A reason of its own spares an abort the making of an error with its stack. */
const OVER = { reason: 'the wait is over' };

export class Waiting {
  readonly #clock: Clock;
  readonly #reader: PartitionReader;
  #armed = false;
  #woken = false;
  #resolve: () => void = () => {};

  constructor(clock: Clock, reader: PartitionReader) {
    this.#clock = clock;
    this.#reader = reader;
  }

  /** Ends the wait under way, or the next one. */
  wake(): void {
    this.#woken = true;
    this.#resolve();
  }

  /** Waits at most `ms`, for input too unless `ignoreInput`. */
  async wait(ms: number, ignoreInput = false): Promise<void> {
    if (!ignoreInput && !this.#armed) {
      this.#armed = true;
      const arrived = () => {
        this.#armed = false;
        this.wake();
      };
      this.#reader.ready().then(arrived, arrived);
    }
    if (!this.#woken) {
      const timer = new AbortController();
      await new Promise<void>((resolve) => {
        this.#resolve = resolve;
        this.#clock.sleep(ms, timer.signal).then(resolve);
      });
      timer.abort(OVER);
    }
    this.#woken = false;
  }
}
