// Owns looking at keyed state from outside: one key, or keys page by page in the order of their slots. A page never
// misses a key that lives from the first page to the last. To be asked between two entries; changes nothing.

import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { KeyDirectory, KeyLook, Operator, StageProgram } from '#runtime/task/contract.ts';

export interface StateQuery {
  /** Id of the operator. */
  readonly operator: string;
  /** Only this key. */
  readonly key?: string | undefined;
  /** Only keys that begin so. */
  readonly prefix?: string | undefined;
  /** `next` of the page before. */
  readonly after?: string | undefined;
  /** Keys of a page at most. @default 100, at most 1,000 */
  readonly limit?: number | undefined;
}

type MonotonicClock = Pick<Clock, 'monotonicMs'>;

export interface KeyState extends KeyLook {
  readonly key: string;
}

export interface StatePage {
  readonly keys: readonly KeyState[];
  /** Where the next page begins; null: there is none. A page may hold fewer keys than asked for, or none. */
  readonly next: string | null;
}

export const PAGE_KEYS_MAX = 1_000;
/** Slots looked at for one page. */
const PAGE_SLOTS_MAX = 20_000;
/** The task, and all others of its thread, wait as long; a page that took it is at its end. */
const PAGE_MS = 2;
/** Slots that are passed over between two looks at the clock: 50 ns each. */
const SLOTS_BETWEEN = 128;
/** Elements of lists (open windows, …) in one page; the key that brings it there is the last. */
const PAGE_ELEMENTS_MAX = 10_000;

/** For those who wait for all of it. */
const STANDING: MonotonicClock = { monotonicMs: () => 0 };

/**
 * Null when the stage has no such operator. Error config-invalid for a query that cannot be meant. A page ends when two
 * milliseconds of the clock have passed.
 */
export function readState(program: StageProgram, query: StateQuery, clock = STANDING): StatePage | null {
  const operator = program.operators.find(({ id }) => id === query.operator);
  const keys = program.keys?.get(query.operator);
  if (operator?.look === undefined || keys === undefined) return null;
  if (query.key === undefined) return pageOf(operator, keys, query, clock);
  const slot = keys.find(Buffer.from(query.key));
  const look = slot < 0 ? null : operator.look(slot);
  return { keys: look === null ? [] : [{ key: query.key, ...look }], next: null };
}

function pageOf(operator: Operator, keys: KeyDirectory, query: StateQuery, clock: MonotonicClock): StatePage {
  const limit = within('limit', query.limit ?? 100, 1, PAGE_KEYS_MAX);
  const first = query.after === undefined ? 0 : within('after', Number(query.after), 0, Number.MAX_SAFE_INTEGER);
  const prefix = Buffer.from(query.prefix ?? '');
  const found: KeyState[] = [];
  const last = Math.min(keys.slotCount, first + PAGE_SLOTS_MAX);
  let slot = first;
  let elements = 0;
  const endMs = clock.monotonicMs() + PAGE_MS;
  let inTime = true;
  for (; slot < last && found.length < limit && elements < PAGE_ELEMENTS_MAX && inTime; slot++) {
    if (slot % SLOTS_BETWEEN === 0) inTime = clock.monotonicMs() < endMs;
    if (!keys.isLive(slot)) continue;
    const bytes = keys.canonicalBytes(slot);
    const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    if (!key.subarray(0, prefix.length).equals(prefix)) continue;
    const look = operator.look?.(slot) ?? null;
    if (look === null) continue;
    found.push({ key: key.toString(), ...look });
    for (const state of Object.values(look.states)) if (Array.isArray(state)) elements += state.length;
    inTime = clock.monotonicMs() < endMs;
  }
  return { keys: found, next: slot < keys.slotCount ? String(slot) : null };
}

function within(name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new StreamError('config-invalid', `${name} ${value} is not possible`, `give a number from ${min} to ${max}`);
}
