// Owns what `build` records: the steps of a job in the order they were written, and the stream handles that record
// them. Checks nothing: the compiler does. Invariant: a step's input stands before it.

import type { AggregateDescription, KeySelector, TopicDescription } from '#jobs/descriptions.ts';
import type { IntervalJoinSpec, LookupSpec, PairSpec } from '#jobs/join-words.ts';
import type { FilterFunction, MapFunction, Sample } from '#jobs/plan.ts';
import type { ProcessSpec, RecordsDescription, StateDescriptions } from '#jobs/record-words.ts';
import type { RemoteWriteDescription, RowsDescription } from '#jobs/tsdb-words.ts';
import type {
  AggregateOptions,
  RecordAggregate,
  RecordWindowDescription,
  WindowFunctionDescription,
  WindowRecord,
} from '#jobs/window-words.ts';
import { LEFT, RIGHT, type Tagged } from '#operators/process/interval-join.ts';
import type { WindowInfo } from '#operators/windows/window-function.ts';

/** `input` is a place in the list of steps; below zero a source: -1 the first, -2 the second (sourceInput). */
export type GraphStep =
  | FunctionStep
  | KeyByStep
  | ProcessStep
  | { readonly kind: 'side'; readonly name: string; readonly input: number }
  | WindowStep
  | PairStep
  | { readonly kind: 'topic'; readonly input: number; readonly topic: TopicDescription }
  | RemoteWriteStep;

export interface FunctionStep {
  readonly kind: 'map' | 'filter' | 'flatMap';
  readonly id: string;
  readonly input: number;
  readonly apply: (record: never) => unknown;
}

export interface KeyByStep {
  readonly kind: 'keyBy';
  readonly input: number;
  /** Streams that come together under the key beside `input`. */
  readonly others: readonly number[];
  readonly selector: KeySelector | RecordSelector;
}

/** A key that a function names. */
export interface RecordSelector {
  readonly kind: 'function';
  readonly id: string;
  readonly apply: (record: never) => unknown;
}

export interface ProcessStep {
  readonly kind: 'process';
  readonly id: string;
  readonly input: number;
  readonly spec: ProcessSpec<never, unknown, StateDescriptions>;
}

export interface WindowStep {
  readonly kind: 'window';
  readonly id: string;
  readonly input: number;
  readonly window: RecordWindowDescription;
  /** One for each call of `aggregate`, `reduce` or `process`; right is exactly one. */
  readonly aggregates: (AggregateDescription | WindowFunctionDescription)[];
}

/** A join or lookup behind the keyBy that brings both streams together, tagged with their side. */
export interface PairStep {
  readonly kind: 'interval-join' | 'lookup';
  readonly id: string;
  readonly input: number;
  readonly spec: PairSpec;
}

export interface RemoteWriteStep {
  readonly kind: 'remote-write';
  readonly input: number;
  readonly target: RemoteWriteDescription;
}

/** How a step names the source at a place in the list of sources as its input; the same back. */
export function sourceInput(place: number): number {
  return -1 - place;
}

/** Samples as they come from the source. */
export interface SampleStream {
  /**
   * Gives another sample for each: value, labels, metric name and timestamp may change. `apply` must depend on nothing
   * but its argument: no clock, randomness or memory. A throw fails the task with operator-failed.
   */
  map(id: string, apply: MapFunction): SampleStream;
  /** Keeps the samples for which `apply` is true; the rule for `apply` is that of map. */
  filter(id: string, apply: FilterFunction): SampleStream;
  /** Brings the samples of a key together: `series`, or `by('service', 'region')`. */
  keyBy(selector: KeySelector): KeyedStream;
  /** Any number of records of any shape for each sample; the rule for `apply` is that of map. */
  flatMap<Out>(id: string, apply: (sample: Sample) => readonly Out[]): RecordStream<Out>;
  /** Nothing else may read the source of samples that go to a receiver: it would wait for it too. */
  to(target: RemoteWriteDescription): void;
}

/** Rollup rows as they come from a topic. */
export interface RollupStream {
  to(target: RemoteWriteDescription): void;
}

/** Samples by key. */
export interface KeyedStream {
  /** A function with state and timers over the samples of a key. */
  process<Out, S extends StateDescriptions>(id: string, spec: ProcessSpec<Sample, Out, S>): ProcessedStream<Out>;
  window(id: string, window: RecordWindowDescription): WindowedStream;
}

export interface WindowedStream extends RecordWindowedStream<Sample> {
  /** Rows of tumbling windows. */
  aggregate(aggregate: AggregateDescription): RowStream;
  aggregate<Acc, Value>(aggregate: RecordAggregate<Sample, Acc, Value>): ProcessedStream<WindowRecord<Value>>;
  aggregate<Acc, Value, Out>(
    aggregate: RecordAggregate<Sample, Acc, Value>,
    result: (value: Value, window: WindowInfo) => Out,
  ): ProcessedStream<Out>;
}

/** Late records are its side output `late`. Functions must depend on what they are given alone. */
export interface RecordWindowedStream<T> {
  reduce(reduce: (a: T, b: T) => T): ProcessedStream<WindowRecord<T>>;
  reduce<Out>(reduce: (a: T, b: T) => T, result: (value: T, window: WindowInfo) => Out): ProcessedStream<Out>;
  aggregate<Acc, Value>(
    aggregate: RecordAggregate<T, Acc, Value>,
    result?: undefined,
    options?: AggregateOptions,
  ): ProcessedStream<WindowRecord<Value>>;
  aggregate<Acc, Value, Out>(
    aggregate: RecordAggregate<T, Acc, Value>,
    result: (value: Value, window: WindowInfo) => Out,
    options?: AggregateOptions,
  ): ProcessedStream<Out>;
  /** All records of a window at once: keeps them all until then. */
  process<Out>(apply: (records: readonly T[], window: WindowInfo) => readonly Out[]): ProcessedStream<Out>;
}

/** Window results: one row per key and window, and one for each correction. */
export interface RowStream {
  /** Larger windows of these; aggregate them with mergedStats(). */
  window(id: string, window: RecordWindowDescription): WindowedStream;
  to(topic: TopicDescription): void;
}

/** Records of any shape. The rule for functions is that of SampleStream.map. */
export interface RecordStream<T> {
  map<Out>(id: string, apply: (record: T) => Out): RecordStream<Out>;
  filter(id: string, apply: (record: T) => boolean): RecordStream<T>;
  flatMap<Out>(id: string, apply: (record: T) => readonly Out[]): RecordStream<Out>;
  /** Both streams as one; keyBy comes next. Records of a key are taken in the order of the log between the stages. */
  union<U>(...others: readonly RecordStream<U>[]): UnionStream<T | U>;
  /** Brings the records of a key together; `key` names it with a text that is not empty. */
  keyBy(id: string, key: (record: T) => string): KeyedRecordStream<T>;
  /** Pairs of records of two streams with the same key, whose event times are within bounds of each other. */
  intervalJoin<U, Out>(id: string, other: RecordStream<U>, spec: IntervalJoinSpec<T, U, Out>): ProcessedStream<Out>;
  /** Each record with the row of a table, which comes as the stream of its changes. */
  lookup<Row, Out>(id: string, table: RecordStream<Row>, spec: LookupSpec<T, Row, Out>): ProcessedStream<Out>;
  to(topic: TopicDescription): void;
}

export interface UnionStream<T> {
  union<U>(...others: readonly RecordStream<U>[]): UnionStream<T | U>;
  keyBy(id: string, key: (record: T) => string): KeyedRecordStream<T>;
}

export interface KeyedRecordStream<T> {
  /** A function with state and timers over the records of a key. */
  process<Out, S extends StateDescriptions>(id: string, spec: ProcessSpec<T, Out, S>): ProcessedStream<Out>;
  window(id: string, window: RecordWindowDescription): RecordWindowedStream<T>;
}

/** What a function emits; its side outputs by name. */
export interface ProcessedStream<T> extends RecordStream<T> {
  side<U = unknown>(name: string): RecordStream<U>;
}

/** What `build` is given for a source. */
export type StreamOf<Source> =
  Source extends RecordsDescription<infer T>
    ? RecordStream<T>
    : Source extends RowsDescription
      ? RollupStream
      : SampleStream;

/** A fresh list of steps and the streams that record into it, one for each source. */
export function recordGraph(sources: number): RecordedGraph {
  const steps: GraphStep[] = [];
  const unkeyed: string[] = [];
  const place = (at: number) => new StreamHandle(steps, sourceInput(at), [], unkeyed);
  return { steps, unkeyed, streams: Array.from({ length: sources }, (_, at) => place(at)) };
}

interface RecordedGraph {
  readonly steps: GraphStep[];
  readonly streams: readonly unknown[];
  /** Kinds of the steps that stand behind a union although keyBy must. */
  readonly unkeyed: readonly string[];
}

/** One class behind all stream types, so that a wrong order written without types becomes a fault and not a crash. */
class StreamHandle {
  readonly #steps: GraphStep[];
  readonly #at: number;
  readonly #others: readonly number[];
  readonly #unkeyed: string[];

  constructor(steps: GraphStep[], at: number, others: readonly number[], unkeyed: string[]) {
    this.#steps = steps;
    this.#at = at;
    this.#others = others;
    this.#unkeyed = unkeyed;
  }

  map(id: string, apply: (record: never) => unknown): StreamHandle {
    return this.#add({ kind: 'map', id, input: this.#at, apply });
  }

  filter(id: string, apply: (record: never) => unknown): StreamHandle {
    return this.#add({ kind: 'filter', id, input: this.#at, apply });
  }

  flatMap(id: string, apply: (record: never) => unknown): StreamHandle {
    return this.#add({ kind: 'flatMap', id, input: this.#at, apply });
  }

  union(...streams: readonly StreamHandle[]): StreamHandle {
    const others = streams.flatMap((stream) => [stream.#at, ...stream.#others]);
    return new StreamHandle(this.#steps, this.#at, [...this.#others, ...others], this.#unkeyed);
  }

  keyBy(selector: KeySelector | string, apply?: (record: never) => unknown): StreamHandle {
    if (typeof selector === 'string') {
      const byFunction: RecordSelector = { kind: 'function', id: selector, apply: apply as RecordSelector['apply'] };
      return this.#add({ kind: 'keyBy', input: this.#at, others: this.#others, selector: byFunction });
    }
    const same = this.#steps.findIndex(
      (step) =>
        step.kind === 'keyBy' && step.input === this.#at && JSON.stringify(step.selector) === JSON.stringify(selector),
    );
    if (same >= 0) return this.#handle(same);
    return this.#add({ kind: 'keyBy', input: this.#at, others: this.#others, selector });
  }

  process(id: string | ((records: never) => unknown), spec?: ProcessStep['spec']): StreamHandle {
    if (this.#steps[this.#at]?.kind === 'window') return this.#fold({ kind: 'process', process: id });
    return this.#add({ kind: 'process', id: id as string, input: this.#at, spec: spec as ProcessStep['spec'] });
  }

  side(name: string): StreamHandle {
    const same = this.#steps.findIndex((step) => step.kind === 'side' && step.input === this.#at && step.name === name);
    return same >= 0 ? this.#handle(same) : this.#add({ kind: 'side', name, input: this.#at });
  }

  window(id: string, window: RecordWindowDescription): StreamHandle {
    return this.#add({ kind: 'window', id, input: this.#at, window, aggregates: [] });
  }

  aggregate(aggregate: unknown, result?: unknown, options?: unknown): StreamHandle {
    const { kind } = (aggregate ?? {}) as { readonly kind?: unknown };
    if (kind === 'stats' || kind === 'mergedStats') return this.#fold({ kind });
    return this.#fold({ kind: 'aggregate', aggregate, result, options });
  }

  reduce(reduce: unknown, result?: unknown): StreamHandle {
    return this.#fold({ kind: 'reduce', reduce, result });
  }

  #fold(description: WindowStep['aggregates'][0]): StreamHandle {
    const step = this.#steps[this.#at];
    if (step?.kind === 'window') step.aggregates.push(description);
    else this.#steps.push({ kind: 'window', id: '', input: this.#at, window: NO_WINDOW, aggregates: [description] });
    return this;
  }

  intervalJoin(id: string, other: StreamHandle, spec: PairSpec): StreamHandle {
    const keys = spec as unknown as IntervalJoinSpec<unknown, unknown, unknown>;
    return this.#together(id, other, keys?.key, keys?.otherKey).#pair('interval-join', id, spec);
  }

  lookup(id: string, table: StreamHandle, spec: PairSpec): StreamHandle {
    const keys = spec as unknown as LookupSpec<unknown, unknown, unknown>;
    return this.#together(id, table, keys?.key, keys?.tableKey).#pair('lookup', id, spec);
  }

  /** Both streams as one under a key, each record tagged with its side. */
  #together(id: string, other: StreamHandle, key: KeyOf, otherKey: KeyOf): StreamHandle {
    const left = this.map(`${id}-left`, (record: unknown) => [LEFT, record]);
    const right = other.map(`${id}-right`, (record: unknown) => [RIGHT, record]);
    const ofTagged = ([side, record]: Tagged) => (side === LEFT ? key(record) : otherKey(record));
    return left.union(right).keyBy(`${id}-key`, ofTagged as (record: never) => unknown);
  }

  to(sink: TopicDescription | RemoteWriteDescription): void {
    if (sink?.kind === 'remote-write') this.#add({ kind: 'remote-write', input: this.#at, target: sink });
    else this.#add({ kind: 'topic', input: this.#at, topic: sink });
  }

  #pair(kind: PairStep['kind'], id: string, spec: PairSpec): StreamHandle {
    return this.#add({ kind, id, input: this.#at, spec });
  }

  #add(step: GraphStep): StreamHandle {
    if (step.kind !== 'keyBy' && this.#others.length > 0) this.#unkeyed.push(step.kind);
    this.#steps.push(step);
    return this.#handle(this.#steps.length - 1);
  }

  #handle(at: number): StreamHandle {
    return new StreamHandle(this.#steps, at, [], this.#unkeyed);
  }
}

type KeyOf = (record: unknown) => unknown;

const NO_WINDOW: RecordWindowDescription = { kind: 'tumbling', size: '', options: {} };
