// Owns the generated input of the integration tests: samples of many series around a midnight UTC in arrival order,
// some out of order, some not finite, some in arrays, some records broken, and closing samples at the end. The same
// options give the same bytes. Knows nothing of any log; invariant: within a partition no event time lies more than
// `outOfOrderMs` behind an earlier one.

import { BROKEN_RECORDS, BROKEN_SAMPLES } from './broken-records.ts';
import { canonicalText, partitionOfKey } from './placement.ts';
import { Random } from './random.ts';
import { type SampleValue, sampleText } from './sample-text.ts';
import { makeSeries, type SeriesShape } from './series-universe.ts';

/** A record for a log, before it has an offset. */
export interface DataRecord {
  readonly partition: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly (readonly [string, Buffer])[];
  readonly timestampMs: number;
  /** What the generator meant it to be, to check the oracle's judgement against. */
  readonly intent: Intent;
}

export interface Intent {
  readonly finite: number;
  readonly notFinite: number;
  readonly bad: number;
}

/** `series`: by hash of the canonical series; `producer`: by some other rule, a series stays on one partition; `spread`: anywhere. */
export type Placement = 'series' | 'producer' | 'spread';

export interface DataSetOptions {
  readonly seed: number;
  /** The midnight in the middle. The day that the last sample is in must have ended an hour ago: closing samples follow it. */
  readonly midnightMs: number;
  readonly placement: Placement;
  readonly partitionCount: number;
  readonly seriesCount: number;
  /** Samples per series. */
  readonly rounds: number;
  readonly intervalMs: number;
  readonly outOfOrderShare: number;
  readonly outOfOrderMs: number;
  readonly notFiniteShare: number;
  readonly brokenShare: number;
  /** Share of samples that begin an array. */
  readonly arrayShare: number;
  /** Values whose sums do not depend on the order. @default where samples are spread */
  readonly exact?: boolean;
}

/** The data set of the acceptance test: 24 partitions, 3,000 series, 300,000 samples, 5 % out of order by up to 4 s. */
export const FULL_DATA_SET = {
  partitionCount: 24,
  seriesCount: 3000,
  rounds: 100,
  intervalMs: 10_000,
  outOfOrderShare: 0.05,
  outOfOrderMs: 4000,
  notFiniteShare: 0.002,
  brokenShare: 0.001,
  arrayShare: 0.004,
} as const;

/** Metric of the samples that only push the watermark. */
export const CLOSING_METRIC = 'closing';

const DAY_MS = 86_400_000;

/** The midnight two days before the one that begins today: old enough to close the day, too young for retention. */
export function midnightBefore(nowMs: number): number {
  return Math.floor(nowMs / DAY_MS) * DAY_MS - 2 * DAY_MS;
}

interface OpenArray {
  readonly texts: string[];
  readonly length: number;
  readonly key: Buffer;
  finite: number;
  notFinite: number;
  bad: number;
}

/** `ended` true: no further round begins, and the closing samples follow. */
export function* generate(options: DataSetOptions, ended: () => boolean = () => false): Generator<DataRecord> {
  yield* new DataSet(options).records(ended);
}

class DataSet {
  readonly #options: DataSetOptions;
  readonly #random: Random;
  readonly #series: SeriesShape[];
  readonly #home: number[];
  readonly #arrays: (OpenArray | null)[];
  readonly #brokenKinds: readonly string[];
  #brokenCount = 0;

  constructor(options: DataSetOptions) {
    const { partitionCount, placement } = options;
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#series = makeSeries(options.seriesCount, this.#random);
    this.#home = this.#series.map((series, index) =>
      placement === 'series'
        ? partitionOfKey(Buffer.from(series.canonical), partitionCount)
        : (index * 7 + 3) % partitionCount,
    );
    this.#arrays = Array.from({ length: partitionCount }, () => null);
    const parts = Object.keys(BROKEN_SAMPLES);
    const inArrays = parts.map((kind) => `in an array: ${kind}`);
    this.#brokenKinds = this.#random.shuffled([...Object.keys(BROKEN_RECORDS), ...parts, ...inArrays]);
  }

  *records(ended: () => boolean): Generator<DataRecord> {
    const { rounds, intervalMs, midnightMs, brokenShare } = this.#options;
    const startMs = midnightMs - Math.floor(rounds / 2) * intervalMs;
    const count = this.#series.length;
    let lastMs = startMs;
    for (let round = 0; round < rounds && !ended(); round++) {
      for (let index = 0; index < count; index++) {
        lastMs = startMs + round * intervalMs + Math.floor((index * intervalMs) / count);
        yield* this.#sample(index, lastMs);
        if (this.#random.chance(brokenShare)) yield* this.#broken(lastMs);
      }
    }
    for (let partition = 0; partition < this.#arrays.length; partition++) yield* this.#closeArray(partition, lastMs);
    yield* this.#closing(Math.max(midnightMs, Math.floor(lastMs / DAY_MS) * DAY_MS));
  }

  *#sample(index: number, arrivalMs: number): Generator<DataRecord> {
    const { arrayShare, partitionCount, placement } = this.#options;
    const random = this.#random;
    const series = this.#series[index];
    const timestampMs = this.#eventTime(arrivalMs);
    const value = this.#value(series);
    const partition = placement === 'spread' ? random.integer(partitionCount) : this.#home[index];
    const text = sampleText(series, timestampMs, value, random);
    const finite = typeof value === 'number' ? 1 : 0;
    const open = this.#arrays[partition];
    if (open === null && !random.chance(arrayShare)) {
      yield this.#record(partition, this.#key(index), Buffer.from(text), arrivalMs, {
        finite,
        notFinite: 1 - finite,
        bad: 0,
      });
      return;
    }
    const array = open ?? this.#openArray(partition, index);
    array.texts.push(text);
    array.finite += finite;
    array.notFinite += 1 - finite;
    if (array.texts.length >= array.length) yield* this.#closeArray(partition, arrivalMs);
  }

  #eventTime(arrivalMs: number): number {
    const { outOfOrderShare, outOfOrderMs } = this.#options;
    const random = this.#random;
    if (!random.chance(outOfOrderShare)) return arrivalMs;
    const sinceMinuteMs = arrivalMs % 60_000;
    // The last millisecond of a window and the first of the next are where windowing goes wrong.
    if (sinceMinuteMs < outOfOrderMs && random.chance(0.2)) return arrivalMs - sinceMinuteMs - random.integer(2);
    return arrivalMs - 1 - random.integer(outOfOrderMs);
  }

  #value(series: SeriesShape): SampleValue {
    const { exact = this.#options.placement === 'spread' } = this.#options;
    const value = series.next(this.#random, exact);
    return this.#random.chance(this.#options.notFiniteShare) ? this.#random.pick(['NaN', '+Inf', '-Inf', null]) : value;
  }

  #key(index: number): Buffer {
    const { placement } = this.#options;
    return Buffer.from(placement === 'series' ? this.#series[index].canonical : `producer-${index}`);
  }

  #openArray(partition: number, index: number): OpenArray {
    const array = {
      texts: [],
      length: 2 + this.#random.integer(18),
      key: this.#key(index),
      finite: 0,
      notFinite: 0,
      bad: 0,
    };
    this.#arrays[partition] = array;
    return array;
  }

  *#closeArray(partition: number, arrivalMs: number): Generator<DataRecord> {
    const array = this.#arrays[partition];
    if (array === null) return;
    this.#arrays[partition] = null;
    const value = Buffer.from(`[${array.texts.join(',')}]`);
    const { finite, notFinite, bad } = array;
    yield this.#record(partition, array.key, value, arrivalMs, { finite, notFinite, bad });
  }

  /** Every kind in turn, so that each is there. */
  *#broken(arrivalMs: number): Generator<DataRecord> {
    const random = this.#random;
    const index = random.integer(this.#series.length);
    const partition = this.#home[index];
    const breakage = { series: this.#series[index], timestampMs: arrivalMs, random };
    const kind = this.#brokenKinds[this.#brokenCount++ % this.#brokenKinds.length];
    if (kind.startsWith('in an array: ')) {
      const array = this.#arrays[partition] ?? this.#openArray(partition, index);
      array.texts.push(BROKEN_SAMPLES[kind.slice('in an array: '.length)](breakage));
      array.bad++;
      if (array.texts.length >= array.length) yield* this.#closeArray(partition, arrivalMs);
      return;
    }
    const whole = BROKEN_RECORDS[kind];
    const value = whole === undefined ? Buffer.from(BROKEN_SAMPLES[kind](breakage)) : whole(breakage);
    const key = random.chance(0.2) ? null : this.#key(index);
    yield this.#record(partition, key, value, arrivalMs, { finite: 0, notFinite: 0, bad: 1 });
  }

  /** One sample for every partition, an hour after the end of the last day, which begins at `dayMs`. */
  *#closing(dayMs: number): Generator<DataRecord> {
    const { partitionCount, placement } = this.#options;
    const timestampMs = dayMs + DAY_MS + 3_600_000;
    let attempt = 0;
    for (let partition = 0; partition < partitionCount; partition++) {
      let canonical = canonicalText(CLOSING_METRIC, [['p', `${attempt}`]]);
      while (placement === 'series' && partitionOfKey(Buffer.from(canonical), partitionCount) !== partition) {
        canonical = canonicalText(CLOSING_METRIC, [['p', `${++attempt}`]]);
      }
      const fields = { metric_name: CLOSING_METRIC, timestamp: timestampMs, value: 1, labels: { p: `${attempt++}` } };
      const value = Buffer.from(JSON.stringify(fields));
      yield this.#record(partition, Buffer.from(canonical), value, timestampMs, { finite: 1, notFinite: 0, bad: 0 });
    }
  }

  #record(
    partition: number,
    key: Buffer | null,
    value: Buffer | null,
    timestampMs: number,
    intent: Intent,
  ): DataRecord {
    const traced = this.#random.chance(0.01);
    const headers = traced ? ([['trace-id', Buffer.from(`${this.#random.integer(2 ** 31)}`)]] as const) : [];
    return { partition, key, value, headers, timestampMs, intent };
  }
}
