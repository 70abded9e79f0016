// Owns joining two streams of one key by how far apart their event times are. Both come as one stream of tagged
// records. Invariant: each pair within the bounds is put out once, when the second of the two comes, and a record is
// kept no longer than something may still come that it can meet.

import type { ValueCodec, ValueStore } from '#checkpoint/contract.ts';
import type { OwningCodec } from '#operators/process/contract.ts';
import { KeyedOutputs } from '#operators/process/keyed-outputs.ts';
import { KeyedTimers, TIMER_MS_MAX } from '#operators/process/keyed-timers.ts';
import { firstFrom, insertByTime, type TimedRecord, timedRecordsCodec } from '#operators/process/timed-records.ts';
import { frozen } from '#operators/records/frozen.ts';
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

/** A record of one of two streams that come as one. */
export type Tagged = readonly [side: typeof LEFT | typeof RIGHT, record: unknown];
export const LEFT = 0;
export const RIGHT = 1;

/** What the join function sees beside the records. */
export interface JoinInfo {
  readonly key: string;
  /** Event times; null where nothing was met. */
  readonly leftMs: number | null;
  readonly rightMs: number | null;
  readonly watermarkMs: number;
  readonly clockMs: number;
}

export type JoinKind = 'inner' | 'left' | 'right' | 'full';

export interface IntervalJoinOptions {
  readonly id: string;
  readonly keys: KeyTable;
  /** left + lower ≤ right ≤ left + upper, in event time, both inclusive. */
  readonly lowerMs: number;
  readonly upperMs: number;
  /** Which sides go on alone when they have met nothing. */
  readonly kind: JoinKind;
  readonly allowedLatenessMs: number;
  readonly codecs: readonly [left: OwningCodec<unknown>, right: OwningCodec<unknown>];
  /** Null stands for what was not met. */
  readonly join: (left: unknown, right: unknown, info: JoinInfo) => unknown;
  readonly results: readonly BatchConsumer[];
  /** Receive records that came too late, without their tags. */
  readonly late: readonly [left: readonly BatchConsumer[], right: readonly BatchConsumer[]];
}

interface JoinState {
  timerMs: number;
  readonly sides: readonly [TimedRecord[], TimedRecord[]];
}

const NEVER = Number.POSITIVE_INFINITY;
const RESULTS = 0;
const LATE = 1;

export class IntervalJoin implements Operator {
  readonly id: string;
  readonly #options: IntervalJoinOptions;
  readonly #outputs: KeyedOutputs;
  readonly #timers: KeyedTimers;
  /** By side: how long after its event time a record may be met, and whether it goes on alone. */
  readonly #keepMs: readonly [number, number];
  readonly #goesAlone: readonly [boolean, boolean];
  #store: ValueStore<JoinState> | null = null;
  #context: OperatorContext | null = null;
  #watermarkMs = Number.NEGATIVE_INFINITY;

  constructor(options: IntervalJoinOptions) {
    const { id, keys, lowerMs, upperMs, kind, allowedLatenessMs, results, late } = options;
    invariant(lowerMs <= upperMs, `join '${id}' has its lower bound above the upper one`);
    this.id = id;
    this.#options = options;
    this.#outputs = new KeyedOutputs(`intervalJoin '${id}'`, keys, [results, late[LEFT], late[RIGHT]]);
    this.#timers = new KeyedTimers(`${id}/event-timers`);
    this.#keepMs = [upperMs + allowedLatenessMs, allowedLatenessMs - lowerMs];
    this.#goesAlone = [kind === 'left' || kind === 'full', kind === 'right' || kind === 'full'];
  }

  open(context: OperatorContext): void {
    this.#context = context;
    this.#store = context.values(`${this.id}/sides`, joinCodec(this.#options.codecs));
    this.#timers.open(context);
  }

  process(batch: Batch): void {
    invariant(batch.records !== null && this.#context !== null, `join '${this.id}' takes records`);
    const outputs = this.#outputs;
    this.#watermarkMs = this.#context.watermarkMs();
    for (let i = 0; i < batch.count; i++) {
      outputs.from(batch, i);
      const [side, record] = batch.records[i] as Tagged;
      if (this.#isLate(outputs.timeMs)) {
        outputs.send(LATE + side, outputs.timeMs, record);
        this.#context.count(side === LEFT ? 'late-left' : 'late-right', 1);
      } else this.#take(side, record);
    }
    outputs.flush();
  }

  /** What a record meets and how long it is kept depends on the watermark: each that moves it ends a batch. */
  nextBoundaryMs(watermarkMs: number): number {
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
      this.#expire(slot, timeMs);
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
    const [left, right] = state.sides;
    return { states: { left, right }, eventTimersMs: [...this.#timers.timesOf(slot)], clockTimersMs: [] };
  }

  endEntry(): void {}

  wantsEntry(): boolean {
    return false;
  }

  #isLate(timeMs: number): boolean {
    const { allowedLatenessMs, lowerMs, upperMs } = this.#options;
    const reachMs = Math.max(Math.abs(lowerMs), Math.abs(upperMs)) + allowedLatenessMs;
    return timeMs + allowedLatenessMs < this.#watermarkMs || Math.abs(timeMs) + reachMs >= TIMER_MS_MAX;
  }

  #take(side: Tagged[0], given: unknown): void {
    const { slot, timeMs } = this.#outputs;
    const record = frozen(this.#options.codecs[side].own(given));
    const known = this.#states.change(slot);
    const state: JoinState = known ?? { timerMs: NEVER, sides: [[], []] };
    const matched = this.#meet(side, record, state.sides[1 - side]);
    const dueMs = timeMs + this.#keepMs[side] + 1;
    if (dueMs <= this.#watermarkMs) {
      if (!matched && this.#goesAlone[side]) this.#goAlone(side, timeMs, record);
      return;
    }
    insertByTime(state.sides[side], { timeMs, record, matched });
    if (dueMs < state.timerMs) this.#callAt(state, dueMs);
    if (known === undefined) this.#states.set(slot, state);
  }

  /** Puts out the pairs of a record with what the other side holds, by its event time; whether there were any. */
  #meet(side: Tagged[0], record: unknown, others: readonly TimedRecord[]): boolean {
    const { lowerMs, upperMs } = this.#options;
    const { timeMs } = this.#outputs;
    const fromMs = side === LEFT ? timeMs + lowerMs : timeMs - upperMs;
    const toMs = side === LEFT ? timeMs + upperMs : timeMs - lowerMs;
    let matched = false;
    for (let at = firstFrom(others, fromMs); at < others.length && others[at].timeMs <= toMs; at++) {
      const other = others[at];
      if (side === LEFT) this.#put(record, other.record, timeMs, other.timeMs);
      else this.#put(other.record, record, other.timeMs, timeMs);
      other.matched = true;
      matched = true;
    }
    return matched;
  }

  #put(left: unknown, right: unknown, leftMs: number | null, rightMs: number | null): void {
    const watermarkMs = this.#watermarkMs;
    const info: JoinInfo = {
      key: this.#outputs.keyText,
      leftMs,
      rightMs,
      watermarkMs,
      clockMs: this.#context!.clockMs(),
    };
    let answer: unknown;
    try {
      answer = this.#options.join(left, right, info);
    } catch (error) {
      throw this.#outputs.threw(error, [left, right]);
    }
    const timestampMs = Math.max(leftMs ?? -NEVER, rightMs ?? -NEVER);
    this.#outputs.send(RESULTS, timestampMs, this.#outputs.answered(answer, [left, right]));
  }

  #goAlone(side: number, timeMs: number, record: unknown): void {
    if (side === LEFT) this.#put(record, null, timeMs, null);
    else this.#put(null, record, null, timeMs);
  }

  // Forgets what nothing can meet any more.
  #expire(slot: number, nowMs: number): void {
    const state = this.#states.change(slot);
    invariant(state !== undefined, `a timer of join '${this.id}' has no records`);
    state.timerMs = NEVER;
    let nextMs = NEVER;
    for (const side of [LEFT, RIGHT]) {
      const records = state.sides[side];
      const kept = firstFrom(records, nowMs - this.#keepMs[side]);
      for (let i = 0; i < kept; i++) {
        const { timeMs, record, matched } = records[i];
        if (!matched && this.#goesAlone[side]) this.#goAlone(side, timeMs, record);
      }
      records.splice(0, kept);
      if (records.length > 0) nextMs = Math.min(nextMs, records[0].timeMs + this.#keepMs[side] + 1);
    }
    if (nextMs === NEVER) this.#states.delete(slot);
    else this.#callAt(state, nextMs);
  }

  #callAt(state: JoinState, timeMs: number): void {
    const { slot } = this.#outputs;
    if (state.timerMs !== NEVER) this.#timers.delete(slot, state.timerMs);
    this.#timers.register(slot, timeMs);
    state.timerMs = timeMs;
  }

  get #states(): ValueStore<JoinState> {
    invariant(this.#store !== null, `join '${this.id}' is used before open`);
    return this.#store;
  }
}

function joinCodec([left, right]: readonly [ValueCodec<unknown>, ValueCodec<unknown>]): ValueCodec<JoinState> {
  const codecs = [timedRecordsCodec(left), timedRecordsCodec(right)] as const;
  return {
    schemaVersion: codecs[LEFT].schemaVersion * 31 + codecs[RIGHT].schemaVersion,
    write({ timerMs, sides }, out) {
      out.varint(timerMs);
      codecs[LEFT].write(sides[LEFT], out);
      codecs[RIGHT].write(sides[RIGHT], out);
    },
    read(input) {
      const timerMs = input.varint();
      return { timerMs, sides: [codecs[LEFT].read(input), codecs[RIGHT].read(input)] };
    },
  };
}
