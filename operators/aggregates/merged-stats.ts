// Owns folding results of smaller windows into stats rows: counts, sums and sketches add up, so percentiles are those
// of the samples and never percentiles of percentiles.

import { StatsRows } from '#operators/aggregates/stats-rows.ts';
import type { MergeableAggregate } from '#operators/windows/contract.ts';
import { invariant } from '#runtime/std/errors.ts';
import type { Batch } from '#runtime/task/contract.ts';

export class MergedStats extends StatsRows implements MergeableAggregate<StatsRows> {
  fold(batch: Batch, rows: Int32Array): void {
    for (let i = 0; i < batch.count; i++) if (rows[i] >= 0) this.foldOne(batch, i, rows[i]);
  }

  foldOne(batch: Batch, index: number, row: number): void {
    const stats = batch.stats;
    invariant(stats !== null, 'mergedStats folds window results, not samples');
    const count = stats.count[index];
    this.mergeNumbers(row, count, stats.sum[index], stats.min[index], stats.max[index]);
    this.sketches.merge(row, stats.sketch, stats.sketchStart[index], stats.sketchLength[index], count);
  }
}
