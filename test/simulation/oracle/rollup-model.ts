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
  readonly #unfired = new Map<string, Window>();
  readonly #revisions = new Map<string, number>();
  /** Revisions that it began with. */
  readonly #inherited = new Map<string, number>();
  #nextEndMs = Number.POSITIVE_INFINITY;

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
      const window = { series, resolution, startMs, endMs: startMs + sizeMs };
      if (corrects && window.endMs <= this.watermarkMs) this.#fire(window);
      else if (!this.#revisions.has(nameOf(window))) {
        this.#unfired.set(nameOf(window), window);
        this.#nextEndMs = Math.min(this.#nextEndMs, window.endMs);
      }
    }
    return true;
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
      for (const [name, window] of part.#unfired) if (owns(window.series)) this.#unfired.set(name, window);
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
    this.#nextEndMs = Number.NEGATIVE_INFINITY;
    for (const { watermarkMs } of parts) this.advance(watermarkMs);
  }

  /** The watermark reached this; it never goes back. */
  advance(watermarkMs: number): void {
    if (watermarkMs <= this.watermarkMs) return;
    this.watermarkMs = watermarkMs;
    if (this.#nextEndMs > watermarkMs) return;
    this.#nextEndMs = Number.POSITIVE_INFINITY;
    for (const [name, window] of this.#unfired) {
      if (window.endMs <= watermarkMs) {
        this.#unfired.delete(name);
        this.#fire(window);
      } else this.#nextEndMs = Math.min(this.#nextEndMs, window.endMs);
    }
  }

  /** A minute that has not fired, null when all have. */
  get openMinute(): string | null {
    for (const [name, { resolution }] of this.#unfired) if (resolution === '1m') return name;
    return null;
  }

  #fire(window: Window): void {
    const { series, startMs, endMs } = window;
    const revision = (this.#revisions.get(nameOf(window)) ?? -1) + 1;
    this.#revisions.set(nameOf(window), revision);
    const minutes = [...this.#minutes.get(series)!].filter(([minute]) => minute >= startMs && minute < endMs);
    minutes.sort(([left], [right]) => left - right);
    const sum = leftFold(minutes.map(([, values]) => leftFold(values)));
    const values = minutes.flatMap(([, one]) => one);
    this.rows.push({ ...window, revision, count: values.length, sum, values, dueEntry: this.entry });
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
