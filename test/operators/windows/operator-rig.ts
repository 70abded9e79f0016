// Owns driving operators in tests as a task would: batches under a constant watermark, timers in the order (time,
// place in the plan), budgets that run out, and restarts from pages. Time moves by hand only.

import { KeyedValues } from '#checkpoint/keyed-values.ts';
import { quantile } from '#operators/sketch/quantile.ts';
import type { BatchConsumer, EntryEnd, Operator, OperatorContext, Output } from '#runtime/task/contract.ts';
import { Batch, rollupColumns } from '#runtime/task/contract.ts';
import { type PageImage, StatePages } from './state-pages.ts';

export interface Row {
  readonly slot: number;
  readonly timeMs: number;
  readonly value: number;
  /** Of a value that is NaN: which one. */
  readonly bits?: bigint;
  /** On streams of records. */
  readonly record?: unknown;
  /** On streams of rollup rows. */
  readonly rollup?: Rollup;
  readonly origin?: { readonly topic: string; readonly partition: number; readonly offset: number };
}

/** A rollup row as topics hold it. */
export interface Rollup {
  readonly startMs: number;
  readonly endMs: number;
  /** Eight, as ROLLUP_VALUES names them. */
  readonly values: readonly number[];
  readonly run: number;
  readonly revision: number;
}

/** A window result as operators sent it. */
export interface Result {
  readonly step: string;
  readonly slot: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly revision: number;
  readonly late: boolean;
}

export interface Collected {
  readonly results: Result[];
  readonly rows: (Row & { readonly step: string })[];
  readonly counts: Map<string, number>;
}

/** The operators of a stage in plan order; made anew at each restart. */
export type BuildStage = (collect: (step: string) => BatchConsumer) => {
  readonly head: BatchConsumer;
  readonly operators: readonly Operator[];
};

export interface RigOptions {
  readonly output?: Output;
  readonly partitionCount?: (topic: string) => number;
  readonly partition?: number;
}

export class OperatorRig {
  readonly collected: Collected = { results: [], rows: [], counts: new Map() };
  pages = new StatePages();
  watermarkMs = Number.NEGATIVE_INFINITY;
  clockMs = 0;
  operators: readonly Operator[] = [];
  readonly #build: BuildStage;
  readonly #options: RigOptions;
  #head: BatchConsumer = { process() {} };

  constructor(build: BuildStage, options: RigOptions = {}) {
    this.#build = build;
    this.#options = options;
    this.#start();
  }

  process(rows: readonly Row[]): void {
    const batch = new Batch(Math.max(1, rows.length));
    for (const row of rows) {
      const at = batch.count++;
      batch.key[at] = row.slot;
      batch.timestampMs[at] = row.timeMs;
      batch.value[at] = row.value;
      if (row.bits !== undefined) bitsOf(batch.value)[at] = row.bits;
      if (row.rollup !== undefined) putRollup(batch, at, row.rollup);
      if (row.record !== undefined) (batch.records ??= [])[at] = row.record;
      batch.originTopic = row.origin?.topic ?? 'metrics.raw';
      batch.originPartition[at] = row.origin?.partition ?? 0;
      batch.originOffset[at] = row.origin?.offset ?? 0;
      batch.maxTimestampMs = Math.max(batch.maxTimestampMs, row.timeMs);
    }
    this.#head.process(batch);
  }

  /** Smallest watermark above the present one at which a batch has to be cut. */
  boundaryMs(): number {
    return Math.min(...this.operators.map((operator) => operator.nextBoundaryMs(this.watermarkMs)));
  }

  /** Fires what is due, at most `budget` firings; false when something is left. */
  fireDue(budget = Number.POSITIVE_INFINITY): boolean {
    let left = budget;
    for (;;) {
      let due: Operator | null = null;
      for (const operator of this.operators) {
        if (operator.nextTimerMs() > this.watermarkMs) continue;
        if (due === null || operator.nextTimerMs() < due.nextTimerMs()) due = operator;
      }
      if (due === null) return true;
      if (!due.fire(due.nextTimerMs(), { take: () => left-- > 0 })) return false;
    }
  }

  /** Fires the timers that the clock has reached; as fireDue. */
  fireClock(budget = Number.POSITIVE_INFINITY): boolean {
    let left = budget;
    for (const { clockTimers } of this.operators) {
      while (clockTimers !== undefined && clockTimers.nextMs() <= this.clockMs) {
        if (!clockTimers.fire(clockTimers.nextMs(), { take: () => left-- > 0 })) return false;
      }
    }
    return true;
  }

  endEntry(idle = false, savepoint?: string): void {
    const { watermarkMs, clockMs } = this;
    const end: EntryEnd = { watermarkMs, clockMs, idle, ...(savepoint === undefined ? {} : { savepoint }) };
    for (const operator of this.operators) operator.endEntry(end);
  }

  wantsEntry(idle = false): boolean {
    const end: EntryEnd = { watermarkMs: this.watermarkMs, clockMs: this.clockMs, idle };
    return this.operators.some((operator) => operator.wantsEntry(end));
  }

  /** Goes on with new operators and nothing but the pages, as after a crash. */
  restart(): PageImage {
    const image = this.pages.snapshot();
    this.#start();
    this.pages.restore(image);
    return image;
  }

  #start(): void {
    this.pages = new StatePages();
    const { collected } = this;
    const stage = this.#build((step) => ({ process: (batch) => collect(collected, step, batch) }));
    this.#head = stage.head;
    this.operators = stage.operators;
    const context: OperatorContext = {
      state: this.pages,
      values: (stateId, codec) => {
        const values = new KeyedValues(stateId, codec);
        values.open(this.pages);
        return values;
      },
      watermarkMs: () => this.watermarkMs,
      clockMs: () => this.clockMs,
      output: this.#options.output ?? NO_OUTPUT,
      partitionCount: this.#options.partitionCount ?? (() => 1),
      partition: this.#options.partition ?? 0,
      count: (counter, by) => collected.counts.set(counter, (collected.counts.get(counter) ?? 0) + by),
    };
    for (const operator of this.operators) operator.open(context);
  }
}

const NO_OUTPUT: Output = {
  stagedBytes: 0,
  append: () => {
    throw new Error('this stage has no output');
  },
};

/** The same numbers as integers of 64 bits: NaN has many. */
function bitsOf(column: Float64Array): BigUint64Array {
  return new BigUint64Array(column.buffer, column.byteOffset, column.length);
}

function putRollup(batch: Batch, at: number, { endMs, revision, run, startMs, values }: Rollup): void {
  const rollups = (batch.rollups ??= rollupColumns(batch.capacity));
  rollups.windowStartMs[at] = startMs;
  rollups.windowEndMs[at] = endMs;
  rollups.values.set(values, at * values.length);
  rollups.run[at] = run;
  rollups.revision[at] = revision;
}

function rollupOf(batch: Batch, i: number): Rollup {
  const { revision, run, values, windowEndMs, windowStartMs } = batch.rollups!;
  const numbers = [...values.subarray(i * 8, i * 8 + 8)];
  return { startMs: windowStartMs[i], endMs: windowEndMs[i], values: numbers, run: run[i], revision: revision[i] };
}

function rowOf(batch: Batch, i: number, step: string): Row & { readonly step: string } {
  const origin = { topic: batch.originTopic, partition: batch.originPartition[i], offset: batch.originOffset[i] };
  const row = { step, slot: batch.key[i], timeMs: batch.timestampMs[i], value: batch.value[i], origin };
  if (batch.records !== null) return { ...row, record: batch.records[i] };
  if (batch.rollups !== null) return { ...row, rollup: rollupOf(batch, i) };
  return Number.isNaN(row.value) ? { ...row, bits: bitsOf(batch.value)[i] } : row;
}

function collect(collected: Collected, step: string, batch: Batch): void {
  const { stats } = batch;
  for (let i = 0; i < batch.count; i++) {
    if (stats === null) {
      collected.rows.push(rowOf(batch, i, step));
      continue;
    }
    if (batch.timestampMs[i] !== stats.windowEndMs[i] - 1) throw new Error('a result is not stamped window end - 1');
    const at = (q: number) =>
      quantile(
        q,
        stats.count[i],
        stats.sketch,
        stats.sketchStart[i],
        stats.sketchLength[i],
        stats.min[i],
        stats.max[i],
      );
    collected.results.push({
      step,
      slot: batch.key[i],
      startMs: stats.windowStartMs[i],
      endMs: stats.windowEndMs[i],
      count: stats.count[i],
      sum: stats.sum[i],
      min: stats.min[i],
      max: stats.max[i],
      p50: at(0.5),
      p95: at(0.95),
      p99: at(0.99),
      revision: stats.revision[i],
      late: stats.late,
    });
  }
}
