// Owns when windows fire, as plain data. A window fires early by time or count, at its end, and for late records.

export interface TriggerPlan {
  /** Fires when the watermark reaches the window's end, and then for each late record. */
  readonly atEnd: boolean;
  /** Fires at each multiple of `everyMs`, of event time or of the entries' clock, if something came since. */
  readonly early: { readonly everyMs: number; readonly by: 'event-time' | 'clock' } | null;
  /** Fires with every so many records since the last firing. */
  readonly count: number | null;
  /** A firing empties the window: results are parts, to be added up. Otherwise each replaces the one before. */
  readonly purge: boolean;
}

/** Flink's EventTimeTrigger, the default. */
export const AT_END: TriggerPlan = { atEnd: true, early: null, count: null, purge: false };

/** Smallest multiple of `everyMs` above `timeMs`. */
export function nextMultiple(timeMs: number, everyMs: number): number {
  return (Math.floor(timeMs / everyMs) + 1) * everyMs;
}
