// Owns one OTLP data point in numbers, whatever wire format it came in: filled anew for each, nothing is made per point.
// Knows no series. Invariant: `reset` leaves nothing of the point before.

const NO_RECORDED_VALUE = 1;
const TWO_32 = 4294967296;

/** Numbers that grow with the largest point seen. */
export class NumberList {
  values = new Float64Array(64);
  count = 0;

  push(value: number): void {
    if (this.count === this.values.length) {
      const grown = new Float64Array(this.count * 2);
      grown.set(this.values);
      this.values = grown;
    }
    this.values[this.count++] = value;
  }
}

export class OtlpPoint {
  /** NaN: none or one that is no time. */
  timestampMs = Number.NaN;
  flags = 0;
  hasValue = false;
  value = 0;
  count = 0;
  hasSum = false;
  sum = 0;
  /** Explicit bounds of a histogram, quantiles of a summary. */
  readonly bounds = new NumberList();
  /** Counts of a histogram's buckets, values of a summary's quantiles, positive buckets of an exponential histogram. */
  readonly counts = new NumberList();
  readonly negativeCounts = new NumberList();
  offset = 0;
  negativeOffset = 0;
  scale = 0;
  zeroCount = 0;
  zeroThreshold = 0;

  reset(): void {
    this.timestampMs = Number.NaN;
    this.flags = 0;
    this.hasValue = false;
    this.value = 0;
    this.count = 0;
    this.hasSum = false;
    this.sum = 0;
    this.bounds.count = 0;
    this.counts.count = 0;
    this.negativeCounts.count = 0;
    this.offset = 0;
    this.negativeOffset = 0;
    this.scale = 0;
    this.zeroCount = 0;
    this.zeroThreshold = 0;
  }

  /** Whether the point only says that its series has nothing to say (a stale marker). */
  get isStale(): boolean {
    return (this.flags & NO_RECORDED_VALUE) !== 0;
  }
}

/** Whole milliseconds of an unsigned 64-bit number of nanoseconds in two halves; NaN for 0, which means not known. */
export function millisecondsOf(high: number, low: number): number {
  if (high === 0 && low === 0) return Number.NaN;
  // Both products and the sum are exact: 10^6 * 2^32 is below 2^53.
  return Math.floor(high / 1e6) * TWO_32 + Math.floor(((high % 1e6) * TWO_32 + low) / 1e6);
}
