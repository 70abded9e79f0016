// Owns windows over records of any shape: tumbling, sliding, session and global ones, when they fire and what is late.
// A key's windows are one value of keyed state, its next timer is one timer. Invariant: each record is judged against
// the watermark before it; results leave in the order (time, key slot, window start).

import type { ValueStore } from '#checkpoint/contract.ts';
import { KeyedTimers } from '#operators/process/keyed-timers.ts';
import { recordOf } from '#operators/records/record-rows.ts';
import {
  dueMs,
  emptyWindow,
  type KeyWindows,
  keyWindowsCodec,
  lookOf,
  mergeSessions,
  NEVER,
  type OpenWindow,
  placeOf,
  touchesSession,
} from '#operators/windows/key-windows.ts';
import { RecordResults } from '#operators/windows/record-results.ts';
import {
  type AlignedWindows,
  alignedWindows,
  isKeepable,
  newestStart,
  nextWindowBoundary,
  oldestStart,
  type WindowAssigner,
} from '#operators/windows/window-assigner.ts';
import { type WindowFold, type WindowFunction, windowFold } from '#operators/windows/window-function.ts';
import { nextMultiple, type TriggerPlan } from '#operators/windows/window-trigger.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';
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

export interface RecordWindowOptions {
  readonly id: string;
  readonly keys: KeyTable;
  readonly assigner: WindowAssigner;
  readonly trigger: TriggerPlan;
  /** How long after its end a window takes late records. */
  readonly allowedLatenessMs: number;
  /** Of session windows it must be able to merge. */
  readonly function: WindowFunction;
  /** The record of a row, as the function sees it. @default the row's record */
  readonly view?: ((batch: Batch, index: number) => unknown) | undefined;
  readonly results: readonly BatchConsumer[];
  /** Receive records that came too late for each of their windows, in order. */
  readonly late: readonly BatchConsumer[];
  /** Open windows of one key at most; error window-limit beyond. @default 16384 */
  readonly windowsMax?: number | undefined;
}

const WINDOWS_MAX = 16_384;

export class RecordWindow implements Operator {
  readonly id: string;
  readonly clockTimers: ClockTimers;
  readonly #options: RecordWindowOptions;
  readonly #aligned: AlignedWindows | null;
  readonly #gapMs: number;
  readonly #fold: WindowFold;
  readonly #results: RecordResults;
  readonly #merge: (content: unknown, next: unknown) => unknown;
  readonly #timers: KeyedTimers;
  readonly #clockTimers: KeyedTimers;
  #store: ValueStore<KeyWindows> | null = null;
  #context: OperatorContext | null = null;
  #watermarkMs = Number.NEGATIVE_INFINITY;
  /** When the windows that the record at hand changed are due. */
  #dueMs = NEVER;

  constructor(options: RecordWindowOptions) {
    const { id, keys, assigner, trigger, results, late } = options;
    this.id = id;
    this.#options = options;
    this.#aligned = alignedWindows(assigner);
    this.#gapMs = assigner.kind === 'session' ? assigner.gapMs : 0;
    this.#fold = windowFold(options.function);
    invariant(assigner.kind !== 'global' || !trigger.atEnd, `window '${id}' waits for the end of a global window`);
    const early = trigger.early?.by === 'event-time' && !trigger.atEnd;
    invariant(!early || assigner.kind === 'global', `window '${id}' fires early but not at its end`);
    invariant(assigner.kind !== 'session' || this.#fold.mergeable, `sessions of '${id}' cannot be merged`);
    const { purge } = trigger;
    this.#results = new RecordResults({ id, keys, fold: this.#fold, purge, results, late });
    this.#merge = (content, next) => this.#results.merge(content, next);
    this.#timers = new KeyedTimers(`${id}/event-timers`);
    this.#clockTimers = new KeyedTimers(`${id}/clock-timers`);
    this.clockTimers = {
      nextMs: () => this.#clockTimers.nextMs(),
      fire: (timeMs, budget) => this.#fireAll(this.#clockTimers, timeMs, budget),
    };
  }

  open(context: OperatorContext): void {
    this.#context = context;
    const codec = keyWindowsCodec(this.#fold.codec, this.#options.assigner.kind !== 'global');
    this.#store = context.values(`${this.id}/windows`, codec);
    this.#timers.open(context);
    this.#clockTimers.open(context);
    this.#results.open(context);
  }

  process(batch: Batch): void {
    invariant(this.#context !== null, `window '${this.id}' is used before open`);
    const { view = recordOf, assigner } = this.#options;
    this.#watermarkMs = this.#context.watermarkMs();
    const results = this.#results;
    let late = 0;
    for (let i = 0; i < batch.count; i++) {
      const record = view(batch, i);
      results.from(batch, i);
      this.#dueMs = NEVER;
      let taken: boolean;
      if (this.#aligned !== null) taken = this.#addAligned(record, this.#aligned);
      else if (assigner.kind === 'session') taken = this.#addToSession(record);
      else taken = this.#addToGlobal(record);
      if (taken) continue;
      results.addLate(record);
      late++;
    }
    results.flush();
    if (late > 0) this.#context.count('late', late);
  }

  /** A session may end anywhere, so each record that moves the watermark ends a batch. */
  nextBoundaryMs(watermarkMs: number): number {
    const { assigner, allowedLatenessMs, trigger } = this.#options;
    if (watermarkMs === Number.NEGATIVE_INFINITY) return watermarkMs;
    if (assigner.kind === 'session') return Math.floor(watermarkMs) + 1;
    const boundaryMs =
      this.#aligned === null ? NEVER : nextWindowBoundary(watermarkMs, this.#aligned, allowedLatenessMs);
    if (trigger.early?.by !== 'event-time') return boundaryMs;
    return Math.min(boundaryMs, nextMultiple(watermarkMs, trigger.early.everyMs));
  }

  nextTimerMs(): number {
    return this.#timers.nextMs();
  }

  fire(timeMs: number, budget: FiringBudget): boolean {
    return this.#fireAll(this.#timers, timeMs, budget);
  }

  usesKey(slot: number): boolean {
    return this.#windows.has(slot);
  }

  look(slot: number): KeyLook | null {
    const state = this.#windows.get(slot);
    if (state === undefined) return null;
    return {
      states: { windows: state.windows.map(lookOf) },
      eventTimersMs: [...this.#timers.timesOf(slot)],
      clockTimersMs: [...this.#clockTimers.timesOf(slot)],
    };
  }

  endEntry(): void {}

  wantsEntry(): boolean {
    return false;
  }

  // False when the record is too late for all of its windows.
  #addAligned(record: unknown, aligned: AlignedWindows): boolean {
    const { sizeMs, slideMs } = aligned;
    const latenessMs = this.#options.allowedLatenessMs;
    const { slot, timeMs } = this.#results;
    const newestMs = newestStart(timeMs, aligned);
    const oldestMs = oldestStart(timeMs, aligned);
    if (oldestMs > newestMs) {
      this.#context!.count('between-windows', 1);
      return true;
    }
    if (newestMs + sizeMs + latenessMs <= this.#watermarkMs) return false;
    if (!isKeepable(oldestMs, newestMs + sizeMs + latenessMs)) return false;
    const known = this.#windows.change(slot);
    const state = known ?? emptyState();
    for (let startMs = oldestMs; startMs <= newestMs; startMs += slideMs) {
      if (startMs + sizeMs + latenessMs > this.#watermarkMs) this.#addTo(state, startMs, startMs + sizeMs, record);
    }
    this.#keep(state, known === undefined);
    return true;
  }

  #addTo(state: KeyWindows, startMs: number, endMs: number, record: unknown): void {
    const { windows } = state;
    const at = placeOf(windows, startMs);
    let window = windows[at];
    if (window === undefined || window.startMs !== startMs) {
      window = emptyWindow(startMs, endMs);
      if (at === windows.length) windows.push(window);
      else windows.splice(at, 0, window);
    }
    this.#add(state, window, record);
  }

  // As Flink, a record that is late for itself is taken up by a session that is still kept and that it touches.
  #addToSession(record: unknown): boolean {
    const latenessMs = this.#options.allowedLatenessMs;
    const startMs = this.#results.timeMs;
    const endMs = startMs + this.#gapMs;
    if (!isKeepable(startMs, endMs + latenessMs)) return false;
    if (endMs + latenessMs <= this.#watermarkMs) {
      const open = this.#windows.get(this.#results.slot);
      if (open === undefined || !touchesSession(open.windows, startMs, endMs)) return false;
    }
    const known = this.#windows.change(this.#results.slot);
    const state = known ?? emptyState();
    this.#add(state, mergeSessions(state.windows, startMs, endMs, this.#merge), record);
    this.#keep(state, known === undefined);
    return true;
  }

  #addToGlobal(record: unknown): boolean {
    const known = this.#windows.change(this.#results.slot);
    const state = known ?? emptyState();
    if (state.windows.length === 0) state.windows.push(emptyWindow(Number.NEGATIVE_INFINITY, NEVER));
    this.#add(state, state.windows[0], record);
    this.#keep(state, known === undefined);
    return true;
  }

  #add(state: KeyWindows, window: OpenWindow, record: unknown): void {
    const { allowedLatenessMs, trigger } = this.#options;
    const { atEnd, count, early } = trigger;
    this.#results.add(window, record);
    if (atEnd && window.endMs <= this.#watermarkMs) this.#results.fire(window, false);
    else if (count !== null && window.added >= count) this.#results.fire(window, false);
    else if (early !== null) this.#planEarly(state, window, early);
    const due = dueMs(window, trigger, allowedLatenessMs, this.#watermarkMs);
    if (due < this.#dueMs) this.#dueMs = due;
  }

  #planEarly(state: KeyWindows, window: OpenWindow, { everyMs, by }: NonNullable<TriggerPlan['early']>): void {
    const nowMs = by === 'clock' ? this.#context!.clockMs() : Math.max(this.#watermarkMs, this.#results.timeMs);
    const earlyMs = nextMultiple(nowMs, everyMs);
    if (earlyMs >= window.earlyMs || (by === 'event-time' && earlyMs >= window.endMs)) return;
    window.earlyMs = earlyMs;
    if (by === 'clock') this.#callAt(this.#clockTimers, state, earlyMs);
  }

  // Ends the change of a key's state after a record.
  #keep(state: KeyWindows, isNew: boolean): void {
    const { windows } = state;
    const { windowsMax = WINDOWS_MAX } = this.#options;
    if (windows.length > windowsMax) throw this.#tooMany(windows.length);
    if (this.#isOver(windows)) {
      this.#drop(state, isNew);
      return;
    }
    if (this.#dueMs < state.timerMs) this.#callAt(this.#timers, state, this.#dueMs);
    if (isNew) this.#windows.set(this.#results.slot, state);
  }

  // A purged global window is as good as none.
  #isOver(windows: readonly OpenWindow[]): boolean {
    return windows.length === 0 || (windows[0].endMs === NEVER && windows[0].isEmpty);
  }

  #drop(state: KeyWindows, isNew: boolean): void {
    if (state.timerMs !== NEVER) this.#timers.delete(this.#results.slot, state.timerMs);
    if (state.clockTimerMs !== NEVER) this.#clockTimers.delete(this.#results.slot, state.clockTimerMs);
    if (!isNew) this.#windows.delete(this.#results.slot);
  }

  /** Makes `timeMs` the time at which the key is looked at next; what was registered before is later, or over. */
  #callAt(timers: KeyedTimers, state: KeyWindows, timeMs: number): void {
    const byClock = timers === this.#clockTimers;
    const registeredMs = byClock ? state.clockTimerMs : state.timerMs;
    if (registeredMs <= timeMs) return;
    if (registeredMs !== NEVER) timers.delete(this.#results.slot, registeredMs);
    timers.register(this.#results.slot, timeMs);
    if (byClock) state.clockTimerMs = timeMs;
    else state.timerMs = timeMs;
  }

  #fireAll(timers: KeyedTimers, timeMs: number, budget: FiringBudget): boolean {
    this.#watermarkMs = this.#context!.watermarkMs();
    let done = true;
    while (timers.nextMs() === timeMs) {
      done = budget.take();
      if (!done) break;
      const slot = timers.take(timeMs);
      if (timers === this.#timers) this.#fireKey(slot, timeMs);
      else this.#fireKeyByClock(slot, timeMs);
    }
    this.#results.flush();
    return done;
  }

  // The timer may be that of a session that went on since: then nothing is due, and it is set anew.
  #fireKey(slot: number, timeMs: number): void {
    const { allowedLatenessMs, trigger } = this.#options;
    const state = this.#windows.change(slot);
    invariant(state !== undefined, `a timer of window '${this.id}' has no windows`);
    this.#results.fromTimer(slot, timeMs);
    state.timerMs = NEVER;
    const { windows } = state;
    let kept = 0;
    let nextMs = NEVER;
    for (let i = 0; i < windows.length; i++) {
      const window = windows[i];
      const isLast = window.endMs + allowedLatenessMs <= timeMs;
      if (trigger.early?.by === 'event-time' && window.earlyMs <= timeMs) this.#fireEarly(window);
      if (trigger.atEnd && window.endMs === timeMs && !window.isEmpty) this.#results.fire(window, isLast);
      if (isLast) continue;
      windows[kept++] = window;
      nextMs = Math.min(nextMs, dueMs(window, trigger, allowedLatenessMs, timeMs));
    }
    windows.length = kept;
    if (this.#isOver(windows)) this.#drop(state, false);
    else if (nextMs !== NEVER) this.#callAt(this.#timers, state, nextMs);
  }

  #fireKeyByClock(slot: number, clockMs: number): void {
    const state = this.#windows.change(slot);
    invariant(state !== undefined, `a clock timer of window '${this.id}' has no windows`);
    this.#results.fromTimer(slot, this.#watermarkMs === Number.NEGATIVE_INFINITY ? clockMs : this.#watermarkMs);
    state.clockTimerMs = NEVER;
    let nextMs = NEVER;
    for (const window of state.windows) {
      if (window.earlyMs <= clockMs) this.#fireEarly(window);
      nextMs = Math.min(nextMs, window.earlyMs);
    }
    if (this.#isOver(state.windows)) this.#drop(state, false);
    else if (nextMs !== NEVER) this.#callAt(this.#clockTimers, state, nextMs);
  }

  #fireEarly(window: OpenWindow): void {
    window.earlyMs = NEVER;
    if (window.added > 0) this.#results.fire(window, false);
  }

  get #windows(): ValueStore<KeyWindows> {
    invariant(this.#store !== null, `window '${this.id}' is used before open`);
    return this.#store;
  }

  #tooMany(count: number): StreamError {
    return new StreamError(
      'window-limit',
      `window '${this.id}' would have ${count} windows of key ${this.#results.keyText} open at once`,
      'make windows larger or slides longer, or lower outOfOrderness and allowedLateness',
    );
  }
}

function emptyState(): KeyWindows {
  return { timerMs: NEVER, clockTimerMs: NEVER, windows: [] };
}
