// Owns counting observations by size: fixed buckets, nothing allocated by an observation.

/** Observations by upper bound: `counts[i]` of those above `bounds[i - 1]` and up to `bounds[i]`, the last of the rest. */
export interface Distribution {
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
  readonly sum: number;
}

export class Histogram {
  readonly #bounds: Float64Array;
  readonly #counts: Float64Array;
  #sum = 0;

  /** @param bounds ascending */
  constructor(bounds: readonly number[]) {
    this.#bounds = Float64Array.from(bounds);
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let bucket = 0;
    while (bucket < bounds.length && value > bounds[bucket]) bucket++;
    this.#counts[bucket]++;
    this.#sum += value;
  }

  read(): Distribution {
    return { bounds: Array.from(this.#bounds), counts: Array.from(this.#counts), sum: this.#sum };
  }
}
