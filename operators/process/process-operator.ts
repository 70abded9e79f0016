// Owns running a function with state and timers over the records of a keyed stream: binds the key, calls it, fires its
// timers, gathers what it emits. Invariant: the function sees nothing but its record, its key's state, the watermark
// and the entry's clock, so the same input gives the same output.

import type {
  FunctionContext,
  ProcessCallbacks,
  StateDescriptor,
  TimerEvent,
  Timers,
} from '#operators/process/contract.ts';
import { KeyedTimers, TIMER_MS_MAX } from '#operators/process/keyed-timers.ts';
import { StateHandles } from '#operators/process/state-handles.ts';
import { RecordRows } from '#operators/records/record-rows.ts';
import { functionFailed, isPromise, threw } from '#operators/records/user-function.ts';
import { invariant, type StreamError } from '#runtime/std/errors.ts';
import type {
  Batch,
  BatchConsumer,
  ClockTimers,
  FiringBudget,
  KeyLook,
  KeyTable,
  Operator,
  OperatorContext,
} from '#runtime/task/contract.ts';

/** One record's: no entry can end among them. */
const PAST_FIRINGS_MAX = 100_000;

export interface ProcessOptions {
  readonly id: string;
  readonly keys: KeyTable;
  readonly states: ReadonlyMap<string, StateDescriptor>;
  readonly callbacks: ProcessCallbacks;
  /** The record of a row, as the function sees it. */
  readonly view: (batch: Batch, index: number) => unknown;
  readonly next: readonly BatchConsumer[];
  /** By name of the side output. */
  readonly sides: ReadonlyMap<string, readonly BatchConsumer[]>;
}

export class ProcessOperator implements Operator, FunctionContext {
  readonly id: string;
  readonly clockTimers: ClockTimers;
  readonly timers: Timers;
  // Functions of their own, because authors take them out of the context: `{ state, emit }`.
  readonly emit: FunctionContext['emit'];
  readonly side: FunctionContext['side'];
  timestampMs = 0;
  readonly #options: ProcessOptions;
  readonly #handles: StateHandles;
  readonly #eventTimers: KeyedTimers;
  readonly #clockTimers: KeyedTimers;
  readonly #rows: RecordRows;
  readonly #sides = new Map<string, RecordRows>();
  #context: OperatorContext | null = null;
  #slot = -1;
  #key: string | null = null;
  /** The timer whose function runs. */
  #fired: TimerEvent | null = null;

  constructor(options: ProcessOptions) {
    this.id = options.id;
    this.#options = options;
    this.#handles = new StateHandles(options.id, options.states);
    this.#eventTimers = new KeyedTimers(`${options.id}/event-timers`);
    this.#clockTimers = new KeyedTimers(`${options.id}/clock-timers`);
    this.#rows = new RecordRows(options.next);
    for (const [name, consumers] of options.sides) this.#sides.set(name, new RecordRows(consumers));
    this.clockTimers = {
      nextMs: () => this.#clockTimers.nextMs(),
      fire: (timeMs, budget) => this.#fireClock(timeMs, budget),
    };
    this.emit = (value, timestampMs = this.timestampMs) => {
      this.#rows.add(this.#slot, this.#time(timestampMs), value);
    };
    this.side = (name, value, timestampMs = this.timestampMs) => {
      this.#side(name).add(this.#slot, this.#time(timestampMs), value);
      this.#opened.count(`side-${name}`, 1);
    };
    this.timers = {
      onEventTime: (timeMs) => this.#eventTimers.register(this.#slot, this.#ahead('event-time', timeMs)),
      onClock: (timeMs) => this.#clockTimers.register(this.#slot, this.#ahead('clock', timeMs)),
      deleteEventTime: (timeMs) => this.#eventTimers.delete(this.#slot, this.#checked(timeMs)),
      deleteClock: (timeMs) => this.#clockTimers.delete(this.#slot, this.#checked(timeMs)),
    };
  }

  open(context: OperatorContext): void {
    this.#context = context;
    this.#handles.open(context);
    this.#eventTimers.open(context);
    this.#clockTimers.open(context);
  }

  get key(): string {
    const bytes = this.#options.keys.canonicalBytes(this.#slot);
    this.#key ??= Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
    return this.#key;
  }

  get watermarkMs(): number {
    return this.#opened.watermarkMs();
  }

  get clockMs(): number {
    return this.#opened.clockMs();
  }

  get state(): FunctionContext['state'] {
    return this.#handles.handles;
  }

  process(batch: Batch): void {
    const { callbacks, view } = this.#options;
    const { watermarkMs } = this;
    this.#slot = -1;
    for (let i = 0; i < batch.count; i++) {
      this.#bind(batch.key[i], batch.timestampMs[i]);
      this.#rows.from(batch, i);
      for (const rows of this.#sides.values()) rows.from(batch, i);
      const record = view(batch, i);
      let answer: unknown;
      try {
        answer = callbacks.process(record, this);
      } catch (error) {
        throw this.#failed(threw(error), error);
      }
      if (answer !== undefined && isPromise(answer)) throw this.#failed('is asynchronous', null);
      this.#firePast(watermarkMs);
    }
    this.#flush();
  }

  // What the record asked for in the past, before the next record: when a batch ends must not matter.
  #firePast(watermarkMs: number): void {
    for (let fired = 0; ; fired++) {
      const timeMs = this.#eventTimers.nextMs();
      if (timeMs > watermarkMs) return;
      if (fired === PAST_FIRINGS_MAX) {
        throw this.#failed(`asked for more than ${PAST_FIRINGS_MAX} timers of the past, one after the other,`, null);
      }
      this.#bind(this.#eventTimers.take(timeMs), timeMs);
      this.#onTimer('event-time', timeMs);
    }
  }

  /** What a record or timer does may depend on the watermark before it, so each that moves it ends a batch. */
  nextBoundaryMs(watermarkMs: number): number {
    return watermarkMs === Number.NEGATIVE_INFINITY ? watermarkMs : Math.floor(watermarkMs) + 1;
  }

  nextTimerMs(): number {
    return Math.min(this.#eventTimers.nextMs(), this.#handles.nextSweepMs());
  }

  nextOutputMs(): number {
    return this.#eventTimers.nextMs();
  }

  fire(timeMs: number, budget: FiringBudget): boolean {
    while (this.#eventTimers.nextMs() === timeMs) {
      if (!budget.take()) return this.#interrupted();
      this.#bind(this.#eventTimers.take(timeMs), timeMs);
      this.#onTimer('event-time', timeMs);
    }
    while (this.#handles.nextSweepMs() === timeMs) {
      if (!budget.take()) return this.#interrupted();
      this.#handles.sweepOne(timeMs);
    }
    this.#flush();
    return true;
  }

  usesKey(slot: number): boolean {
    return this.#handles.usesKey(slot) || this.#eventTimers.has(slot) || this.#clockTimers.has(slot);
  }

  look(slot: number): KeyLook | null {
    const states = this.#handles.look(slot);
    const eventTimersMs = this.#eventTimers.timesOf(slot);
    const clockTimersMs = this.#clockTimers.timesOf(slot);
    if (states === null && eventTimersMs.length + clockTimersMs.length === 0) return null;
    return { states: states ?? {}, eventTimersMs: [...eventTimersMs], clockTimersMs: [...clockTimersMs] };
  }

  endEntry(): void {}

  wantsEntry(): boolean {
    return false;
  }

  #fireClock(timeMs: number, budget: FiringBudget): boolean {
    while (this.#clockTimers.nextMs() === timeMs) {
      if (!budget.take()) return this.#interrupted();
      const { watermarkMs, clockMs } = this;
      this.#bind(this.#clockTimers.take(timeMs), watermarkMs === Number.NEGATIVE_INFINITY ? clockMs : watermarkMs);
      this.#onTimer('clock', timeMs);
    }
    this.#flush();
    return true;
  }

  #interrupted(): false {
    this.#flush();
    return false;
  }

  #onTimer(kind: TimerEvent['kind'], timeMs: number): void {
    this.#rows.fromTimer();
    for (const rows of this.#sides.values()) rows.fromTimer();
    this.#fired = { kind, timeMs };
    let answer: unknown;
    try {
      answer = this.#options.callbacks.onTimer?.(this.#fired, this);
    } catch (error) {
      throw this.#failed(`${threw(error)} in onTimer`, error);
    }
    if (isPromise(answer)) throw this.#failed('is asynchronous in onTimer', null);
    this.#fired = null;
  }

  #bind(slot: number, timestampMs: number): void {
    if (slot !== this.#slot) {
      this.#slot = slot;
      this.#key = null;
    }
    this.timestampMs = timestampMs;
    this.#handles.bind(slot, timestampMs);
  }

  #flush(): void {
    // A slot may mean another key when the next batch comes.
    this.#slot = -1;
    this.#rows.flush();
    for (const rows of this.#sides.values()) rows.flush();
  }

  // A timer that asks for itself again, or for one before it, would never let the entry end.
  #ahead(kind: TimerEvent['kind'], timeMs: number): number {
    const fired = this.#fired;
    if (fired === null || fired.kind !== kind || timeMs > fired.timeMs) return this.#checked(timeMs);
    throw this.#failed(`asked in its timer of ${fired.timeMs} for one at ${timeMs}, which is not after it,`, null);
  }

  #checked(timeMs: number): number {
    if (Number.isInteger(timeMs) && Math.abs(timeMs) <= TIMER_MS_MAX) return timeMs;
    throw this.#failed(`asked for a timer at ${timeMs}, which is no time in whole milliseconds`, null);
  }

  #side(name: string): RecordRows {
    const rows = this.#sides.get(name);
    if (rows !== undefined) return rows;
    const known = [...this.#sides.keys()].map((one) => `'${one}'`).join(', ') || 'none';
    throw this.#failed(`sent to the side output '${name}', which leads nowhere (declared: ${known})`, null);
  }

  #time(timestampMs: number): number {
    if (Number.isSafeInteger(timestampMs)) return timestampMs;
    throw this.#failed(`emitted a value with the event time ${timestampMs}, which is not in whole milliseconds,`, null);
  }

  get #opened(): OperatorContext {
    invariant(this.#context !== null, `'${this.id}' is used before open`);
    return this.#context;
  }

  #failed(problem: string, cause: unknown): StreamError {
    return functionFailed(`process '${this.id}'`, problem, `for key ${this.key} at ${this.timestampMs}`, cause);
  }
}
