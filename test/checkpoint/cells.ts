// A state made for tests: numbers in cells, eight to a page, on pages as sparse as a test likes. `copy` is its content
// as plain data, which tests keep as their model.

import type { PagedState, PageTracker, StateRegistry } from '#checkpoint/contract.ts';
import type { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';

const CELLS_PER_PAGE = 8;

/** Cell number to value. */
export type CellModel = ReadonlyMap<number, number>;

export class Cells implements PagedState {
  readonly stateId: string;
  readonly schemaVersion: number;
  /** Bytes added to each written cell, to make pages large. */
  readonly padding: number;
  readonly #pages = new Map<number, Map<number, number>>();
  readonly #touched = new Map<number, number>();
  #tracker: PageTracker | null = null;
  writes = 0;
  readonly restoredPages: number[] = [];

  constructor(stateId: string, schemaVersion = 1, padding = 0) {
    this.stateId = stateId;
    this.schemaVersion = schemaVersion;
    this.padding = padding;
  }

  open(registry: StateRegistry): this {
    this.#tracker = registry.register(this);
    return this;
  }

  set(cell: number, value: number): void {
    const page = this.#touch(cell);
    let cells = this.#pages.get(page);
    if (cells === undefined) this.#pages.set(page, (cells = new Map()));
    cells.set(cell % CELLS_PER_PAGE, value);
  }

  delete(cell: number): void {
    const page = this.#touch(cell);
    const cells = this.#pages.get(page);
    cells?.delete(cell % CELLS_PER_PAGE);
    if (cells?.size === 0) this.#pages.delete(page);
  }

  copy(): CellModel {
    const model = new Map<number, number>();
    for (const page of [...this.#pages.keys()].sort((a, b) => a - b)) {
      const cells = this.#pages.get(page)!;
      for (const cell of [...cells.keys()].sort((a, b) => a - b)) {
        model.set(page * CELLS_PER_PAGE + cell, cells.get(cell)!);
      }
    }
    return model;
  }

  writePage(page: number, out: ByteWriter): void {
    this.writes++;
    const cells = this.#pages.get(page);
    if (cells === undefined) return;
    for (const cell of [...cells.keys()].sort((a, b) => a - b)) {
      out.u8(cell);
      out.varint(cells.get(cell)!);
      for (let i = 0; i < this.padding; i++) out.u8((cell * 31 + i) & 255);
    }
  }

  readPage(page: number, input: ByteReader): void {
    this.restoredPages.push(page);
    const cells = new Map<number, number>();
    while (!input.done) {
      const cell = input.u8();
      cells.set(cell, input.varint());
      input.raw(this.padding);
    }
    this.#pages.set(page, cells);
  }

  #touch(cell: number): number {
    const page = Math.floor(cell / CELLS_PER_PAGE);
    const tracker = this.#tracker!;
    if (this.#touched.get(page) !== tracker.epoch) {
      tracker.touch(page);
      this.#touched.set(page, tracker.epoch);
    }
    return page;
  }
}
