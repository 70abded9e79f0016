// Owns lists of records by event time, those of one time in the order they came, as joins keep them per key.

import type { ValueCodec } from '#checkpoint/contract.ts';

export interface TimedRecord {
  readonly timeMs: number;
  readonly record: unknown;
  /** Of joins: whether it has met another. */
  matched: boolean;
}

/** Place of the first record at or after `timeMs`. */
export function firstFrom(records: readonly TimedRecord[], timeMs: number): number {
  let low = 0;
  let high = records.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (records[middle].timeMs < timeMs) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Behind those of its time. Most records come at the end. */
export function insertByTime(records: TimedRecord[], record: TimedRecord): void {
  let at = records.length;
  while (at > 0 && records[at - 1].timeMs > record.timeMs) at--;
  if (at === records.length) records.push(record);
  else records.splice(at, 0, record);
}

export function timedRecordsCodec(codec: ValueCodec<unknown>): ValueCodec<TimedRecord[]> {
  return {
    schemaVersion: codec.schemaVersion * 16 + 1,
    write(records, out) {
      out.uvarint(records.length);
      let before = 0;
      for (const { timeMs, record, matched } of records) {
        out.varint(timeMs - before);
        out.u8(matched ? 1 : 0);
        codec.write(record, out);
        before = timeMs;
      }
    },
    read(input) {
      const records: TimedRecord[] = [];
      let timeMs = 0;
      for (let left = input.uvarint(); left > 0; left--) {
        timeMs += input.varint();
        const matched = input.u8() === 1;
        records.push({ timeMs, record: codec.read(input), matched });
      }
      return records;
    },
  };
}
