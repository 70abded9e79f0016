// Owns how far a task is with its drain: what was in its input when it was asked is read, then the watermark is lifted
// from timer to timer until none waits. Which entries are made of it is the loop's affair; each records its lift.
// Invariant: the watermark is lifted to hardly more than the last timer, so that a job that is started again goes on.

import type { LogAdmin, TopicPartition } from '#runtime/log/contract.ts';
import type { Clock } from '#runtime/std/clock.ts';

export interface DrainParts {
  readonly admin: LogAdmin;
  readonly input: TopicPartition;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly wake: () => void;
}

/** What a drain looks at. */
export interface DrainedStage {
  readonly inputOffset: bigint;
  /** When the watermark would put something out; Infinity: nothing waits for it. */
  readonly nextOutputMs: number;
}

/** Timers so close behind one another are due together: each lift is an entry. */
const STEP_MAX_MS = 60_000;
/** Beyond, a function registers a new timer whenever one fires. */
const LIFT_MAX_MS = 400 * 86_400_000;
const RETRY_MS = 500;

export class Drain {
  readonly #parts: DrainParts;
  #asked = false;
  /** Null until it is known where the input ended when it was asked. */
  #end: bigint | null = null;
  #stepMs = 0;
  #firstMs: number | null = null;

  constructor(parts: DrainParts) {
    this.#parts = parts;
  }

  begin(): void {
    if (this.#asked) return;
    this.#asked = true;
    void this.#find();
  }

  /** Whether the input is read as far as it is to be. */
  reached({ inputOffset }: DrainedStage): boolean {
    return this.#end !== null && inputOffset >= this.#end;
  }

  /** Where the watermark goes next; null: the drain is over. */
  nextMs({ nextOutputMs }: DrainedStage): number | null {
    if (nextOutputMs === Number.POSITIVE_INFINITY) return null;
    this.#firstMs ??= nextOutputMs;
    if (nextOutputMs - this.#firstMs > LIFT_MAX_MS) return null;
    const next = nextOutputMs + this.#stepMs;
    this.#stepMs = Math.min(STEP_MAX_MS, this.#stepMs === 0 ? 1_000 : this.#stepMs * 2);
    return next;
  }

  async #find(): Promise<void> {
    const { admin, clock, input, signal, wake } = this.#parts;
    while (!signal.aborted && this.#end === null) {
      try {
        const [end] = await admin.listOffsets([{ ...input, at: 'last-stable' }]);
        this.#end = end;
        wake();
      } catch {
        // The log is away, as those who read it say.
        await clock.sleep(RETRY_MS, signal);
      }
    }
  }
}
