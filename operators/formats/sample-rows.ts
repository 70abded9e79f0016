// Owns collecting the rows of one record: known series go straight into the batch, new ones wait until the record is
// known to be whole. Knows no format. Invariant: after `discard` batch and series table are as before the record; series
// get their slots in the order of their first rows.

import { isTimestamp, TIMESTAMP_MAX_MS } from '#operators/formats/json-sample-scanner.ts';
import { RawSeriesCache } from '#operators/formats/raw-series-cache.ts';
import {
  FAULTS_MAX,
  type FaultCode,
  NOT_WAITING,
  RECORD_ROWS_MAX,
  type RecordOrigin,
  type RecordOutcome,
  RecordRefusal,
  type SampleDecoderOptions,
  type SampleFault,
  type SeriesAdmission,
} from '#operators/formats/sample-decoder.ts';
import { putNaN, STALE_HIGH, STALE_LOW } from '#operators/formats/special-values.ts';
import type { SeriesTable } from '#operators/series/series-table.ts';
import { putBits } from '#runtime/std/float-bits.ts';
import { murmur2 } from '#runtime/std/murmur2.ts';
import { Batch } from '#runtime/task/contract.ts';

/** Answer for bytes nobody has seen; handles of series are slots (from 0) or new series of this record (below this). */
export const UNKNOWN_SERIES = -1;
const FIRST_NEW = -2;

export class SampleRows implements RecordOutcome {
  notFinite = 0;
  readonly faults: SampleFault[] = [];
  faultCount = 0;
  hasParts = false;
  waitsFor = NOT_WAITING;
  /** Event times above this are faults. */
  skewLimitMs = Number.POSITIVE_INFINITY;
  /** Raw bytes that once led to a series. */
  readonly cache: RawSeriesCache;
  readonly #table: SeriesTable;
  readonly #admit: SeriesAdmission | null;
  readonly #keepsNotFinite: boolean;
  #batch: Batch = new Batch(0);
  #originPartition = 0;
  #originOffset = 0;
  #firstRow = 0;
  #maxBefore = 0;
  #markedRow = 0;
  #markedMaxMs = 0;
  #markedNotFinite = 0;
  #markedNewRows = 0;
  /** Rows whose series have no slot yet and which of the new series it is. */
  readonly #newRows: number[] = [];
  readonly #newRowSeries: number[] = [];
  readonly #newCanonical: Buffer[] = [];
  /** By new series: name start and size, labels start and size, hash of its raw bytes; for the cache. */
  readonly #newRaw: number[] = [];

  constructor(options: SampleDecoderOptions) {
    this.#table = options.table;
    this.#admit = options.admit ?? null;
    this.#keepsNotFinite = options.keepsNotFinite ?? false;
    this.cache = new RawSeriesCache(options);
    this.#table.onEvict((slots) => this.cache.drop(slots));
  }

  begin(origin: RecordOrigin, batch: Batch): void {
    this.notFinite = 0;
    this.hasParts = false;
    this.waitsFor = NOT_WAITING;
    if (this.faultCount > 0) this.faults.length = 0;
    this.faultCount = 0;
    this.#batch = batch;
    this.#originPartition = origin.partition;
    this.#originOffset = origin.offset;
    this.skewLimitMs = origin.skewLimitMs;
    this.#firstRow = batch.count;
    this.#maxBefore = batch.maxTimestampMs;
    if (this.#newCanonical.length > 0) this.#forgetNew();
  }

  /** Appends a sample of the series with that handle. */
  append(series: number, timestampMs: number, value: number): void {
    if (!this.#keepsNotFinite && !Number.isFinite(value)) {
      this.notFinite++;
      return;
    }
    const batch = this.#batch;
    const row = batch.count;
    if (row === batch.capacity) batch.grow();
    if (row - this.#firstRow === RECORD_ROWS_MAX) {
      throw new RecordRefusal('sample-invalid', `holds more than ${RECORD_ROWS_MAX} samples`);
    }
    batch.timestampMs[row] = timestampMs;
    batch.key[row] = series;
    if (Number.isNaN(value)) putNaN(batch.value, row);
    else batch.value[row] = value;
    batch.originPartition[row] = this.#originPartition;
    batch.originOffset[row] = this.#originOffset;
    batch.count = row + 1;
    if (timestampMs > batch.maxTimestampMs) batch.maxTimestampMs = timestampMs;
    if (series < 0) {
      this.#newRows.push(row);
      this.#newRowSeries.push(FIRST_NEW - series);
    }
  }

  /** The same for a NaN with these bits. */
  appendNaN(series: number, timestampMs: number, high: number, low: number): void {
    this.append(series, timestampMs, Number.NaN);
    if (this.#keepsNotFinite) putBits(this.#batch.value, this.#batch.count - 1, high, low);
  }

  appendStale(series: number, timestampMs: number): void {
    this.appendNaN(series, timestampMs, STALE_HIGH, STALE_LOW);
  }

  /** Remembers where a part of the record begins, so that it can be taken back as a whole. */
  mark(): void {
    this.#markedRow = this.#batch.count;
    this.#markedMaxMs = this.#batch.maxTimestampMs;
    this.#markedNotFinite = this.notFinite;
    this.#markedNewRows = this.#newRows.length;
  }

  /** Takes back everything since `mark`. */
  rewind(): void {
    this.#batch.count = this.#markedRow;
    this.#batch.maxTimestampMs = this.#markedMaxMs;
    this.notFinite = this.#markedNotFinite;
    this.#newRows.length = this.#markedNewRows;
    this.#newRowSeries.length = this.#markedNewRows;
  }

  /** Handle of the series that raw bytes stand for; they are remembered once the series has a slot. */
  seriesOf(
    canonical: string,
    view: DataView,
    nameStart: number,
    nameSize: number,
    labelsStart: number,
    labelsSize: number,
    hash: number,
  ): number {
    const bytes = Buffer.from(canonical);
    const slot = this.#table.find(bytes);
    if (slot < 0) return this.#newSeries(bytes, nameStart, nameSize, labelsStart, labelsSize, hash);
    this.cache.insert(view, nameStart, nameSize, labelsStart, labelsSize, hash, slot);
    return slot;
  }

  /** The same when the raw bytes do not last until the record is settled: a new series is remembered next time. */
  seriesOfPassing(
    canonical: string,
    view: DataView,
    nameStart: number,
    nameSize: number,
    labelsStart: number,
    labelsSize: number,
    hash: number,
  ): number {
    const handle = this.seriesOfText(canonical);
    if (handle >= 0) this.cache.insert(view, nameStart, nameSize, labelsStart, labelsSize, hash, handle);
    return handle;
  }

  /** The same for a series whose raw bytes are not worth remembering. */
  seriesOfText(canonical: string): number {
    const bytes = Buffer.from(canonical);
    const slot = this.#table.find(bytes);
    return slot >= 0 ? slot : this.#newSeries(bytes, 0, 0, 0, 0, 0);
  }

  #newSeries(
    canonical: Buffer,
    nameStart: number,
    nameSize: number,
    labelsStart: number,
    labelsSize: number,
    hash: number,
  ): number {
    this.#newRaw.push(nameStart, nameSize, labelsStart, labelsSize, hash);
    this.#newCanonical.push(canonical);
    return FIRST_NEW - this.#newCanonical.length + 1;
  }

  /** The record is whole: its new series get their slots. `view` is that of the raw bytes. */
  settle(view: DataView): void {
    const rows = this.#newRows;
    if (rows.length > 0) {
      const batch = this.#batch;
      const slots = new Int32Array(this.#newCanonical.length).fill(UNKNOWN_SERIES);
      for (let i = 0; i < rows.length; i++) {
        const series = this.#newRowSeries[i];
        if (slots[series] < 0) slots[series] = this.#slotOf(series, view);
        batch.key[rows[i]] = slots[series];
      }
    }
    if (this.#newCanonical.length > 0) this.#forgetNew();
  }

  /** The record is refused: nothing of it stays but this fault. */
  discard(refusal: RecordRefusal): void {
    this.#batch.count = this.#firstRow;
    this.#batch.maxTimestampMs = this.#maxBefore;
    this.notFinite = 0;
    this.hasParts = false;
    this.faults.length = 0;
    this.faultCount = 0;
    this.#forgetNew();
    this.fault(refusal.code, refusal.message, '$');
  }

  fault(code: FaultCode, message: string, path: string): void {
    if (this.faultCount++ < FAULTS_MAX) this.faults.push({ code, message, path });
  }

  timestampFault(timestampMs: number, path: string): void {
    if (isTimestamp(timestampMs)) {
      this.fault('timestamp-ahead', `is further ahead of the clock than maxSkew: ${timestampMs}`, path);
    } else this.fault('sample-invalid', `must be whole milliseconds within ±${TIMESTAMP_MAX_MS}`, path);
  }

  /** Counts a fault and says yes, when its words would not be kept; says no otherwise and does nothing. */
  countsFaultOnly(): boolean {
    if (this.faultCount < FAULTS_MAX) return false;
    this.faultCount++;
    return true;
  }

  #slotOf(series: number, view: DataView): number {
    const bytes = this.#newCanonical[series];
    const hash = murmur2(bytes);
    let slot = this.#table.find(bytes, 0, bytes.length, hash);
    if (slot < 0) {
      this.#admit?.(bytes, hash);
      slot = this.#table.slotOf(bytes, 0, bytes.length, hash);
    }
    const raw = this.#newRaw;
    const at = series * 5;
    if (raw[at + 1] + raw[at + 3] > 0) {
      this.cache.insert(view, raw[at], raw[at + 1], raw[at + 2], raw[at + 3], raw[at + 4], slot);
    }
    return slot;
  }

  #forgetNew(): void {
    this.#newRows.length = 0;
    this.#newRowSeries.length = 0;
    this.#newCanonical.length = 0;
    this.#newRaw.length = 0;
  }
}
