// Owns the watermark of a task: the running maximum of a source, or the contributions of an exchange's writers
// (ARCHITECTURE §5). It follows from log order and recorded ticks only and never goes back.

import type { Json } from '#checkpoint/contract.ts';
import { invariant } from '#runtime/std/errors.ts';
import type { ExchangeControl, WatermarkRule } from '#runtime/task/contract.ts';

export class Watermark {
  /** Event time up to which the task has seen its input; -Infinity before any. */
  valueMs = Number.NEGATIVE_INFINITY;
  readonly #boundMs: number;
  readonly #contributionMs: Float64Array;
  readonly #idle: Uint8Array;
  #largestReadMs = Number.NEGATIVE_INFINITY;

  /** @param writers tasks that write the exchange; 0 for a source */
  constructor(rule: WatermarkRule, writers: number) {
    this.#boundMs = rule.kind === 'source' ? rule.outOfOrdernessMs : 0;
    this.#contributionMs = new Float64Array(writers).fill(Number.NEGATIVE_INFINITY);
    this.#idle = new Uint8Array(writers);
  }

  /** The task begins with state that has seen its input up to there; no writer was heard yet. */
  begin(valueMs: number): void {
    this.valueMs = valueMs;
  }

  /** A source's records were folded; `maxTimestampMs` is their largest event time (-Infinity: none). */
  raise(maxTimestampMs: number): void {
    const candidate = maxTimestampMs - this.#boundMs;
    if (candidate > this.valueMs) this.valueMs = candidate;
  }

  /** Smallest event time that brings the watermark of a source to `boundaryMs`. */
  timestampFor(boundaryMs: number): number {
    return boundaryMs + this.#boundMs;
  }

  /** The source was idle for so long of the clock. */
  advanceIdle(elapsedMs: number): void {
    invariant(elapsedMs >= 0, 'idle time went back');
    this.valueMs += elapsedMs;
  }

  /** Whatever was seen of the input: nothing before is to come. */
  lift(toMs: number): void {
    if (toMs > this.valueMs) this.valueMs = toMs;
  }

  /** A writer of the exchange spoke. */
  hear(control: ExchangeControl): void {
    const { writer, watermarkMs, idle } = control;
    invariant(
      writer >= 0 && writer < this.#contributionMs.length,
      `writer ${writer} is not among those of the genesis entry`,
    );
    if (watermarkMs > this.#largestReadMs) this.#largestReadMs = watermarkMs;
    const said = idle ? Math.max(watermarkMs, this.#largestReadMs) : watermarkMs;
    this.#idle[writer] = idle ? 1 : 0;
    const before = this.#contributionMs[writer];
    if (said <= before) return;
    this.#contributionMs[writer] = said;
    if (before > this.valueMs) return;
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.#contributionMs.length; i++) least = Math.min(least, this.#contributionMs[i]);
    if (least > this.valueMs) this.valueMs = least;
  }

  /** Whether the last word of every writer was `idle`. */
  get allWritersIdle(): boolean {
    return this.#idle.length > 0 && this.#idle.every((idle) => idle === 1);
  }

  /** Writers that hold the watermark at its value, for people. */
  holders(): number[] {
    const writers: number[] = [];
    this.#contributionMs.forEach((contribution, writer) => {
      if (contribution <= this.valueMs) writers.push(writer);
    });
    return writers;
  }

  save(): Json {
    return {
      value: finite(this.valueMs),
      contributions: Array.from(this.#contributionMs, finite),
      idle: Array.from(this.#idle),
      largestRead: finite(this.#largestReadMs),
    };
  }

  restore(saved: Json): void {
    const state = saved as {
      value: number | null;
      contributions: (number | null)[];
      idle: number[];
      largestRead: number | null;
    };
    invariant(state.contributions.length === this.#contributionMs.length, 'checkpoint has another number of writers');
    this.valueMs = state.value ?? Number.NEGATIVE_INFINITY;
    this.#largestReadMs = state.largestRead ?? Number.NEGATIVE_INFINITY;
    state.contributions.forEach((contribution, writer) => {
      this.#contributionMs[writer] = contribution ?? Number.NEGATIVE_INFINITY;
      this.#idle[writer] = state.idle[writer];
    });
  }
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
