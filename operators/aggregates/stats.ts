// Owns folding samples into stats rows. Invariant: values are finite; the window keeps others out.

import { COUNT, MAX, MIN, STATS_STRIDE, StatsRows, SUM } from '#operators/aggregates/stats-rows.ts';
import { codeOf } from '#operators/sketch/bucket.ts';
import type { MergeableAggregate } from '#operators/windows/contract.ts';
import type { Batch } from '#runtime/task/contract.ts';

export class Stats extends StatsRows implements MergeableAggregate<StatsRows> {
  fold(batch: Batch, rows: Int32Array): void {
    const columns = this.columns;
    const values = batch.value;
    const count = batch.count;
    for (let i = 0; i < count; i++) {
      const row = rows[i];
      if (row < 0) continue;
      const value = values[i];
      const at = row * STATS_STRIDE;
      columns[at + COUNT] += 1;
      columns[at + SUM] += value;
      if (value < columns[at + MIN]) columns[at + MIN] = value;
      if (value > columns[at + MAX]) columns[at + MAX] = value;
    }
    this.sketches.addAll(values, rows, count);
  }

  foldOne(batch: Batch, index: number, row: number): void {
    const value = batch.value[index];
    this.mergeNumbers(row, 1, value, value, value);
    this.sketches.add(row, codeOf(value));
  }
}
