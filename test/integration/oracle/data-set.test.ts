// The generated data must be what it claims to be: repeatable, of the promised shares, and judged as it was meant.

import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { BROKEN_RECORDS, BROKEN_SAMPLES, YEAR_3000_MS } from './broken-records.ts';
import {
  CLOSING_METRIC,
  type DataRecord,
  type DataSetOptions,
  FULL_DATA_SET,
  generate,
  type Placement,
} from './data-set.ts';
import { canonicalText, partitionOfKey } from './placement.ts';
import { Random } from './random.ts';
import { judge } from './sample-judge.ts';
import { sampleText } from './sample-text.ts';
import { makeSeries } from './series-universe.ts';

const MIDNIGHT_MS = Date.UTC(2026, 2, 1);
const LATEST_MS = MIDNIGHT_MS + 3 * 86_400_000;
const PLACEMENTS: readonly Placement[] = ['series', 'producer', 'spread'];

function options(placement: Placement, change: Partial<DataSetOptions> = {}): DataSetOptions {
  return {
    ...FULL_DATA_SET,
    seriesCount: 300,
    brokenShare: 0.003,
    seed: 7,
    midnightMs: MIDNIGHT_MS,
    placement,
    ...change,
  };
}

function digest(records: Iterable<DataRecord>): string {
  const hash = createHash('sha256');
  for (const { partition, key, value, timestampMs } of records) {
    hash.update(`${partition} ${timestampMs} ${key?.length} ${value?.length} `);
    hash.update(key ?? '').update(value ?? '');
  }
  return hash.digest('hex');
}

test.each(PLACEMENTS)('placed by %s, the same seed gives the same records and another seed others', (placement) => {
  const first = digest(generate(options(placement)));
  expect(digest(generate(options(placement)))).toBe(first);
  expect(digest(generate(options(placement, { seed: 8 })))).not.toBe(first);
});

test.each(PLACEMENTS)(
  'placed by %s, every record is judged as it was meant and the shares are as asked',
  (placement) => {
    const counts = { finite: 0, notFinite: 0, bad: 0, arrays: 0, partly: 0 };
    const partitionsOf = new Map<string, Set<number>>();
    const largestMs = new Map<number, number>();
    let outOfOrder = 0;
    for (const { partition, value, intent } of generate(options(placement))) {
      const { samples, badParts, parts } = judge(value, LATEST_MS);
      const finite = samples.filter((sample) => Number.isFinite(sample.value)).length;
      expect({ finite, notFinite: samples.length - finite, bad: badParts }, value?.toString()).toEqual(intent);
      counts.finite += finite;
      counts.notFinite += samples.length - finite;
      counts.bad += badParts;
      if (parts > 1) counts.arrays++;
      if (badParts > 0 && badParts < parts) counts.partly++;
      const before = largestMs.get(partition) ?? 0;
      for (const { series, timestampMs } of samples) {
        partitionsOf.set(series, (partitionsOf.get(series) ?? new Set()).add(partition));
        expect(timestampMs).toBeGreaterThanOrEqual(before - FULL_DATA_SET.outOfOrderMs);
        if (timestampMs < before) outOfOrder++;
        largestMs.set(partition, Math.max(largestMs.get(partition) ?? 0, timestampMs));
      }
    }
    expect(counts.finite + counts.notFinite).toBe(300 * FULL_DATA_SET.rounds + FULL_DATA_SET.partitionCount);
    expect(counts.bad).toBeGreaterThan(50);
    expect(counts.notFinite).toBeGreaterThan(30);
    expect(counts.arrays).toBeGreaterThan(50);
    expect(counts.partly).toBeGreaterThan(3);
    expect(outOfOrder).toBeGreaterThan(500);
    const scattered = [...partitionsOf.values()].filter((partitions) => partitions.size > 1).length;
    if (placement === 'spread') expect(scattered).toBe(300);
    else expect(scattered).toBe(0);
  },
);

test('placed by series, each series lies where the partitioner puts its canonical text', () => {
  for (const { partition, value } of generate(options('series', { rounds: 10 }))) {
    for (const { series } of judge(value, LATEST_MS).samples) {
      expect(partitionOfKey(Buffer.from(series), FULL_DATA_SET.partitionCount)).toBe(partition);
    }
  }
});

test.each(PLACEMENTS)('placed by %s, every partition ends with a closing sample past the day', (placement) => {
  const last = new Map<number, DataRecord>();
  for (const record of generate(options(placement, { rounds: 10 }))) last.set(record.partition, record);
  expect(last.size).toBe(FULL_DATA_SET.partitionCount);
  for (const { value } of last.values()) {
    const [sample] = judge(value, LATEST_MS).samples;
    expect(sample.metricName).toBe(CLOSING_METRIC);
    expect(sample.timestampMs).toBeGreaterThan(MIDNIGHT_MS + 86_400_000 + 60_000);
  }
});

test('the samples lie on both sides of the midnight, and on it to the millisecond', () => {
  const times = new Set<number>();
  for (const { value } of generate(options('producer', { seriesCount: 3000, rounds: 14 }))) {
    for (const sample of judge(value, LATEST_MS).samples) times.add(sample.timestampMs);
  }
  expect(times.has(MIDNIGHT_MS)).toBe(true);
  expect(times.has(MIDNIGHT_MS - 1)).toBe(true);
});

test('placed at random, sums do not depend on the order', () => {
  const values: number[] = [];
  for (const { value } of generate(options('spread', { rounds: 20 }))) {
    for (const sample of judge(value, LATEST_MS).samples) if (Number.isFinite(sample.value)) values.push(sample.value);
  }
  const sum = (list: readonly number[]) => list.reduce((total, value) => total + value, 0);
  expect(sum(new Random(1).shuffled(values))).toBe(sum(values));
  expect(values.every((value) => Number.isInteger(value * 64))).toBe(true);
});

test('every kind of broken sample and record is bad, whatever the series', () => {
  const random = new Random(3);
  for (const series of makeSeries(60, random)) {
    const breakage = { series, timestampMs: MIDNIGHT_MS, random };
    for (const [kind, make] of Object.entries(BROKEN_SAMPLES)) {
      expect(judge(Buffer.from(make(breakage)), YEAR_3000_MS - 1), kind).toEqual({
        samples: [],
        badParts: 1,
        parts: 1,
        badElements: null,
      });
    }
    for (const [kind, make] of Object.entries(BROKEN_RECORDS)) {
      expect(judge(make(breakage), YEAR_3000_MS - 1), kind).toMatchObject({ samples: [], badParts: 1 });
    }
  }
});

test('a sample means the same in every form it is written in', () => {
  const random = new Random(5);
  for (const series of makeSeries(60, random)) {
    for (let round = 0; round < 50; round++) {
      const value = series.next(random, false);
      const [sample] = judge(Buffer.from(sampleText(series, MIDNIGHT_MS + round, value, random)), LATEST_MS).samples;
      expect(sample).toMatchObject({ series: series.canonical, timestampMs: MIDNIGHT_MS + round, value: value + 0 });
    }
  }
});

test('canonical text sorts names by code point, escapes values and drops empty labels', () => {
  expect(
    canonicalText('m', [
      ['b', '1'],
      ['a', 'x"y\\z\n'],
      ['B', '2'],
      ['e', ''],
      ['_', '3'],
    ]),
  ).toBe('m{B="2",_="3",a="x\\"y\\\\z\\n",b="1"}');
  expect(canonicalText('m', [['e', '']])).toBe('m');
  expect(
    canonicalText('m', [
      ['\u{1f600}', '1'],
      ['\uff5e', '2'],
    ]),
  ).toBe('m{\uff5e="2",\u{1f600}="1"}');
});

// Values of the unit test of Kafka's own murmur2, without the sign bit.
test.each([
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
])('puts %s where Kafka does', (text, hash) => {
  for (const count of [1, 7, 24, 1_000_003])
    expect(partitionOfKey(Buffer.from(text), count)).toBe((hash & 0x7fffffff) % count);
});
