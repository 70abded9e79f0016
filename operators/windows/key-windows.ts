// Owns the open windows of one key: their order, their bytes, how sessions merge, when the next of them is due. Pure:
// knows neither store nor timers. Invariant: windows are sorted by start, and sessions never touch each other.

import { readerOf, type ValueCodec } from '#checkpoint/contract.ts';
import type { TriggerPlan } from '#operators/windows/window-trigger.ts';
import type { ByteReader } from '#runtime/std/byte-writer.ts';

export const NEVER = Number.POSITIVE_INFINITY;

export interface OpenWindow {
  /** -Infinity and Infinity of the global window. */
  startMs: number;
  endMs: number;
  /** Means nothing when the window is empty. */
  content: unknown;
  /** True after a firing that purged. */
  isEmpty: boolean;
  /** Records since the last firing. */
  added: number;
  firings: number;
  /** When it fires early, by event time or clock; Infinity when nothing is planned. */
  earlyMs: number;
}

/** The state of a key. Its timers are the earliest of its windows', or before that. */
export interface KeyWindows {
  timerMs: number;
  clockTimerMs: number;
  readonly windows: OpenWindow[];
}

export function emptyWindow(startMs: number, endMs: number): OpenWindow {
  return { startMs, endMs, content: null, isEmpty: true, added: 0, firings: 0, earlyMs: NEVER };
}

/** Where the window that starts at `startMs` is, or would be. Most records are in one of the newest. */
export function placeOf(windows: readonly OpenWindow[], startMs: number): number {
  let at = windows.length;
  while (at > 0 && windows[at - 1].startMs >= startMs) at--;
  return at;
}

/** Whether the key has a session that [startMs, endMs] overlaps or touches. */
export function touchesSession(windows: readonly OpenWindow[], startMs: number, endMs: number): boolean {
  for (const window of windows) if (window.startMs <= endMs && window.endMs >= startMs) return true;
  return false;
}

/** The session that a record of [startMs, endMs) is in from now on; those it connects become one. */
export function mergeSessions(
  windows: OpenWindow[],
  startMs: number,
  endMs: number,
  merge: (content: unknown, next: unknown) => unknown,
): OpenWindow {
  let from = windows.length;
  while (from > 0 && windows[from - 1].endMs >= startMs) from--;
  let to = from;
  while (to < windows.length && windows[to].startMs <= endMs) to++;
  if (from === to) {
    const window = emptyWindow(startMs, endMs);
    windows.splice(from, 0, window);
    return window;
  }
  const [session, ...others] = windows.slice(from, to);
  for (const other of others) absorb(session, other, merge);
  if (startMs < session.startMs) session.startMs = startMs;
  if (endMs > session.endMs) session.endMs = endMs;
  if (others.length > 0) windows.splice(from + 1, others.length);
  return session;
}

// By start, so that the content follows from the records' order and their times alone.
function absorb(session: OpenWindow, next: OpenWindow, merge: (content: unknown, next: unknown) => unknown): void {
  if (!next.isEmpty) {
    session.content = session.isEmpty ? next.content : merge(session.content, next.content);
    session.isEmpty = false;
  }
  session.endMs = Math.max(session.endMs, next.endMs);
  session.added += next.added;
  session.firings = Math.max(session.firings, next.firings);
  session.earlyMs = Math.min(session.earlyMs, next.earlyMs);
}

/** A window for people: what it holds, not yet what it gives. */
export function lookOf({ startMs, endMs, firings, added, isEmpty, content }: OpenWindow): Record<string, unknown> {
  const span = endMs === NEVER ? {} : { start: startMs, end: endMs };
  return { ...span, firings, added, content: isEmpty ? null : content };
}

/** When a window is due next by event time, once everything due at `nowMs` has happened. */
export function dueMs(window: OpenWindow, trigger: TriggerPlan, latenessMs: number, nowMs: number): number {
  const lastMs = trigger.atEnd && window.endMs > nowMs ? window.endMs : window.endMs + latenessMs;
  return trigger.early?.by === 'event-time' ? Math.min(lastMs, window.earlyMs) : lastMs;
}

const TIMER = 1;
const CLOCK_TIMER = 2;
const EMPTY = 1;
const EARLY = 2;

/** `bounded`: windows have a start and an end. */
export function keyWindowsCodec(content: ValueCodec<unknown>, bounded: boolean): ValueCodec<KeyWindows> {
  return {
    // The layout around the content may change apart from it.
    schemaVersion: content.schemaVersion * 16 + 1,
    write({ timerMs, clockTimerMs, windows }, out) {
      out.u8((timerMs === NEVER ? 0 : TIMER) | (clockTimerMs === NEVER ? 0 : CLOCK_TIMER));
      if (timerMs !== NEVER) out.varint(timerMs);
      if (clockTimerMs !== NEVER) out.varint(clockTimerMs);
      out.uvarint(windows.length);
      for (const window of windows) {
        out.u8((window.isEmpty ? EMPTY : 0) | (window.earlyMs === NEVER ? 0 : EARLY));
        if (bounded) {
          out.varint(window.startMs);
          out.uvarint(window.endMs - window.startMs);
        }
        out.uvarint(window.added);
        out.uvarint(window.firings);
        if (window.earlyMs !== NEVER) out.varint(window.earlyMs);
        if (!window.isEmpty) content.write(window.content, out);
      }
    },
    read: (input) => readWindows(input, (from) => content.read(from), bounded),
    readOlder(older) {
      if (older === content.schemaVersion * 16 + 1 || older % 16 !== 1) return null;
      const read = readerOf(content, (older - 1) / 16);
      return read === null ? null : (input) => readWindows(input, read, bounded);
    },
  };
}

function readWindows(input: ByteReader, readContent: (input: ByteReader) => unknown, bounded: boolean): KeyWindows {
  const timers = input.u8();
  const timerMs = timers & TIMER ? input.varint() : NEVER;
  const clockTimerMs = timers & CLOCK_TIMER ? input.varint() : NEVER;
  const windows = new Array<OpenWindow>(input.uvarint());
  for (let i = 0; i < windows.length; i++) {
    const flags = input.u8();
    const startMs = bounded ? input.varint() : Number.NEGATIVE_INFINITY;
    const window = emptyWindow(startMs, bounded ? startMs + input.uvarint() : NEVER);
    window.added = input.uvarint();
    window.firings = input.uvarint();
    if (flags & EARLY) window.earlyMs = input.varint();
    window.isEmpty = (flags & EMPTY) !== 0;
    if (!window.isEmpty) window.content = readContent(input);
    windows[i] = window;
  }
  return { timerMs, clockTimerMs, windows };
}
