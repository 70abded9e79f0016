import { describe, expect, test } from 'vitest';
import { codeOf } from '#operators/sketch/bucket.ts';
import { nearestRank, quantile } from '#operators/sketch/quantile.ts';
import { SketchColumn } from '#operators/sketch/sketch-column.ts';
import { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import { Random } from '../windows/random.ts';

/** Pairs of a row, flat. */
function pairsOf(column: SketchColumn, row: number): number[] {
  const target = new Int32Array(2 * column.pairsMax(row) + 2).fill(-7);
  const pairs = column.copyTo(row, target, 1);
  expect(target[0]).toBe(-7);
  return [...target.subarray(1, 1 + 2 * pairs)];
}

function pairsOfValues(values: readonly number[]): number[] {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(codeOf(value), (counts.get(codeOf(value)) ?? 0) + 1);
  return [...counts].sort(([left], [right]) => left - right).flat();
}

function bytesOf(column: SketchColumn, row: number): string {
  const out = new ByteWriter();
  column.write(row, out);
  return out.toBytes().toString('hex');
}

type Shape = (random: Random) => number;
const SHAPES: Readonly<Record<string, Shape>> = {
  narrow: (random) => 70 + random.next() * 11,
  constant: () => 42.5,
  uniform: (random) => random.next() * 100,
  signed: (random) => (random.next() - 0.5) * 10,
  wide: (random) => (random.chance(0.1) ? 0 : (random.next() - 0.5) * 10 ** (random.below(600) - 300)),
  integers: (random) => random.below(50) - 10,
};

function fill(column: SketchColumn, row: number, values: readonly number[]): void {
  const rows = new Int32Array(values.length).fill(row);
  column.addAll(Float64Array.from(values), rows, values.length);
}

describe.each(Object.keys(SHAPES))('a sketch of %s values', (name) => {
  const shape = SHAPES[name];

  test('holds the multiset of codes, whichever way it was added', () => {
    for (let seed = 0; seed < 60; seed++) {
      const random = new Random(seed);
      const values = Array.from({ length: random.below(seed < 50 ? 300 : 4000) }, () => shape(random));
      const column = new SketchColumn();
      column.reserve(8);
      fill(column, 0, values);
      for (const value of values) column.add(1, codeOf(value));
      const expected = pairsOfValues(values);
      expect(pairsOf(column, 0)).toEqual(expected);
      expect(pairsOf(column, 1)).toEqual(expected);
      const cut = random.below(values.length + 1);
      fill(column, 2, values.slice(cut));
      fill(column, 3, values.slice(0, cut));
      column.mergeFrom(column, 3, 2);
      expect(pairsOf(column, 2)).toEqual(expected);
      expect(bytesOf(column, 2)).toBe(bytesOf(column, 0));
      expect(pairsOf(column, 3)).toEqual(pairsOfValues(values.slice(0, cut)));
    }
  });

  test('gives quantiles by nearest rank within 1 % and within the extremes', () => {
    for (let seed = 100; seed < 140; seed++) {
      const random = new Random(seed);
      const values = Array.from({ length: 1 + random.below(500) }, () => shape(random));
      const column = new SketchColumn();
      column.reserve(1);
      fill(column, 0, values);
      const sketch = Int32Array.from(pairsOf(column, 0));
      const sorted = Float64Array.from(values).sort();
      const min = sorted[0];
      const max = sorted[sorted.length - 1];
      for (const q of [0, 0.01, 0.5, 0.95, 0.99, 1]) {
        const exact = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)];
        const estimate = quantile(q, sorted.length, sketch, 0, sketch.length / 2, min, max);
        expect(Math.abs(estimate - exact)).toBeLessThanOrEqual(Math.abs(exact) * 0.01);
        expect(estimate).toBeGreaterThanOrEqual(min);
        expect(estimate).toBeLessThanOrEqual(max);
      }
    }
  });

  test('survives writing and reading, with bytes that do not depend on history', () => {
    for (let seed = 200; seed < 230; seed++) {
      const random = new Random(seed);
      const values = Array.from({ length: random.below(200) }, () => shape(random));
      const column = new SketchColumn();
      column.reserve(4);
      fill(column, 0, values);
      const backwards = [...values].reverse();
      for (const value of backwards) fill(column, 1, [value]);
      expect(bytesOf(column, 1)).toBe(bytesOf(column, 0));
      const bytes = Buffer.from(bytesOf(column, 0), 'hex');
      column.read(2, new ByteReader(bytes));
      expect(bytesOf(column, 2)).toBe(bytesOf(column, 0));
      fill(column, 2, values);
      fill(column, 0, values);
      expect(pairsOf(column, 2)).toEqual(pairsOf(column, 0));
    }
  });
});

describe('a column of sketches', () => {
  test('keeps rows apart while chunks grow, are freed and are used again', () => {
    const random = new Random(9);
    const column = new SketchColumn();
    column.reserve(64);
    const expected: number[][] = Array.from({ length: 64 }, () => []);
    for (let step = 0; step < 6000; step++) {
      const row = random.below(64);
      if (random.chance(0.02)) {
        column.clear(row);
        expected[row] = [];
        continue;
      }
      const values = Array.from({ length: random.below(20) }, () => random.next() * 10 ** random.below(8));
      fill(column, row, values);
      expected[row].push(...values);
    }
    for (let row = 0; row < 64; row++) expect(pairsOf(column, row)).toEqual(pairsOfValues(expected[row]));
    const size = column.sizeInts;
    for (let round = 0; round < 5; round++) {
      for (let row = 0; row < 64; row++) {
        column.clear(row);
        fill(column, row, expected[row]);
      }
    }
    expect(column.sizeInts).toBeLessThanOrEqual(size * 2);
  });

  test('takes sketches larger than a slab', () => {
    const column = new SketchColumn();
    column.reserve(1);
    const values: number[] = [];
    for (let exponent = -1000; exponent < 1000; exponent++) {
      for (let k = 0; k < 32; k++) values.push(2 ** exponent * (1 + k / 32 + 0.001));
    }
    fill(column, 0, values);
    expect(pairsOf(column, 0)).toEqual(pairsOfValues(values));
  });

  test('skips negative rows', () => {
    const column = new SketchColumn();
    column.reserve(2);
    column.addAll(Float64Array.from([1, 2, 3]), Int32Array.from([1, -1, 1]), 3);
    expect(pairsOf(column, 1)).toEqual(pairsOfValues([1, 3]));
    expect(pairsOf(column, 0)).toEqual([]);
  });

  test('fails rather than letting a count wrap around', () => {
    const column = new SketchColumn();
    column.reserve(1);
    const half = Int32Array.from([5, 2 ** 30]);
    column.merge(0, half, 0, 1, 2 ** 30);
    expect(() => column.merge(0, half, 0, 1, 2 ** 30)).toThrow('2^31');
    const other = new SketchColumn();
    other.reserve(1);
    other.merge(0, Int32Array.from([5, 2 ** 31 - 1]), 0, 1, 2 ** 31 - 1);
    other.add(0, 5);
    expect(() => pairsOf(other, 0)).toThrow('2^31');
  });
});

test('nearest rank takes quantiles as decimals', () => {
  expect(nearestRank(0.07, 100)).toBe(7);
  for (let n = 1; n < 3000; n++) {
    for (const [q, hundredths] of [
      [0.5, 50],
      [0.95, 95],
      [0.99, 99],
    ]) {
      expect(nearestRank(q, n)).toBe(Number((BigInt(hundredths) * BigInt(n) + 99n) / 100n));
    }
  }
});
