// Owns map: gives the job's function each sample and goes on with what it returns; a changed metric name or label makes
// another series of the stage's table. Origins stay, so late samples can be traced. Keeps nothing.

import { copyValue, putNaN } from '#operators/formats/special-values.ts';
import { Untimed } from '#operators/records/untimed.ts';
import { isPromise } from '#operators/records/user-function.ts';
import { canonicalSeries } from '#operators/series/canonical.ts';
import type { SeriesTable } from '#operators/series/series-table.ts';
import { functionFailed, type SampleView, SampleViews } from '#operators/transforms/sample-view.ts';
import { Batch, type BatchConsumer, type Operator, type OperatorContext } from '#runtime/task/contract.ts';

export interface MapOptions {
  readonly id: string;
  readonly table: SeriesTable;
  readonly apply: (sample: SampleView) => SampleView;
  readonly next: readonly BatchConsumer[];
}

export class MapSamples extends Untimed implements Operator {
  readonly id: string;
  readonly #options: MapOptions;
  readonly #views: SampleViews;
  readonly #out = new Batch(256);

  constructor(options: MapOptions) {
    super();
    this.id = options.id;
    this.#options = options;
    this.#views = new SampleViews(options.table);
  }

  open(context: OperatorContext): void {
    this.#options.table.open(context.state);
  }

  process(batch: Batch): void {
    const out = this.#out;
    out.clear();
    out.originTopic = batch.originTopic;
    while (out.capacity < batch.count) out.grow();
    for (let i = 0; i < batch.count; i++) {
      const sample = this.#views.view(batch, i);
      const mapped = this.#apply(sample);
      const same = mapped.metric_name === sample.metric_name && mapped.labels === sample.labels;
      out.timestampMs[i] = mapped.timestamp;
      out.key[i] = same ? batch.key[i] : this.#slotOf(mapped, sample);
      putMapped(mapped.value, batch.value, i, out.value);
      out.originPartition[i] = batch.originPartition[i];
      out.originOffset[i] = batch.originOffset[i];
      out.count++;
      if (mapped.timestamp > out.maxTimestampMs) out.maxTimestampMs = mapped.timestamp;
    }
    if (out.count === 0) return;
    for (const consumer of this.#options.next) consumer.process(out);
  }

  #apply(sample: SampleView): SampleView {
    const step = `map '${this.id}'`;
    let mapped: SampleView;
    try {
      mapped = this.#options.apply(sample);
    } catch (error) {
      throw functionFailed(step, `threw '${error instanceof Error ? error.message : String(error)}'`, sample, error);
    }
    if (isPromise(mapped)) throw functionFailed(step, 'is asynchronous', sample);
    if (mapped === null || typeof mapped !== 'object') throw functionFailed(step, 'gave no sample', sample);
    if (typeof mapped.value !== 'number') throw functionFailed(step, 'gave a value that is no number', sample);
    if (!Number.isSafeInteger(mapped.timestamp)) {
      throw functionFailed(step, 'gave a timestamp that is not in whole milliseconds', sample);
    }
    return mapped;
  }

  #slotOf(mapped: SampleView, sample: SampleView): number {
    const canonical = canonicalSeries(mapped.metric_name, mapped.labels);
    if (typeof canonical === 'string') return this.#options.table.slotOfText(canonical);
    throw functionFailed(`map '${this.id}'`, `gave a sample whose ${canonical.path} ${canonical.message}`, sample);
  }
}

// What is made of a stale marker still is one; functions cannot see its bits.
function putMapped(value: number, before: Float64Array, at: number, to: Float64Array): void {
  if (!Number.isNaN(value)) to[at] = value;
  else if (Number.isNaN(before[at])) copyValue(before, at, to, at);
  else putNaN(to, at);
}
