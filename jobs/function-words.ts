// Owns the functions and aggregates that ship, as authors write them: deduplicate, distinct, rollingReduce, rollingTop,
// counterIncrease for `.process(id, …)`; topK, increase, rate for windows. Error job-invalid for what they cannot take.

import { float64, integer, record, type StateCodec, text } from '#checkpoint/codecs.ts';
import type { Duration } from '#jobs/descriptions.ts';
import { show } from '#jobs/option-reader.ts';
import { listState, mapState, type ProcessSpec, type StateDescriptions } from '#jobs/record-words.ts';
import type { RecordAggregate } from '#jobs/window-words.ts';
import {
  COUNTER_SAMPLES,
  type CounterSamples,
  counterSamples,
  increaseOf,
  rateOf,
} from '#operators/aggregates/counter-range.ts';
import { topK as topOf } from '#operators/aggregates/top-k.ts';
import type { ProcessCallbacks } from '#operators/process/contract.ts';
import { type CounterIncrease, counterIncrease as counterCallbacks } from '#operators/process/counter-increase.ts';
import { deduplicate as deduplicateCallbacks } from '#operators/process/deduplicate.ts';
import { distinct as distinctCallbacks } from '#operators/process/distinct.ts';
import { rollingReduce as reduceCallbacks } from '#operators/process/rolling-reduce.ts';
import { rollingTop as topCallbacks } from '#operators/process/rolling-top.ts';
import type { Ranked } from '#operators/records/ranking.ts';
import type { WindowInfo } from '#operators/windows/window-function.ts';
import { parseDuration } from '#runtime/std/duration.ts';
import { StreamError } from '#runtime/std/errors.ts';

type FunctionSpec<In, Out> = ProcessSpec<In, Out, StateDescriptions>;

/**
 * Of the records of a key less than `within` apart in event time the first that came goes on. Side output `late`:
 * records further than `allowedLateness` behind the watermark.
 */
export function deduplicate<T>(options: {
  readonly within: Duration;
  readonly allowedLateness?: Duration | undefined;
}): FunctionSpec<T, T> {
  const withinMs = durationOf('deduplicate', 'within', options.within);
  const allowedLatenessMs = durationOf('deduplicate', 'allowedLateness', options.allowedLateness ?? '0s');
  const callbacks = deduplicateCallbacks({ withinMs, allowedLatenessMs });
  return specOf(callbacks, { passed: listState(integer()) }, ['late']);
}

/**
 * Of the records of a key with the same value the first that came goes on. With `forget` a value is new again when the
 * watermark has passed it by that; records further behind go to the side output `late`.
 */
export function distinct<T>(options: {
  readonly by: (record: T) => string;
  readonly forget?: Duration | undefined;
}): FunctionSpec<T, T> {
  const forgetMs = options.forget === undefined ? null : durationOf('distinct', 'forget', options.forget);
  const callbacks = distinctCallbacks({ by: loose(options.by, 'distinct', 'by'), forgetMs });
  return specOf(callbacks, { seen: mapState(text(), integer()) }, ['late']);
}

/** Each record gives what all records of its key up to it come to. With `ttl` it begins anew after a pause. */
export function rollingReduce<T>(
  reduce: (a: T, b: T) => T,
  options: { readonly codec?: StateCodec<T> | undefined; readonly ttl?: Duration | undefined } = {},
): FunctionSpec<T, T> {
  const callbacks = reduceCallbacks(
    loose(reduce, 'rollingReduce', 'its function') as (a: unknown, b: unknown) => unknown,
  );
  return specOf(callbacks, { value: listState(options.codec ?? record<T>(), { ttl: options.ttl }) });
}

export interface TopOptions<T> {
  readonly k: number;
  /** The larger the better; of equal ones the first that came is ahead. */
  readonly by: (record: T) => number;
  /** Names what has one place only, that of its best record. @default each record has its own */
  readonly id?: ((record: T) => string) | undefined;
}

/** The k best records of a key, best first, whenever they change. */
export function rollingTop<T>(options: TopOptions<T>): FunctionSpec<T, readonly T[]> {
  return specOf(topCallbacks(rankingOf('rollingTop', options)), { top: listState(record<Ranked>()) });
}

/** The k best records of a window, best first. */
export function topK<T>(options: TopOptions<T>): RecordAggregate<T, readonly Ranked[], readonly T[]> {
  return topOf(rankingOf('topK', options)) as RecordAggregate<T, readonly Ranked[], readonly T[]>;
}

/**
 * What a counter gained since its last sample, for each but the first; less than before is a reset, nothing is extrapolated.
 * Samples more than `gap` apart are not compared (default '5m'). Side output `out-of-order`: samples not after the last.
 */
export function counterIncrease<T = { readonly value: number }>(
  options: { readonly value?: ((record: T) => number) | undefined; readonly gap?: Duration | undefined } = {},
): FunctionSpec<T, CounterIncrease> {
  const gapMs = durationOf('counterIncrease', 'gap', options.gap ?? '5m');
  const value = options.value === undefined ? valueFieldOf : loose(options.value, 'counterIncrease', 'value');
  return specOf(counterCallbacks({ value, gapMs }), { last: listState(float64()) }, ['out-of-order']);
}

export interface CounterOptions<T> {
  /** @default the record's `value` */
  readonly value?: ((record: T) => number) | undefined;
  /** Event time in milliseconds. @default the record's `timestamp` */
  readonly timestamp?: ((record: T) => number) | undefined;
}

type CounterAggregate<T> = RecordAggregate<T, CounterSamples, number>;

/** Prometheus' increase() over windows, extrapolated to their borders; no result with fewer than two samples. */
export function increase<T = { readonly value: number; readonly timestamp: number }>(
  options: CounterOptions<T> = {},
): CounterAggregate<T> {
  return counterAggregate('increase', options, increaseOf);
}

/** Prometheus' rate() over windows: as increase, per second. */
export function rate<T = { readonly value: number; readonly timestamp: number }>(
  options: CounterOptions<T> = {},
): CounterAggregate<T> {
  return counterAggregate('rate', options, rateOf);
}

function counterAggregate<T>(
  word: string,
  options: CounterOptions<T>,
  measure: (samples: CounterSamples, startMs: number, endMs: number) => number | null,
): CounterAggregate<T> {
  const value = options.value === undefined ? valueFieldOf : loose(options.value, word, 'value');
  const timestamp = options.timestamp === undefined ? timestampFieldOf : loose(options.timestamp, word, 'timestamp');
  const aggregate = {
    ...counterSamples((record) => ({ timeMs: timestamp(record), value: value(record) })),
    codec: COUNTER_SAMPLES,
    inWindow: (samples: CounterSamples, { startMs, endMs }: WindowInfo) => measure(samples, startMs, endMs),
  };
  return aggregate as unknown as CounterAggregate<T>;
}

function valueFieldOf(record: unknown): unknown {
  return (record as { readonly value?: unknown } | null)?.value;
}

function timestampFieldOf(record: unknown): unknown {
  return (record as { readonly timestamp?: unknown } | null)?.timestamp;
}

function rankingOf<T>(word: string, { k, by, id }: TopOptions<T>) {
  if (!Number.isInteger(k) || k < 1 || k > 10_000)
    throw refused(word, `k is ${show(k)}`, 'give a whole number from 1 to 10000');
  return { k, by: loose(by, word, 'by'), id: id === undefined ? null : loose(id, word, 'id') };
}

function specOf<In, Out>(
  callbacks: ProcessCallbacks,
  state: StateDescriptions,
  sides: readonly string[] = [],
): FunctionSpec<In, Out> {
  return { ...callbacks, state, sides } as unknown as FunctionSpec<In, Out>;
}

function durationOf(word: string, name: string, value: unknown): number {
  const ms = typeof value === 'string' ? parseDuration(value) : null;
  if (ms === null) throw refused(word, `${name} is ${show(value)}`, "write it as '200ms', '5s', '1h30m' or '7d'");
  return ms;
}

/** What a function takes was checked by the types of words, and is not known here. */
function loose(given: unknown, word: string, name: string): (record: unknown) => unknown {
  if (typeof given !== 'function') throw refused(word, `${name} is ${show(given)}`, 'give a function');
  return given as (record: unknown) => unknown;
}

function refused(word: string, problem: string, remedy: string): StreamError {
  return new StreamError('job-invalid', `${word}: ${problem}`, remedy);
}
