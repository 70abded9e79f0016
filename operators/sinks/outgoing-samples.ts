// Owns the samples of an entry on their way to a receiver, in columns, and the rows they were made of, for dead letters.
// Knows no labels and no protocol. Invariant: items keep the order in which they were put in.

import { copyValue } from '#operators/formats/special-values.ts';

/** Part of a sample that is a row by itself. */
export const WHOLE = 255;
const ITEMS_FIRST = 1_024;

export class OutgoingSamples {
  count = 0;
  rows = 0;
  timestampMs = new Float64Array(ITEMS_FIRST);
  value = new Float64Array(ITEMS_FIRST);
  key = new Int32Array(ITEMS_FIRST);
  /** Which of ROLLUP_VALUES it is, or WHOLE. */
  part = new Uint8Array(ITEMS_FIRST);
  /** The row it was made of. */
  row = new Int32Array(ITEMS_FIRST);
  originPartition = new Int32Array(ITEMS_FIRST);
  originOffset = new Float64Array(ITEMS_FIRST);
  /** Of rollup rows. */
  windowStartMs = new Float64Array(ITEMS_FIRST);
  run = new Int32Array(ITEMS_FIRST);
  revision = new Int32Array(ITEMS_FIRST);

  /** A new row; its items follow. */
  beginRow(originPartition: number, originOffset: number): number {
    if (this.rows === this.originPartition.length) this.#growRows();
    const row = this.rows++;
    this.originPartition[row] = originPartition;
    this.originOffset[row] = originOffset;
    return row;
  }

  /** An item of that row; its value stands in a column. */
  add(key: number, part: number, timestampMs: number, values: Float64Array, at: number): void {
    if (this.count === this.key.length) this.#growItems();
    const item = this.count++;
    this.key[item] = key;
    this.part[item] = part;
    this.timestampMs[item] = timestampMs;
    copyValue(values, at, this.value, item);
    this.row[item] = this.rows - 1;
  }

  clear(): void {
    this.count = 0;
    this.rows = 0;
  }

  #growItems(): void {
    const capacity = this.key.length * 2;
    this.timestampMs = widened(this.timestampMs, new Float64Array(capacity));
    this.value = widened(this.value, new Float64Array(capacity));
    this.key = widened(this.key, new Int32Array(capacity));
    this.part = widened(this.part, new Uint8Array(capacity));
    this.row = widened(this.row, new Int32Array(capacity));
  }

  #growRows(): void {
    const capacity = this.originPartition.length * 2;
    this.originPartition = widened(this.originPartition, new Int32Array(capacity));
    this.originOffset = widened(this.originOffset, new Float64Array(capacity));
    this.windowStartMs = widened(this.windowStartMs, new Float64Array(capacity));
    this.run = widened(this.run, new Int32Array(capacity));
    this.revision = widened(this.revision, new Int32Array(capacity));
  }
}

function widened<T extends Float64Array | Int32Array | Uint8Array>(column: T, next: T): T {
  next.set(column);
  return next;
}
