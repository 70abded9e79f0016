// Owns the head of a stage that reads records of any shape: decodes each, takes its event time, hands bad ones over.
// Invariant: every log record becomes one row or one dead letter, once its schema is known.

import { NOT_WAITING } from '#operators/formats/sample-decoder.ts';
import { RecordFault, type RecordReader } from '#operators/formats/whole-record.ts';
import { functionFailed, isPromise } from '#operators/records/user-function.ts';
import type { RecordWalker } from '#runtime/log/record-batch.ts';
import { invariant } from '#runtime/std/errors.ts';
import type { Batch, DecodeLimits, Source, SourceContext, SourceInput } from '#runtime/task/contract.ts';

/** What the log says of a record beside its value. */
export interface RecordMetadata {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Null when it has none. */
  readonly key: string | null;
  readonly timestampMs: number;
}

export interface RecordsSourceOptions {
  readonly id: string;
  readonly format: RecordReader;
  /** Makes the record out of the value; what it throws is a bad record. Null: the value is the record. */
  readonly read: ((value: unknown, metadata: RecordMetadata) => unknown) | null;
  /** Event time in milliseconds; what it throws is a bad record. Null: the log's timestamp. */
  readonly timestamp: ((record: unknown, metadata: RecordMetadata) => unknown) | null;
}

export class RecordsSource implements Source {
  readonly id: string;
  readonly control = null;
  consumedDelta = 0;
  /** Id of the schema that the next record waits for, when `decode` ended before it for that reason; else NOT_WAITING. */
  waitsFor = NOT_WAITING;
  readonly #options: RecordsSourceOptions;
  #context: SourceContext | null = null;

  constructor(options: RecordsSourceOptions) {
    this.id = options.id;
    this.#options = options;
  }

  open(context: SourceContext): void {
    this.#context = context;
  }

  decode(input: SourceInput, walker: RecordWalker, limits: DecodeLimits, batch: Batch): void {
    const context = this.#context;
    invariant(context !== null, `source ${this.id} decodes before it was opened`);
    const { stopDelta, skipBelowDelta, cutTimestampMs, rowsMax } = limits;
    const countBefore = batch.count;
    let consumedDelta = skipBelowDelta;
    batch.originTopic = input.topic;
    batch.records ??= [];
    this.waitsFor = NOT_WAITING;
    while (walker.next()) {
      const delta = walker.offsetDelta;
      if (delta < skipBelowDelta) continue;
      if (delta >= stopDelta) {
        walker.back();
        consumedDelta = stopDelta;
        break;
      }
      consumedDelta = delta + 1;
      this.#decodeRecord(input, walker, limits.skewLimitMs, batch);
      if (this.waitsFor !== NOT_WAITING) {
        walker.back();
        consumedDelta = delta;
        break;
      }
      if (batch.count >= rowsMax || batch.maxTimestampMs >= cutTimestampMs) break;
    }
    this.consumedDelta = consumedDelta;
    if (batch.count > countBefore) context.count('records', batch.count - countBefore);
  }

  #decodeRecord(input: SourceInput, walker: RecordWalker, skewLimitMs: number, batch: Batch): void {
    const { format, read, timestamp } = this.#options;
    const metadata: RecordMetadata = {
      topic: input.topic,
      partition: input.partition,
      offset: Number(input.baseOffset) + walker.offsetDelta,
      key: walker.keyStart < 0 ? null : walker.bytes.toString('utf8', walker.keyStart, walker.keyEnd),
      timestampMs: input.baseTimestampMs + walker.timestampDelta,
    };
    let record: unknown;
    let timestampMs: unknown = metadata.timestampMs;
    try {
      if (walker.valueStart < 0) throw new RecordFault('has no value (a tombstone)');
      record = format.decode(walker.bytes, walker.valueStart, walker.valueEnd);
      this.waitsFor = format.waitsFor ?? NOT_WAITING;
      if (this.waitsFor !== NOT_WAITING) return;
      if (read !== null) record = read(record, metadata);
      if (timestamp !== null) timestampMs = timestamp(record, metadata);
    } catch (error) {
      if (error instanceof RecordFault) this.#bad(walker, input, error.code, `the record ${error.message}`);
      else this.#bad(walker, input, 'record-invalid', `the record is refused: ${messageOf(error)}`);
      return;
    }
    if ((read !== null && isPromise(record)) || isPromise(timestampMs)) {
      const where = `for ${metadata.topic}/${metadata.partition} offset ${metadata.offset}`;
      throw functionFailed(`source '${this.id}'`, 'is asynchronous', where);
    }
    if (typeof timestampMs !== 'number' || !Number.isSafeInteger(timestampMs)) {
      this.#bad(walker, input, 'record-invalid', `its event time ${String(timestampMs)} is no whole milliseconds`);
    } else if (timestampMs > skewLimitMs) {
      this.#bad(walker, input, 'timestamp-ahead', `its event time ${timestampMs} is beyond maxSkew`);
    } else {
      if (batch.count === batch.capacity) batch.grow();
      const at = batch.count++;
      batch.timestampMs[at] = timestampMs;
      batch.key[at] = -1;
      batch.originPartition[at] = metadata.partition;
      batch.originOffset[at] = metadata.offset;
      batch.records![at] = record;
      if (timestampMs > batch.maxTimestampMs) batch.maxTimestampMs = timestampMs;
    }
  }

  #bad(walker: RecordWalker, input: SourceInput, code: string, message: string): void {
    this.#context!.count('bad-records', 1);
    this.#context!.deadLetter(walker, input, code, message);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
