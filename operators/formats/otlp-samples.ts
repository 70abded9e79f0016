// Owns which samples an OTLP data point stands for, and what makes it wrong: values, `_sum`, `_count`, cumulative
// `_bucket{le}` with +Inf, `{quantile}`. Knows no wire format and no names. Invariant: a wrong point leaves no row.

import { ExponentialBounds, SCALE_MAX, SCALE_MIN } from '#operators/formats/exponential-bounds.ts';
import type { OtlpKind } from '#operators/formats/otlp-names.ts';
import type { OtlpPoint } from '#operators/formats/otlp-point.ts';
import { type SampleRows, UNKNOWN_SERIES } from '#operators/formats/sample-rows.ts';

/** What a series of a metric is for. */
export const VALUE = 0;
export const SUM = 1;
export const COUNT = 2;
export const BUCKET = 3;
export const QUANTILE = 4;

/** Gives the series of the point at hand. */
export interface PointSeries {
  /** Handle of the series for that part (of that bound or quantile), UNKNOWN_SERIES when the labels are wrong. */
  seriesOf(part: number, bound: number): number;
  /** Then: what is wrong. */
  readonly problem: string;
}

export interface PointFault {
  readonly message: string;
  /** Behind the path of the point: `.timeUnixNano`. */
  readonly path: string;
}

export class OtlpSamples {
  /** Largest time among the points taken since `newestMs` was set to -Infinity. */
  newestMs = Number.NEGATIVE_INFINITY;
  readonly #rows: SampleRows;
  readonly #bounds = new ExponentialBounds();
  #point: OtlpPoint | null = null;
  #series: PointSeries | null = null;
  #isWrong = false;

  constructor(rows: SampleRows) {
    this.#rows = rows;
  }

  /** Appends the samples of a point whose time is good; what is wrong with it otherwise, and then nothing. */
  take(kind: OtlpKind, point: OtlpPoint, series: PointSeries): PointFault | null {
    const fault = this.#faultOf(kind, point);
    if (fault !== null) return fault;
    this.#point = point;
    this.#series = series;
    this.#isWrong = false;
    this.#rows.mark();
    this.#append(kind, point);
    if (this.#isWrong) {
      this.#rows.rewind();
      return { message: series.problem, path: '.attributes' };
    }
    if (point.timestampMs > this.newestMs) this.newestMs = point.timestampMs;
    return null;
  }

  #append(kind: OtlpKind, point: OtlpPoint): void {
    if (kind === 'gauge' || kind === 'sum') {
      this.#sample(VALUE, 0, point.value);
      return;
    }
    if (point.hasSum || kind === 'summary') this.#sample(SUM, 0, point.sum);
    this.#sample(COUNT, 0, point.count);
    if (kind === 'histogram') this.#buckets(point);
    else if (kind === 'summary') this.#quantiles(point);
    else this.#exponential(point);
  }

  #sample(part: number, bound: number, value: number): void {
    if (this.#isWrong) return;
    const series = this.#series!.seriesOf(part, bound);
    if (series === UNKNOWN_SERIES) this.#isWrong = true;
    else if (this.#point!.isStale) this.#rows.appendStale(series, this.#point!.timestampMs);
    else this.#rows.append(series, this.#point!.timestampMs, value);
  }

  #buckets(point: OtlpPoint): void {
    let cumulative = 0;
    for (let i = 0; i < point.bounds.count; i++) {
      cumulative += point.counts.values[i];
      this.#sample(BUCKET, point.bounds.values[i], cumulative);
    }
    this.#sample(BUCKET, Number.POSITIVE_INFINITY, point.count);
  }

  #quantiles(point: OtlpPoint): void {
    for (let i = 0; i < point.bounds.count; i++) this.#sample(QUANTILE, point.bounds.values[i], point.counts.values[i]);
  }

  // As the buckets of a histogram whose bounds are those of the exponential one, from the most negative up.
  #exponential(point: OtlpPoint): void {
    const { counts, negativeCounts, negativeOffset, offset, scale } = point;
    let cumulative = 0;
    let last = Number.NEGATIVE_INFINITY;
    for (let i = negativeCounts.count - 1; i >= 0; i--) {
      const bound = -this.#bounds.at(scale, negativeOffset + i);
      cumulative += negativeCounts.values[i];
      this.#sample(BUCKET, bound, cumulative);
      last = bound;
    }
    cumulative += point.zeroCount;
    if (point.zeroCount > 0 || negativeCounts.count > 0) {
      if (point.zeroThreshold > last) this.#sample(BUCKET, point.zeroThreshold, cumulative);
      last = point.zeroThreshold;
    }
    for (let i = 0; i <= counts.count && counts.count > 0; i++) {
      const bound = this.#bounds.at(scale, offset + i);
      if (i > 0) cumulative += counts.values[i - 1];
      if (bound > last) this.#sample(BUCKET, bound, cumulative);
    }
    this.#sample(BUCKET, Number.POSITIVE_INFINITY, point.count);
  }

  #faultOf(kind: OtlpKind, point: OtlpPoint): PointFault | null {
    switch (kind) {
      case 'histogram':
        return boundsFault(point);
      case 'exponentialHistogram':
        return this.#exponentialFault(point);
      case 'summary':
        return quantilesFault(point);
      default:
        return point.hasValue || point.isStale ? null : { message: 'has no value', path: '' };
    }
  }

  #exponentialFault(point: OtlpPoint): PointFault | null {
    const { counts, negativeCounts, negativeOffset, offset, scale, zeroThreshold } = point;
    if (scale < SCALE_MIN || scale > SCALE_MAX) {
      return { message: `must be from ${SCALE_MIN} to ${SCALE_MAX}`, path: '.scale' };
    }
    if (!(zeroThreshold >= 0 && zeroThreshold < Number.POSITIVE_INFINITY)) {
      return { message: 'must be a number from 0', path: '.zeroThreshold' };
    }
    if (
      negativeCounts.count > 0 &&
      !this.#areBounds(scale, negativeOffset, negativeOffset + negativeCounts.count - 1)
    ) {
      return { message: 'has bounds that no double holds', path: '.negative' };
    }
    if (counts.count > 0 && !this.#areBounds(scale, offset, offset + counts.count)) {
      return { message: 'has bounds that no double holds', path: '.positive' };
    }
    return null;
  }

  #areBounds(scale: number, first: number, last: number): boolean {
    return this.#bounds.at(scale, first) > 0 && this.#bounds.at(scale, last) < Number.POSITIVE_INFINITY;
  }
}

function quantilesFault({ bounds }: OtlpPoint): PointFault | null {
  for (let i = 0; i < bounds.count; i++) {
    const quantile = bounds.values[i];
    if (!(quantile >= 0 && quantile <= 1)) return { message: 'must be from 0 to 1', path: '.quantileValues' };
  }
  return null;
}

function boundsFault({ bounds, counts }: OtlpPoint): PointFault | null {
  if (counts.count === 0 && bounds.count === 0) return null;
  if (counts.count !== bounds.count + 1) {
    return { message: `must be one more than the ${bounds.count} bounds`, path: '.bucketCounts' };
  }
  let last = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < bounds.count; i++) {
    const bound = bounds.values[i];
    if (!(bound > last && bound < Number.POSITIVE_INFINITY)) {
      return { message: 'must be finite and rise', path: '.explicitBounds' };
    }
    last = bound;
  }
  return null;
}
