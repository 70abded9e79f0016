// Owns what a task and the operators of a stage know of each other: batches in columns, sources, operators, sinks and
// the contexts they are opened with. Everything an operator may see is its state, its batch, the watermark and the
// entry's clock; nothing here awaits.

import type { StateRegistry, ValueCodec, ValueStore } from '#checkpoint/contract.ts';
import type { Effect } from '#runtime/effect/contract.ts';
import type { RecordHeader, RecordWalker } from '#runtime/log/record-batch.ts';
import type { ErrorCode } from '#runtime/std/errors.ts';
import type { SourceSchemas } from '#runtime/task/source-schemas.ts';

/**
 * Records in columns; row i of each column belongs together. `key` is a slot of the stage's key table, so it means
 * something only within the task. A batch dies when `process` returns: copy what outlives it.
 */
export class Batch {
  count = 0;
  capacity: number;
  /** Event time, milliseconds. */
  timestampMs: Float64Array;
  /** Slot of the key (before keyBy: of the series) in `keys`. */
  key: Int32Array;
  value: Float64Array;
  /** Where the record came from, for late and dead-letter outputs: partition and offset in `originTopic`. */
  originPartition: Int32Array;
  originOffset: Float64Array;
  originTopic = '';
  /** Largest event time in the batch; -Infinity when empty. */
  maxTimestampMs = Number.NEGATIVE_INFINITY;
  /** Only set on batches of window results; null on samples. */
  stats: StatsColumns | null = null;
  /** Only set on batches of rollup rows as topics hold them. */
  rollups: RollupColumns | null = null;
  /** Only set on batches of records: the value of each row, never to be changed in place. */
  records: unknown[] | null = null;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.timestampMs = new Float64Array(capacity);
    this.key = new Int32Array(capacity);
    this.value = new Float64Array(capacity);
    this.originPartition = new Int32Array(capacity);
    this.originOffset = new Float64Array(capacity);
  }

  clear(): void {
    this.count = 0;
    this.maxTimestampMs = Number.NEGATIVE_INFINITY;
  }

  /** Doubles the capacity; for the record that holds more rows than fit. */
  grow(): void {
    this.capacity *= 2;
    this.timestampMs = grown(this.timestampMs, this.capacity, Float64Array);
    this.key = grown(this.key, this.capacity, Int32Array);
    this.value = grown(this.value, this.capacity, Float64Array);
    this.originPartition = grown(this.originPartition, this.capacity, Int32Array);
    this.originOffset = grown(this.originOffset, this.capacity, Float64Array);
    if (this.rollups !== null) this.rollups = grownRollups(this.rollups, this.capacity);
  }
}

function grown<T extends Float64Array | Int32Array>(column: T, capacity: number, make: new (n: number) => T): T {
  const next = new make(capacity);
  next.set(column);
  return next;
}

/**
 * Window results beside `key` (and `timestampMs` = window end - 1). Sketch of row i: `sketchLength[i]` pairs
 * (bucket code, count) at `sketch[sketchStart[i]]`, sorted by code.
 */
export interface StatsColumns {
  readonly windowStartMs: Float64Array;
  readonly windowEndMs: Float64Array;
  readonly count: Float64Array;
  readonly sum: Float64Array;
  readonly min: Float64Array;
  readonly max: Float64Array;
  /** 0 for the first firing of a window of this key, then one more for each correction. */
  readonly revision: Int32Array;
  sketch: Int32Array;
  readonly sketchStart: Int32Array;
  readonly sketchLength: Int32Array;
  /** Late records made these results, not timers: every timer up to the watermark has fired already. */
  late: boolean;
}

/** What a rollup row says in numbers, in the order of its columns. */
export const ROLLUP_VALUES = ['count', 'sum', 'min', 'max', 'avg', 'p50', 'p95', 'p99'] as const;

/**
 * Rollup rows beside `key` (the series, its metric name followed by `:<resolution>`) and `timestampMs` (= window end - 1).
 */
export interface RollupColumns {
  readonly windowStartMs: Float64Array;
  readonly windowEndMs: Float64Array;
  /** Row i: eight numbers from place 8 * i on, as ROLLUP_VALUES names them. */
  readonly values: Float64Array;
  readonly run: Int32Array;
  readonly revision: Int32Array;
}

export function rollupColumns(capacity: number): RollupColumns {
  return {
    windowStartMs: new Float64Array(capacity),
    windowEndMs: new Float64Array(capacity),
    values: new Float64Array(capacity * ROLLUP_VALUES.length),
    run: new Int32Array(capacity),
    revision: new Int32Array(capacity),
  };
}

function grownRollups(columns: RollupColumns, capacity: number): RollupColumns {
  const next = rollupColumns(capacity);
  next.windowStartMs.set(columns.windowStartMs);
  next.windowEndMs.set(columns.windowEndMs);
  next.values.set(columns.values);
  next.run.set(columns.run);
  next.revision.set(columns.revision);
  return next;
}

/** Series of the stage by slot. Slots are state: given in order of first appearance, freed at defined moments. */
export interface KeyTable {
  /** Slots below this may be in use. */
  readonly slotCount: number;
  /** Canonical series text as UTF-8 bytes, a view that dies with the next change of the table. */
  canonicalBytes(slot: number): Uint8Array;
  /** murmur2 of the canonical bytes. */
  hash(slot: number): number;
  /** `"metric_name":"…","labels":{…}` as UTF-8 JSON bytes without outer braces, a view as above. */
  jsonBytes(slot: number): Uint8Array;
  metricName(slot: number): string;
  /** Label pairs sorted by code point. */
  labels(slot: number): readonly (readonly [string, string])[];
}

/** Keys by their text, for those who look from outside. */
export interface KeyDirectory {
  /** Of the state that holds the keys. */
  readonly stateId: string;
  /** Live keys. */
  readonly size: number;
  /** Slots below this may be in use. */
  readonly slotCount: number;
  isLive(slot: number): boolean;
  /** The key's text as UTF-8 bytes, a view that dies with the next change. */
  canonicalBytes(slot: number): Uint8Array;
  /** -1 when the key has no slot. */
  find(bytes: Uint8Array): number;
}

/** What an operator keeps of a key, as people see it: plain values by the name of the state. */
export interface KeyLook {
  readonly states: Readonly<Record<string, unknown>>;
  /** Ascending. */
  readonly eventTimersMs: readonly number[];
  readonly clockTimersMs: readonly number[];
}

/** Receives batches from upstream. */
export interface BatchConsumer {
  process(batch: Batch): void;
}

/**
 * Counts firings. Before each firing of one (key, timer) ask `take()`; false means: stop here, the entry ends and the
 * rest fires in the next entry. During replay it stops exactly where the recorded entry stopped.
 */
export interface FiringBudget {
  take(): boolean;
}

/** What `open` gives to every operator, source and sink of a stage. */
export interface OperatorContext {
  readonly state: StateRegistry;
  /** Opens keyed state of any shape, `<operator id>/<name>`; may be larger than memory. Only in `open`. */
  values<V extends NonNullable<unknown> | null>(stateId: string, codec: ValueCodec<V>): ValueStore<V>;
  /** Event time up to which the task has seen its input; -Infinity at first. Constant while a batch is processed. */
  watermarkMs(): number;
  /** The entry's clock. */
  clockMs(): number;
  readonly output: Output;
  /** Partitions of a topic that the stage reads or writes, as fixed by the genesis entry. */
  partitionCount(topic: string): number;
  /** This task's number: its input partition. */
  readonly partition: number;
  /** Counts things for metrics and state: `late`, `not-finite`, `dead-letter`, …; cheap, by interned name. */
  count(counter: string, by: number): void;
}

/** The records of the entry under construction. Bytes are copied by `append`. */
export interface Output {
  /** Bytes staged so far in this entry. */
  readonly stagedBytes: number;
  /**
   * Stages one record. `sinkIndex` is the sink's place in the plan. `hashedHeaders` of `headers` take part in the output hash (error
   * text must not: it may change between versions).
   */
  append(
    sinkIndex: number,
    topic: string,
    partition: number,
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    valueStart: number,
    valueEnd: number,
    headers?: readonly RecordHeader[],
    hashedHeaders?: number,
  ): void;
}

/** A step of a stage. `process` pushes results to the consumers it was built with. */
export interface Operator extends BatchConsumer {
  /** Author-given or derived id, unique in the job. */
  readonly id: string;
  open(context: OperatorContext): void;
  /**
   * Smallest event time above `watermarkMs` at which the watermark's arrival could change what this operator does with
   * a record or a timer, whatever the next records are. Batches are cut there. Infinity when time means nothing to it.
   */
  nextBoundaryMs(watermarkMs: number): number;
  /** Event time of the earliest registered timer, Infinity when none. */
  nextTimerMs(): number;
  /**
   * As nextTimerMs, of the timers that may put something out. While there is one the stage is not idle for those behind
   * it, whatever its input is: their watermark would pass what it still owes them. @default nextTimerMs
   */
  nextOutputMs?(): number;
  /** Fires the timers of exactly `timeMs`, keys in slot order; false when the budget ended it early. */
  fire(timeMs: number, budget: FiringBudget): boolean;
  /** Timers by the clock of entries, where an operator has any. */
  readonly clockTimers?: ClockTimers;
  /** Whether state of this operator mentions the key slot. Asked when keys are about to be evicted. */
  usesKey(slot: number): boolean;
  /** What is kept of a key, null when nothing: for people, between entries. Changes nothing. @default not to be seen */
  look?(slot: number): KeyLook | null;
  /** Called when the watermark, clock and input of the entry are final, before its record is built. */
  endEntry(end: EntryEnd): void;
  /** Whether `endEntry` would send something at this clock although no input arrived (exchange watermarks). */
  wantsEntry(end: EntryEnd): boolean;
}

/** Fire when an entry's clock reaches them, before its input. Order as for event timers. */
export interface ClockTimers {
  /** Clock of the earliest registered timer, Infinity when none. */
  nextMs(): number;
  fire(timeMs: number, budget: FiringBudget): boolean;
}

export interface EntryEnd {
  readonly watermarkMs: number;
  readonly clockMs: number;
  readonly idle: boolean;
  /** The entry is the task's part of this savepoint: whoever reads what it writes is to be told behind its output. */
  readonly savepoint?: string;
}

/** How far `decode` may go. */
export interface DecodeLimits {
  /** Stop after the record (included) that brings the largest event time seen to this. */
  readonly cutTimestampMs: number;
  /** Stop before records at or beyond this offset delta. */
  readonly stopDelta: number;
  /** Records with an offset delta below this are skipped. */
  readonly skipBelowDelta: number;
  /** Event times above this are bad input. */
  readonly skewLimitMs: number;
  /** Stop after about this many rows. */
  readonly rowsMax: number;
}

/** One input as the source sees it. */
export interface SourceInput {
  readonly topic: string;
  readonly partition: number;
  readonly baseOffset: bigint;
  readonly baseTimestampMs: number;
}

/** Tells of an in-band record of an exchange; the watermark belongs to the task. */
export interface ExchangeControl {
  /** Index of the writer among those of the genesis entry. */
  readonly writer: number;
  readonly watermarkMs: number;
  readonly idle: boolean;
  /** A savepoint's marker: nothing of this writer follows until the savepoint is over. */
  readonly savepoint?: string;
}

/**
 * The head of a stage: turns log records into rows. A record is atomic: all its rows are judged against the watermark
 * before it, then it raises the watermark.
 */
export interface Source {
  readonly id: string;
  open(context: SourceContext): void;
  /**
   * Appends rows of the walker's next records to `batch` until a limit is met or the walker has no more. Leaves in
   * `consumedDelta` the offset delta after the last record it consumed. An exchange source ends with every record that carries a
   * control and leaves it in `control`.
   */
  decode(input: SourceInput, walker: RecordWalker, limits: DecodeLimits, batch: Batch): void;
  readonly consumedDelta: number;
  readonly control: ExchangeControl | null;
}

export interface SourceContext extends OperatorContext {
  /** Sends the current record (as it came) to the dead-letter topic; `path` when only a part of it is bad. */
  deadLetter(walker: RecordWalker, input: SourceInput, code: string, message: string, path?: string): void;
}

/** How a stage's watermark comes about. */
export type WatermarkRule =
  | {
      readonly kind: 'source';
      readonly outOfOrdernessMs: number;
      readonly idlenessMs: number;
      readonly maxSkewMs: number;
    }
  | { readonly kind: 'exchange' };

/** Everything a task runs, made by the job's compiler for one task; plain objects, opened once per attempt. */
export interface StageProgram {
  readonly stageId: string;
  readonly source: Source;
  readonly watermark: WatermarkRule;
  /** In plan order: the order in which timers of the same time fire. */
  readonly operators: readonly Operator[];
  /** Receives what the source decoded. */
  readonly head: BatchConsumer;
  /** Every table of the stage that holds keys, for figures. @default those of `keys` */
  readonly tables?: readonly { readonly size: number }[];
  /** Topics the stage writes, with the sink index of each for dead letters. */
  readonly outputs: readonly StageOutput[];
  /** The keys of operators that can be looked into, by their ids. @default none */
  readonly keys?: ReadonlyMap<string, KeyDirectory>;
  /** Null: bad records fail the task or are skipped. */
  readonly deadLetter: { readonly topic: string; readonly sinkIndex: number } | null;
  readonly badRecords: 'fail' | 'skip' | 'dead-letter';
  /** @default none */
  readonly effects?: readonly Effect[];
  /** Null or absent: the source asks nobody. */
  readonly schemas?: SourceSchemas | null;
}

export interface StageOutput {
  readonly topic: string;
  readonly sinkIndex: number;
}

export type BadRecordCode = Extract<ErrorCode, 'bad-record'> | string;
