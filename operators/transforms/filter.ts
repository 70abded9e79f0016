// Owns filter: passes on the rows for which the job's function is true. Keeps nothing.

import { copyValue } from '#operators/formats/special-values.ts';
import { Untimed } from '#operators/records/untimed.ts';
import { isPromise } from '#operators/records/user-function.ts';
import type { SeriesTable } from '#operators/series/series-table.ts';
import { functionFailed, type SampleView, SampleViews } from '#operators/transforms/sample-view.ts';
import { Batch, type BatchConsumer, type Operator } from '#runtime/task/contract.ts';

export interface FilterOptions {
  readonly id: string;
  readonly table: SeriesTable;
  readonly apply: (sample: SampleView) => boolean;
  readonly next: readonly BatchConsumer[];
}

export class Filter extends Untimed implements Operator {
  readonly id: string;
  readonly #options: FilterOptions;
  readonly #views: SampleViews;
  readonly #out = new Batch(256);

  constructor(options: FilterOptions) {
    super();
    this.id = options.id;
    this.#options = options;
    this.#views = new SampleViews(options.table);
  }

  open(): void {}

  process(batch: Batch): void {
    const out = this.#out;
    out.clear();
    out.originTopic = batch.originTopic;
    for (let i = 0; i < batch.count; i++) {
      if (!this.#passes(this.#views.view(batch, i))) continue;
      if (out.count === out.capacity) out.grow();
      const to = out.count++;
      out.timestampMs[to] = batch.timestampMs[i];
      out.key[to] = batch.key[i];
      copyValue(batch.value, i, out.value, to);
      out.originPartition[to] = batch.originPartition[i];
      out.originOffset[to] = batch.originOffset[i];
      if (out.timestampMs[to] > out.maxTimestampMs) out.maxTimestampMs = out.timestampMs[to];
    }
    if (out.count === 0) return;
    for (const consumer of this.#options.next) consumer.process(out);
  }

  #passes(sample: SampleView): boolean {
    const step = `filter '${this.id}'`;
    let passes: unknown;
    try {
      passes = this.#options.apply(sample);
    } catch (error) {
      throw functionFailed(step, `threw '${error instanceof Error ? error.message : String(error)}'`, sample, error);
    }
    if (isPromise(passes)) throw functionFailed(step, 'is asynchronous', sample);
    if (typeof passes !== 'boolean') throw functionFailed(step, `gave ${typeof passes} instead of a boolean`, sample);
    return passes;
  }
}
