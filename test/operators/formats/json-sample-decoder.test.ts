import { expect, test } from 'vitest';
import { JsonSampleDecoder } from '#operators/formats/json-sample-decoder.ts';
import { FAULTS_MAX } from '#operators/formats/sample-decoder.ts';
import { SeriesTable } from '#operators/series/series-table.ts';
import { Batch } from '#runtime/task/contract.ts';
import { originOf, SKEW_LIMIT_MS } from '#test/operators/formats/decoder-comparison.ts';
import { type ReferenceResult, referenceDecode } from '#test/operators/formats/reference-decoder.ts';
import { pick, recordBytes, seeded } from '#test/operators/formats/sample-generator.ts';

const registry = { register: () => ({ epoch: 1, touch: () => {} }) };

interface Decoding {
  readonly table: SeriesTable;
  readonly decoder: JsonSampleDecoder;
  readonly batch: Batch;
}

function decoding(bytesMax?: number, capacity = 4): Decoding {
  const table = new SeriesTable({ stateId: 'test/series' });
  table.open(registry);
  const decoder = new JsonSampleDecoder(bytesMax === undefined ? { table } : { table, bytesMax });
  return { table, decoder, batch: new Batch(capacity) };
}

function decode({ decoder, batch }: Decoding, record: Buffer | string): void {
  const bytes = Buffer.from(record);
  batch.clear();
  decoder.decode(bytes, 0, bytes.length, originOf(3, 42), batch);
}

function rows({ table, batch }: Decoding): unknown[] {
  return Array.from({ length: batch.count }, (_, i) => ({
    series: table.canonicalBytes(batch.key[i]).toString(),
    timestampMs: batch.timestampMs[i],
    value: batch.value[i],
  }));
}

function faults({ decoder }: Decoding): string[] {
  return decoder.faults.map((fault) => `${fault.code} ${fault.path}`);
}

function matches({ decoder, batch }: Decoding, known: Map<string, number>, expected: ReferenceResult): boolean {
  if (batch.count !== expected.rows.length || decoder.notFinite !== expected.notFinite) return false;
  if (decoder.faultCount !== expected.faults.length) return false;
  let maxTimestampMs = Number.NEGATIVE_INFINITY;
  for (const [i, row] of expected.rows.entries()) {
    if (!known.has(row.series)) known.set(row.series, known.size);
    if (batch.key[i] !== known.get(row.series) || batch.timestampMs[i] !== row.timestampMs) return false;
    if (!Object.is(batch.value[i], row.value)) return false;
    maxTimestampMs = Math.max(maxTimestampMs, row.timestampMs);
  }
  const { faults } = decoder;
  return (
    maxTimestampMs === batch.maxTimestampMs && faults.every((f, i) => `${f.code} ${f.path}` === expected.faults[i])
  );
}

/** Decodes records in one buffer after the other, so that what stands behind a record is another one's text. */
function comparesWithReference(seed: number, count: number, bytesMax: number | undefined): number {
  const next = seeded(seed);
  const state = decoding(bytesMax);
  const { table, decoder, batch } = state;
  // Series in the order of their first rows: that is their slot.
  const known = new Map<string, number>();
  let good = 0;
  let previous: Buffer = Buffer.alloc(0);
  for (let i = 0; i < count; i++) {
    const record = recordBytes(next);
    const behind = pick(next, [Buffer.alloc(0), Buffer.from('0123456789}]},"'), previous, Buffer.alloc(64)]);
    const before = next() < 0.5 ? Buffer.alloc(0) : Buffer.from('{"metric_name":');
    const bytes = Buffer.concat([before, record, behind]);
    batch.clear();
    decoder.decode(bytes, before.length, before.length + record.length, originOf(1, i), batch);
    const expected = referenceDecode(record, SKEW_LIMIT_MS);
    if (!matches(state, known, expected)) {
      const found = { rows: rows(state), notFinite: decoder.notFinite, faults: faults(state) };
      expect({ record: record.toString(), ...found }).toEqual(expected);
      throw new Error(`slots or order differ: ${record}`);
    }
    if (table.size !== known.size) expect(table.size, record.toString()).toBe(known.size);
    good += expected.rows.length;
    previous = record;
  }
  for (const [series, slot] of known) expect(table.canonicalBytes(slot).toString()).toBe(series);
  expect(decoder.parsedRecords).toBeLessThan(count * 0.6);
  return good;
}

test.each([
  [1, 50_000, undefined],
  [2, 50_000, undefined],
  [3, 10_000, 96 * 1024],
])(
  'decodes what JSON.parse decodes, and gives slots in the order of first rows (seed %i, %i records, cache %s)',
  {
    timeout: 120_000,
  },
  (seed, count, bytesMax) => {
    expect(comparesWithReference(seed, count, bytesMax)).toBeGreaterThan(count / 2);
  },
);

test('takes the usual spellings without the full parser, new series included', () => {
  const state = decoding();
  const sample = { metric_name: 'cpu', timestamp: 1700000000000, value: 1.5, labels: { host: 'h}"\\1' } };
  for (const keys of [
    ['labels', 'value', 'timestamp', 'metric_name'],
    ['metric_name', 'timestamp', 'value', 'labels'],
  ]) {
    for (const indent of [0, 2]) {
      const text = JSON.stringify(sample, ['host', ...keys], indent);
      for (const record of [text, `[${text},${text}]`, ` ${text}\n`]) decode(state, record);
      expect(rows(state)[0]).toEqual({ series: 'cpu{host="h}\\"\\\\1"}', timestampMs: 1700000000000, value: 1.5 });
    }
  }
  decode(state, '{"metric_name":"up","unit":"s","timestamp":1700000000000,"value":1}');
  expect(rows(state)).toHaveLength(1);
  expect(state.decoder.parsedRecords).toBe(0);
});

test('keeps labels called __proto__ and constructor, pollutes nothing', () => {
  const state = decoding();
  decode(
    state,
    '{"metric_name":"up","timestamp":1,"value":1,"labels":{"__proto__":"p","constructor":"c"},"__proto__":{"value":7}}',
  );
  expect(rows(state)).toEqual([{ series: 'up{__proto__="p",constructor="c"}', timestampMs: 1, value: 1 }]);
  expect(state.table.jsonBytes(0).toString()).toBe('"metric_name":"up","labels":{"__proto__":"p","constructor":"c"}');
  expect(({} as Record<string, unknown>)['p']).toBeUndefined();
});

test('a bad part is named, its neighbours become rows', () => {
  const state = decoding();
  const good = '{"metric_name":"up","timestamp":1,"value":1,"labels":{}}';
  decode(
    state,
    `[${good},{"metric_name":"up","timestamp":1,"value":"x","labels":{}},${good},{"metric_name":"up","timestamp":1800000000000,"value":1,"labels":{}}]`,
  );
  expect(rows(state)).toHaveLength(2);
  expect(faults(state)).toEqual(['sample-invalid $[1].value', 'timestamp-ahead $[3].timestamp']);
  expect(state.decoder.hasParts).toBe(true);
});

test('a record that is no JSON to its end leaves no row and no series', () => {
  const state = decoding();
  const good = '{"metric_name":"new","timestamp":1,"value":1,"labels":{}}';
  decode(state, `[${good},${good},{"metric_name":"new","timestamp":tru}]`);
  decode(state, `${good}}`);
  expect(state.batch.count).toBe(0);
  expect(state.batch.maxTimestampMs).toBe(Number.NEGATIVE_INFINITY);
  expect(state.table.size).toBe(0);
  expect(faults(state)).toEqual(['json-invalid $']);
});

test('a NaN sample makes no series', () => {
  const state = decoding();
  decode(
    state,
    '[{"metric_name":"up","timestamp":1,"value":"NaN","labels":{}},{"metric_name":"up","timestamp":1,"value":null,"labels":{}}]',
  );
  expect(state.decoder.notFinite).toBe(2);
  expect(state.table.size).toBe(0);
  expect(state.decoder.faultCount).toBe(0);
});

test('an array of 100,000 samples grows the batch; as many bad parts are counted and the first are named', () => {
  const state = decoding(undefined, 2);
  const part = (i: number, value: string): string =>
    `{"metric_name":"m${i % 9}","timestamp":${i},"value":${value},"labels":{}}`;
  decode(state, `[${Array.from({ length: 100_000 }, (_, i) => part(i, String(i))).join(',')}]`);
  expect(state.batch.count).toBe(100_000);
  expect(state.batch.value[99_999]).toBe(99_999);
  expect(state.batch.key[99_999]).toBe(state.table.slotOfText('m0'));
  expect(state.batch.originPartition[5]).toBe(3);
  expect(state.batch.originOffset[99_999]).toBe(42);
  decode(state, `[${Array.from({ length: 1000 }, (_, i) => part(i, 'true')).join(',')}]`);
  expect(state.decoder.faultCount).toBe(1000);
  expect(state.decoder.faults).toHaveLength(FAULTS_MAX);
});

test('a 5 MB record of brackets is refused at once', () => {
  const state = decoding();
  decode(state, '['.repeat(5 << 20));
  expect(faults(state)).toEqual(['json-invalid $']);
});

test('series of more than 64 labels or 64 KiB are refused', () => {
  const state = decoding();
  const labels = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`l${i}`, 'x']));
  decode(state, JSON.stringify({ metric_name: 'up', timestamp: 1, value: 1, labels }));
  expect(faults(state)).toEqual(['sample-invalid $.labels']);
  decode(state, JSON.stringify({ metric_name: 'up', timestamp: 1, value: 1, labels: { a: 'ü'.repeat(32 * 1024) } }));
  expect(faults(state)).toEqual(['sample-invalid $.labels']);
  decode(
    state,
    JSON.stringify({
      metric_name: 'up',
      timestamp: 1,
      value: 1,
      labels: { ...labels, l0: '', l1: '', a: 'ü'.repeat(30_000) },
    }),
  );
  expect(state.batch.count).toBe(1);
});

test('an evicted series is not found through remembered bytes', () => {
  const state = decoding();
  const record = (name: string): string => `{"metric_name":"${name}","timestamp":1,"value":1,"labels":{}}`;
  for (const name of ['a', 'b', 'a', 'b']) decode(state, record(name));
  for (let generation = 0; generation < 3; generation++) {
    state.table.markSeen(Int32Array.of(1), 1);
    state.table.evict(() => false);
  }
  expect(state.table.size).toBe(1);
  decode(state, record('c'));
  expect(state.batch.key[0]).toBe(0);
  decode(state, record('a'));
  expect(state.batch.key[0]).toBe(2);
  expect(rows(state)).toEqual([{ series: 'a', timestampMs: 1, value: 1 }]);
});
