// Owns which windows a record of an event time belongs to, as plain data and arithmetic. Knows no key and no state.
// Names are Flink's; where sessions merge is the affair of whoever keeps them.

import { TIMER_MS_MAX } from '#operators/process/keyed-timers.ts';

export type WindowAssigner =
  | { readonly kind: 'tumbling'; readonly sizeMs: number; readonly offsetMs: number }
  /** With `slideMs` above `sizeMs` some records are in no window. */
  | { readonly kind: 'sliding'; readonly sizeMs: number; readonly slideMs: number; readonly offsetMs: number }
  /** Records of a key at most `gapMs` apart share a window, which ends `gapMs` after the last of them. */
  | { readonly kind: 'session'; readonly gapMs: number }
  /** One window without an end; it fires by count or by time, never by itself. */
  | { readonly kind: 'global' };

/** Windows [start, start + size) with start = offset + n · slide. */
export interface AlignedWindows {
  readonly sizeMs: number;
  readonly slideMs: number;
  readonly offsetMs: number;
}

/** The assigner as aligned windows, null when it is of another kind. */
export function alignedWindows(assigner: WindowAssigner): AlignedWindows | null {
  if (assigner.kind === 'tumbling') return { ...assigner, slideMs: assigner.sizeMs };
  return assigner.kind === 'sliding' ? assigner : null;
}

/** Start of the newest window that `timeMs` can belong to: the largest one not above it. */
export function newestStart(timeMs: number, windows: AlignedWindows): number {
  const { slideMs, offsetMs } = windows;
  return Math.floor((timeMs - offsetMs) / slideMs) * slideMs + offsetMs;
}

/** Start of the oldest window that contains `timeMs`; above newestStart when it falls between windows. */
export function oldestStart(timeMs: number, windows: AlignedWindows): number {
  return newestStart(timeMs - windows.sizeMs, windows) + windows.slideMs;
}

/** Smallest time above `watermarkMs` at which a window ends, or stops taking late records. */
export function nextWindowBoundary(watermarkMs: number, windows: AlignedWindows, latenessMs: number): number {
  const endMs = nextEnd(watermarkMs, windows);
  return latenessMs === 0 ? endMs : Math.min(endMs, nextEnd(watermarkMs - latenessMs, windows) + latenessMs);
}

/** Whether a window up to `endMs` can be kept, timers and all: ±35,000 years. */
export function isKeepable(startMs: number, endMs: number): boolean {
  return startMs >= -TIMER_MS_MAX && endMs <= TIMER_MS_MAX;
}

function nextEnd(afterMs: number, windows: AlignedWindows): number {
  return newestStart(afterMs - windows.sizeMs, windows) + windows.slideMs + windows.sizeMs;
}
