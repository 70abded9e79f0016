// Owns reading rollup rows back from Avro of ROLLUP_ROW_SCHEMA, without a frame: known series by their raw bytes, new ones
// by their text. Invariant: what is left over, cut off or claims more than its bytes hold is no row.

import { AvroReader } from '#operators/formats/avro-reader.ts';
import { utf8Text } from '#operators/formats/label-set.ts';
import { finishHash, HASH_SEED, hashRange, RawSeriesCache } from '#operators/formats/raw-series-cache.ts';
import { BoundRecord } from '#operators/formats/record-scratch.ts';
import {
  aheadFault,
  appendRow,
  FIRST_VALUE,
  FROM,
  isResolution,
  isSoundRow,
  OUT_OF_RANGE,
  REVISION,
  ROW_NUMBERS,
  type RowDecoder,
  type RowFault,
  type RowOrigin,
  RUN,
  rowInvalid,
  TO,
} from '#operators/formats/row-decoder.ts';
import { RecordRefusal } from '#operators/formats/sample-decoder.ts';
import { canonicalSeries } from '#operators/series/canonical.ts';
import type { SeriesTable } from '#operators/series/series-table.ts';
import type { Batch } from '#runtime/task/contract.ts';

/** Labels of a row that are read; more are refused, however many of them are empty. */
const LABELS_READ_MAX = 256;

export class AvroRowDecoder implements RowDecoder {
  readonly #table: SeriesTable;
  readonly #cache = new RawSeriesCache();
  readonly #reader = new AvroReader();
  readonly #bound = new BoundRecord();
  readonly #numbers = new Float64Array(ROW_NUMBERS);
  #bytes: Buffer = Buffer.alloc(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  /** Where the labels begin. */
  #labelsAt = 0;

  constructor(table: SeriesTable) {
    this.#table = table;
    table.onEvict((slots) => this.#cache.drop(slots));
  }

  decode(bytes: Buffer, start: number, end: number, origin: RowOrigin, batch: Batch): RowFault | null {
    const from = this.#bound.bind(bytes, start, end);
    this.#bytes = this.#bound.bytes;
    this.#view = this.#bound.view;
    try {
      return this.#row(from, from + end - start, origin, batch);
    } catch (error) {
      if (!(error instanceof RecordRefusal)) throw error;
      return { code: 'avro-invalid', message: `the record ${error.message}` };
    } finally {
      this.#bound.release();
    }
  }

  #row(start: number, end: number, origin: RowOrigin, batch: Batch): RowFault | null {
    const reader = this.#reader;
    reader.bind(this.#bytes, this.#view, start, end);
    this.#skipSeries();
    const headEnd = reader.at;
    this.#readNumbers();
    if (reader.at !== end) return rowInvalid(`${end - reader.at} bytes are left`);
    if (!isSoundRow(this.#numbers)) return rowInvalid(OUT_OF_RANGE);
    const ahead = aheadFault(this.#numbers, origin);
    if (ahead !== null) return ahead;
    const hash = finishHash(hashRange(this.#view, start, headEnd), HASH_SEED);
    let slot = this.#cache.find(this.#view, start, headEnd - start, start, 0, hash);
    if (slot < 0) {
      const series = this.#series(start);
      if (typeof series !== 'string') return series;
      slot = this.#table.slotOfText(series);
      this.#cache.insert(this.#view, start, headEnd - start, start, 0, hash, slot);
    }
    appendRow(slot, this.#numbers, origin, batch);
    return null;
  }

  // Name, labels and resolution, which lie side by side.
  #skipSeries(): void {
    const reader = this.#reader;
    reader.at = reader.dataEnd();
    this.#labelsAt = reader.at;
    for (let count = reader.blockCount(); count > 0; count = reader.blockCount()) {
      const { blockEnd } = reader;
      for (let i = 2 * count; i > 0; i--) reader.at = reader.dataEnd();
      reader.endBlock(blockEnd);
    }
    reader.at = reader.dataEnd();
  }

  #readNumbers(): void {
    const reader = this.#reader;
    const numbers = this.#numbers;
    numbers[FROM] = reader.long();
    numbers[TO] = reader.long();
    numbers[FIRST_VALUE] = reader.long();
    for (let v = FIRST_VALUE + 1; v < RUN; v++) numbers[v] = reader.view.getFloat64(reader.take(8), true);
    numbers[RUN] = reader.long();
    numbers[REVISION] = reader.long();
  }

  // Canonical text of the series with its resolution. The lengths were walked before: they are good.
  #series(start: number): string | RowFault {
    const reader = this.#reader;
    reader.at = start;
    const name = this.#text();
    const labels = this.#labels();
    const resolution = this.#text();
    if (name === null || resolution === null || labels === null) return rowInvalid('it holds text that is no UTF-8');
    if (typeof labels === 'string') return rowInvalid(labels);
    if (!isResolution(resolution)) return rowInvalid('resolution is none');
    const series = canonicalSeries(name === '' ? name : `${name}:${resolution}`, labels);
    return typeof series === 'string' ? series : rowInvalid(`${series.path} ${series.message}`);
  }

  // Of a name that comes twice the last value counts, as in JSON. Null: no UTF-8; a text tells what else is wrong.
  #labels(): Readonly<Record<string, string>> | string | null {
    const reader = this.#reader;
    const labels: Record<string, string> = Object.create(null);
    let left = LABELS_READ_MAX;
    reader.at = this.#labelsAt;
    for (let count = reader.long(); count !== 0; count = reader.long()) {
      if (count < 0) {
        count = -count;
        reader.long();
      }
      left -= count;
      if (left < 0) return `it has more than ${LABELS_READ_MAX} labels`;
      for (; count > 0; count--) {
        const [name, value] = [this.#text(), this.#text()];
        if (name === null || value === null) return null;
        labels[name] = value;
      }
    }
    return labels;
  }

  #text(): string | null {
    const stop = this.#reader.dataEnd();
    const text = utf8Text(this.#bytes, this.#reader.at, stop);
    this.#reader.at = stop;
    return text;
  }
}
