// Owns what a benchmark hands back: named numbers with a unit. No benchmark asserts a time.

export interface Figure {
  /** Dotted, from the general to the special: `e2e.flink.cpu`. */
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly note?: string;
}

export interface BenchOptions {
  /** Runs of each measured thing; medians are reported. */
  readonly repeat: number;
  /** Minutes of event time of end-to-end inputs: 600,000 samples each. */
  readonly minutes: number;
  /** Which engines of an end-to-end comparison run. */
  readonly engines: readonly string[];
  /** In one process, where there are many. */
  readonly tasks: number;
  /** Of state that is restored. */
  readonly keys: number;
  /** Tells people where a long run is; never part of the result. */
  readonly progress: (message: string) => void;
}

export interface Bench {
  readonly name: string;
  readonly summary: string;
  /** Whether it runs when no name is given. */
  readonly always: boolean;
  run(options: BenchOptions): Promise<Figure[]>;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
