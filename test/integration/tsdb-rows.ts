// Owns generated rollup rows for the tests of the writer: what the topics hold, in log order, and what a database must
// hold afterwards. Fifty minutes around a midnight, so that rows of every resolution lie close together: Prometheus takes
// nothing that is an hour behind its newest sample.

import { type StoredSamples, seriesText } from '#test/harness/tsdb.ts';
import type { WrittenSample } from '#test/harness/write-proxy.ts';
import type { DataRecord } from './oracle/data-set.ts';
import { canonicalText, partitionOfKey } from './oracle/placement.ts';
import { Random } from './oracle/random.ts';

export interface RowsOptions {
  readonly seed: number;
  readonly seriesCount: number;
  readonly partitionCount: number;
  readonly midnightMs: number;
  readonly prefix: string;
  /** Share of rows that are corrected once or twice. */
  readonly correctedShare: number;
}

const MINUTE_MS = 60_000;
const PARTS = ['count', 'sum', 'min', 'max', 'avg', 'p50', 'p95', 'p99'] as const;
/** Resolution, size and how many windows end before and after midnight. */
const SIZES = [
  ['1m', MINUTE_MS, 24, 25],
  ['5m', 5 * MINUTE_MS, 4, 5],
  ['1h', 60 * MINUTE_MS, 0, 1],
  ['1d', 1_440 * MINUTE_MS, 0, 1],
] as const;
/** Rows of it move watermarks on; they are no part of what is compared. */
export const SENTINEL = 'sentinel';

interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export class GeneratedRows {
  /** Records by topic, in the order in which they are written. */
  readonly records = new Map<string, DataRecord[]>();
  /** What stands in a database that has the newest row of each window. */
  readonly newest: StoredSamples = new Map();
  /** Every value that was ever right. */
  readonly every: StoredSamples = new Map();
  readonly #options: RowsOptions;
  readonly #random: Random;

  constructor(options: RowsOptions) {
    this.#options = options;
    this.#random = new Random(options.seed);
    const series = makeSeries(options.seriesCount);
    for (const [resolution, sizeMs, before, after] of SIZES) {
      const topic = `${options.prefix}.${resolution}`;
      const records: DataRecord[] = [];
      let corrections: (() => void)[] = [];
      for (let number = -before; number < after; number++) {
        const endMs = options.midnightMs + number * sizeMs;
        const due = corrections;
        corrections = [];
        for (const one of this.#random.shuffled(series)) {
          this.#row(records, one, resolution, sizeMs, endMs, 0);
          if (!this.#random.chance(options.correctedShare)) continue;
          const revisions = 1 + this.#random.integer(2);
          for (let revision = 1; revision <= revisions; revision++) {
            corrections.push(() => this.#row(records, one, resolution, sizeMs, endMs, revision));
          }
        }
        // Those of a minute come behind the next minute, the others at once.
        if (sizeMs === MINUTE_MS) for (const correct of due) correct();
        else for (const correct of corrections.splice(0)) correct();
      }
      for (const correct of corrections) correct();
      this.#sentinels(records, resolution, sizeMs);
      this.records.set(topic, records);
    }
  }

  get size(): number {
    return [...this.records.values()].reduce((sum, records) => sum + records.length, 0);
  }

  /** Takes the first moments of one series out of what is expected, and gives them: every value by moment. */
  takeAway(name: string, mark: string, moments: number): StoredSamples {
    const series = [...this.every.keys()].filter((one) => one.startsWith(`${name}{`) && one.includes(mark));
    if (series.length !== 1) throw new Error(`there is not one series '${name}' with ${mark}`);
    const byTime = this.every.get(series[0]) ?? new Map<number, number[]>();
    const taken = new Map([...byTime].sort(([a], [b]) => a - b).slice(0, moments));
    for (const at of taken.keys()) {
      byTime.delete(at);
      this.newest.get(series[0])?.delete(at);
    }
    return new Map([[series[0], taken]]);
  }

  #row(records: DataRecord[], of: Series, resolution: string, sizeMs: number, endMs: number, revision: number): void {
    const { partitionCount } = this.#options;
    const random = this.#random;
    const magnitude = 10 ** random.integer(9);
    // No two revisions of a row have a number in common: the order in which they come can be told.
    const whole = () => 3 * random.integer(1_000) + revision;
    const number = () => (random.chance(0.1) ? whole() : (random.next() - 0.3) * magnitude);
    const count = 3 + whole();
    const values = [count, ...Array.from({ length: PARTS.length - 1 }, number)];
    const row = {
      metric_name: of.name,
      labels: of.labels,
      resolution,
      window_start: endMs - sizeMs,
      window_end: endMs,
      ...Object.fromEntries(PARTS.map((part, i) => [part, values[i]])),
      run: 0,
      revision,
    };
    const key = Buffer.from(canonicalText(of.name, Object.entries(of.labels)));
    const intent = { finite: 0, notFinite: 0, bad: 0 };
    const value = Buffer.from(JSON.stringify(row));
    const partition = partitionOfKey(key, partitionCount);
    records.push({ partition, key, value, headers: [], timestampMs: endMs - 1, intent });
    for (const [i, part] of PARTS.entries()) {
      const name = seriesText({ ...of.labels, __name__: `${of.name}:${resolution}:${part}` });
      put(this.newest, name, endMs, [values[i]]);
      const known = this.every.get(name)?.get(endMs) ?? [];
      put(this.every, name, endMs, [...known, values[i]]);
    }
  }

  #sentinels(records: DataRecord[], resolution: string, sizeMs: number): void {
    const { midnightMs, partitionCount } = this.#options;
    const endMs = midnightMs + 60 * MINUTE_MS;
    for (let partition = 0; partition < partitionCount; partition++) {
      const value = Buffer.from(
        `{"metric_name":"${SENTINEL}","labels":{"partition":"${partition}"},"resolution":"${resolution}","window_start":${endMs - sizeMs},` +
          `"window_end":${endMs},"count":1,"sum":1,"min":1,"max":1,"avg":1,"p50":1,"p95":1,"p99":1,"run":0,"revision":0}`,
      );
      const intent = { finite: 0, notFinite: 0, bad: 0 };
      records.push({ partition, key: null, value, headers: [], timestampMs: endMs - 1, intent });
    }
  }
}

function put(stored: StoredSamples, series: string, timestampMs: number, values: number[]): void {
  const byTime = stored.get(series) ?? new Map<number, number[]>();
  byTime.set(timestampMs, values);
  stored.set(series, byTime);
}

/** Some with labels that need quotes, some without any, some whose labels sort before the name. */
function makeSeries(count: number): Series[] {
  const names = ['cpu_usage', 'http_requests_total', 'job:latency:p99', '_odd'];
  const odd = ['plain', 'with "quotes"', 'back\\slash', 'two\nlines', 'ünïcödé ✓', '{a="b"}', ',="'];
  return Array.from({ length: count }, (_, i) => ({
    name: names[i % names.length],
    labels: {
      ...(i >= names.length && { instance: `host-${i}` }),
      ...(i % 3 === 1 && { Zone: odd[i % odd.length] }),
      ...(i % 3 === 2 && { __rank__: `${i}`, zone: odd[(i * 5) % odd.length] }),
    },
  }));
}

/** Whether a database may hold `found` where `expected` were right, one after the other; `scale` is the series' largest. */
export type Takes = (expected: readonly number[], found: readonly number[], scale: number) => boolean;

/** Exactly the newest. */
export const exactly: Takes = (expected, found) => found.length === 1 && Object.is(found[0], expected.at(-1));

/**
 * VictoriaMetrics keeps a series as decimals of one exponent, twelve digits of its largest value; and one of several
 * values of a moment: which one, its merges decide.
 */
export const oneOfRoughly: Takes = (expected, found, scale) =>
  found.length === 1 && expected.some((value) => Math.abs(value - found[0]) <= scale * 1e-11);

/** Where what is stored is not what was expected, in a few lines; empty when all is well. */
export function storedDifferences(expected: StoredSamples, stored: StoredSamples, takes: Takes): string {
  const lines: string[] = [];
  for (const [series, byTime] of expected) {
    const scale = Math.max(...[...byTime.values()].flat().map(Math.abs));
    for (const [at, values] of byTime) {
      const found = stored.get(series)?.get(at) ?? [];
      if (found.length === 0) lines.push(`lacks ${series} at ${at}`);
      else if (!takes(values, found, scale)) lines.push(`${series} at ${at}: ${found} instead of ${values}`);
    }
  }
  for (const [series, byTime] of stored) {
    if (isNoRow(series)) continue;
    for (const at of byTime.keys()) if (!expected.get(series)?.has(at)) lines.push(`too much: ${series} at ${at}`);
  }
  return few(lines);
}

/** What came to the receiver, in order: for every moment the values that were right, in their order, perhaps repeated. */
export function takenDifferences(expected: StoredSamples, taken: readonly WrittenSample[]): string {
  const lines: string[] = [];
  const came: StoredSamples = new Map();
  for (const { series, timestampMs, value } of taken) {
    if (isNoRow(series)) continue;
    put(came, series, timestampMs, [...(came.get(series)?.get(timestampMs) ?? []), value]);
  }
  for (const [series, byTime] of came) {
    for (const [at, values] of byTime) {
      const right = expected.get(series)?.get(at) ?? [];
      if (!isRepetition(values, right)) lines.push(`${series} at ${at}: came ${values}, right was ${right}`);
    }
  }
  for (const [series, byTime] of expected) {
    for (const at of byTime.keys()) if (!came.get(series)?.has(at)) lines.push(`never came: ${series} at ${at}`);
  }
  return few(lines);
}

/** Whether `came` is `right` in order, where the writer may have begun again at any earlier value. */
function isRepetition(came: readonly number[], right: readonly number[]): boolean {
  let reached = -1;
  let at = -1;
  for (const value of came) {
    const next = right.findIndex((one, place) => Object.is(one, value) && place <= at + 1 && place >= 0);
    if (next < 0) return false;
    at = next;
    reached = Math.max(reached, at);
  }
  return reached === right.length - 1 && at === reached;
}

/** Prometheus writes of itself and of what we put in to move time on. */
function isNoRow(series: string): boolean {
  return series.startsWith(SENTINEL);
}

function few(lines: readonly string[]): string {
  const more = lines.length > 10 ? [`… and ${lines.length - 10} more`] : [];
  return [...lines.slice(0, 10), ...more].join('\n');
}
