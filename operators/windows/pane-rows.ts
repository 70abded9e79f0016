// Owns which row of an aggregate belongs to (pane, key slot), and the pages of that state. A pane is one open window
// start; rows come in blocks of 128 neighbouring slots, so a pane costs memory only where it has keys, and the columns
// of all panes are shared. Row numbers follow from history and are never state; a page is one block, by slot.

import type { AdoptedPage, MovedKeys, PagedState, PageTracker, StateRegistry } from '#checkpoint/contract.ts';
import type { WindowAggregate } from '#operators/windows/contract.ts';
import type { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';

export const BLOCK_SHIFT = 7;
export const BLOCK_ROWS = 1 << BLOCK_SHIFT;
export const BLOCK_MASK = BLOCK_ROWS - 1;
const SLOT_PAGES = 65_536;
/** Pane numbers beyond this do not fit into a page number: 130,000 years of minutes. */
export const PANE_NUMBER_MAX = 2 ** 36 - 1;
/** Mark of a row that never fired; one more for each firing. 0: no row. */
export const UNFIRED = 1;
const NONE = -1;

export interface Pane {
  /** Start of the window divided by its size; negative before 1970. */
  readonly number: number;
  readonly startMs: number;
  readonly endMs: number;
  /** By slot >>> BLOCK_SHIFT: first row of the block, -1 where there is none. */
  firstRow: Int32Array;
  blocks: number;
  /** Rows that have not fired yet. */
  unfired: number;
}

export interface PaneRowsOptions {
  readonly stateId: string;
  readonly sizeMs: number;
  readonly aggregate: WindowAggregate;
  /** Open panes at most. @default 16384 */
  readonly panesMax?: number | undefined;
}

const PANES_MAX = 16_384;

export class PaneRows implements PagedState {
  readonly stateId: string;
  readonly schemaVersion: number;
  readonly sizeMs: number;
  /** Open panes, oldest first; each has at least one row. */
  readonly panes: Pane[] = [];
  /** By row: 0 no row, 1 never fired, n + 1 fired n times. */
  marks: Int32Array = new Int32Array(0);
  /** By block: the epoch in which it was last touched. */
  epochs: Int32Array = new Int32Array(0);
  readonly #aggregate: WindowAggregate;
  readonly #panesMax: number;
  /** By block: how many rows it holds. */
  #live = new Int32Array(0);
  #freeBlocks: number[] = [];
  #blocks = 0;
  #tracker: PageTracker = { epoch: 0, touch: () => invariant(false, 'state is used before open') };

  constructor(options: PaneRowsOptions) {
    this.stateId = options.stateId;
    this.schemaVersion = options.aggregate.schemaVersion;
    this.sizeMs = options.sizeMs;
    this.#aggregate = options.aggregate;
    this.#panesMax = options.panesMax ?? PANES_MAX;
  }

  open(state: StateRegistry): void {
    this.#tracker = state.register(this);
  }

  get epoch(): number {
    return this.#tracker.epoch;
  }

  find(number: number): Pane | null {
    const at = this.placeOf(number);
    return at < this.panes.length && this.panes[at].number === number ? this.panes[at] : null;
  }

  /** The row of a key, or -1. */
  rowOf(pane: Pane, slot: number): number {
    const page = slot >>> BLOCK_SHIFT;
    if (page >= pane.firstRow.length || pane.firstRow[page] === NONE) return NONE;
    const row = pane.firstRow[page] + (slot & BLOCK_MASK);
    return this.marks[row] === 0 ? NONE : row;
  }

  /** The row of a key about to be changed: made when there is none, its page touched. Error: window-limit. */
  claim(number: number, slot: number): number {
    const pane = this.find(number) ?? this.#addPane(number);
    const page = slot >>> BLOCK_SHIFT;
    if (page >= pane.firstRow.length) pane.firstRow = widened(pane.firstRow, page);
    if (pane.firstRow[page] === NONE) {
      pane.firstRow[page] = this.#takeBlock() << BLOCK_SHIFT;
      pane.blocks++;
    }
    const first = pane.firstRow[page];
    this.#touch(pane, page, first >>> BLOCK_SHIFT);
    const row = first + (slot & BLOCK_MASK);
    if (this.marks[row] === 0) {
      this.marks[row] = UNFIRED;
      this.#live[first >>> BLOCK_SHIFT]++;
      pane.unfired++;
    }
    return row;
  }

  /** Counts a firing of the row and gives its revision: 0 for the first. */
  markFired(pane: Pane, slot: number, row: number): number {
    this.#touch(pane, slot >>> BLOCK_SHIFT, row >>> BLOCK_SHIFT);
    if (this.marks[row] === UNFIRED) pane.unfired--;
    return ++this.marks[row] - 2;
  }

  /** Removes a row; the pane goes with its last one. */
  release(pane: Pane, slot: number, row: number): void {
    const block = row >>> BLOCK_SHIFT;
    this.#touch(pane, slot >>> BLOCK_SHIFT, block);
    if (this.marks[row] === UNFIRED) pane.unfired--;
    this.marks[row] = 0;
    this.#aggregate.clear(row);
    if (--this.#live[block] > 0) return;
    pane.firstRow[slot >>> BLOCK_SHIFT] = NONE;
    this.#freeBlocks.push(block);
    if (--pane.blocks === 0) this.panes.splice(this.placeOf(pane.number), 1);
  }

  /** Removes a pane with all its rows. */
  drop(pane: Pane): void {
    for (let slot = this.seek(pane, 0); slot >= 0; slot = this.seek(pane, slot + 1)) {
      this.release(pane, slot, pane.firstRow[slot >>> BLOCK_SHIFT] + (slot & BLOCK_MASK));
    }
  }

  /** The first slot from `slot` on that has a row, or -1. */
  seek(pane: Pane, slot: number): number {
    const marks = this.marks;
    const firstRow = pane.firstRow;
    let within = slot & BLOCK_MASK;
    for (let page = slot >>> BLOCK_SHIFT; page < firstRow.length; page++, within = 0) {
      const first = firstRow[page];
      if (first === NONE) continue;
      for (; within < BLOCK_ROWS; within++) if (marks[first + within] !== 0) return (page << BLOCK_SHIFT) + within;
    }
    return NONE;
  }

  usesKey(slot: number): boolean {
    for (const pane of this.panes) if (this.rowOf(pane, slot) >= 0) return true;
    return false;
  }

  writePage(page: number, out: ByteWriter): void {
    const pane = this.find(paneNumberOf(page));
    const slotPage = page % SLOT_PAGES;
    if (pane === null || slotPage >= pane.firstRow.length || pane.firstRow[slotPage] === NONE) return;
    const first = pane.firstRow[slotPage];
    for (let i = 0; i < BLOCK_ROWS; i++) {
      if (this.marks[first + i] === 0) continue;
      out.u8(i);
      out.uvarint(this.marks[first + i]);
      this.#aggregate.write(first + i, out);
    }
  }

  readPage(page: number, input: ByteReader): void {
    const number = paneNumberOf(page);
    const firstSlot = (page % SLOT_PAGES) << BLOCK_SHIFT;
    while (!input.done) {
      const slot = firstSlot + input.u8();
      const mark = input.uvarint();
      const row = this.#restoreRow(number, slot, mark);
      this.#aggregate.read(row, input);
    }
  }

  adoptPage({ page, input }: AdoptedPage, keys: MovedKeys): void {
    const number = paneNumberOf(page);
    const firstSlot = (page % SLOT_PAGES) << BLOCK_SHIFT;
    while (!input.done) {
      const slot = keys.slotOf(firstSlot + input.u8());
      const mark = input.uvarint();
      if (slot < 0) this.#passOver(input);
      else {
        const row = this.claim(number, slot);
        this.marks[row] = mark;
        if (mark !== UNFIRED) this.find(number)!.unfired--;
        this.#aggregate.read(row, input);
      }
    }
  }

  // Only the aggregate knows how long its row is.
  #passOver(input: ByteReader): void {
    const block = this.#takeBlock();
    this.#aggregate.read(block << BLOCK_SHIFT, input);
    this.#aggregate.clear(block << BLOCK_SHIFT);
    this.#freeBlocks.push(block);
  }

  #restoreRow(number: number, slot: number, mark: number): number {
    const tracker = this.#tracker;
    this.#tracker = { epoch: 0, touch: () => {} };
    const row = this.claim(number, slot);
    this.#tracker = tracker;
    this.marks[row] = mark;
    if (mark !== UNFIRED) this.find(number)!.unfired--;
    return row;
  }

  #touch(pane: Pane, page: number, block: number): void {
    const epoch = this.#tracker.epoch;
    if (this.epochs[block] === epoch) return;
    this.#tracker.touch(pageOf(pane.number, page));
    this.epochs[block] = epoch;
  }

  /** Place in `panes` of the first whose number is not below. */
  placeOf(number: number): number {
    const panes = this.panes;
    let low = 0;
    let high = panes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (panes[middle].number < number) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #addPane(number: number): Pane {
    invariant(Math.abs(number) <= PANE_NUMBER_MAX, `pane ${number} is out of range`);
    if (this.panes.length >= this.#panesMax) {
      throw new StreamError(
        'window-limit',
        `state '${this.stateId}' has ${this.panes.length} windows of ${this.sizeMs} ms open and would need one more`,
        "lower the source's maxSkew or the window's allowedLateness, enlarge the window, or find the writer whose data is that far behind",
      );
    }
    const startMs = number * this.sizeMs;
    const pane = { number, startMs, endMs: startMs + this.sizeMs, firstRow: NO_BLOCKS, blocks: 0, unfired: 0 };
    this.panes.splice(this.placeOf(number), 0, pane);
    return pane;
  }

  #takeBlock(): number {
    const reused = this.#freeBlocks.pop();
    const block = reused ?? this.#blocks++;
    if (block >= this.epochs.length) this.#growTo(Math.max(4, this.epochs.length * 2));
    this.epochs[block] = 0;
    return block;
  }

  #growTo(blocks: number): void {
    const rows = blocks * BLOCK_ROWS;
    const marks = new Int32Array(rows);
    const epochs = new Int32Array(blocks);
    const live = new Int32Array(blocks);
    marks.set(this.marks);
    epochs.set(this.epochs);
    live.set(this.#live);
    this.marks = marks;
    this.epochs = epochs;
    this.#live = live;
    this.#aggregate.reserve(rows);
  }
}

const NO_BLOCKS: Int32Array = new Int32Array(0);

function widened(firstRow: Int32Array, page: number): Int32Array {
  invariant(page < SLOT_PAGES, `a task has more than ${SLOT_PAGES * BLOCK_ROWS} keys`);
  const next = new Int32Array(Math.min(SLOT_PAGES, Math.max(8, (page + 1) * 2))).fill(NONE);
  next.set(firstRow);
  return next;
}

// Pages are non-negative: pane numbers are folded as in zigzag coding.
function pageOf(paneNumber: number, slotPage: number): number {
  return (paneNumber >= 0 ? paneNumber * 2 : -paneNumber * 2 - 1) * SLOT_PAGES + slotPage;
}

function paneNumberOf(page: number): number {
  const folded = Math.floor(page / SLOT_PAGES);
  return folded % 2 === 0 ? folded / 2 : -(folded + 1) / 2;
}
