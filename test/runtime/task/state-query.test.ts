// State is read by key or page by page, however keys come and go between the pages.

import { expect, test } from 'vitest';
import { SeriesTable } from '#operators/series/series-table.ts';
import type { KeyLook, Operator, StageProgram } from '#runtime/task/contract.ts';
import { readState, type StatePage } from '#runtime/task/state-query.ts';

class Keys {
  readonly table = new SeriesTable({ stateId: 'keys' });
  readonly kept = new Set<number>();
  readonly program: StageProgram;

  constructor() {
    this.table.open({ register: () => ({ epoch: 1, touch: () => {} }) });
    const look = (slot: number): KeyLook | null =>
      this.kept.has(slot) ? { states: { slot }, eventTimersMs: [], clockTimersMs: [] } : null;
    const operators = [{ id: 'p', look }, { id: 'blind' }] as unknown as Operator[];
    const keys = new Map([
      ['p', this.table],
      ['blind', this.table],
    ]);
    this.program = { operators, keys } as unknown as StageProgram;
  }

  add(...names: readonly string[]): void {
    for (const name of names) this.kept.add(this.table.slotOfText(name));
  }

  page(query: { prefix?: string; after?: string; limit?: number }): { keys: string[]; next: string | null } {
    const page = readState(this.program, { operator: 'p', ...query });
    return { keys: page?.keys.map(({ key }) => key) ?? [], next: page?.next ?? null };
  }
}

test('one key gives what is kept of it, an unknown one nothing', () => {
  const keys = new Keys();
  keys.add('a', 'b');
  keys.kept.delete(0);
  expect(readState(keys.program, { operator: 'p', key: 'b' })?.keys).toEqual([
    { key: 'b', states: { slot: 1 }, eventTimersMs: [], clockTimersMs: [] },
  ]);
  expect(readState(keys.program, { operator: 'p', key: 'a' })).toEqual({ keys: [], next: null });
  expect(readState(keys.program, { operator: 'p', key: '' })).toEqual({ keys: [], next: null });
});

test('an operator that is not there, or shows nothing, is told from one without keys', () => {
  const keys = new Keys();
  expect(readState(keys.program, { operator: 'q' })).toBe(null);
  expect(readState(keys.program, { operator: 'blind' })).toBe(null);
  expect(readState(keys.program, { operator: 'p' })).toEqual({ keys: [], next: null });
});

test('pages give every key that lives all the while, once', () => {
  const keys = new Keys();
  const names = Array.from({ length: 25 }, (_, i) => `key-${i}`);
  keys.add(...names);
  const seen: string[] = [];
  let after: string | undefined;
  for (let pages = 0; pages < 100; pages++) {
    const page = keys.page({ limit: 10, ...(after === undefined ? {} : { after }) });
    seen.push(...page.keys);
    if (page.next === null) break;
    after = page.next;
    if (pages === 0) keys.add('late');
    if (pages === 1) for (const slot of [3, 4, 21]) keys.kept.delete(slot);
  }
  const stayed = names.filter((_, slot) => ![3, 4, 21].includes(slot));
  expect(seen).toEqual([...new Set(seen)]);
  expect(seen).toEqual(expect.arrayContaining(stayed));
});

test('a prefix picks keys; a page that looked at too many comes back short, with its place', () => {
  const keys = new Keys();
  keys.add(...Array.from({ length: 30_000 }, (_, i) => `common-${i}`), 'rare-1', 'common-z', 'rare-2');
  const first = keys.page({ prefix: 'rare', limit: 5 });
  expect(first.keys).toEqual([]);
  expect(first.next).not.toBe(null);
  expect(keys.page({ prefix: 'rare', limit: 5, after: String(first.next) })).toEqual({
    keys: ['rare-1', 'rare-2'],
    next: null,
  });
});

test('a page of keys that hold much comes back short, with its place', () => {
  const keys = new Keys();
  keys.add('a', 'b', 'c');
  const states = { windows: Array.from({ length: 6_000 }, (_, start) => ({ start })) };
  const look = (): KeyLook => ({ states, eventTimersMs: [], clockTimersMs: [] });
  const program = { ...keys.program, operators: [{ id: 'p', look }] } as unknown as StageProgram;
  const first = readState(program, { operator: 'p' });
  expect(first?.keys.map(({ key }) => key)).toEqual(['a', 'b']);
  const rest = readState(program, { operator: 'p', after: first?.next ?? undefined });
  expect(rest).toMatchObject({ keys: [{ key: 'c' }], next: null });
});

test('a page ends when its time is over, after one slot at least, and the next goes on there', () => {
  const keys = new Keys();
  const names = Array.from({ length: 1_000 }, (_, i) => `${i % 3 === 0 ? 'a' : 'b'}-${i}`);
  keys.add(...names);
  let nowMs = 0;
  // Every look at the clock takes a millisecond.
  const clock = { monotonicMs: () => nowMs++ };
  const seen: string[] = [];
  let pages = 0;
  for (let after: string | null = '0'; after !== null; pages++) {
    const page: StatePage | null = readState(keys.program, { operator: 'p', prefix: 'a', limit: 1_000, after }, clock);
    seen.push(...(page?.keys.map(({ key }) => key) ?? []));
    expect(page?.keys.length).toBeLessThanOrEqual(2);
    expect(page?.next).not.toBe(after);
    after = page?.next ?? null;
  }
  expect(pages).toBeGreaterThan(100);
  expect(seen).toEqual(names.filter((name) => name.startsWith('a')));
});

test.each([{ limit: 0 }, { limit: 1_001 }, { limit: 1.5 }, { after: 'x' }, { after: '-1' }])(
  '%j is refused',
  (query) => {
    expect(() => new Keys().page(query)).toThrow('is not possible');
  },
);
