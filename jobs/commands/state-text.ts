// Owns what `millrace state` shows to people: open windows one below the other, other states in columns. Pure; keys and
// values are data of others, and made printable here.

import {
  humanCount,
  humanFigure,
  humanMoments,
  NOTHING,
  printable,
  shortened,
  shortFigure,
} from '#jobs/commands/human-text.ts';
import type { TextContext } from '#jobs/commands/jobs-text.ts';
import { type Column, textTable } from '#jobs/commands/text-table.ts';
import type { StateReadView, StateView } from '#runtime/http/contract.ts';

type KeyState = StateView['keys'][number];
/** One of the windows that a key has open. */
type Window = Readonly<Record<string, unknown>> & { readonly start: number; readonly end: number };

export interface StateTextContext extends TextContext {
  /** Of the job; the one that is shown among them. */
  readonly operators: readonly string[];
  /** Null: on the last page. */
  readonly more: string | null;
}

const KEY_WIDTH_MAX = 60;
const VALUE_WIDTH_MAX = 40;

export function stateText(state: StateView, context: StateTextContext): string {
  const { more, operators, paint } = context;
  const others = operators.filter((operator) => operator !== state.operator);
  const also = others.length === 0 ? '' : `; --operator shows others: ${others.map(printable).join(', ')}`;
  const head = `${printable(state.operator)} of ${printable(state.job)}, ${readText(state.readAt)}${also}`;
  const body = state.keys.length === 0 ? ['no keys'] : keyLines(state.keys, context);
  const tail = more === null ? [] : [`more: ${more}`];
  return `${[paint.faint(head), ...body, ...tail.map(paint.faint)].join('\n')}\n`;
}

export function operatorsText(job: string, operators: readonly string[]): string {
  if (operators.length === 0) return `job ${printable(job)} has no operator whose state can be read\n`;
  return `${operators.map(printable).join('\n')}\n`;
}

function readText(readAt: readonly StateReadView[]): string {
  if (readAt.length === 0) return 'no task was read';
  if (readAt.length === 1) return `partition ${readAt[0].partition} at entry ${humanCount(readAt[0].entry)}`;
  const entries = readAt.map(({ entry }) => entry);
  const [first, last] = [Math.min(...entries), Math.max(...entries)].map(humanCount);
  return `${readAt.length} partitions at ${first === last ? `entry ${first}` : `entries ${first} to ${last}`}`;
}

function keyLines(keys: readonly KeyState[], context: StateTextContext): string[] {
  const windowed = keys.some(({ states }) => Object.values(states).some((value) => windowsOf(value) !== null));
  return windowed ? windowLines(keys, context) : columnLines(keys, context);
}

/** Keys are long and windows many: a line for the key, its windows below. */
function windowLines(keys: readonly KeyState[], { nowMs, paint }: StateTextContext): string[] {
  const windows = keys.flatMap(({ states }) => Object.values(states).flatMap((value) => windowsOf(value) ?? []));
  const moment = humanMoments(
    windows.flatMap(({ end, start }) => [start, end]),
    nowMs,
  );
  const fields = [...new Set(windows.flatMap((window) => Object.keys(window)))].filter(
    (name) => name !== 'start' && name !== 'end',
  );
  const numeric = (name: string) => windows.every((window) => isFigure(window[name]));
  const columns: Column[] = [
    { title: 'START', right: true },
    { title: 'END', right: true },
    ...fields.map((name) => ({ title: printable(name).toUpperCase(), right: numeric(name) })),
  ];
  const rows = windows.map((window) => [
    moment(window.start),
    moment(window.end),
    ...fields.map((name) => windowText(name, window[name])),
  ]);
  const [titles, ...table] = textTable(columns, rows, '  ');
  const lines = [paint.faint(titles)];
  let next = 0;
  for (const { key, states } of keys) {
    lines.push(paint.bold(printable(key)));
    for (const [name, value] of Object.entries(states)) {
      const own = windowsOf(value);
      if (own === null) lines.push(`  ${printable(name)}: ${valueText(value)}`);
      else for (let i = 0; i < own.length; i++) lines.push(table[next++]);
    }
  }
  return lines;
}

function columnLines(keys: readonly KeyState[], { nowMs }: StateTextContext): string[] {
  const names = [...new Set(keys.flatMap(({ states }) => Object.keys(states)))];
  const timers = keys.map(({ clockTimersMs, eventTimersMs }) => Math.min(...eventTimersMs, ...clockTimersMs));
  const moment = humanMoments(timers.filter(Number.isFinite), nowMs);
  const numeric = (name: string) => keys.every(({ states }) => isFigure(states[name]));
  const columns: Column[] = [
    { title: 'KEY' },
    { title: 'PARTITION', right: true },
    ...names.map((name) => ({ title: printable(name), right: numeric(name) })),
    { title: 'NEXT TIMER', right: true },
  ];
  const rows = keys.map(({ key, partition, states }, at) => [
    shortened(printable(key), KEY_WIDTH_MAX) || "''",
    String(partition),
    ...names.map((name) => (Object.hasOwn(states, name) ? valueText(states[name]) : NOTHING)),
    Number.isFinite(timers[at]) ? moment(timers[at]) : '',
  ]);
  return textTable(columns, rows);
}

/** Null when `value` is something else. */
function windowsOf(value: unknown): readonly Window[] | null {
  return Array.isArray(value) && value.length > 0 && value.every(isWindow) ? value : null;
}

function isWindow(value: unknown): value is Window {
  if (typeof value !== 'object' || value === null) return false;
  const { end, start } = value as Partial<Window>;
  return typeof start === 'number' && typeof end === 'number';
}

function isFigure(value: unknown): boolean {
  return value === undefined || value === null || typeof value === 'number';
}

/** Many figures stand beside each other; most windows have not fired yet, and the column is left out. */
function windowText(name: string, value: unknown): string {
  if (typeof value !== 'number') return valueText(value);
  return name === 'firings' && value === 0 ? '' : shortFigure(value);
}

function valueText(value: unknown): string {
  if (value === undefined || value === null) return NOTHING;
  if (typeof value === 'number') return humanFigure(value);
  return shortened(printable(typeof value === 'string' ? value : JSON.stringify(value)), VALUE_WIDTH_MAX);
}
