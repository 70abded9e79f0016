// Owns the columns of the stats aggregate by row: count, sum, min, max and a quantile sketch. Knows neither windows nor
// where values come from. Invariant: sum is the left fold, from 0, of what was folded, in the order it was folded.

import { SketchColumn } from '#operators/sketch/sketch-column.ts';
import type { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import type { StatsColumns } from '#runtime/task/contract.ts';

// Four doubles per row side by side: a row is touched at random, and this way costs one cache line instead of four.
export const STATS_STRIDE = 4;
export const COUNT = 0;
export const SUM = 1;
export const MIN = 2;
export const MAX = 3;

export class StatsRows {
  readonly schemaVersion = 1;
  readonly sketches = new SketchColumn();
  columns = new Float64Array(0);

  reserve(rowCount: number): void {
    const before = this.columns.length;
    if (rowCount * STATS_STRIDE <= before) return;
    const columns = new Float64Array(rowCount * STATS_STRIDE);
    columns.set(this.columns);
    this.columns = columns;
    for (let at = before; at < columns.length; at += STATS_STRIDE) this.#empty(at);
    this.sketches.reserve(rowCount);
  }

  clear(row: number): void {
    this.#empty(row * STATS_STRIDE);
    this.sketches.clear(row);
  }

  emit(row: number, stats: StatsColumns, index: number, sketchAt: number): number {
    const columns = this.columns;
    const at = row * STATS_STRIDE;
    stats.count[index] = columns[at + COUNT];
    stats.sum[index] = columns[at + SUM];
    stats.min[index] = columns[at + MIN];
    stats.max[index] = columns[at + MAX];
    const room = sketchAt + 2 * this.sketches.pairsMax(row);
    if (stats.sketch.length < room) {
      const grown = new Int32Array(2 * room);
      grown.set(stats.sketch);
      stats.sketch = grown;
    }
    const pairs = this.sketches.copyTo(row, stats.sketch, sketchAt);
    stats.sketchStart[index] = sketchAt;
    stats.sketchLength[index] = pairs;
    return sketchAt + 2 * pairs;
  }

  /** Folds a result of the same aggregate. */
  mergeFrom(from: StatsRows, fromRow: number, row: number): void {
    const theirs = from.columns;
    const at = fromRow * STATS_STRIDE;
    this.mergeNumbers(row, theirs[at + COUNT], theirs[at + SUM], theirs[at + MIN], theirs[at + MAX]);
    this.sketches.mergeFrom(from.sketches, fromRow, row);
  }

  mergeNumbers(row: number, count: number, sum: number, min: number, max: number): void {
    const columns = this.columns;
    const at = row * STATS_STRIDE;
    columns[at + COUNT] += count;
    columns[at + SUM] += sum;
    if (min < columns[at + MIN]) columns[at + MIN] = min;
    if (max > columns[at + MAX]) columns[at + MAX] = max;
  }

  write(row: number, out: ByteWriter): void {
    const columns = this.columns;
    const at = row * STATS_STRIDE;
    out.uvarint(columns[at + COUNT]);
    out.f64(columns[at + SUM]);
    out.f64(columns[at + MIN]);
    out.f64(columns[at + MAX]);
    this.sketches.write(row, out);
  }

  read(row: number, input: ByteReader): void {
    const columns = this.columns;
    const at = row * STATS_STRIDE;
    columns[at + COUNT] = input.uvarint();
    columns[at + SUM] = input.f64();
    columns[at + MIN] = input.f64();
    columns[at + MAX] = input.f64();
    this.sketches.read(row, input);
  }

  #empty(at: number): void {
    this.columns[at + COUNT] = 0;
    this.columns[at + SUM] = 0;
    this.columns[at + MIN] = Number.POSITIVE_INFINITY;
    this.columns[at + MAX] = Number.NEGATIVE_INFINITY;
  }
}
