// Owns turning records into records of a topic: value by a format, key by the stream's key or a function. Keeps
// nothing. Invariant: one record out for each that comes in, in order; records of a key go to one partition.

import type { RecordFormat } from '#operators/formats/whole-record.ts';
import { Untimed } from '#operators/records/untimed.ts';
import { functionFailed, isPromise, shown, threw } from '#operators/records/user-function.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';
import { murmur2, partitionOf } from '#runtime/std/murmur2.ts';
import type { Batch, KeyTable, Operator, OperatorContext } from '#runtime/task/contract.ts';

export interface RecordSinkOptions {
  readonly id: string;
  readonly sinkIndex: number;
  readonly topic: string;
  readonly format: RecordFormat;
  /** Keys of the stream; null before keyBy. */
  readonly keys: KeyTable | null;
  /** Gives the key of a record, null for none; null: that of the stream. */
  readonly key: ((record: unknown) => unknown) | null;
}

export class RecordSink extends Untimed implements Operator {
  readonly id: string;
  readonly #options: RecordSinkOptions;
  readonly #out = new ByteWriter(1024);
  #context: OperatorContext | null = null;
  #partitionCount = 0;

  constructor(options: RecordSinkOptions) {
    super();
    this.id = options.id;
    this.#options = options;
  }

  open(context: OperatorContext): void {
    this.#context = context;
    this.#partitionCount = context.partitionCount(this.#options.topic);
  }

  process(batch: Batch): void {
    const { records } = batch;
    invariant(records !== null && this.#context !== null, `sink '${this.id}' takes records`);
    const { sinkIndex, topic, format } = this.#options;
    const out = this.#out;
    for (let i = 0; i < batch.count; i++) {
      const record = records[i];
      out.clear();
      try {
        format.encode(record, out);
      } catch (error) {
        throw this.#unwritable(record, error as Error);
      }
      const key = this.#keyOf(batch, i, record);
      // Without a key a task keeps to one partition: what it sends stays in order.
      const partition =
        key === null ? this.#context.partition % this.#partitionCount : partitionOf(murmur2(key), this.#partitionCount);
      const timestampMs = Math.max(0, batch.timestampMs[i]);
      this.#context.output.append(sinkIndex, topic, partition, timestampMs, key, out.bytes, 0, out.length);
    }
    this.#context.count('records-sent', batch.count);
  }

  #keyOf(batch: Batch, index: number, record: unknown): Uint8Array | null {
    const { key: select, keys } = this.#options;
    if (select === null) return keys === null ? null : keys.canonicalBytes(batch.key[index]);
    let key: unknown;
    try {
      key = select(record);
    } catch (error) {
      throw this.#failed(threw(error), record, error);
    }
    if (key === null || key === undefined) return null;
    if (isPromise(key)) throw this.#failed('is asynchronous', record);
    if (typeof key !== 'string') throw this.#failed(`gave the key ${shown(key)} instead of a text`, record);
    if (!key.isWellFormed()) throw this.#failed('gave a key with half a surrogate pair', record);
    return Buffer.from(key);
  }

  // No function chose these bytes: the format cannot say what it was given.
  #unwritable(record: unknown, cause: Error): StreamError {
    const step = `sink '${this.id}'`;
    const message = `${step} cannot write a record: ${cause.message} for ${shown(record)}`;
    return new StreamError('operator-failed', message, `give ${step} records that its format can hold`, { cause });
  }

  #failed(problem: string, record: unknown, cause?: unknown): Error {
    return functionFailed(`sink '${this.id}'`, problem, `for ${shown(record)}`, cause);
  }
}
