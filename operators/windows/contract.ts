// Owns what windows and aggregates know of each other: a window says which row a record belongs to, an aggregate keeps
// the rows' columns and folds. Rows are numbers given by the window; what a row means is the window's affair.

import type { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import type { Batch, StatsColumns } from '#runtime/task/contract.ts';

export interface WindowAggregate {
  /** Layout of `write`; part of the schema version of the window's pages. */
  readonly schemaVersion: number;
  /** Makes rows below `rowCount` usable; new ones are empty. */
  reserve(rowCount: number): void;
  /** Folds record i of the batch into row rows[i], in the order of i; a negative row is skipped. */
  fold(batch: Batch, rows: Int32Array): void;
  foldOne(batch: Batch, index: number, row: number): void;
  /** Empties a row, so that it can be given to something else. */
  clear(row: number): void;
  /** Writes the row's result to place `index` of the columns; `sketchAt` is where its sketch goes. Returns the end of it. */
  emit(row: number, stats: StatsColumns, index: number, sketchAt: number): number;
  /** The row's canonical bytes: the same for the same records, whatever happened in between. */
  write(row: number, out: ByteWriter): void;
  /** Restores an empty row. */
  read(row: number, input: ByteReader): void;
}

/** An aggregate whose results can be folded again, in order. */
export interface MergeableAggregate<Self> extends WindowAggregate {
  /** Folds the result in row `fromRow` of `from` (which may be this aggregate) into `row`. */
  mergeFrom(from: Self, fromRow: number, row: number): void;
}
