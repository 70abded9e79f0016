// Owns looking records up in a table that comes through its own change log, both as one stream of tagged records:
// Flink's temporal join. Versioned: with the row that held at the record's event time, once the watermark says that it
// is known. Latest: with the row that came last, at once. Invariant: a record is answered once.

import type { ValueCodec, ValueStore } from '#checkpoint/contract.ts';
import type { OwningCodec } from '#operators/process/contract.ts';
import { LEFT, type Tagged } from '#operators/process/interval-join.ts';
import { KeyedOutputs } from '#operators/process/keyed-outputs.ts';
import { KeyedTimers, TIMER_MS_MAX } from '#operators/process/keyed-timers.ts';
import { firstFrom, insertByTime, type TimedRecord, timedRecordsCodec } from '#operators/process/timed-records.ts';
import { frozen } from '#operators/records/frozen.ts';
import { shown } from '#operators/records/user-function.ts';
import { invariant } from '#runtime/std/errors.ts';
import type {
  Batch,
  BatchConsumer,
  FiringBudget,
  KeyLook,
  KeyTable,
  Operator,
  OperatorContext,
} from '#runtime/task/contract.ts';

/** What the join function sees beside record and row. */
export interface LookupInfo {
  readonly key: string;
  readonly timestampMs: number;
  /** Event time of the row; null without a row. */
  readonly rowMs: number | null;
  readonly watermarkMs: number;
  readonly clockMs: number;
}

export interface TableLookupOptions {
  readonly id: string;
  readonly keys: KeyTable;
  readonly mode: 'versioned' | 'latest';
  /** Whether records without a row go on, with null. */
  readonly kind: 'inner' | 'left';
  /** Versioned: how long after the watermark records are still answered. */
  readonly allowedLatenessMs: number;
  readonly codecs: readonly [record: OwningCodec<unknown>, row: OwningCodec<unknown>];
  /** Changes that say that the key has no row from then on; null: a change that is null does. */
  readonly isDeleted: ((row: unknown) => unknown) | null;
  readonly join: (record: unknown, row: unknown, info: LookupInfo) => unknown;
  readonly results: readonly BatchConsumer[];
  readonly late: readonly BatchConsumer[];
}

interface LookupState {
  timerMs: number;
  /** By event time. A deletion has a null record. */
  readonly rows: TimedRecord[];
  /** Records that wait for the watermark. */
  readonly waiting: TimedRecord[];
}

const NEVER = Number.POSITIVE_INFINITY;
const RESULTS = 0;
const LATE = 1;

export class TableLookup implements Operator {
  readonly id: string;
  readonly #options: TableLookupOptions;
  readonly #outputs: KeyedOutputs;
  readonly #timers: KeyedTimers;
  #store: ValueStore<LookupState> | null = null;
  #context: OperatorContext | null = null;
  #watermarkMs = Number.NEGATIVE_INFINITY;

  constructor(options: TableLookupOptions) {
    const { id, keys, results, late } = options;
    this.id = id;
    this.#options = options;
    this.#outputs = new KeyedOutputs(`lookup '${id}'`, keys, [results, late]);
    this.#timers = new KeyedTimers(`${id}/event-timers`);
  }

  open(context: OperatorContext): void {
    this.#context = context;
    this.#store = context.values(`${this.id}/table`, lookupCodec(this.#options.codecs));
    this.#timers.open(context);
  }

  process(batch: Batch): void {
    invariant(batch.records !== null && this.#context !== null, `lookup '${this.id}' takes records`);
    const outputs = this.#outputs;
    this.#watermarkMs = this.#context.watermarkMs();
    for (let i = 0; i < batch.count; i++) {
      outputs.from(batch, i);
      const [side, record] = batch.records[i] as Tagged;
      if (side !== LEFT) this.#change(record);
      else if (this.#options.mode === 'latest') this.#answerNow(record);
      else this.#ask(record);
    }
    outputs.flush();
  }

  /** Versioned: what is answered at once, and what is late, depends on the watermark. */
  nextBoundaryMs(watermarkMs: number): number {
    if (this.#options.mode === 'latest') return NEVER;
    return watermarkMs === Number.NEGATIVE_INFINITY ? watermarkMs : Math.floor(watermarkMs) + 1;
  }

  nextTimerMs(): number {
    return this.#timers.nextMs();
  }

  fire(timeMs: number, budget: FiringBudget): boolean {
    this.#watermarkMs = this.#context!.watermarkMs();
    let done = true;
    while (this.#timers.nextMs() === timeMs) {
      done = budget.take();
      if (!done) break;
      const slot = this.#timers.take(timeMs);
      this.#outputs.fromTimer(slot, timeMs);
      this.#answerWaiting(slot, timeMs);
    }
    this.#outputs.flush();
    return done;
  }

  usesKey(slot: number): boolean {
    return this.#states.has(slot);
  }

  look(slot: number): KeyLook | null {
    const state = this.#states.get(slot);
    if (state === undefined) return null;
    const { rows, waiting } = state;
    return { states: { rows, waiting }, eventTimersMs: [...this.#timers.timesOf(slot)], clockTimersMs: [] };
  }

  endEntry(): void {}

  wantsEntry(): boolean {
    return false;
  }

  #change(given: unknown): void {
    const { codecs, mode } = this.#options;
    const { slot, timeMs } = this.#outputs;
    if (this.#isBeyond(timeMs)) {
      this.#context!.count('change-out-of-range', 1);
      return;
    }
    const record = this.#isDeleted(given) ? null : frozen(codecs[1].own(given));
    const known = this.#states.change(slot);
    const state: LookupState = known ?? { timerMs: NEVER, rows: [], waiting: [] };
    const { rows } = state;
    if (mode === 'latest') rows.splice(0, 1, { timeMs, record, matched: false });
    // Of changes of one time the last that came holds.
    else insertByTime(rows, { timeMs, record, matched: false });
    this.#settle(state, this.#watermarkMs, known === undefined);
  }

  // A promise, or anything that is merely no false, would delete rows without a word.
  #isDeleted(given: unknown): boolean {
    const { isDeleted } = this.#options;
    if (isDeleted === null) return given === null;
    let answer: unknown;
    try {
      answer = isDeleted(given);
    } catch (error) {
      throw this.#outputs.threw(error, given);
    }
    if (typeof this.#outputs.answered(answer, given) === 'boolean') return answer as boolean;
    throw this.#outputs.failed(`gave ${shown(answer)} instead of a boolean`, given);
  }

  #answerNow(record: unknown): void {
    const rows = this.#states.get(this.#outputs.slot)?.rows;
    this.#answer(record, this.#outputs.timeMs, rows?.[0]);
  }

  #ask(given: unknown): void {
    const { allowedLatenessMs, codecs } = this.#options;
    const { slot, timeMs } = this.#outputs;
    if (timeMs + allowedLatenessMs < this.#watermarkMs || this.#isBeyond(timeMs)) {
      this.#outputs.send(LATE, timeMs, given);
      this.#context!.count('late', 1);
      return;
    }
    if (timeMs < this.#watermarkMs) {
      this.#answer(given, timeMs, rowAt(this.#states.get(slot)?.rows ?? [], timeMs));
      return;
    }
    const record = frozen(codecs[0].own(given));
    const known = this.#states.change(slot);
    const state: LookupState = known ?? { timerMs: NEVER, rows: [], waiting: [] };
    insertByTime(state.waiting, { timeMs, record, matched: false });
    this.#settle(state, this.#watermarkMs, known === undefined);
  }

  // A row of event time t holds from t on, so a record of time t waits for the watermark to pass t.
  #answerWaiting(slot: number, nowMs: number): void {
    const state = this.#states.change(slot);
    invariant(state !== undefined, `a timer of lookup '${this.id}' has no state`);
    state.timerMs = NEVER;
    const { rows, waiting } = state;
    const ready = firstFrom(waiting, nowMs);
    for (let i = 0; i < ready; i++) this.#answer(waiting[i].record, waiting[i].timeMs, rowAt(rows, waiting[i].timeMs));
    waiting.splice(0, ready);
    this.#settle(state, nowMs, false);
  }

  #answer(record: unknown, timeMs: number, found: TimedRecord | undefined): void {
    const row = found === undefined || found.record === null ? null : found;
    if (row === null && this.#options.kind === 'inner') {
      this.#context!.count('unmatched', 1);
      return;
    }
    const info: LookupInfo = {
      key: this.#outputs.keyText,
      timestampMs: timeMs,
      rowMs: row === null ? null : row.timeMs,
      watermarkMs: this.#watermarkMs,
      clockMs: this.#context!.clockMs(),
    };
    let answer: unknown;
    try {
      answer = this.#options.join(record, row === null ? null : row.record, info);
    } catch (error) {
      throw this.#outputs.threw(error, record);
    }
    this.#outputs.send(RESULTS, timeMs, this.#outputs.answered(answer, record));
  }

  // Forgets rows that no record can ask for any more, and sets the next timer.
  #settle(state: LookupState, nowMs: number, isNew: boolean): void {
    const { allowedLatenessMs, mode } = this.#options;
    const { slot } = this.#outputs;
    const { rows, waiting } = state;
    const oldestMs = nowMs - allowedLatenessMs;
    let unused = 0;
    while (unused + 1 < rows.length && rows[unused + 1].timeMs <= oldestMs) unused++;
    rows.splice(0, unused);
    // Before the first row there is none, so a deletion in front says nothing once no change is expected before it.
    if (rows.length > 0 && rows[0].record === null && (mode === 'latest' || rows[0].timeMs < oldestMs)) rows.shift();
    const last = rows.at(-1);
    let dueMs = waiting.length > 0 ? waiting[0].timeMs + 1 : NEVER;
    if (last?.record === null) dueMs = Math.min(dueMs, last.timeMs + allowedLatenessMs + 1);
    if (state.timerMs !== dueMs) {
      if (state.timerMs !== NEVER) this.#timers.delete(slot, state.timerMs);
      if (dueMs !== NEVER) this.#timers.register(slot, dueMs);
      state.timerMs = dueMs;
    }
    if (rows.length === 0 && waiting.length === 0) {
      if (!isNew) this.#states.delete(slot);
    } else if (isNew) this.#states.set(slot, state);
  }

  #isBeyond(timeMs: number): boolean {
    return Math.abs(timeMs) + this.#options.allowedLatenessMs >= TIMER_MS_MAX;
  }

  get #states(): ValueStore<LookupState> {
    invariant(this.#store !== null, `lookup '${this.id}' is used before open`);
    return this.#store;
  }
}

/** The row that holds at `timeMs`. */
function rowAt(rows: readonly TimedRecord[], timeMs: number): TimedRecord | undefined {
  return rows[firstFrom(rows, timeMs + 1) - 1];
}

function lookupCodec([record, row]: readonly [ValueCodec<unknown>, ValueCodec<unknown>]): ValueCodec<LookupState> {
  const rows = timedRecordsCodec(orNull(row));
  const waiting = timedRecordsCodec(record);
  return {
    schemaVersion: rows.schemaVersion * 31 + waiting.schemaVersion,
    write(state, out) {
      out.u8(state.timerMs === NEVER ? 0 : 1);
      if (state.timerMs !== NEVER) out.varint(state.timerMs);
      rows.write(state.rows, out);
      waiting.write(state.waiting, out);
    },
    read(input) {
      const timerMs = input.u8() === 0 ? NEVER : input.varint();
      return { timerMs, rows: rows.read(input), waiting: waiting.read(input) };
    },
  };
}

function orNull(codec: ValueCodec<unknown>): ValueCodec<unknown> {
  return {
    schemaVersion: codec.schemaVersion,
    write(value, out) {
      out.u8(value === null ? 0 : 1);
      if (value !== null) codec.write(value, out);
    },
    read: (input) => (input.u8() === 0 ? null : codec.read(input)),
  };
}
