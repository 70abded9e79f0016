// Owns tumbling windows over the results of smaller ones: they fold final panes in the order of their start. With
// lateness upstream a pane may still be corrected, so its copy waits beside the window until it is final and takes
// part in firings from there. Invariant: a result is the left fold of its panes' newest results, by start.

import type { MergeableAggregate } from '#operators/windows/contract.ts';
import { PaneFiring, type RowEmitter } from '#operators/windows/pane-firing.ts';
import { PaneLook } from '#operators/windows/pane-look.ts';
import { type Pane, PaneRows } from '#operators/windows/pane-rows.ts';
import { WindowResults } from '#operators/windows/window-results.ts';
import { invariant } from '#runtime/std/errors.ts';
import type { Batch, BatchConsumer, FiringBudget, KeyLook, Operator, OperatorContext } from '#runtime/task/contract.ts';

export interface MergedWindowOptions<A extends MergeableAggregate<A>> {
  readonly id: string;
  /** A multiple of `paneMs`. */
  readonly sizeMs: number;
  /** Size of the windows upstream. */
  readonly paneMs: number;
  /** That of the windows upstream: a pane may change until so long after its end. */
  readonly allowedLatenessMs: number;
  readonly makeAggregate: () => A;
  readonly results: readonly BatchConsumer[];
  /** Open windows and waiting panes at most; error window-limit beyond. @default 16384 */
  readonly panesMax?: number | undefined;
}

/** Panes that may still change: a copy of the newest result of each (pane, key). */
interface Waiting<A> {
  readonly rows: PaneRows;
  readonly aggregate: A;
  /** One row, to add up final and waiting panes for a firing. */
  readonly sum: A;
}

export class MergedWindow<A extends MergeableAggregate<A>> implements Operator, RowEmitter {
  readonly id: string;
  readonly #sizeMs: number;
  readonly #paneMs: number;
  readonly #latenessMs: number;
  readonly #aggregate: A;
  readonly #windows: PaneRows;
  /** Null without lateness: every pane is final when it comes. */
  readonly #waiting: Waiting<A> | null;
  readonly #firing: PaneFiring;
  readonly #look: PaneLook;
  readonly #results: WindowResults;
  #rows: Int32Array = new Int32Array(0);
  #context: OperatorContext | null = null;

  constructor(options: MergedWindowOptions<A>) {
    const { id, sizeMs, paneMs, allowedLatenessMs, makeAggregate, panesMax } = options;
    invariant(sizeMs % paneMs === 0, `window '${id}' of ${sizeMs} ms is no multiple of its panes of ${paneMs} ms`);
    this.id = id;
    this.#sizeMs = sizeMs;
    this.#paneMs = paneMs;
    this.#latenessMs = allowedLatenessMs;
    this.#aggregate = makeAggregate();
    this.#windows = new PaneRows({ stateId: `${id}/windows`, sizeMs, aggregate: this.#aggregate, panesMax });
    this.#waiting = allowedLatenessMs > 0 ? waitingPanes(`${id}/panes`, paneMs, makeAggregate, panesMax) : null;
    this.#firing = new PaneFiring(this.#windows, allowedLatenessMs, this);
    this.#look = new PaneLook(this.#windows, allowedLatenessMs, (pane, slot, row) => {
      if (this.#waiting === null) return { aggregate: this.#aggregate, row };
      return { aggregate: this.#addUp(this.#waiting, pane, slot, row), row: 0 };
    });
    this.#results = new WindowResults(options.results);
  }

  open(context: OperatorContext): void {
    this.#context = context;
    this.#windows.open(context.state);
    this.#waiting?.rows.open(context.state);
  }

  process(batch: Batch): void {
    const { stats, count, key } = batch;
    invariant(stats !== null && this.#context !== null, `window '${this.id}' takes window results`);
    const waiting = this.#waiting;
    if (waiting !== null) {
      const watermarkMs = this.#context.watermarkMs();
      for (let i = 0; i < count; i++) this.#keep(waiting, batch, i, watermarkMs);
      this.#results.flush();
      return;
    }
    invariant(!stats.late, `window '${this.id}' got a correction although nothing upstream may be late`);
    if (this.#rows.length < count) this.#rows = new Int32Array(batch.capacity);
    for (let i = 0; i < count; i++) {
      this.#rows[i] = this.#windows.claim(Math.floor(stats.windowStartMs[i] / this.#sizeMs), key[i]);
    }
    this.#aggregate.fold(batch, this.#rows);
  }

  nextBoundaryMs(watermarkMs: number): number {
    const boundaryMs = this.#firing.nextBoundaryMs(watermarkMs);
    if (this.#waiting === null) return boundaryMs;
    const panes = Math.floor((watermarkMs - this.#latenessMs) / this.#paneMs) + 1;
    return Math.min(boundaryMs, panes * this.#paneMs + this.#latenessMs);
  }

  nextTimerMs(): number {
    const timerMs = this.#firing.nextTimerMs();
    const oldest = this.#waiting?.rows.panes[0];
    return oldest === undefined ? timerMs : Math.min(timerMs, oldest.endMs + this.#latenessMs);
  }

  fire(timeMs: number, budget: FiringBudget): boolean {
    const oldest = this.#waiting?.rows.panes[0];
    if (oldest !== undefined && oldest.endMs + this.#latenessMs === timeMs) this.#foldFinal(this.#waiting!, oldest);
    const done = this.#firing.fire(timeMs, budget);
    this.#results.flush();
    return done;
  }

  emitRow(window: Pane, slot: number, row: number, revision: number, late: boolean): void {
    const { startMs, endMs } = window;
    const waiting = this.#waiting;
    if (waiting === null) this.#results.add(this.#aggregate, row, slot, startMs, endMs, revision, late);
    else this.#results.add(this.#addUp(waiting, window, slot, row), 0, slot, startMs, endMs, revision, late);
  }

  usesKey(slot: number): boolean {
    return this.#windows.usesKey(slot);
  }

  look(slot: number): KeyLook | null {
    return this.#look.look(slot);
  }

  endEntry(): void {}

  wantsEntry(): boolean {
    return false;
  }

  // Row 0 of what it gives: the window's final panes and those that wait. Good until the next call.
  #addUp(waiting: Waiting<A>, window: Pane, slot: number, row: number): A {
    const { rows, aggregate, sum } = waiting;
    sum.clear(0);
    sum.mergeFrom(this.#aggregate, row, 0);
    for (let at = rows.placeOf(window.startMs / this.#paneMs); at < rows.panes.length; at++) {
      const pane = rows.panes[at];
      if (pane.startMs >= window.endMs) break;
      const paneRow = rows.rowOf(pane, slot);
      if (paneRow >= 0) sum.mergeFrom(aggregate, paneRow, 0);
    }
    return sum;
  }

  // Keeps a copy of a pane that may change, in place of the one before; a window that has fired fires again.
  #keep(waiting: Waiting<A>, batch: Batch, index: number, watermarkMs: number): void {
    const stats = batch.stats!;
    const slot = batch.key[index];
    const startMs = stats.windowStartMs[index];
    const number = Math.floor(startMs / this.#sizeMs);
    const row = this.#windows.claim(number, slot);
    const paneRow = waiting.rows.claim(startMs / this.#paneMs, slot);
    waiting.aggregate.clear(paneRow);
    waiting.aggregate.foldOne(batch, index, paneRow);
    if (!stats.late || (number + 1) * this.#sizeMs > watermarkMs) return;
    this.#firing.fireLate(this.#windows.find(number)!, slot, row);
  }

  #foldFinal(waiting: Waiting<A>, pane: Pane): void {
    const { rows, aggregate } = waiting;
    const number = Math.floor(pane.startMs / this.#sizeMs);
    for (let slot = rows.seek(pane, 0); slot >= 0; slot = rows.seek(pane, slot + 1)) {
      this.#aggregate.mergeFrom(aggregate, rows.rowOf(pane, slot), this.#windows.claim(number, slot));
    }
    rows.drop(pane);
  }
}

function waitingPanes<A extends MergeableAggregate<A>>(
  stateId: string,
  paneMs: number,
  makeAggregate: () => A,
  panesMax: number | undefined,
): Waiting<A> {
  const aggregate = makeAggregate();
  const sum = makeAggregate();
  sum.reserve(1);
  return { rows: new PaneRows({ stateId, sizeMs: paneMs, aggregate, panesMax }), aggregate, sum };
}
