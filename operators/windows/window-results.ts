// Owns the batches that a window sends downstream: up to 256 results in columns, reused. Invariant: results leave in
// the order they were added, and none stays behind after `flush`.

import type { WindowAggregate } from '#operators/windows/contract.ts';
import { Batch, type BatchConsumer, type StatsColumns } from '#runtime/task/contract.ts';

const ROWS_MAX = 256;

export class WindowResults {
  readonly #consumers: readonly BatchConsumer[];
  readonly #batch = new Batch(ROWS_MAX);
  readonly #stats: StatsColumns;
  #sketchEnd = 0;

  constructor(consumers: readonly BatchConsumer[]) {
    this.#consumers = consumers;
    this.#stats = {
      windowStartMs: new Float64Array(ROWS_MAX),
      windowEndMs: new Float64Array(ROWS_MAX),
      count: new Float64Array(ROWS_MAX),
      sum: new Float64Array(ROWS_MAX),
      min: new Float64Array(ROWS_MAX),
      max: new Float64Array(ROWS_MAX),
      revision: new Int32Array(ROWS_MAX),
      sketch: new Int32Array(ROWS_MAX * 16),
      sketchStart: new Int32Array(ROWS_MAX),
      sketchLength: new Int32Array(ROWS_MAX),
      late: false,
    };
    this.#batch.stats = this.#stats;
  }

  /** Adds the result in `row` of `aggregate`; `late`: a late record made it, not a timer. */
  add(
    aggregate: WindowAggregate,
    row: number,
    slot: number,
    startMs: number,
    endMs: number,
    revision: number,
    late: boolean,
  ): void {
    const batch = this.#batch;
    const stats = this.#stats;
    if (batch.count === ROWS_MAX || stats.late !== late) this.flush();
    const index = batch.count++;
    stats.late = late;
    batch.key[index] = slot;
    batch.timestampMs[index] = endMs - 1;
    if (endMs - 1 > batch.maxTimestampMs) batch.maxTimestampMs = endMs - 1;
    stats.windowStartMs[index] = startMs;
    stats.windowEndMs[index] = endMs;
    stats.revision[index] = revision;
    this.#sketchEnd = aggregate.emit(row, stats, index, this.#sketchEnd);
  }

  flush(): void {
    const batch = this.#batch;
    if (batch.count === 0) return;
    for (let i = 0; i < this.#consumers.length; i++) this.#consumers[i].process(batch);
    batch.clear();
    this.#sketchEnd = 0;
  }
}
