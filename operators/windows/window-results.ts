// Owns the batches that a window sends downstream: up to 256 results in columns, reused. Invariant: results leave in
// the order they were added, and none stays behind after `flush`.

import type { WindowAggregate } from '#operators/windows/contract.ts';
import { Batch, type BatchConsumer, type StatsColumns } from '#runtime/task/contract.ts';

const ROWS_MAX = 256;
const ROWS_FIRST = 16;

export class WindowResults {
  readonly #consumers: readonly BatchConsumer[];
  readonly #batch = new Batch(ROWS_FIRST);
  #stats: StatsColumns;
  #sketchEnd = 0;

  constructor(consumers: readonly BatchConsumer[]) {
    this.#consumers = consumers;
    this.#stats = statsColumns(ROWS_FIRST);
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
    if (batch.count === ROWS_MAX || this.#stats.late !== late) this.flush();
    if (batch.count === batch.capacity) this.#grow();
    const stats = this.#stats;
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

  #grow(): void {
    const batch = this.#batch;
    const before = this.#stats;
    batch.grow();
    const stats = statsColumns(batch.capacity);
    stats.windowStartMs.set(before.windowStartMs);
    stats.windowEndMs.set(before.windowEndMs);
    stats.count.set(before.count);
    stats.sum.set(before.sum);
    stats.min.set(before.min);
    stats.max.set(before.max);
    stats.revision.set(before.revision);
    stats.sketchStart.set(before.sketchStart);
    stats.sketchLength.set(before.sketchLength);
    stats.sketch = before.sketch;
    stats.late = before.late;
    this.#stats = stats;
    batch.stats = stats;
  }

  flush(): void {
    const batch = this.#batch;
    if (batch.count === 0) return;
    for (let i = 0; i < this.#consumers.length; i++) this.#consumers[i].process(batch);
    batch.clear();
    this.#sketchEnd = 0;
  }
}

function statsColumns(capacity: number): StatsColumns {
  return {
    windowStartMs: new Float64Array(capacity),
    windowEndMs: new Float64Array(capacity),
    count: new Float64Array(capacity),
    sum: new Float64Array(capacity),
    min: new Float64Array(capacity),
    max: new Float64Array(capacity),
    revision: new Int32Array(capacity),
    sketch: new Int32Array(capacity * 16),
    sketchStart: new Int32Array(capacity),
    sketchLength: new Int32Array(capacity),
    late: false,
  };
}
