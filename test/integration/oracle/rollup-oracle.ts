// Owns what the rollup job must have said, computed from the input records alone: rows of every resolution, dead
// letters, late samples, what was not finite. Keeps every sample and sorts it: slow, exact, and nothing of the engine.

import { type Judgement, judge, type Sample } from './sample-judge.ts';

export const RESOLUTIONS = { '1m': 60_000, '5m': 300_000, '1h': 3_600_000, '1d': 86_400_000 } as const;
export type Resolution = keyof typeof RESOLUTIONS;
const RESOLUTION_NAMES = Object.keys(RESOLUTIONS) as readonly Resolution[];
const MINUTE_MS = RESOLUTIONS['1m'];

export interface InputRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
}

export interface ExpectedRow {
  readonly series: string;
  readonly metricName: string;
  readonly labels: readonly (readonly [string, string])[];
  readonly resolution: Resolution;
  readonly windowStartMs: number;
  readonly windowEndMs: number;
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  /** Ascending. */
  readonly sorted: Float64Array;
  /** False: its window may still be open, the row may be missing. */
  readonly required: boolean;
}

export interface ExpectedDeadLetter {
  readonly record: InputRecord;
  readonly badParts: number;
  readonly parts: number;
  /** Which elements of an array are bad, ascending; null for a record that is no array. */
  readonly badElements: readonly number[] | null;
}

export interface ExpectedLate {
  readonly record: InputRecord;
  readonly samples: readonly Sample[];
}

export interface Expectation {
  /** By `rowId`. */
  readonly rows: ReadonlyMap<string, ExpectedRow>;
  /** By `recordId`. */
  readonly deadLetters: ReadonlyMap<string, ExpectedDeadLetter>;
  /** By `recordId`. */
  readonly late: ReadonlyMap<string, ExpectedLate>;
  /** Samples that entered windows, those that were NaN or infinite, and those that were late. */
  readonly counts: { readonly folded: number; readonly notFinite: number; readonly late: number; readonly bad: number };
}

/** How samples become late; without it none is. Right only where a partition's task does the windowing itself. */
export interface LatenessRule {
  readonly outOfOrdernessMs: number;
  readonly allowedLatenessMs: number;
}

export interface OracleOptions {
  readonly partitionCount: number;
  /** Subtracted from the largest event time of a partition to get its watermark. */
  readonly outOfOrdernessMs: number;
  /** Event times beyond this are bad input. */
  readonly latestMs: number;
  readonly lateness?: LatenessRule;
}

export function rowId(series: string, resolution: string, windowStartMs: number): string {
  return `${resolution} ${windowStartMs} ${series}`;
}

export function recordId(topic: string, partition: number, offset: number): string {
  return `${topic}-${partition}@${offset}`;
}

interface SeriesSamples {
  readonly first: Sample;
  /** Values of each minute in the order they came. */
  readonly minutes: Map<number, number[]>;
}

export class RollupOracle {
  readonly #options: OracleOptions;
  readonly #series = new Map<string, SeriesSamples>();
  readonly #deadLetters = new Map<string, ExpectedDeadLetter>();
  readonly #late = new Map<string, ExpectedLate>();
  readonly #largestMs: number[];
  #folded = 0;
  #notFinite = 0;
  #lateCount = 0;
  #bad = 0;

  constructor(options: OracleOptions) {
    this.#options = options;
    this.#largestMs = Array.from({ length: options.partitionCount }, () => Number.NEGATIVE_INFINITY);
  }

  /** Takes the records of each partition in the order of their offsets; gives what it makes of one. */
  add(record: InputRecord): Judgement {
    const id = recordId(record.topic, record.partition, record.offset);
    const judgement = judge(record.value, this.#options.latestMs);
    const { samples, badParts, parts, badElements } = judgement;
    if (badParts > 0) this.#deadLetters.set(id, { record, badParts, parts, badElements });
    this.#bad += badParts;
    const late: Sample[] = [];
    for (const sample of samples) {
      if (!Number.isFinite(sample.value)) this.#notFinite++;
      else if (this.#isLate(sample, record.partition)) late.push(sample);
      else this.#fold(sample);
    }
    if (late.length > 0) this.#late.set(id, { record, samples: late });
    this.#lateCount += late.length;
    for (const sample of samples) {
      this.#largestMs[record.partition] = Math.max(this.#largestMs[record.partition], sample.timestampMs);
    }
    return judgement;
  }

  expectation(): Expectation {
    const rows = new Map<string, ExpectedRow>();
    const closedMs = Math.min(...this.#largestMs) - this.#options.outOfOrdernessMs;
    for (const [series, samples] of this.#series) {
      for (const resolution of RESOLUTION_NAMES) {
        for (const row of rowsOf(series, samples, resolution, closedMs)) {
          rows.set(rowId(series, resolution, row.windowStartMs), row);
        }
      }
    }
    const counts = { folded: this.#folded, notFinite: this.#notFinite, late: this.#lateCount, bad: this.#bad };
    return { rows, deadLetters: this.#deadLetters, late: this.#late, counts };
  }

  #isLate(sample: Sample, partition: number): boolean {
    const rule = this.#options.lateness;
    if (rule === undefined) return false;
    const windowEndMs = startOf(sample.timestampMs, MINUTE_MS) + MINUTE_MS;
    return windowEndMs + rule.allowedLatenessMs <= this.#largestMs[partition] - rule.outOfOrdernessMs;
  }

  #fold(sample: Sample): void {
    this.#folded++;
    let samples = this.#series.get(sample.series);
    if (samples === undefined) {
      samples = { first: sample, minutes: new Map() };
      this.#series.set(sample.series, samples);
    }
    const minute = startOf(sample.timestampMs, MINUTE_MS);
    const values = samples.minutes.get(minute);
    if (values === undefined) samples.minutes.set(minute, [sample.value]);
    else values.push(sample.value);
  }
}

function startOf(timestampMs: number, sizeMs: number): number {
  return Math.floor(timestampMs / sizeMs) * sizeMs;
}

function leftFold(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

function rowsOf(series: string, samples: SeriesSamples, resolution: Resolution, closedMs: number): ExpectedRow[] {
  const sizeMs = RESOLUTIONS[resolution];
  const windows = new Map<number, { sums: number[]; values: number[] }>();
  const minutes = [...samples.minutes].sort(([left], [right]) => left - right);
  for (const [minute, values] of minutes) {
    const windowStartMs = startOf(minute, sizeMs);
    const window = windows.get(windowStartMs) ?? { sums: [], values: [] };
    window.sums.push(leftFold(values));
    window.values.push(...values);
    windows.set(windowStartMs, window);
  }
  return [...windows].map(([windowStartMs, { sums, values }]) => {
    const sorted = Float64Array.from(values).sort();
    const windowEndMs = windowStartMs + sizeMs;
    return {
      series,
      metricName: samples.first.metricName,
      labels: samples.first.labels,
      resolution,
      windowStartMs,
      windowEndMs,
      count: sorted.length,
      sum: leftFold(sums),
      min: sorted[0],
      max: sorted[sorted.length - 1],
      sorted,
      required: windowEndMs <= closedMs,
    };
  });
}
