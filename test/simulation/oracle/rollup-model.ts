// Owns the slow meaning of the rollup windows: which rows a sequence of samples and watermarks must give, revision by
// revision, and which samples are late. Keeps every sample; shares nothing with the engine.

export const RESOLUTIONS: readonly (readonly [string, number])[] = [
  ['1m', 60_000],
  ['5m', 300_000],
  ['1h', 3_600_000],
  ['1d', 86_400_000],
];
const MINUTE_MS = 60_000;

export interface ModelSample {
  readonly series: string;
  readonly timestampMs: number;
  readonly value: number;
}

export interface ModelRow {
  readonly series: string;
  readonly resolution: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly revision: number;
  readonly count: number;
  readonly sum: number;
  readonly values: readonly number[];
  /** Number of the entry whose input made the row due; a long firing may end in a later entry. */
  readonly dueEntry: number;
}

interface Window {
  readonly name: string;
  readonly series: string;
  readonly resolution: string;
  readonly startMs: number;
  readonly endMs: number;
}

export class RollupModel {
  watermarkMs = Number.NEGATIVE_INFINITY;
  /** Of the entry being interpreted. */
  entry = 0;
  readonly rows: ModelRow[] = [];
  readonly #allowedLatenessMs: number;
  /** By series, by minute: values in the order they came. */
  readonly #minutes = new Map<string, Map<number, number[]>>();
  /** By when they end, by name. */
  readonly #unfired = new Map<number, Map<string, Window>>();
  readonly #revisions = new Map<string, number>();
  /** Revisions that it began with. */
  readonly #inherited = new Map<string, number>();

  constructor(allowedLatenessMs: number) {
    this.#allowedLatenessMs = allowedLatenessMs;
  }

  /** Judges a sample against the watermark as it is and folds it; false when it is late. */
  take(sample: ModelSample): boolean {
    const { series, timestampMs, value } = sample;
    const minute = startOf(timestampMs, MINUTE_MS);
    if (minute + MINUTE_MS + this.#allowedLatenessMs <= this.watermarkMs) return false;
    let minutes = this.#minutes.get(series);
    if (minutes === undefined) this.#minutes.set(series, (minutes = new Map()));
    const values = minutes.get(minute);
    if (values === undefined) minutes.set(minute, [value]);
    else values.push(value);
    const corrects = minute + MINUTE_MS <= this.watermarkMs;
    for (const [resolution, sizeMs] of RESOLUTIONS) {
      const startMs = startOf(timestampMs, sizeMs);
      const endMs = startMs + sizeMs;
      const name = nameOf({ series, resolution, startMs });
      if (corrects && endMs <= this.watermarkMs) this.#fire({ name, series, resolution, startMs, endMs });
      else if (!this.#revisions.has(name)) this.#await({ name, series, resolution, startMs, endMs });
    }
    return true;
  }

  #await(window: Window): void {
    const together = this.#unfired.get(window.endMs);
    if (together === undefined) this.#unfired.set(window.endMs, new Map([[window.name, window]]));
    else together.set(window.name, window);
  }

  /**
   * Begins with what models of an older generation knew, whoever of them had a series: with its rows that were due and not
   * put out yet, and the largest of their watermarks.
   */
  adopt(
    parts: readonly RollupModel[],
    owns: (series: string) => boolean,
    isThere: (row: Pick<ModelRow, 'series' | 'resolution' | 'startMs' | 'revision'>) => boolean,
  ): void {
    for (const part of parts) {
      for (const [series, minutes] of part.#minutes) {
        if (!owns(series)) continue;
        this.#minutes.set(series, new Map(Array.from(minutes, ([minute, values]) => [minute, [...values]])));
      }
      for (const together of part.#unfired.values()) {
        for (const window of together.values()) if (owns(window.series)) this.#await(window);
      }
      for (const row of part.rows) {
        if (!owns(row.series)) continue;
        this.#revisions.set(nameOf(row), row.revision);
        if (!isThere(row)) this.rows.push({ ...row, dueEntry: 0 });
      }
      for (const [name, revision] of part.#inherited) {
        if (owns(name.slice(name.lastIndexOf(' ') + 1)))
          this.#revisions.set(name, Math.max(revision, this.#revisions.get(name) ?? -1));
      }
    }
    for (const [name, revision] of this.#revisions) this.#inherited.set(name, revision);
    for (const { watermarkMs } of parts) this.advance(watermarkMs);
  }

  /** The watermark reached this; it never goes back. */
  advance(watermarkMs: number): void {
    if (watermarkMs <= this.watermarkMs) return;
    this.watermarkMs = watermarkMs;
    for (const [endMs, together] of this.#unfired) {
      if (endMs > watermarkMs) continue;
      this.#unfired.delete(endMs);
      for (const window of together.values()) this.#fire(window);
    }
  }

  /** A minute that has not fired, null when all have. */
  get openMinute(): string | null {
    for (const together of this.#unfired.values()) {
      for (const { name, resolution } of together.values()) if (resolution === '1m') return name;
    }
    return null;
  }

  #fire({ name, series, resolution, startMs, endMs }: Window): void {
    const revision = (this.#revisions.get(name) ?? -1) + 1;
    this.#revisions.set(name, revision);
    const minutes = [...this.#minutes.get(series)!].filter(([minute]) => minute >= startMs && minute < endMs);
    minutes.sort(([left], [right]) => left - right);
    const sum = leftFold(minutes.map(([, values]) => leftFold(values)));
    const values = minutes.flatMap(([, one]) => one);
    const { length: count } = values;
    this.rows.push({ series, resolution, startMs, endMs, revision, count, sum, values, dueEntry: this.entry });
  }
}

export function nameOf(row: Pick<ModelRow, 'series' | 'resolution' | 'startMs'>): string {
  return `${row.resolution} ${row.startMs} ${row.series}`;
}

function startOf(timestampMs: number, sizeMs: number): number {
  return Math.floor(timestampMs / sizeMs) * sizeMs;
}

function leftFold(values: readonly number[]): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}
