import { describe, expect, test } from 'vitest';
import { MergedStats } from '#operators/aggregates/merged-stats.ts';
import { Stats } from '#operators/aggregates/stats.ts';
import { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import { Batch, type StatsColumns } from '#runtime/task/contract.ts';
import { Random } from '../windows/random.ts';

function batchOf(values: readonly number[]): Batch {
  const batch = new Batch(Math.max(1, values.length));
  batch.value.set(values);
  batch.count = values.length;
  return batch;
}

function columns(rows: number): StatsColumns {
  return {
    windowStartMs: new Float64Array(rows),
    windowEndMs: new Float64Array(rows),
    count: new Float64Array(rows),
    sum: new Float64Array(rows),
    min: new Float64Array(rows),
    max: new Float64Array(rows),
    revision: new Int32Array(rows),
    sketch: new Int32Array(1),
    sketchStart: new Int32Array(rows),
    sketchLength: new Int32Array(rows),
    late: false,
  };
}

function bytesOf(aggregate: Stats | MergedStats, row: number): string {
  const out = new ByteWriter();
  aggregate.write(row, out);
  return out.toBytes().toString('hex');
}

function resultOf(aggregate: Stats | MergedStats, row: number) {
  const stats = columns(1);
  const end = aggregate.emit(row, stats, 0, 4);
  expect(stats.sketchStart[0]).toBe(4);
  const sketch = [...stats.sketch.subarray(4, end)];
  expect(stats.sketchLength[0]).toBe(sketch.length / 2);
  return { count: stats.count[0], sum: stats.sum[0], min: stats.min[0], max: stats.max[0], sketch };
}

const leftFold = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);

describe('stats', () => {
  test('are the left fold in order, bit for bit, and exact extremes', () => {
    for (let seed = 0; seed < 100; seed++) {
      const random = new Random(seed);
      const rowCount = 1 + random.below(5);
      const values = Array.from({ length: random.below(200) }, () => (random.next() - 0.4) * 10 ** random.below(9));
      const rows = Int32Array.from(values, () => random.below(rowCount + 1) - 1);
      const whole = new Stats();
      whole.reserve(rowCount);
      whole.fold(batchOf(values), rows);
      const single = new Stats();
      single.reserve(rowCount);
      values.forEach((_, i) => {
        if (rows[i] >= 0) single.foldOne(batchOf(values), i, rows[i]);
      });
      for (let row = 0; row < rowCount; row++) {
        const own = values.filter((_, i) => rows[i] === row);
        const { count, sum, min, max } = resultOf(whole, row);
        expect([count, sum, min, max]).toEqual([own.length, leftFold(own), Math.min(...own), Math.max(...own)]);
        expect(bytesOf(single, row)).toBe(bytesOf(whole, row));
      }
    }
  });

  test('forget a row that is cleared, and restore one that was written', () => {
    const aggregate = new Stats();
    aggregate.reserve(2);
    const empty = bytesOf(aggregate, 0);
    aggregate.fold(batchOf([3, -2, 7]), Int32Array.of(0, 0, 0));
    const written = bytesOf(aggregate, 0);
    aggregate.clear(0);
    expect(bytesOf(aggregate, 0)).toBe(empty);
    aggregate.read(1, new ByteReader(Buffer.from(written, 'hex')));
    expect(bytesOf(aggregate, 1)).toBe(written);
    expect(resultOf(aggregate, 1)).toMatchObject({ count: 3, sum: 8, min: -2, max: 7 });
  });
});

describe('merged stats', () => {
  test('fold sums in the order they come and hold the sketch of all values', () => {
    for (let seed = 200; seed < 260; seed++) {
      const random = new Random(seed);
      const panes = Array.from({ length: 1 + random.below(60) }, () =>
        Array.from({ length: 1 + random.below(30) }, () =>
          random.chance(0.5) ? random.below(5) : random.next() * 100,
        ),
      );
      const minute = new Stats();
      minute.reserve(panes.length + 1);
      const merged = new MergedStats();
      merged.reserve(2);
      const batch = new Batch(1);
      batch.count = 1;
      panes.forEach((values, pane) => {
        minute.fold(
          batchOf(values),
          Int32Array.from(values, () => pane),
        );
        const stats = columns(1);
        minute.emit(pane, stats, 0, 0);
        batch.stats = stats;
        merged.fold(batch, Int32Array.of(0));
        merged.mergeFrom(minute, pane, 1);
      });
      const all = panes.flat();
      minute.fold(
        batchOf(all),
        Int32Array.from(all, () => panes.length),
      );
      const { count, sum, min, max, sketch } = resultOf(merged, 0);
      expect([count, sum, min, max]).toEqual([
        all.length,
        leftFold(panes.map(leftFold)),
        Math.min(...all),
        Math.max(...all),
      ]);
      expect(sketch).toEqual(resultOf(minute, panes.length).sketch);
      expect(bytesOf(merged, 1)).toBe(bytesOf(merged, 0));
    }
  });

  test('refuse samples', () => {
    const merged = new MergedStats();
    merged.reserve(1);
    expect(() => merged.fold(batchOf([1]), Int32Array.of(0))).toThrow('not samples');
  });
});
