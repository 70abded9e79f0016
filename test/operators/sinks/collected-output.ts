// Owns an output for operator tests that keeps copies of the records, and turns them into batches a source can walk.

import { BATCH_HEADER_BYTES, RecordBatchBuilder, type RecordHeader, RecordWalker } from '#runtime/log/record-batch.ts';
import type { Output } from '#runtime/task/contract.ts';

export interface OutputRecord {
  readonly sinkIndex: number;
  readonly topic: string;
  readonly partition: number;
  readonly timestampMs: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly RecordHeader[];
  readonly hashedHeaders: number;
}

export class CollectedOutput implements Output {
  readonly records: OutputRecord[] = [];
  stagedBytes = 0;

  append(
    sinkIndex: number,
    topic: string,
    partition: number,
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    valueStart: number,
    valueEnd: number,
    headers: readonly RecordHeader[] = [],
    hashedHeaders = headers.length,
  ): void {
    if (!Number.isSafeInteger(timestampMs) || timestampMs < 0) throw new Error(`record timestamp ${timestampMs}`);
    this.stagedBytes += valueEnd - valueStart;
    this.records.push({
      sinkIndex,
      topic,
      partition,
      timestampMs,
      key: key === null ? null : Buffer.from(key),
      value: value === null ? null : Buffer.from(value.subarray(valueStart, valueEnd)),
      headers: headers.map((header) => ({ key: header.key, value: Buffer.from(header.value) })),
      hashedHeaders,
    });
  }

  /** Values of one partition, in order. */
  values(partition: number): Buffer[] {
    return this.records.filter((record) => record.partition === partition).map((record) => record.value!);
  }
}

/** A walker over records with these values (null: a tombstone). */
export function walkerOver(values: readonly (Buffer | null)[]): RecordWalker {
  const builder = new RecordBatchBuilder('exchange', 0);
  for (const value of values) builder.append(0, null, 0, 0, value, 0, value?.length ?? 0);
  const walker = new RecordWalker();
  const { bytes, recordCount } = builder.finish();
  walker.reset(bytes, BATCH_HEADER_BYTES, bytes.length, recordCount);
  return walker;
}
