// Owns the local part of a split aggregate: folds the records of a key and pane before they go through an exchange, and
// sends accumulators instead. Keeps nothing between entries: everything leaves at the end of the entry, or earlier when
// there is much. Invariant: what leaves, and in what order, follows from the entry's records alone.

import type { AggregateFunction, OwningCodec } from '#operators/process/contract.ts';
import { copier } from '#operators/records/copier.ts';
import { RecordRows, recordOf } from '#operators/records/record-rows.ts';
import { Untimed } from '#operators/records/untimed.ts';
import { functionFailed, isPromise, shown, threw } from '#operators/records/user-function.ts';
import { invariant } from '#runtime/std/errors.ts';
import type { Batch, BatchConsumer, Operator } from '#runtime/task/contract.ts';

export interface LocalAggregateOptions {
  readonly id: string;
  /** Records of one pane are in the same windows on the other side. Size and slide are multiples of it. */
  readonly paneMs: number;
  readonly offsetMs: number;
  readonly aggregate: AggregateFunction<unknown, unknown, unknown>;
  /** Of accumulators. */
  readonly codec: OwningCodec<unknown>;
  /** The record of a row, as the function sees it. @default the row's record */
  readonly view?: ((batch: Batch, index: number) => unknown) | undefined;
  /** Accumulators held at most; then all of them leave. @default 16384 */
  readonly heldMax?: number | undefined;
  readonly next: readonly BatchConsumer[];
}

/** What goes through the exchange, at the largest event time of its records. */
interface Partial {
  readonly slot: number;
  readonly paneMs: number;
  accumulator: unknown;
  timeMs: number;
  /** Next of the same key, -1 behind the last. */
  readonly after: number;
}

const HELD_MAX = 16_384;

export class LocalAggregate extends Untimed implements Operator {
  readonly id: string;
  readonly #options: LocalAggregateOptions;
  readonly #heldMax: number;
  readonly #rows: RecordRows;
  /** In the order in which they began. */
  #held: Partial[] = [];
  /** By key slot: the place of its newest one, plus 1. */
  #newest: Int32Array = new Int32Array(256);

  constructor(options: LocalAggregateOptions) {
    super();
    this.id = options.id;
    this.#options = options;
    this.#heldMax = options.heldMax ?? HELD_MAX;
    this.#rows = new RecordRows(options.next);
  }

  open(): void {}

  process(batch: Batch): void {
    const { view = recordOf, paneMs, offsetMs } = this.#options;
    for (let i = 0; i < batch.count; i++) {
      const slot = batch.key[i];
      const timeMs = batch.timestampMs[i];
      this.#add(slot, Math.floor((timeMs - offsetMs) / paneMs) * paneMs + offsetMs, timeMs, view(batch, i));
    }
  }

  override usesKey(slot: number): boolean {
    return slot < this.#newest.length && this.#newest[slot] !== 0;
  }

  override endEntry(): void {
    this.#send();
  }

  override wantsEntry(): boolean {
    return this.#held.length > 0;
  }

  #add(slot: number, paneMs: number, timeMs: number, record: unknown): void {
    if (slot >= this.#newest.length) this.#widen(slot);
    const { aggregate, codec } = this.#options;
    let at = this.#newest[slot] - 1;
    while (at >= 0 && this.#held[at].paneMs !== paneMs) at = this.#held[at].after;
    let accumulator: unknown;
    try {
      accumulator = aggregate.add(at < 0 ? aggregate.create() : this.#held[at].accumulator, record);
    } catch (error) {
      throw this.#failed(threw(error), record, error);
    }
    if (isPromise(accumulator)) throw this.#failed('is asynchronous', record);
    accumulator = codec.own(accumulator);
    if (at >= 0) {
      const partial = this.#held[at];
      partial.accumulator = accumulator;
      if (timeMs > partial.timeMs) partial.timeMs = timeMs;
      return;
    }
    this.#held.push({ slot, paneMs, accumulator, timeMs, after: this.#newest[slot] - 1 });
    this.#newest[slot] = this.#held.length;
    if (this.#held.length >= this.#heldMax) this.#send();
  }

  #send(): void {
    const held = this.#held;
    if (held.length === 0) return;
    this.#rows.fromTimer();
    for (const { slot, timeMs, accumulator } of held) {
      this.#newest[slot] = 0;
      this.#rows.add(slot, timeMs, accumulator);
    }
    this.#held = [];
    this.#rows.flush();
  }

  #widen(slot: number): void {
    const wider = new Int32Array(Math.max(slot + 1, this.#newest.length * 2));
    wider.set(this.#newest);
    this.#newest = wider;
  }

  #failed(problem: string, record: unknown, cause?: unknown): Error {
    return functionFailed(`aggregate '${this.id}'`, problem, `for ${shown(record)}`, cause);
  }
}

/** The other side: folds accumulators as records. `aggregate` must be able to merge. */
export function globalAggregate(
  aggregate: AggregateFunction<unknown, unknown, unknown>,
  codec: OwningCodec<unknown>,
): AggregateFunction<unknown, unknown, unknown> {
  const { merge } = aggregate;
  invariant(merge !== undefined, 'an aggregate without merge is split');
  const copy = copier(codec);
  // One accumulator may go into many windows, and merge may make one of them its own.
  return { ...aggregate, add: (accumulator, partial) => merge(accumulator, copy(partial)), merge };
}
