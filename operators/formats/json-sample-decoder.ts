// Owns turning one record's bytes into rows: one JSON sample object or an array of them. Scans what it can, parses the
// rest, collects the faults of single parts. Invariant: a record that is no JSON leaves batch and series table
// as they were; series get their slots in the order of the rows, however the record was read.

import { isUtf8 } from 'node:buffer';
import { readSample } from '#operators/formats/json-sample.ts';
import { JsonSampleScanner, SCAN_OVERREAD_BYTES } from '#operators/formats/json-sample-scanner.ts';
import { nestsDeeperThan, parseJson } from '#operators/formats/json-value.ts';
import { RawSeriesCache } from '#operators/formats/raw-series-cache.ts';
import {
  FAULTS_MAX,
  type FaultCode,
  NESTING_MAX,
  NOT_WAITING,
  type RecordOrigin,
  type RecordOutcome,
  type SampleDecoder,
  type SampleDecoderOptions,
  type SampleFault,
  type SeriesAdmission,
} from '#operators/formats/sample-decoder.ts';
import { putNaN, putStaleMarker } from '#operators/formats/special-values.ts';
import type { SeriesTable } from '#operators/series/series-table.ts';
import { murmur2 } from '#runtime/std/murmur2.ts';
import type { Batch } from '#runtime/task/contract.ts';

const SCRATCH_BYTES = 16 * 1024;
const OPEN = 0x7b;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const COMMA = 0x2c;

export class JsonSampleDecoder implements SampleDecoder, RecordOutcome {
  readonly outcome: RecordOutcome = this;
  notFinite = 0;
  readonly faults: SampleFault[] = [];
  faultCount = 0;
  /** Whether the last record was an array. */
  hasParts = false;
  readonly waitsFor = NOT_WAITING;
  /** Records that took the slow way, for benchmarks and tests. */
  parsedRecords = 0;
  readonly #table: SeriesTable;
  readonly #admit: SeriesAdmission | null;
  readonly #keepsNotFinite: boolean;
  readonly #cache: RawSeriesCache;
  readonly #scanner: JsonSampleScanner;
  readonly #find = (canonical: string): number => this.#table.find(Buffer.from(canonical));
  /** Rows of this record whose series have no slot yet, and their canonical texts. */
  readonly #pendingRows: number[] = [];
  readonly #pendingSeries: string[] = [];
  readonly #scratch = Buffer.alloc(SCRATCH_BYTES + SCAN_OVERREAD_BYTES);
  #originPartition = 0;
  #originOffset = 0;
  #skewLimitMs = Number.POSITIVE_INFINITY;

  constructor(options: SampleDecoderOptions) {
    this.#table = options.table;
    this.#admit = options.admit ?? null;
    this.#keepsNotFinite = options.keepsNotFinite ?? false;
    this.#cache = new RawSeriesCache(options);
    this.#scanner = new JsonSampleScanner(this.#cache);
    this.#table.onEvict((slots) => this.#cache.drop(slots));
  }

  decode(bytes: Buffer, start: number, end: number, origin: RecordOrigin, batch: Batch): void {
    this.notFinite = 0;
    this.hasParts = false;
    if (this.faultCount > 0) this.faults.length = 0;
    this.faultCount = 0;
    this.#originPartition = origin.partition;
    this.#originOffset = origin.offset;
    this.#skewLimitMs = origin.skewLimitMs;
    if (end + SCAN_OVERREAD_BYTES > bytes.length) this.#decodeCopy(bytes, start, end, batch);
    else this.#decode(bytes, start, end, batch);
  }

  // The scanner reads whole words, which the last record of a buffer has no room for.
  #decodeCopy(bytes: Buffer, start: number, end: number, batch: Batch): void {
    const size = end - start;
    const copy = size <= SCRATCH_BYTES ? this.#scratch : Buffer.alloc(size + SCAN_OVERREAD_BYTES);
    bytes.copy(copy, 0, start, end);
    this.#decode(copy, 0, size, batch);
  }

  #decode(bytes: Buffer, start: number, end: number, batch: Batch): void {
    const scanner = this.#scanner;
    scanner.bind(bytes, end);
    if (bytes[start] === OPEN && scanner.compact(start) === end && scanner.timestampMs <= this.#skewLimitMs) {
      this.#append(batch, scanner.timestampMs, scanner.value, scanner.slot);
      return;
    }
    const countBefore = batch.count;
    const maxBefore = batch.maxTimestampMs;
    if (this.#scan(bytes, start, end, batch)) return;
    batch.count = countBefore;
    batch.maxTimestampMs = maxBefore;
    this.notFinite = 0;
    this.#pendingRows.length = 0;
    this.#pendingSeries.length = 0;
    this.#parse(bytes, start, end, batch);
  }

  // Whether every part was a good sample that the scanner takes; otherwise rows may have been appended.
  #scan(bytes: Buffer, start: number, end: number, batch: Batch): boolean {
    const scanner = this.#scanner;
    let p = scanner.skipSpace(start);
    if (bytes[p] === OPEN) {
      p = this.#scanObject(p, batch);
      if (p < 0 || scanner.skipSpace(p) !== end) return false;
      if (this.#pendingRows.length > 0) {
        this.#settlePending(batch);
        scanner.remember(batch.key[batch.count - 1]);
      }
      return true;
    }
    if (bytes[p] !== OPEN_ARRAY) return false;
    this.hasParts = true;
    p = scanner.skipSpace(p + 1);
    if (bytes[p] === CLOSE_ARRAY) return scanner.skipSpace(p + 1) === end;
    for (;;) {
      if (bytes[p] !== OPEN) return false;
      p = this.#scanObject(p, batch);
      if (p < 0) return false;
      p = scanner.skipSpace(p);
      if (p >= end) return false;
      if (bytes[p] === CLOSE_ARRAY) break;
      if (bytes[p] !== COMMA) return false;
      p = scanner.skipSpace(p + 1);
    }
    if (scanner.skipSpace(p + 1) !== end) return false;
    this.#settlePending(batch);
    return true;
  }

  #scanObject(start: number, batch: Batch): number {
    const scanner = this.#scanner;
    let end = scanner.compact(start);
    if (end < 0) end = scanner.tolerant(start, this.#find);
    if (end < 0 || scanner.timestampMs > this.#skewLimitMs) return -1;
    // Whether a kept NaN is a stale marker is for the parser to say.
    if (this.#keepsNotFinite && Number.isNaN(scanner.value)) return -1;
    if (scanner.slot < 0 && this.#isKept(scanner.value)) {
      this.#pendingRows.push(batch.count);
      this.#pendingSeries.push(scanner.canonical);
    }
    this.#append(batch, scanner.timestampMs, scanner.value, scanner.slot);
    return end;
  }

  #append(batch: Batch, timestampMs: number, value: number, slot: number): void {
    if (!this.#isKept(value)) {
      this.notFinite++;
      return;
    }
    const row = batch.count;
    if (row === batch.capacity) batch.grow();
    batch.timestampMs[row] = timestampMs;
    batch.key[row] = slot;
    batch.value[row] = value;
    batch.originPartition[row] = this.#originPartition;
    batch.originOffset[row] = this.#originOffset;
    batch.count = row + 1;
    if (timestampMs > batch.maxTimestampMs) batch.maxTimestampMs = timestampMs;
  }

  #isKept(value: number): boolean {
    return this.#keepsNotFinite || Number.isFinite(value);
  }

  // The record is whole: its new series get their slots now.
  #settlePending(batch: Batch): void {
    const rows = this.#pendingRows;
    for (let i = 0; i < rows.length; i++) batch.key[rows[i]] = this.#slotOf(this.#pendingSeries[i]);
    rows.length = 0;
    this.#pendingSeries.length = 0;
  }

  #slotOf(canonical: string): number {
    const bytes = Buffer.from(canonical);
    const hash = murmur2(bytes);
    const slot = this.#table.find(bytes, 0, bytes.length, hash);
    if (slot >= 0) return slot;
    this.#admit?.(bytes, hash);
    return this.#table.slotOf(bytes, 0, bytes.length, hash);
  }

  #parse(bytes: Buffer, start: number, end: number, batch: Batch): void {
    this.parsedRecords++;
    this.hasParts = false;
    const parsed = this.#parseText(bytes.subarray(start, end));
    if (parsed === undefined) return;
    if (Array.isArray(parsed)) {
      this.hasParts = true;
      for (let i = 0; i < parsed.length; i++) this.#take(parsed[i], `$[${i}]`, batch);
    } else this.#take(parsed, '$', batch);
  }

  // Undefined: it was a fault.
  #parseText(record: Buffer): unknown {
    if (!isUtf8(record)) this.#fault('json-invalid', 'is no valid UTF-8', '$');
    else if (nestsDeeperThan(record, NESTING_MAX)) this.#fault('json-invalid', `nests deeper than ${NESTING_MAX}`, '$');
    else {
      try {
        return parseJson(record.toString());
      } catch (error) {
        this.#fault('json-invalid', `is no valid JSON: ${(error as Error).message}`, '$');
      }
    }
    return undefined;
  }

  #take(parsed: unknown, at: string, batch: Batch): void {
    const sample = readSample(parsed, at);
    if ('code' in sample) this.#fault(sample.code, sample.message, sample.path);
    else if (sample.timestampMs > this.#skewLimitMs) {
      this.#fault(
        'timestamp-ahead',
        `is further ahead of the clock than maxSkew: ${sample.timestampMs}`,
        `${at}.timestamp`,
      );
    } else {
      const slot = this.#isKept(sample.value) ? this.#slotOf(sample.canonical) : -1;
      this.#append(batch, sample.timestampMs, sample.value, slot);
      if (!this.#keepsNotFinite || !Number.isNaN(sample.value)) return;
      if (sample.isStale) putStaleMarker(batch.value, batch.count - 1);
      else putNaN(batch.value, batch.count - 1);
    }
  }

  #fault(code: FaultCode, message: string, path: string): void {
    if (this.faultCount++ < FAULTS_MAX) this.faults.push({ code, message, path });
  }
}
