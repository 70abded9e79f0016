// Owns the slow meaning of writing samples and rollup rows into a time-series database: which samples a sequence of records
// must give, in which order, at once or when they are final, and what is too late for that.

import { canonicalText } from '#test/integration/oracle/placement.ts';
import { RecordModel, type TakenRow } from '#test/simulation/oracle/record-model.ts';

export interface SampleText {
  readonly metric_name: string;
  readonly timestamp: number;
  readonly value: number;
  readonly labels: Readonly<Record<string, string>>;
}

export const ROW_NUMBERS = ['count', 'sum', 'min', 'max', 'avg', 'p50', 'p95', 'p99'] as const;

export type RowText = Readonly<Record<(typeof ROW_NUMBERS)[number], number | null>> & {
  readonly metric_name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly resolution: string;
  readonly window_start: number;
  readonly window_end: number;
  readonly run: number;
  readonly revision: number;
};

export interface WriterRules {
  readonly rows: boolean;
  /** Null: everything goes as it comes. */
  readonly hold: { readonly latenessMs: number; readonly corrections: 'wait' | 'drop' } | null;
}

/** A sample that the database must be given. */
export interface WriterItem {
  readonly series: string;
  readonly timestampMs: number;
  readonly value: number;
  readonly dueEntry: number;
  readonly byRecord: boolean;
  /** What it was made of. */
  readonly source: TakenRow;
}

interface Held {
  readonly row: TakenRow;
  readonly finalMs: number;
  readonly order: number;
}

const BUCKET_MS = 1_000;

export class WriterModel extends RecordModel {
  readonly items: WriterItem[] = [];
  /** Samples that came too late, with the entry that met them. */
  readonly late: (readonly [entry: number, row: TakenRow])[] = [];
  dropped = 0;
  readonly #rules: WriterRules;
  /** By series and event time. */
  readonly #held = new Map<string, Held>();
  #putIn = 0;

  constructor(rules: WriterRules) {
    super();
    this.#rules = rules;
  }

  override onRecord(row: TakenRow): void {
    const { hold, rows } = this.#rules;
    if (hold === null) {
      this.#give(row, true);
      return;
    }
    const finalMs = (Math.floor(row.timestampMs / BUCKET_MS) + 1) * BUCKET_MS + hold.latenessMs;
    if (finalMs <= this.watermarkMs) {
      if (!rows) this.late.push([this.entry, row]);
      else this.dropped++;
      return;
    }
    const value = row.value as RowText;
    if (rows && hold.corrections === 'drop' && value.run + value.revision > 0) {
      this.dropped++;
      return;
    }
    const name = `${row.timestampMs} ${seriesOf(row.value as SampleText)}`;
    const known = this.#held.get(name);
    const before = known?.row.value as RowText | undefined;
    const isOlder = rows && before !== undefined && (value.run - before.run || value.revision - before.revision) < 0;
    if (!isOlder) this.#held.set(name, { row, finalMs, order: known?.order ?? this.#putIn++ });
  }

  override onWatermark(): void {
    const due = [...this.#held].filter(([, { finalMs }]) => finalMs <= this.watermarkMs);
    due.sort(([, a], [, b]) => a.row.timestampMs - b.row.timestampMs || a.order - b.order);
    for (const [name, { row }] of due) {
      this.#held.delete(name);
      this.#give(row, false);
    }
  }

  #give(row: TakenRow, byRecord: boolean): void {
    const common = { dueEntry: this.entry, byRecord, source: row };
    if (!this.#rules.rows) {
      const { timestamp, value } = row.value as SampleText;
      this.items.push({ series: seriesOf(row.value as SampleText), timestampMs: timestamp, value, ...common });
      return;
    }
    const text = row.value as RowText;
    for (const number of ROW_NUMBERS) {
      const value = text[number];
      if (value === null) continue;
      const series = rowSeries(text, number);
      this.items.push({ series, timestampMs: text.window_end, value, ...common });
    }
  }
}

export function seriesOf({ labels, metric_name }: Pick<SampleText, 'metric_name' | 'labels'>): string {
  return canonicalText(metric_name, Object.entries(labels));
}

export function rowSeries({ labels, metric_name, resolution }: RowText, number: string): string {
  return canonicalText(`${metric_name}:${resolution}:${number}`, Object.entries(labels));
}
