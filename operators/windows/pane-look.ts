// Owns what people see of the open windows of samples of one key: what each would give if it fired now. Built from the
// same rows as firings are; changes nothing.

import { quantile } from '#operators/sketch/quantile.ts';
import type { WindowAggregate } from '#operators/windows/contract.ts';
import { type Pane, type PaneRows, UNFIRED } from '#operators/windows/pane-rows.ts';
import type { KeyLook, StatsColumns } from '#runtime/task/contract.ts';

/** Where the result of a row stands that somebody looks at: of `aggregate`, or of one that was added up for it. */
export type ResultOf = (pane: Pane, slot: number, row: number) => { aggregate: WindowAggregate; row: number };

export class PaneLook {
  readonly #rows: PaneRows;
  readonly #latenessMs: number;
  readonly #resultOf: ResultOf;
  readonly #stats: StatsColumns = {
    windowStartMs: new Float64Array(1),
    windowEndMs: new Float64Array(1),
    count: new Float64Array(1),
    sum: new Float64Array(1),
    min: new Float64Array(1),
    max: new Float64Array(1),
    revision: new Int32Array(1),
    sketch: new Int32Array(16),
    sketchStart: new Int32Array(1),
    sketchLength: new Int32Array(1),
    late: false,
  };

  constructor(rows: PaneRows, latenessMs: number, resultOf: ResultOf) {
    this.#rows = rows;
    this.#latenessMs = latenessMs;
    this.#resultOf = resultOf;
  }

  /** Null when the key has no window open. */
  look(slot: number): KeyLook | null {
    const windows: Record<string, unknown>[] = [];
    const timersMs: number[] = [];
    for (const pane of this.#rows.panes) {
      const row = this.#rows.rowOf(pane, slot);
      if (row < 0) continue;
      const mark = this.#rows.marks[row];
      windows.push(this.#windowOf(pane, slot, row, mark - UNFIRED));
      timersMs.push(mark === UNFIRED ? pane.endMs : pane.endMs + this.#latenessMs);
    }
    if (windows.length === 0) return null;
    timersMs.sort((a, b) => a - b);
    return { states: { windows }, eventTimersMs: timersMs, clockTimersMs: [] };
  }

  #windowOf(pane: Pane, slot: number, row: number, firings: number): Record<string, unknown> {
    const stats = this.#stats;
    const result = this.#resultOf(pane, slot, row);
    result.aggregate.emit(result.row, stats, 0, 0);
    const { sketch } = stats;
    const [count, sum, min, max, pairs] = [stats.count, stats.sum, stats.min, stats.max, stats.sketchLength].map(
      (column) => column[0],
    );
    const at = (q: number) => quantile(q, count, sketch, 0, pairs, min, max);
    const percentiles = { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
    return { start: pane.startMs, end: pane.endMs, firings, count, sum, min, max, avg: sum / count, ...percentiles };
  }
}
