// The oracle against windows worked out by hand, and the comparison against planted faults: each must be found.

import { expect, test } from 'vitest';
import { compareRows, type OutputRecord } from './comparison.ts';
import { type DataRecord, FULL_DATA_SET, generate } from './data-set.ts';
import { partitionOfKey } from './placement.ts';
import {
  type Expectation,
  type ExpectedRow,
  type InputRecord,
  type LatenessRule,
  RESOLUTIONS,
  RollupOracle,
} from './rollup-oracle.ts';
import { compareDeadLetters, compareLate } from './side-outputs.ts';

const MIDNIGHT_MS = Date.UTC(2026, 2, 1);
const PARTITIONS = 24;
const SMALL = { ...FULL_DATA_SET, seriesCount: 60, brokenShare: 0.005, seed: 11, midnightMs: MIDNIGHT_MS } as const;

function oracleOf(records: Iterable<InputRecord>, partitionCount: number, lateness?: LatenessRule): Expectation {
  const latestMs = MIDNIGHT_MS + 3 * 86_400_000;
  const oracle = new RollupOracle({ partitionCount, outOfOrdernessMs: 5000, latestMs, ...(lateness && { lateness }) });
  for (const record of records) oracle.add(record);
  return oracle.expectation();
}

function* withOffsets(records: Iterable<DataRecord>): Generator<InputRecord> {
  const next = new Array<number>(PARTITIONS).fill(0);
  for (const { partition, key, value } of records)
    yield { topic: 'metrics.raw', partition, offset: next[partition]++, key, value };
}

function sampleRecord(offset: number, ...samples: readonly (readonly [number, unknown, string?])[]): InputRecord {
  const parts = samples.map(([timestamp, value, name]) => ({
    metric_name: name ?? 'm',
    timestamp,
    value,
    labels: { a: '1' },
  }));
  const value = Buffer.from(JSON.stringify(parts.length === 1 ? parts[0] : parts));
  return { topic: 'metrics.raw', partition: 0, offset, key: null, value };
}

/** What a faultless job would publish. */
function publish(row: ExpectedRow, offset: number): OutputRecord {
  const key = Buffer.from(row.series);
  const at = (quantile: number) => row.sorted[Math.ceil(quantile * row.count) - 1];
  const fields = {
    metric_name: row.metricName,
    labels: Object.fromEntries(row.labels),
    resolution: row.resolution,
    window_start: row.windowStartMs,
    window_end: row.windowEndMs,
    count: row.count,
    sum: row.sum,
    min: row.min,
    max: row.max,
    avg: row.sum / row.count,
    p50: at(0.5),
    p95: at(0.95),
    p99: at(0.99),
    run: 0,
    revision: 0,
  };
  return {
    topic: `metrics.rollup.${row.resolution}`,
    partition: partitionOfKey(key, PARTITIONS),
    offset,
    timestampMs: row.windowEndMs - 1,
    key,
    value: Buffer.from(JSON.stringify(fields)),
    headers: new Map(),
  };
}

function changed(record: OutputRecord, change: Record<string, unknown>): OutputRecord {
  return { ...record, value: Buffer.from(JSON.stringify({ ...JSON.parse(record.value!.toString()), ...change })) };
}

const expectation = oracleOf(withOffsets(generate({ ...SMALL, placement: 'series' })), PARTITIONS);
const published = [...expectation.rows.values()].filter((row) => row.required).map(publish);
const compare = (records: readonly OutputRecord[]) =>
  compareRows(expectation, records, { rowPartitionCount: PARTITIONS }).toString();

test('folds in the order of arrival, in windows that include their start and not their end', () => {
  const { rows, counts } = oracleOf(
    [
      sampleRecord(0, [MIDNIGHT_MS - 1, 0.1], [MIDNIGHT_MS, 0.3]),
      sampleRecord(1, [MIDNIGHT_MS - 2, 0.2]),
      sampleRecord(2, [MIDNIGHT_MS - 60_001, 0.7]),
      sampleRecord(3, [MIDNIGHT_MS - 3, 0.3], [MIDNIGHT_MS + 1, 'NaN'], [MIDNIGHT_MS + 1, null]),
      sampleRecord(4, [MIDNIGHT_MS + 86_400_000 + 65_000, 1, 'closing']),
    ],
    1,
  );
  const row = (resolution: string, startMs: number) => {
    const { count, sum, min, max, sorted, required } = rows.get(`${resolution} ${startMs} m{a="1"}`)!;
    return { count, sum, min, max, sorted: [...sorted], required };
  };
  const hourMs = RESOLUTIONS['1h'];
  expect(row('1m', MIDNIGHT_MS - 60_000)).toEqual({
    count: 3,
    sum: 0.1 + 0.2 + 0.3,
    min: 0.1,
    max: 0.3,
    sorted: [0.1, 0.2, 0.3],
    required: true,
  });
  expect(row('5m', MIDNIGHT_MS - 300_000).sum).toBe(0.7 + (0.1 + 0.2 + 0.3));
  expect(row('1h', MIDNIGHT_MS - hourMs).sorted).toEqual([0.1, 0.2, 0.3, 0.7]);
  expect(row('1d', MIDNIGHT_MS)).toMatchObject({ count: 1, sum: 0.3, required: true });
  expect(row('1m', MIDNIGHT_MS).count).toBe(1);
  expect(rows.get(`1m ${MIDNIGHT_MS + 86_460_000} closing{a="1"}`)?.required).toBe(false);
  expect(counts).toEqual({ folded: 6, notFinite: 2, late: 0, bad: 0 });
});

test('a sample is late when its window ended at least the allowed lateness before the watermark of earlier records', () => {
  const start = MIDNIGHT_MS;
  const { rows, late, counts } = oracleOf(
    [
      sampleRecord(0, [start + 10_000, 1]),
      sampleRecord(1, [start + 60_000 + 30_000 + 4_999, 1], [start + 11_000, 1]),
      sampleRecord(2, [start + 12_000, 1]),
      sampleRecord(3, [start + 60_000 + 30_000 + 5_000, 1]),
      sampleRecord(4, [start + 13_000, 7], [start + 70_000, 1]),
    ],
    1,
    { outOfOrdernessMs: 5000, allowedLatenessMs: 30_000 },
  );
  expect(rows.get(`1m ${start} m{a="1"}`)?.count).toBe(3);
  expect(rows.get(`1m ${start + 60_000} m{a="1"}`)?.count).toBe(3);
  expect([...late.keys()]).toEqual(['metrics.raw-0@4']);
  expect(late.get('metrics.raw-0@4')?.samples.map((sample) => sample.value)).toEqual([7]);
  expect(counts).toMatchObject({ folded: 6, late: 1 });
});

test('every good sample of the data set is in one row of each resolution', () => {
  for (const resolution of Object.keys(RESOLUTIONS)) {
    const rows = [...expectation.rows.values()].filter((row) => row.resolution === resolution);
    expect(rows.reduce((sum, row) => sum + row.count, 0)).toBe(expectation.counts.folded);
  }
  const { folded, notFinite } = expectation.counts;
  expect(folded + notFinite).toBe(SMALL.seriesCount * SMALL.rounds + PARTITIONS);
});

test('what a faultless job publishes has no differences, in any order', () => {
  expect(published.length).toBeGreaterThan(1000);
  expect(compare(published)).toBe('');
  expect(compare(published.toReversed())).toBe('');
});

test.each<[string, (records: OutputRecord[]) => OutputRecord[]]>([
  ['missing rows: 1', (all) => all.slice(1)],
  ['duplicate rows: 1', (all) => [...all, { ...all[5], offset: -1 }]],
  ['extra rows: 1', (all) => [...all, changed(all[5], { window_start: 60_000 })]],
  ['corrections: 1', (all) => [...all, changed(all[5], { revision: 1 })]],
  ['revisions with gaps: 1', (all) => all.map((record, at) => (at === 5 ? changed(record, { revision: 1 }) : record))],
  ['wrong count: 1', (all) => all.map((record, at) => (at === 5 ? changed(record, { count: 3 }) : record))],
  ['wrong avg: 1', (all) => all.map((record, at) => (at === 5 ? changed(record, { avg: 'x' }) : record))],
  ['wrong p95: 1', (all) => all.map((record, at) => (at === 5 ? changed(record, { p95: null }) : record))],
  ['wrong labels: 1', (all) => all.map((record, at) => (at === 5 ? changed(record, { labels: { a: '0' } }) : record))],
  ['rows with other fields: 1', (all) => all.map((record, at) => (at === 5 ? changed(record, { note: 1 }) : record))],
  ['rows that are not JSON: 1', (all) => [...all, { ...all[5], value: Buffer.from('{') }]],
  ['rows of another run: 1', (all) => all.map((record, at) => (at === 5 ? changed(record, { run: 1 }) : record))],
  ['rows whose record timestamp is not window_end - 1: 1', (all) => [{ ...all[0], timestampMs: 5 }, ...all.slice(1)]],
  ['rows on a partition that Kafka would not have chosen: 1', (all) => [{ ...all[0], partition: -1 }, ...all.slice(1)]],
  ['rows in the topic of another resolution: 1', (all) => [{ ...all[0], topic: 'metrics.rollup.7m' }, ...all.slice(1)]],
])('finds %s', (kind, plant) => {
  expect(compare(plant(published)).split('\n')[0]).toBe(kind);
});

test('one bit of a sum is a difference', () => {
  const at = published.findIndex((record) => !Number.isInteger(JSON.parse(record.value!.toString()).sum));
  const fields = JSON.parse(published[at].value!.toString());
  const bits = new BigUint64Array(new Float64Array([fields.sum]).buffer);
  bits[0] ^= 1n;
  const planted = changed(published[at], { sum: new Float64Array(bits.buffer)[0] });
  expect(compare(published.with(at, planted))).toMatch(/^wrong sum: 1\n/);
});

test('a percentile may be 1 % off and no more', () => {
  const at = published.findIndex((record) => {
    const { count, p50, max } = JSON.parse(record.value!.toString());
    return count > 3 && p50 > 0 && max > p50 * 1.1;
  });
  const { p50 } = JSON.parse(published[at].value!.toString());
  expect(compare(published.with(at, changed(published[at], { p50: p50 * 1.0099 })))).toBe('');
  expect(compare(published.with(at, changed(published[at], { p50: p50 * 1.0101 })))).toMatch(/^wrong p50: 1\n/);
});

test('corrections are compared by their newest revision, with none left out', () => {
  const row = published[3];
  const { count } = JSON.parse(row.value!.toString());
  const first = changed(row, { count: count - 1, sum: 0, revision: 0 });
  const second = changed(row, { revision: 1 });
  const with2 = [...published.toSpliced(3, 1), first, second];
  expect(compareRows(expectation, with2, { rowPartitionCount: PARTITIONS, revisions: true }).toString()).toBe('');
  const repeated = [...published, changed(row, { revision: 1 })];
  expect(compareRows(expectation, repeated, { rowPartitionCount: PARTITIONS, revisions: true }).toString()).toMatch(
    /^corrections that add no sample: 1\n/,
  );
});

function deadLetters(): OutputRecord[] {
  return [...expectation.deadLetters.values()].map(({ record, badElements }) => ({
    topic: 'metrics.raw.dead-letter',
    partition: record.partition,
    offset: record.offset,
    timestampMs: 0,
    key: record.key && Buffer.from(record.key),
    value: record.value && Buffer.from(record.value),
    headers: new Map([
      ...source(record),
      ['error-code', Buffer.from('bad-record')],
      ['error-message', Buffer.from('why')],
      ...(badElements === null ? [] : ([['error-path', pathOf(badElements)]] as const)),
    ]),
  }));
}

function pathOf(elements: readonly number[]): Buffer {
  return Buffer.from(elements.map((index) => `$[${index}].value`).join(', '));
}

function source({ topic, partition, offset }: InputRecord): [string, Buffer][] {
  return [
    ['source-topic', Buffer.from(topic)],
    ['source-partition', Buffer.from(`${partition}`)],
    ['source-offset', Buffer.from(`${offset}`)],
  ];
}

test('dead letters are accounted for one by one', () => {
  const letters = deadLetters();
  const verdict = (records: readonly OutputRecord[]) =>
    compareDeadLetters(expectation, records).toString().split('\n')[0];
  expect(letters.length).toBeGreaterThan(20);
  expect(verdict(letters)).toBe('');
  expect(verdict(letters.slice(1))).toBe('missing dead letters: 1');
  expect(verdict([...letters, letters[2]])).toBe('dead letters too many: 1');
  expect(verdict(letters.with(2, { ...letters[2], value: Buffer.from('other') }))).toBe(
    'dead letters not as they came: 1',
  );
  expect(verdict(letters.with(2, { ...letters[2], headers: new Map() }))).toBe(
    'records without the headers of their source: 1',
  );
  const at = letters.findIndex(({ headers }) => headers.has('error-path'));
  const naming = (path: string | null): OutputRecord => {
    const headers = new Map(letters[at].headers);
    if (path === null) headers.delete('error-path');
    else headers.set('error-path', Buffer.from(path));
    return { ...letters[at], headers };
  };
  const [one] = `${letters[at].headers.get('error-path')}`.split(', ');
  for (const path of [null, '', '$[77].value', `${one}, $[77]`, `${one}, …`])
    expect(verdict(letters.with(at, naming(path))), `${path}`).toBe('dead letters that name other parts: 1');
  const strange = {
    ...letters[2],
    headers: new Map([...letters[2].headers, ['source-offset', Buffer.from('1000000')]]),
  };
  expect(verdict([...letters, strange])).toBe('dead letters of good records: 1');
});

test('late samples are accounted for one by one', () => {
  const rule = { outOfOrdernessMs: 5000, allowedLatenessMs: 0 };
  const input = [
    sampleRecord(0, [MIDNIGHT_MS + 65_000, 1]),
    sampleRecord(1, [MIDNIGHT_MS, 2], [MIDNIGHT_MS + 66_000, 3], [MIDNIGHT_MS + 1, 4]),
  ];
  const lateExpectation = oracleOf(input, 1, rule);
  const sample = (timestamp: number, value: number): OutputRecord => ({
    topic: 'metrics.raw.late',
    partition: 0,
    offset: 0,
    timestampMs: timestamp,
    key: Buffer.from('m{a="1"}'),
    value: Buffer.from(JSON.stringify({ metric_name: 'm', timestamp, value, labels: { a: '1' } })),
    headers: new Map(source(input[1])),
  });
  const verdict = (records: readonly OutputRecord[]) => compareLate(lateExpectation, records).toString().split('\n')[0];
  const right = [sample(MIDNIGHT_MS, 2), sample(MIDNIGHT_MS + 1, 4)];
  expect(verdict(right)).toBe('');
  expect(verdict(right.slice(1))).toBe('wrong late samples: 1');
  expect(verdict([...right, right[0]])).toBe('wrong late samples: 1');
  expect(verdict([...right.slice(1), sample(MIDNIGHT_MS, 3)])).toBe('wrong late samples: 1');
  expect(verdict([...right, { ...right[0], headers: new Map(source(input[0])) }])).toBe(
    'late samples that are not late: 1',
  );
  expect(verdict([{ ...right[0], key: null }, right[1]])).toBe('late records with another key: 1');
});
