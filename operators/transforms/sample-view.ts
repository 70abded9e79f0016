// Owns samples as functions of a job see them: plain frozen objects made from a row, with the series' parts remembered
// per slot, and the error that names the function that failed.

import type { SeriesTable } from '#operators/series/series-table.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Batch } from '#runtime/task/contract.ts';

/** A sample as functions of a job see it. Labels have no empty values. */
export interface SampleView {
  readonly metric_name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Event time, milliseconds since the epoch. */
  readonly timestamp: number;
  readonly value: number;
}

interface SeriesView {
  readonly metric_name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export class SampleViews {
  readonly #table: SeriesTable;
  #series: (SeriesView | undefined)[] = [];

  constructor(table: SeriesTable) {
    this.#table = table;
    table.onEvict((slots) => {
      for (const slot of slots) this.#series[slot] = undefined;
    });
  }

  view(batch: Batch, index: number): SampleView {
    const { metric_name, labels } = this.#seriesOf(batch.key[index]);
    return { metric_name, labels, timestamp: batch.timestampMs[index], value: batch.value[index] };
  }

  #seriesOf(slot: number): SeriesView {
    const known = this.#series[slot];
    if (known !== undefined) return known;
    // Without a prototype a label may have any name, `__proto__` as well.
    const labels: Record<string, string> = Object.create(null);
    for (const [name, value] of this.#table.labels(slot)) labels[name] = value;
    const view = { metric_name: this.#table.metricName(slot), labels: Object.freeze(labels) };
    this.#series[slot] = view;
    return view;
  }
}

/** What a job's function did wrong. `step` names it: `map 'celsius'`. */
export function functionFailed(step: string, problem: string, sample: SampleView, cause?: unknown): StreamError {
  const at = `for ${sample.metric_name}${JSON.stringify(sample.labels)} at ${sample.timestamp}`;
  return new StreamError(
    'operator-failed',
    `the function of ${step} ${problem} ${at}`,
    `mend the function of ${step} in the job's module; it must depend on its argument alone`,
    { cause },
  );
}
