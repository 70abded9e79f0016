// Owns what a chain of tumbling windows must put out, by keeping every value in Maps and judging record by record.
// Slow and plain on purpose; shares nothing with the operators it judges.

export interface OracleRecord {
  readonly rows: readonly { readonly slot: number; readonly timeMs: number; readonly value: number }[];
}

export interface OracleOptions {
  readonly minuteMs: number;
  /** Steps by name with their window sizes; the first takes samples, the others its results. */
  readonly steps: readonly { readonly name: string; readonly sizeMs: number }[];
  readonly boundMs: number;
  readonly latenessMs: number;
}

export interface ExpectedResult {
  readonly step: string;
  readonly slot: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly revision: number;
  readonly late: boolean;
  readonly sum: number;
  readonly sorted: readonly number[];
}

export class WindowOracle {
  readonly results: ExpectedResult[] = [];
  readonly late: { readonly slot: number; readonly timeMs: number; readonly value: number }[] = [];
  notFinite = 0;
  watermarkMs = Number.NEGATIVE_INFINITY;
  readonly #options: OracleOptions;
  /** slot → minute start → values in order. */
  readonly #values = new Map<number, Map<number, number[]>>();
  /** `step slot start` → number of firings. */
  readonly #fired = new Map<string, number>();

  constructor(options: OracleOptions) {
    this.#options = options;
  }

  record(record: OracleRecord): void {
    const { minuteMs, latenessMs, boundMs, steps } = this.#options;
    const before = this.watermarkMs;
    for (const row of record.rows) {
      if (!Number.isFinite(row.value)) {
        this.notFinite++;
        continue;
      }
      const minute = Math.floor(row.timeMs / minuteMs) * minuteMs;
      if (minute + minuteMs + latenessMs <= before) {
        this.late.push({ ...row });
        continue;
      }
      const minutes = this.#values.get(row.slot) ?? new Map<number, number[]>();
      this.#values.set(row.slot, minutes);
      minutes.set(minute, [...(minutes.get(minute) ?? []), row.value]);
      if (minute + minuteMs > before) continue;
      for (const step of steps) {
        const startMs = Math.floor(row.timeMs / step.sizeMs) * step.sizeMs;
        if (startMs + step.sizeMs <= before) this.#emit(step.name, step.sizeMs, row.slot, startMs, true);
      }
    }
    for (const row of record.rows) this.watermarkMs = Math.max(this.watermarkMs, row.timeMs - boundMs);
    if (Math.floor(this.watermarkMs / minuteMs) > Math.floor(before / minuteMs)) this.#fireDue();
  }

  #fireDue(): void {
    const due: { endMs: number; place: number; slot: number; startMs: number }[] = [];
    this.#options.steps.forEach((step, place) => {
      for (const [slot, minutes] of this.#values) {
        const starts = new Set([...minutes.keys()].map((minute) => Math.floor(minute / step.sizeMs) * step.sizeMs));
        for (const startMs of starts) {
          const endMs = startMs + step.sizeMs;
          if (endMs <= this.watermarkMs && !this.#fired.has(`${step.name} ${slot} ${startMs}`))
            due.push({ endMs, place, slot, startMs });
        }
      }
    });
    due.sort((left, right) => left.endMs - right.endMs || left.place - right.place || left.slot - right.slot);
    for (const { place, slot, startMs } of due) {
      const step = this.#options.steps[place];
      this.#emit(step.name, step.sizeMs, slot, startMs, false);
    }
  }

  #emit(step: string, sizeMs: number, slot: number, startMs: number, late: boolean): void {
    const id = `${step} ${slot} ${startMs}`;
    const revision = this.#fired.get(id) ?? 0;
    this.#fired.set(id, revision + 1);
    const minutes = [...this.#values.get(slot)!].filter(([at]) => at >= startMs && at < startMs + sizeMs);
    minutes.sort(([left], [right]) => left - right);
    const sums = minutes.map(([, values]) => values.reduce((sum, value) => sum + value, 0));
    const sorted = minutes.flatMap(([, values]) => values).sort((left, right) => left - right);
    const sum = step === this.#options.steps[0].name ? sums[0] : sums.reduce((total, each) => total + each, 0);
    this.results.push({ step, slot, startMs, endMs: startMs + sizeMs, revision, late, sum, sorted });
  }
}
