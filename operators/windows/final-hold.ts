// Owns that a receiver which takes every row once gets it once and last: rows wait until their event time is final, the
// newest stays, what comes later is late. Invariant: rows leave in the order (time, key slot), and no key leaves twice
// in one entry, so that an entry sent again repeats, for every key, the newest row the receiver may have.

import { copyValue } from '#operators/formats/special-values.ts';
import { BUCKET_MS, bucketEnd, type HeldKind, HeldRows } from '#operators/windows/held-rows.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';
import {
  Batch,
  type BatchConsumer,
  type FiringBudget,
  type Operator,
  type OperatorContext,
  ROLLUP_VALUES,
  rollupColumns,
} from '#runtime/task/contract.ts';

export interface FinalHoldOptions {
  readonly id: string;
  readonly kind: HeldKind;
  /** How long behind the watermark a row still waits for a correction. */
  readonly latenessMs: number;
  /** `wait`: the newest row counts; `drop`: only rows that correct nothing. */
  readonly corrections: 'wait' | 'drop';
  readonly next: readonly BatchConsumer[];
  /** Receive samples that came too late; rollup rows that do are counted. */
  readonly late: readonly BatchConsumer[];
  /** Rows held at most; error window-limit beyond. @default 4194304 */
  readonly rowsMax?: number | undefined;
}

const ROWS_MAX = 1 << 22;
const OUT_ROWS = 1_024;
const WIDTH = ROLLUP_VALUES.length;

/** Counts `corrections-dropped` (late rows among them) and `corrections-merged`. */
export class FinalHold implements Operator {
  readonly id: string;
  readonly #options: FinalHoldOptions;
  readonly #held: HeldRows;
  readonly #out = new Batch(OUT_ROWS);
  readonly #late = new Batch(OUT_ROWS);
  #context: OperatorContext | null = null;
  /** By slot: the entry in which the key left last. Entries are counted from 1 in each attempt. */
  #left = new Int32Array(1_024);
  #entry = 1;

  constructor(options: FinalHoldOptions) {
    this.id = options.id;
    this.#options = options;
    this.#held = new HeldRows(`${options.id}/rows`, options.kind);
    if (options.kind === 'rollups') this.#out.rollups = rollupColumns(OUT_ROWS);
  }

  open(context: OperatorContext): void {
    this.#context = context;
    this.#held.open(context.state);
  }

  process(batch: Batch): void {
    const context = this.#context;
    const { corrections, kind, latenessMs, rowsMax = ROWS_MAX } = this.#options;
    const { rollups } = batch;
    invariant(context !== null && (rollups !== null) === (kind === 'rollups'), `'${this.id}' holds ${kind}`);
    const watermarkMs = context.watermarkMs();
    let dropped = 0;
    let merged = 0;
    for (let i = 0; i < batch.count; i++) {
      if (bucketEnd(batch.timestampMs[i]) + latenessMs <= watermarkMs) {
        if (rollups === null) this.#addLate(batch, i);
        else dropped++;
      } else if (rollups !== null && corrections === 'drop' && rollups.revision[i] + rollups.run[i] > 0) dropped++;
      else if (this.#held.put(batch, i) !== 'new') merged++;
    }
    this.#flushLate();
    if (dropped > 0) context.count('corrections-dropped', dropped);
    if (merged > 0) context.count('corrections-merged', merged);
    if (this.#held.size > rowsMax) throw this.#tooMany(rowsMax);
  }

  nextBoundaryMs(watermarkMs: number): number {
    const { latenessMs } = this.#options;
    return (Math.floor((watermarkMs - latenessMs) / BUCKET_MS) + 1) * BUCKET_MS + latenessMs;
  }

  nextTimerMs(): number {
    const [bucket] = this.#held.buckets;
    return bucket === undefined ? Number.POSITIVE_INFINITY : bucket.endMs + this.#options.latenessMs;
  }

  fire(_timeMs: number, budget: FiringBudget): boolean {
    const [bucket] = this.#held.buckets;
    let done = true;
    for (const place of bucket.sorted()) {
      const slot = bucket.key[place];
      if (slot >= this.#left.length) this.#widen(slot);
      if (this.#left[slot] === this.#entry || !budget.take()) {
        done = false;
        break;
      }
      this.#left[slot] = this.#entry;
      this.#emit(place);
    }
    this.#flush();
    return done;
  }

  usesKey(slot: number): boolean {
    return this.#held.usesKey(slot);
  }

  endEntry(): void {
    this.#entry++;
  }

  wantsEntry(): boolean {
    return false;
  }

  #emit(place: number): void {
    const out = this.#out;
    if (out.count === OUT_ROWS) this.#flush();
    const [bucket] = this.#held.buckets;
    const to = out.count++;
    const timeMs = bucket.timeMs[place];
    out.key[to] = bucket.key[place];
    out.originPartition[to] = bucket.originPartition[place];
    out.originOffset[to] = bucket.originOffset[place];
    out.timestampMs[to] = timeMs;
    const { rollups } = out;
    if (rollups === null) copyValue(bucket.values, place, out.value, to);
    else {
      rollups.windowStartMs[to] = bucket.windowStartMs[place];
      rollups.windowEndMs[to] = timeMs + 1;
      for (let v = 0; v < WIDTH; v++) rollups.values[to * WIDTH + v] = bucket.values[place * WIDTH + v];
      rollups.run[to] = bucket.run[place];
      rollups.revision[to] = bucket.revision[place];
    }
    if (timeMs > out.maxTimestampMs) out.maxTimestampMs = timeMs;
    this.#held.take(place);
  }

  #flush(): void {
    if (this.#out.count === 0) return;
    for (let i = 0; i < this.#options.next.length; i++) this.#options.next[i].process(this.#out);
    this.#out.clear();
  }

  #addLate(batch: Batch, i: number): void {
    const late = this.#late;
    if (late.count === OUT_ROWS) this.#flushLate();
    const to = late.count++;
    late.originTopic = batch.originTopic;
    late.timestampMs[to] = batch.timestampMs[i];
    late.key[to] = batch.key[i];
    copyValue(batch.value, i, late.value, to);
    late.originPartition[to] = batch.originPartition[i];
    late.originOffset[to] = batch.originOffset[i];
  }

  #flushLate(): void {
    if (this.#late.count === 0) return;
    this.#context!.count('late', this.#late.count);
    for (let i = 0; i < this.#options.late.length; i++) this.#options.late[i].process(this.#late);
    this.#late.clear();
  }

  #widen(slot: number): void {
    const next = new Int32Array(Math.max(slot + 1, this.#left.length * 2));
    next.set(this.#left);
    this.#left = next;
  }

  #tooMany(rowsMax: number): StreamError {
    return new StreamError(
      'window-limit',
      `'${this.id}' holds ${this.#held.size} rows back until their time is final, more than ${rowsMax}`,
      'lower lateness or outOfOrderness, spread the topic over more partitions, or find the writer that is far ahead',
    );
  }
}
