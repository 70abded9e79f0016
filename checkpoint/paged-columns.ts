// Owns dense rows by slot in typed columns, with pages of a fixed number of rows: the building block of numeric state.
// A row that is not used holds zeros. What the columns mean belongs to the operator that made them.

import { endianness } from 'node:os';
import type { PagedState, PageTracker, StateRegistry } from '#checkpoint/contract.ts';
import type { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant } from '#runtime/std/errors.ts';

const COLUMN_TYPES = { float64: Float64Array, int32: Int32Array, uint32: Uint32Array, uint8: Uint8Array } as const;

export type ColumnType = keyof typeof COLUMN_TYPES;
export type ColumnSpec = Readonly<Record<string, ColumnType>>;
type Column = Float64Array | Int32Array | Uint32Array | Uint8Array;
export type Columns<S extends ColumnSpec> = { readonly [K in keyof S]: InstanceType<(typeof COLUMN_TYPES)[S[K]]> };

export interface PagedColumnsOptions<S extends ColumnSpec> {
  readonly stateId: string;
  /** To be raised when `columns` or `rowsPerPage` change. */
  readonly schemaVersion: number;
  /** In the order in which pages hold them. */
  readonly columns: S;
  /** @default 1024; a power of two, at least 8 */
  readonly rowsPerPage?: number;
}

/**
 * Columns of a row are read and written through `columns`, which must be fetched again after `use` or `ensure` (they
 * may have grown). Call `use` or `change` before writing to a row.
 */
export class PagedColumns<S extends ColumnSpec> implements PagedState {
  readonly stateId: string;
  readonly schemaVersion: number;
  readonly rowsPerPage: number;
  readonly #shift: number;
  readonly #names: readonly (keyof S & string)[];
  readonly #types: readonly ColumnType[];
  readonly #scratch: readonly Column[];
  #tracker: PageTracker = unopened;
  #columns: Record<string, Column> = {};
  /** 1 where a row is in use. */
  used = new Uint8Array(0);
  /** Epoch in which a page was last touched; for loops that inline `change`. */
  pageEpoch = new Float64Array(0);
  #usedCount = 0;

  constructor(options: PagedColumnsOptions<S>) {
    this.stateId = options.stateId;
    this.schemaVersion = options.schemaVersion;
    this.rowsPerPage = options.rowsPerPage ?? 1024;
    this.#shift = 31 - Math.clz32(this.rowsPerPage);
    invariant(this.rowsPerPage >= 8 && 1 << this.#shift === this.rowsPerPage, 'rowsPerPage is a power of two from 8');
    invariant(endianness() === 'LE', 'pages hold columns as little-endian machines do');
    this.#names = Object.keys(options.columns);
    this.#types = this.#names.map((name) => options.columns[name]);
    this.#scratch = this.#types.map((type) => new COLUMN_TYPES[type](this.rowsPerPage));
    this.#grow(1);
  }

  open(registry: StateRegistry): void {
    this.#tracker = registry.register(this);
  }

  get columns(): Columns<S> {
    return this.#columns as Columns<S>;
  }

  /** Slots below this have room. */
  get capacity(): number {
    return this.used.length;
  }

  get usedCount(): number {
    return this.#usedCount;
  }

  has(slot: number): boolean {
    return slot < this.used.length && this.used[slot] === 1;
  }

  /** Makes room for `slot`; changes nothing. */
  ensure(slot: number): void {
    if (slot < this.used.length) return;
    let pages = this.used.length >> this.#shift;
    while (pages << this.#shift <= slot) pages *= 2;
    this.#grow(pages);
  }

  /** Takes a row into use, with room and touched; true when it was not in use before. */
  use(slot: number): boolean {
    this.ensure(slot);
    this.change(slot);
    if (this.used[slot] === 1) return false;
    this.used[slot] = 1;
    this.#usedCount++;
    return true;
  }

  /** To be called before a row in use is written to. */
  change(slot: number): void {
    const page = slot >> this.#shift;
    const epoch = this.#tracker.epoch;
    if (this.pageEpoch[page] === epoch) return;
    this.#tracker.touch(page);
    this.pageEpoch[page] = epoch;
  }

  /** Frees a row: its columns are zero again. */
  clear(slot: number): void {
    if (!this.has(slot)) return;
    this.change(slot);
    for (const name of this.#names) this.#columns[name][slot] = 0;
    this.used[slot] = 0;
    this.#usedCount--;
  }

  /** Body: uvarint number of used rows; bitmap of them unless all are; per column the values of used rows. */
  writePage(page: number, out: ByteWriter): void {
    const from = page << this.#shift;
    const to = from + this.rowsPerPage;
    if (from >= this.used.length) return;
    const { used } = this;
    let count = 0;
    for (let slot = from; slot < to; slot++) count += used[slot];
    if (count === 0) return;
    out.uvarint(count);
    if (count < this.rowsPerPage) {
      for (let slot = from; slot < to; slot += 8) {
        let bits = 0;
        for (let bit = 0; bit < 8; bit++) bits |= used[slot + bit] << bit;
        out.u8(bits);
      }
    }
    for (let c = 0; c < this.#names.length; c++) {
      const packed = this.#scratch[c];
      pack(this.#columns[this.#names[c]], used, from, to, packed);
      if (packed instanceof Float64Array) canonicalNaN(packed, count);
      out.raw(new Uint8Array(packed.buffer, 0, count * packed.BYTES_PER_ELEMENT));
    }
  }

  readPage(page: number, input: ByteReader): void {
    const from = page << this.#shift;
    this.ensure(from + this.rowsPerPage - 1);
    const count = input.uvarint();
    invariant(count >= 1 && count <= this.rowsPerPage, `a page of '${this.stateId}' has ${count} rows`);
    const { used } = this;
    if (count === this.rowsPerPage) used.fill(1, from, from + count);
    else {
      for (let slot = from; slot < from + this.rowsPerPage; slot += 8) {
        const bits = input.u8();
        for (let bit = 0; bit < 8; bit++) used[slot + bit] = (bits >> bit) & 1;
      }
    }
    this.#usedCount += count;
    for (let c = 0; c < this.#names.length; c++) {
      const packed = this.#scratch[c];
      const bytes = input.raw(count * packed.BYTES_PER_ELEMENT);
      new Uint8Array(packed.buffer).set(bytes);
      unpack(packed, used, from, from + this.rowsPerPage, this.#columns[this.#names[c]]);
    }
  }

  #grow(pages: number): void {
    const rows = pages << this.#shift;
    const columns: Record<string, Column> = {};
    for (let c = 0; c < this.#names.length; c++) {
      const name = this.#names[c];
      const column = new COLUMN_TYPES[this.#types[c]](rows);
      if (this.#columns[name] !== undefined) column.set(this.#columns[name]);
      columns[name] = column;
    }
    this.#columns = columns;
    const used = new Uint8Array(rows);
    used.set(this.used);
    this.used = used;
    const pageEpoch = new Float64Array(pages);
    pageEpoch.set(this.pageEpoch);
    this.pageEpoch = pageEpoch;
  }
}

const unopened: PageTracker = {
  epoch: -1,
  touch: () => invariant(false, 'state is opened before it is used'),
};

function pack(column: Column, used: Uint8Array, from: number, to: number, packed: Column): void {
  let at = 0;
  for (let slot = from; slot < to; slot++) if (used[slot] === 1) packed[at++] = column[slot];
}

function unpack(packed: Column, used: Uint8Array, from: number, to: number, column: Column): void {
  let at = 0;
  for (let slot = from; slot < to; slot++) if (used[slot] === 1) column[slot] = packed[at++];
}

/** NaN has many bit patterns, and which one arises depends on how the engine compiled the sum: pages know one. */
function canonicalNaN(values: Float64Array, count: number): void {
  const words = new Uint32Array(values.buffer);
  for (let i = 0; i < count; i++) {
    if (!Number.isNaN(values[i])) continue;
    words[2 * i] = 0;
    words[2 * i + 1] = 0x7ff80000;
  }
}
