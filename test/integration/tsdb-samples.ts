// Owns generated raw samples for the tests of the writer: some behind others, some hopelessly late, some that are none. And
// what databases must hold afterwards.

import { type StoredSamples, seriesText } from '#test/harness/tsdb.ts';
import type { DataRecord } from './oracle/data-set.ts';
import { canonicalText, partitionOfKey } from './oracle/placement.ts';
import { Random } from './oracle/random.ts';
import { SENTINEL } from './tsdb-rows.ts';

export interface SamplesOptions {
  readonly seed: number;
  readonly seriesCount: number;
  readonly partitionCount: number;
  /** Event time of the first. */
  readonly fromMs: number;
  /** Samples per series, a second apart. */
  readonly rounds: number;
}

/** Within the bound that the writer is told. */
export const BEHIND_MS = 4_000;
const LATE_MS = 60_000;

export class GeneratedSamples {
  readonly records: DataRecord[] = [];
  /** What a database holds that takes everything as it comes. */
  readonly all: StoredSamples = new Map();
  /** What one holds that takes a series in order of time. */
  readonly inTime: StoredSamples = new Map();
  late = 0;
  bad = 0;

  constructor({ fromMs, partitionCount, rounds, seed, seriesCount }: SamplesOptions) {
    const random = new Random(seed);
    const add = (name: string, labels: Readonly<Record<string, string>>, atMs: number, isLate: boolean) => {
      const value = random.chance(0.1) ? random.integer(100) : (random.next() - 0.5) * 10 ** random.integer(6);
      const text = JSON.stringify({ metric_name: name, timestamp: atMs, value, labels });
      const key = Buffer.from(canonicalText(name, Object.entries(labels)));
      this.records.push(recordOf(partitionOfKey(key, partitionCount), text));
      const series = seriesText({ ...labels, __name__: name });
      put(this.all, series, atMs, value);
      if (isLate) this.late++;
      else put(this.inTime, series, atMs, value);
    };
    const places = Array.from({ length: seriesCount }, (_, i) => i);
    for (let round = 0; round < rounds; round++) {
      const waits: (() => void)[] = [];
      for (const i of random.shuffled(places)) {
        const labels = { host: `h-${i}`, zone: `z ${i % 3}` };
        const atMs = fromMs + round * 1_000 + i;
        // As if they had waited for the round after the next.
        if (random.chance(0.05)) waits.push(() => add('raw_load', labels, atMs - BEHIND_MS + 1_500, false));
        else add('raw_load', labels, atMs, false);
        if (round > 80 && random.chance(0.005)) add('raw_load', labels, atMs - LATE_MS - 500, true);
        if (random.chance(0.003)) this.#addBad(random.integer(partitionCount));
      }
      for (const wait of waits) wait();
    }
    for (let partition = 0; partition < partitionCount; partition++) {
      const timestamp = fromMs + rounds * 1_000 + 1_800_000;
      const text = JSON.stringify({
        metric_name: SENTINEL,
        timestamp,
        value: 1,
        labels: { partition: `${partition}` },
      });
      this.records.push(recordOf(partition, text));
    }
  }

  #addBad(partition: number): void {
    this.bad++;
    this.records.push(recordOf(partition, '{"metric_name":"raw_load","timestamp":1.5}'));
  }
}

function recordOf(partition: number, text: string): DataRecord {
  const intent = { finite: 0, notFinite: 0, bad: 0 };
  return { partition, key: null, value: Buffer.from(text), headers: [], timestampMs: 0, intent };
}

function put(stored: StoredSamples, series: string, atMs: number, value: number): void {
  const byTime = stored.get(series) ?? new Map<number, number[]>();
  byTime.set(atMs, [value]);
  stored.set(series, byTime);
}
