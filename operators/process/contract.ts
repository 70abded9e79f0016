// Owns what a function with state and timers sees: its record, its key, its state, its timers and where results go.
// Names and meanings are Flink's KeyedProcessFunction where there is one.

import type { ValueCodec } from '#checkpoint/contract.ts';

/** One value per key. */
export interface ValueState<V> {
  /** Null when the key has none, or when its time to live is over. What it returns must not be changed: set a new one. */
  get(): V | null;
  set(value: V): void;
  clear(): void;
}

/** A list per key, in the order of `add`. Read and written whole: made for some thousand elements at most. */
export interface ListState<V> {
  /** Empty when the key has none. Must not be changed. */
  get(): readonly V[];
  add(value: V): void;
  set(values: readonly V[]): void;
  clear(): void;
}

/** A map per key; its keys are text, numbers, bigints or booleans. Kept whole in memory while its key is in use: made for some thousand entries at most. */
export interface MapState<K, V> {
  get(key: K): V | null;
  has(key: K): boolean;
  set(key: K, value: V): void;
  /** True when it was there. */
  delete(key: K): boolean;
  /** In the order in which the keys came. */
  entries(): Iterable<readonly [K, V]>;
  readonly size: number;
  clear(): void;
}

/** Folds what is added; keeps the accumulator only. */
export interface AggregateFunction<In, Acc, Out> {
  create(): Acc;
  /** Returns the accumulator, changed in place or new. */
  add(accumulator: Acc, value: In): Acc;
  result(accumulator: Acc): Out;
  /** Needed by session windows and by aggregates split over an exchange. */
  merge?(a: Acc, b: Acc): Acc;
}

export interface AggregatingState<In, Out> {
  /** Null when nothing was added. */
  get(): Out | null;
  add(value: In): void;
  clear(): void;
}

/** Counted from the last write, or the last read as well. */
export type TtlUpdate = 'write' | 'read-and-write';

/**
 * Time to live in event time: a value is gone when the watermark has passed its last update by `ms`. It is never seen
 * after that; its room is freed within an eighth of `ms`.
 */
export interface TtlPlan {
  readonly ms: number;
  readonly update: TtlUpdate;
}

interface Described {
  readonly ttl: TtlPlan | null;
}

/** A codec that takes a value over: refuses what would not come back as it is. */
export interface OwningCodec<V> extends ValueCodec<V> {
  readonly name: string;
  /** The value to be kept. Error operator-failed, naming what cannot be kept and where in the value it is. */
  own(value: V): V;
}

// `codec` is that of what is stored: the value, the whole list, the whole map, the accumulator. What a handle gives its
// function is typed where the descriptor is made.
export type StateDescriptor =
  | (Described & { readonly kind: 'value'; readonly codec: OwningCodec<unknown> })
  | (Described & {
      readonly kind: 'list';
      readonly codec: OwningCodec<unknown[]>;
      readonly element: OwningCodec<unknown>;
    })
  | (Described & {
      readonly kind: 'map';
      readonly codec: OwningCodec<Map<unknown, unknown>>;
      readonly key: OwningCodec<unknown>;
      readonly value: OwningCodec<unknown>;
    })
  | (Described & {
      readonly kind: 'aggregating';
      readonly codec: OwningCodec<unknown>;
      readonly aggregate: AggregateFunction<unknown, unknown, unknown>;
    });

export type StateHandle =
  | ValueState<unknown>
  | ListState<unknown>
  | MapState<unknown, unknown>
  | AggregatingState<unknown, unknown>;

/** Timers of the current key. A time is registered once, however often it is asked for; milliseconds, whole numbers. */
export interface Timers {
  /** Fires when the watermark reaches `timeMs`; right after this record when it has. In a timer: later ones only. */
  onEventTime(timeMs: number): void;
  /** Fires at the beginning of the first entry whose clock has reached `timeMs`. */
  onClock(timeMs: number): void;
  deleteEventTime(timeMs: number): void;
  deleteClock(timeMs: number): void;
}

export interface FunctionContext {
  /** The key as text: of samples the canonical series or `name{label="…"}`, of records what keyBy gave. */
  readonly key: string;
  /** Event time of the record, or of the timer (the watermark for clock timers). */
  readonly timestampMs: number;
  /** Event time up to which the task has seen its input; -Infinity at first. */
  readonly watermarkMs: number;
  /** The entry's clock: the only time of day that is the same on replay. */
  readonly clockMs: number;
  readonly state: Readonly<Record<string, StateHandle>>;
  readonly timers: Timers;
  /** Sends a result on; its event time is that of the context unless given. */
  emit(value: unknown, timestampMs?: number): void;
  /** Sends a value to the side output of that name. */
  side(name: string, value: unknown, timestampMs?: number): void;
}

export interface TimerEvent {
  readonly kind: 'event-time' | 'clock';
  readonly timeMs: number;
}

export interface ProcessCallbacks {
  process(record: unknown, context: FunctionContext): void;
  onTimer?(timer: TimerEvent, context: FunctionContext): void;
}
