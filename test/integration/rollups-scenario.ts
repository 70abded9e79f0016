// Owns what the rollup tests have in common: the data set and its oracle, phases that end in a kill at a seeded moment,
// and the verdict with everything a reader of a failure needs. Which log it is, a `World` knows.

import { type ComparisonOptions, compareRows, type Differences, type OutputRecord } from './oracle/comparison.ts';
import { type DataRecord, type DataSetOptions, generate } from './oracle/data-set.ts';
import type { Random } from './oracle/random.ts';
import { type Expectation, type InputRecord, RESOLUTIONS, RollupOracle } from './oracle/rollup-oracle.ts';
import { compareDeadLetters, compareLate } from './oracle/side-outputs.ts';

export const OUT_OF_ORDERNESS_MS = 5000;
const MAX_SKEW_MS = 600_000;

/** Topics of one run of the job. */
export interface RunTopics {
  readonly source: string;
  readonly outputPrefix: string;
}

export function outputTopics({ outputPrefix }: RunTopics): string[] {
  return Object.keys(RESOLUTIONS).map((resolution) => `${outputPrefix}.${resolution}`);
}

export function deadLetterTopic({ source }: RunTopics): string {
  return `${source}.dead-letter`;
}

export function lateTopic({ source }: RunTopics): string {
  return `${source}.late`;
}

/** Generates the data set in parts and keeps the oracle up to date with what was written. */
export class Script {
  readonly options: DataSetOptions;
  readonly #oracle: RollupOracle;
  readonly #records: Generator<DataRecord>;
  #done = false;
  #ended = false;

  constructor(options: DataSetOptions, nowMs: number) {
    this.options = options;
    this.#records = generate(options, () => this.#ended);
    this.#oracle = new RollupOracle({
      partitionCount: options.partitionCount,
      outOfOrdernessMs: OUT_OF_ORDERNESS_MS,
      latestMs: nowMs + MAX_SKEW_MS,
    });
  }

  get done(): boolean {
    return this.#done;
  }

  /** The round under way is the last one; the closing samples follow. */
  end(): void {
    this.#ended = true;
  }

  /** The next records; fewer at the end. */
  next(count: number): DataRecord[] {
    const records: DataRecord[] = [];
    while (records.length < count) {
      const { value, done } = this.#records.next();
      if (done === true) {
        this.#done = true;
        break;
      }
      records.push(value);
    }
    return records;
  }

  written(records: readonly InputRecord[]): void {
    for (const record of records) this.#oracle.add(record);
  }

  expectation(): Expectation {
    return this.#oracle.expectation();
  }
}

/** How many records each phase writes; every phase but the last ends in a kill. About `total` in all. */
export function phaseSizes(kills: number, total: number, random: Random): number[] {
  const weights = Array.from({ length: kills + 1 }, () => 0.5 + random.next());
  const sum = weights.reduce((left, right) => left + right, 0);
  const sizes = weights.map((weight) => Math.floor((total * weight) / sum));
  sizes[kills] = Number.POSITIVE_INFINITY;
  return sizes;
}

/** Rows that must be in a topic before its windows are all there. */
export function requiredRows(expectation: Expectation, topic: string): number {
  let count = 0;
  for (const row of expectation.rows.values()) if (row.required && topic.endsWith(`.${row.resolution}`)) count++;
  return count;
}

/** Everything that was published against everything that was expected; empty when it is right. */
export function verdict(
  expectation: Expectation,
  topics: RunTopics,
  published: ReadonlyMap<string, readonly OutputRecord[]>,
  options: ComparisonOptions,
): string {
  return judged(expectation, topics, published, options)
    .filter(([, differences]) => differences.total > 0)
    .map(([what, differences]) => `${what}:\n${differences}`)
    .join('\n');
}

/** The same by what is compared. */
export function judged(
  expectation: Expectation,
  topics: RunTopics,
  published: ReadonlyMap<string, readonly OutputRecord[]>,
  options: ComparisonOptions,
): readonly (readonly [string, Differences])[] {
  const of = (topic: string) => published.get(topic) ?? [];
  const rows = outputTopics(topics).flatMap(of);
  return [
    ['rows', compareRows(expectation, rows, options)],
    ['dead letters', compareDeadLetters(expectation, of(deadLetterTopic(topics)))],
    ['late samples', compareLate(expectation, of(lateTopic(topics)))],
  ];
}
