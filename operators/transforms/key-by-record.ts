// Owns keyBy with a function: gives each record the slot of the key that the function names. Keys that no state mentions
// and that were not seen for a while are forgotten.

import { recordOf } from '#operators/records/record-rows.ts';
import { functionFailed, isPromise, shown, threw } from '#operators/records/user-function.ts';
import type { SeriesTable } from '#operators/series/series-table.ts';
import { KeyExpiry } from '#operators/transforms/key-expiry.ts';
import { invariant } from '#runtime/std/errors.ts';
import { Batch, type BatchConsumer, type Operator, type OperatorContext } from '#runtime/task/contract.ts';

export interface KeyByRecordOptions {
  readonly id: string;
  readonly keys: SeriesTable;
  readonly select: (record: unknown) => unknown;
  /** The record of a row, as the function sees it; what goes on is this record. */
  readonly view?: ((batch: Batch, index: number) => unknown) | undefined;
  /** A key may be forgotten after it was not seen for two to three of these, in event time. */
  readonly keyTtlMs: number;
  readonly next: readonly BatchConsumer[];
}

/** Longest key in UTF-8 bytes. */
const KEY_BYTES_MAX = 64 * 1024;

export class KeyByRecord implements Operator {
  readonly id: string;
  readonly #options: KeyByRecordOptions;
  readonly #expiry: KeyExpiry;
  readonly #out = new Batch(1);
  #key: Int32Array = new Int32Array(1);
  #records: unknown[] = [];
  #scratch = Buffer.alloc(256);
  #context: OperatorContext | null = null;

  constructor(options: KeyByRecordOptions) {
    this.id = options.id;
    this.#options = options;
    this.#expiry = new KeyExpiry(`${options.id}/expiry`, options.keyTtlMs);
  }

  open(context: OperatorContext): void {
    this.#context = context;
    this.#options.keys.open(context.state);
    this.#expiry.open(context.state);
  }

  process(batch: Batch): void {
    if (batch.count === 0) return;
    const { keys, view = recordOf, next } = this.#options;
    this.#expiry.begin(batch.timestampMs[0], this.#context!.watermarkMs());
    if (this.#key.length < batch.count) this.#key = new Int32Array(batch.capacity);
    const key = this.#key;
    const records = batch.records ?? this.#records;
    for (let i = 0; i < batch.count; i++) {
      const record = view(batch, i);
      records[i] = record;
      key[i] = this.#slotOf(record);
    }
    keys.markSeen(key, batch.count);
    const out = this.#out;
    out.count = batch.count;
    out.capacity = batch.capacity;
    out.timestampMs = batch.timestampMs;
    out.key = key;
    out.value = batch.value;
    out.originPartition = batch.originPartition;
    out.originOffset = batch.originOffset;
    out.originTopic = batch.originTopic;
    out.maxTimestampMs = batch.maxTimestampMs;
    out.records = records;
    for (let i = 0; i < next.length; i++) next[i].process(out);
  }

  nextBoundaryMs(watermarkMs: number): number {
    return this.#expiry.nextBoundaryMs(watermarkMs);
  }

  nextTimerMs(): number {
    return this.#expiry.nextSweepMs;
  }

  /** Forgetting keys puts nothing out. */
  nextOutputMs(): number {
    return Number.POSITIVE_INFINITY;
  }

  fire(timeMs: number): boolean {
    invariant(this.#context !== null, `keyBy '${this.id}' fires before open`);
    const evicted = this.#options.keys.evict(() => false);
    if (evicted > 0) this.#context.count('keys-evicted', evicted);
    this.#expiry.swept(timeMs, this.#context.watermarkMs());
    return true;
  }

  usesKey(): boolean {
    return false;
  }

  endEntry(): void {}

  wantsEntry(): boolean {
    return false;
  }

  #slotOf(record: unknown): number {
    let key: unknown;
    try {
      key = this.#options.select(record);
    } catch (error) {
      throw this.#failed(threw(error), record, error);
    }
    if (isPromise(key)) throw this.#failed('is asynchronous', record);
    if (typeof key !== 'string' || key === '') throw this.#failed(`gave ${shown(key)} instead of a text`, record);
    if (!key.isWellFormed()) throw this.#failed('gave a text with half a surrogate pair', record);
    if (this.#scratch.length < key.length * 3) this.#scratch = Buffer.alloc(key.length * 4);
    const size = this.#scratch.write(key);
    if (size > KEY_BYTES_MAX) throw this.#failed(`gave a key of ${size} bytes, more than ${KEY_BYTES_MAX}`, record);
    return this.#options.keys.slotOf(this.#scratch, 0, size);
  }

  #failed(problem: string, record: unknown, cause?: unknown): Error {
    return functionFailed(`keyBy '${this.id}'`, problem, `for ${shown(record)}`, cause);
  }
}
