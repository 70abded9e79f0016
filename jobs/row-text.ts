// Owns how rollup rows look on a terminal: per window one line, below it a few of its rows; other records take a line
// each. Pure text; where they come from and go to is not its affair.

import { NOTHING, printable, shortFigure } from '#jobs/commands/human-text.ts';

/** The fields of a rollup row that are shown (CONTRACT §5). */
export interface ShownRow {
  readonly metric_name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly resolution: string;
  readonly window_start: number;
  readonly count: number;
  readonly min: number;
  readonly max: number;
  /** Null where no number can say the sum. */
  readonly avg: number | null;
  readonly p95: number;
  readonly revision: number;
}

const ROWS_PER_WINDOW = 3;
const RECORD_CHARACTERS_MAX = 160;

export function isRow(value: unknown): value is ShownRow {
  if (value === null || typeof value !== 'object') return false;
  const { avg, count, labels, max, metric_name, min, p95, resolution, window_start } = value as Partial<ShownRow>;
  const numbers = [count, max, min, p95, window_start].every((figure) => typeof figure === 'number');
  const texts = typeof metric_name === 'string' && typeof resolution === 'string';
  const placed = numbers && texts && Math.abs(Number(window_start)) <= 8.64e15;
  return placed && (avg === null || typeof avg === 'number') && typeof labels === 'object' && labels !== null;
}

/** A record that is no row; ends with a line feed. */
export function recordText(topic: string, key: string, value: string): string {
  // Bytes of any kind stay off the terminal.
  const text = `${key}  ${value}`.replace(/\p{C}/gu, '·');
  return `${topic}  ${text.length > RECORD_CHARACTERS_MAX ? `${text.slice(0, RECORD_CHARACTERS_MAX)}…` : text}\n`;
}

/** Text of rows that arrived together, oldest window first; ends with a line feed, empty without rows. */
export function rowText(rows: readonly ShownRow[]): string {
  const windows = new Map<string, ShownRow[]>();
  for (const row of rows) {
    const key = `${row.window_start} ${row.resolution}`;
    const same = windows.get(key);
    if (same === undefined) windows.set(key, [row]);
    else same.push(row);
  }
  const inOrder = [...windows.values()].sort((a, b) => a[0].window_start - b[0].window_start);
  return inOrder.map(windowText).join('');
}

function windowText(rows: readonly ShownRow[]): string {
  const { resolution, window_start: startMs } = rows[0];
  const start = new Date(startMs).toISOString().slice(0, 19).replace('T', ' ');
  const lines = [`${resolution.padEnd(3)} ${start}  ${rows.length} ${rows.length === 1 ? 'row' : 'rows'}`];
  // What does not move, such as the start time of a process, tells least.
  const telling = [...rows.filter(moves), ...rows.filter((row) => !moves(row))];
  for (const row of telling.slice(0, ROWS_PER_WINDOW)) lines.push(`      ${seriesText(row)}  ${valuesText(row)}`);
  if (rows.length > ROWS_PER_WINDOW) lines.push(`      … and ${rows.length - ROWS_PER_WINDOW} more`);
  return `${lines.join('\n')}\n`;
}

function moves({ max, min }: ShownRow): boolean {
  return min !== max;
}

function seriesText(row: ShownRow): string {
  const labels = Object.entries(row.labels).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return printable(`${row.metric_name}{${labels.join(',')}}`);
}

function valuesText(row: ShownRow): string {
  const correction = row.revision > 0 ? `  correction ${row.revision}` : '';
  const { avg, count, max, min, p95 } = row;
  return `count ${count}  avg ${figure(avg)}  min ${figure(min)}  max ${figure(max)}  p95 ${figure(p95)}${correction}`;
}

/** An average may be null: of a sum that no number can say. */
function figure(value: number | null): string {
  return value === null ? NOTHING : shortFigure(value);
}
