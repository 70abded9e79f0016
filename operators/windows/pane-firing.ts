// Owns when panes fire and end: one timer per window end, and with allowedLateness one more for the clean-up. Where a
// firing stopped follows from the rows' marks; the cursor only saves looking again. Keys fire in slot order.

import { type Pane, type PaneRows, UNFIRED } from '#operators/windows/pane-rows.ts';
import type { FiringBudget } from '#runtime/task/contract.ts';

/** Sends the result of one row downstream. */
export interface RowEmitter {
  emitRow(pane: Pane, slot: number, row: number, revision: number, late: boolean): void;
}

export class PaneFiring {
  readonly #rows: PaneRows;
  readonly #latenessMs: number;
  readonly #emitter: RowEmitter;
  #cursorPane: Pane | null = null;
  #cursorSlot = 0;

  constructor(rows: PaneRows, latenessMs: number, emitter: RowEmitter) {
    this.#rows = rows;
    this.#latenessMs = latenessMs;
    this.#emitter = emitter;
  }

  nextTimerMs(): number {
    const panes = this.#rows.panes;
    let nextMs = Number.POSITIVE_INFINITY;
    for (let i = 0; i < panes.length; i++) {
      const timerMs = panes[i].unfired > 0 ? panes[i].endMs : panes[i].endMs + this.#latenessMs;
      if (timerMs < nextMs) nextMs = timerMs;
      if (panes[i].endMs >= nextMs) break;
    }
    return nextMs;
  }

  /** Smallest time above the watermark at which a window ends or stops taking late records. */
  nextBoundaryMs(watermarkMs: number): number {
    const sizeMs = this.#rows.sizeMs;
    const endMs = nextMultiple(watermarkMs, sizeMs);
    if (this.#latenessMs === 0) return endMs;
    return Math.min(endMs, nextMultiple(watermarkMs - this.#latenessMs, sizeMs) + this.#latenessMs);
  }

  fire(timeMs: number, budget: FiringBudget): boolean {
    const { sizeMs } = this.#rows;
    const ending = this.#rows.find(timeMs / sizeMs - 1);
    if (ending !== null && ending.unfired > 0 && !this.#firePane(ending, budget)) return false;
    if (this.#latenessMs === 0) return true;
    const ended = this.#rows.find((timeMs - this.#latenessMs) / sizeMs - 1);
    if (ended !== null && ended.unfired === 0) this.#rows.drop(ended);
    return true;
  }

  /** Fires one row out of turn, because of a late record. */
  fireLate(pane: Pane, slot: number, row: number): void {
    this.#emitter.emitRow(pane, slot, row, this.#rows.markFired(pane, slot, row), true);
  }

  #firePane(pane: Pane, budget: FiringBudget): boolean {
    const rows = this.#rows;
    const from = this.#cursorPane === pane ? this.#cursorSlot : 0;
    this.#cursorPane = null;
    for (let slot = rows.seek(pane, from); slot >= 0; slot = rows.seek(pane, slot + 1)) {
      const row = rows.rowOf(pane, slot);
      if (rows.marks[row] !== UNFIRED) continue;
      if (!budget.take()) {
        this.#cursorPane = pane;
        this.#cursorSlot = slot;
        return false;
      }
      if (this.#latenessMs > 0) {
        this.#emitter.emitRow(pane, slot, row, rows.markFired(pane, slot, row), false);
      } else {
        this.#emitter.emitRow(pane, slot, row, 0, false);
        rows.release(pane, slot, row);
      }
    }
    return true;
  }
}

function nextMultiple(afterMs: number, sizeMs: number): number {
  return (Math.floor(afterMs / sizeMs) + 1) * sizeMs;
}
