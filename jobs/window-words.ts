// Owns the words for windows over records: sliding, session, globalWindow, countWindow, triggers, and aggregates as
// authors write them. They only hold what the author gave; the compiler checks it.

import type { StateCodec } from '#checkpoint/codecs.ts';
import type { Duration, WindowDescription } from '#jobs/descriptions.ts';
import type { AggregateFunction } from '#operators/process/contract.ts';
import type { WindowInfo } from '#operators/windows/window-function.ts';

export interface TriggerOptions {
  /** Fires at the window's end, and for each late record after that. @default true; global windows have no end */
  readonly atEnd?: boolean | undefined;
  /** Fires at each multiple of it, if something came since: of event time, or by 'clock'. @default never */
  readonly early?: { readonly every: Duration; readonly by?: 'event-time' | 'clock' | undefined } | undefined;
  /** Fires with every so many records. @default never */
  readonly count?: number | undefined;
  /** A firing empties the window: results are parts. Otherwise each replaces the one before. @default false */
  readonly purge?: boolean | undefined;
}

interface WindowOptions {
  /** How long after its end a window takes late records, and fires again for each. @default '0s' */
  readonly allowedLateness?: Duration | undefined;
  readonly trigger?: TriggerOptions | undefined;
}

export interface SlidingOptions extends WindowOptions {
  /** Moves all borders, forwards or, with a minus, backwards. @default '0s' */
  readonly offset?: Duration | undefined;
}

export interface CountOptions {
  /** A result after every so many records, over the last of them. @default as many as the size */
  readonly slide?: number | undefined;
}

export type RecordWindowDescription =
  | WindowDescription
  | {
      readonly kind: 'sliding';
      readonly size: Duration;
      readonly slide: Duration;
      readonly options: SlidingOptions;
    }
  | { readonly kind: 'session'; readonly gap: Duration; readonly options: WindowOptions }
  | { readonly kind: 'global'; readonly options: { readonly trigger: TriggerOptions } }
  | { readonly kind: 'count'; readonly size: number; readonly options: CountOptions };

/** Windows of one length that begin every `slide`: a record is in each that contains it. */
export function sliding(size: Duration, slide: Duration, options: SlidingOptions = {}): RecordWindowDescription {
  return { kind: 'sliding', size, slide, options };
}

/** Records of a key at most `gap` apart; ends `gap` after the last. */
export function session(gap: Duration, options: WindowOptions = {}): RecordWindowDescription {
  return { kind: 'session', gap, options };
}

/**
 * All records of a key; fires as its trigger says and never by itself. Nothing ends it: without `purge` a value of each key
 * that ever came is kept.
 */
export function globalWindow(options: { readonly trigger: TriggerOptions }): RecordWindowDescription {
  return { kind: 'global', options };
}

/** Every `size` records of a key in the order they come, or with `slide` the last `size` after every `slide`. */
export function countWindow(size: number, options: CountOptions = {}): RecordWindowDescription {
  return { kind: 'count', size, options };
}

/** An aggregate, with the codec of its accumulator. */
export interface RecordAggregate<In, Acc, Value> extends AggregateFunction<In, Acc, Value> {
  /** @default record() */
  readonly codec?: StateCodec<Acc> | undefined;
  /** Of aggregates whose value depends on the window: makes it of what `result` gave, null for none. */
  readonly inWindow?: ((result: Value, window: WindowInfo) => Value | null) | undefined;
}

export interface AggregateOptions {
  /**
   * Folds records before the exchange as well and sends accumulators through it: for few keys with many records. Needs
   * `merge`, tumbling or sliding windows and keyBy with a function; what is late goes to the late output as accumulators.
   * @default false
   */
  readonly split?: boolean | undefined;
}

/** What a window gives when the job names no function for it. */
export interface WindowRecord<Value> {
  readonly key: string;
  /** Missing of global and count windows. */
  readonly window_start?: number;
  readonly window_end?: number;
  /** 0 for the first result of a window, then one more for each further firing. Missing of count windows. */
  readonly revision?: number;
  readonly value: Value;
}

/** What a window does with its records; recorded by the stream, checked by the compiler. */
export type WindowFunctionDescription =
  | { readonly kind: 'reduce'; readonly reduce: unknown; readonly result: unknown }
  | { readonly kind: 'aggregate'; readonly aggregate: unknown; readonly result: unknown; readonly options: unknown }
  | { readonly kind: 'process'; readonly process: unknown };
