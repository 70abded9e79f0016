// Owns comparing a decoder of samples with a reference, record by record: rows, slots, faults, counts. Records stand in
// one buffer after the other, so that what stands behind a record is another one's bytes.

import { expect } from 'vitest';
import type { RecordOrigin, SampleDecoder, SampleDecoderOptions } from '#operators/formats/sample-decoder.ts';
import { SeriesTable } from '#operators/series/series-table.ts';
import { Batch } from '#runtime/task/contract.ts';
import type { ReferenceResult } from '#test/operators/formats/reference-decoder.ts';
import { pick, type Random, seeded } from '#test/operators/formats/sample-generator.ts';

export const SKEW_LIMIT_MS = 1700000090000;

/** Record `offset` of a partition, written at 1700000050000. */
export function originOf(partition: number, offset: number): RecordOrigin {
  return { partition, offset, timestampMs: 1700000050000, headersAt: -1, skewLimitMs: SKEW_LIMIT_MS };
}

const registry = { register: () => ({ epoch: 1, touch: () => {} }) };

export interface Decoding<D extends SampleDecoder = SampleDecoder> {
  readonly table: SeriesTable;
  readonly decoder: D;
  readonly batch: Batch;
}

export function decoding<D extends SampleDecoder>(
  make: (options: SampleDecoderOptions) => D,
  bytesMax?: number,
): Decoding<D> {
  const table = new SeriesTable({ stateId: 'test/series' });
  table.open(registry);
  const decoder = make(bytesMax === undefined ? { table } : { table, bytesMax });
  return { table, decoder, batch: new Batch(4) };
}

export function decodeRecord({ decoder, batch }: Decoding, record: Buffer | string): void {
  const bytes = Buffer.from(record);
  batch.clear();
  decoder.decode(bytes, 0, bytes.length, originOf(3, 42), batch);
}

/** Rows of the last record: `series value @timestamp`. */
export function rowTexts({ table, batch }: Decoding): string[] {
  return Array.from({ length: batch.count }, (_, i) => {
    const value = Object.is(batch.value[i], -0) ? '-0' : batch.value[i];
    return `${table.canonicalBytes(batch.key[i])} ${value} @${batch.timestampMs[i]}`;
  });
}

export function faultTexts({ decoder }: Decoding): string[] {
  return decoder.outcome.faults.map((fault) => `${fault.code} ${fault.path}`);
}

function isSame(
  { decoder, batch }: Decoding,
  known: Map<string, number>,
  expected: ReferenceResult,
  faultText: (text: string) => string,
): boolean {
  let maxTimestampMs = Number.NEGATIVE_INFINITY;
  let same = batch.count === expected.rows.length;
  for (const [i, row] of expected.rows.entries()) {
    if (!known.has(row.series)) known.set(row.series, known.size);
    same &&= batch.key[i] === known.get(row.series) && batch.timestampMs[i] === row.timestampMs;
    same &&= Object.is(batch.value[i], row.value);
    maxTimestampMs = Math.max(maxTimestampMs, row.timestampMs);
  }
  same &&= decoder.outcome.notFinite === expected.notFinite && maxTimestampMs === batch.maxTimestampMs;
  same &&= decoder.outcome.faultCount === expected.faults.length;
  const { faults } = decoder.outcome;
  return same && faults.every((f, i) => faultText(`${f.code} ${f.path}`) === faultText(expected.faults[i]));
}

export interface Comparison {
  readonly seed: number;
  readonly count: number;
  readonly bytesMax?: number | undefined;
  readonly make: (options: SampleDecoderOptions) => SampleDecoder;
  readonly record: (next: Random) => Buffer;
  readonly reference: (record: Buffer, skewLimitMs: number) => ReferenceResult;
  /** What of a fault is compared. @default all of it */
  readonly faultText?: (text: string) => string;
}

/** Fails at the first record that differs. Returns rows and faults seen, so that a test can ask for enough of both. */
export function compare(comparison: Comparison): { readonly rows: number; readonly faults: number } {
  const next = seeded(comparison.seed);
  const state = decoding(comparison.make, comparison.bytesMax);
  const { table, decoder, batch } = state;
  // Series in the order of their first rows: that is their slot.
  const known = new Map<string, number>();
  let rows = 0;
  let faults = 0;
  let previous: Buffer = Buffer.alloc(0);
  for (let i = 0; i < comparison.count; i++) {
    const record = comparison.record(next);
    const behind = pick(next, [Buffer.alloc(0), Buffer.alloc(3, 0xff), previous, Buffer.alloc(64)]);
    const before = Buffer.alloc(Math.floor(next() * 4), 0x80);
    const bytes = Buffer.concat([before, record, behind]);
    batch.clear();
    decoder.decode(bytes, before.length, before.length + record.length, originOf(1, i), batch);
    const expected = comparison.reference(record, SKEW_LIMIT_MS);
    if (!isSame(state, known, expected, comparison.faultText ?? String)) {
      const wanted = expected.rows.map(
        ({ series, timestampMs, value }) => `${series} ${Object.is(value, -0) ? '-0' : value} @${timestampMs}`,
      );
      const found = { rows: rowTexts(state), notFinite: decoder.outcome.notFinite, faults: faultTexts(state) };
      expect(found, `record ${i} ${record.toString('latin1')} ${record.toString('hex')}`).toEqual({
        ...expected,
        rows: wanted,
      });
      throw new Error(`slots or order differ in record ${i}: ${record.toString('hex')}`);
    }
    if (table.size !== known.size) expect(table.size, `record ${i}`).toBe(known.size);
    rows += expected.rows.length;
    faults += expected.faults.length;
    previous = record;
  }
  for (const [series, slot] of known) expect(table.canonicalBytes(slot).toString()).toBe(series);
  return { rows, faults };
}
