// Owns reading rollup rows back from remote write: a request with the eight series of one row, each with one sample at the
// window's end. It knows neither run nor revision; the window's start follows from the resolution. Invariant: a request
// that is anything else is no row.

import { canonicalOfPairs, PAIRS_MAX, utf8Text } from '#operators/formats/label-set.ts';
import { BYTES, FIXED64, ProtobufReader, VARINT } from '#operators/formats/protobuf-reader.ts';
import { finishHash, HASH_SEED, hashRange, RawSeriesCache } from '#operators/formats/raw-series-cache.ts';
import { RecordScratch, SCRATCH_HEAD_BYTES } from '#operators/formats/record-scratch.ts';
import {
  aheadFault,
  appendRow,
  FIRST_VALUE,
  FROM,
  isResolution,
  isSoundRow,
  OUT_OF_RANGE,
  ROW_NUMBERS,
  type RowDecoder,
  type RowFault,
  type RowOrigin,
  rowInvalid,
  TO,
} from '#operators/formats/row-decoder.ts';
import { RECORD_BYTES_MAX, RecordRefusal } from '#operators/formats/sample-decoder.ts';
import { SnappyBlock } from '#operators/formats/snappy-block.ts';
import { canonicalText, parseCanonical } from '#operators/series/canonical.ts';
import type { SeriesTable } from '#operators/series/series-table.ts';
import { parseDuration } from '#runtime/std/duration.ts';
import { type Batch, ROLLUP_VALUES } from '#runtime/task/contract.ts';

/** Tags of WriteRequest, TimeSeries, Label and Sample. */
const TIMESERIES = (1 << 3) | BYTES;
const LABEL = (1 << 3) | BYTES;
const SAMPLE = (2 << 3) | BYTES;
const LABEL_NAME = (1 << 3) | BYTES;
const LABEL_VALUE = (2 << 3) | BYTES;
const VALUE = (1 << 3) | FIXED64;
const TIMESTAMP = (2 << 3) | VARINT;

const PARTS = ROLLUP_VALUES.length;
const ALL_PARTS = (1 << PARTS) - 1;

export class RemoteWriteRowDecoder implements RowDecoder {
  readonly #table: SeriesTable;
  /** Labels of a series → slot of the row's series times PARTS, and which number of the row it is. */
  readonly #cache = new RawSeriesCache();
  readonly #snappy = new SnappyBlock();
  readonly #input = new RecordScratch();
  readonly #scratch = new RecordScratch();
  readonly #reader = new ProtobufReader();
  readonly #numbers = new Float64Array(ROW_NUMBERS);
  /** By slot: how long its windows are. */
  readonly #sizeMs: number[] = [];
  /** By part: where its labels lie in the request, start and end; for the cache. */
  readonly #labels = new Int32Array(2 * PARTS);
  /** Of the request at hand: the row's series, -1 and its text when it has no slot. */
  #slot = -1;
  #text = '';
  #parts = 0;
  #unknown = 0;
  /** Of the sample that was read last. */
  #value = 0;
  #timestampMs = 0;

  constructor(table: SeriesTable) {
    this.#table = table;
    table.onEvict((slots) => {
      this.#cache.drop(slots.flatMap((slot) => ROLLUP_VALUES.map((_, part) => slot * PARTS + part)));
      for (const slot of slots) delete this.#sizeMs[slot];
    });
  }

  decode(bytes: Buffer, start: number, end: number, origin: RowOrigin, batch: Batch): RowFault | null {
    try {
      return this.#row(this.#uncompress(bytes, start, end), origin, batch);
    } catch (error) {
      if (!(error instanceof RecordRefusal)) throw error;
      const code = error.code === 'snappy-invalid' ? 'snappy-invalid' : 'protobuf-invalid';
      return { code, message: `the record ${error.message}` };
    } finally {
      this.#input.release();
      this.#scratch.release();
    }
  }

  // Into the scratch; returns where it ends.
  #uncompress(bytes: Buffer, start: number, end: number): number {
    const snappy = this.#snappy;
    snappy.open(bytes, start, end, RECORD_BYTES_MAX);
    this.#scratch.reserve(snappy.sizeBytes);
    const inputEnd = this.#input.copy(bytes, start, end);
    snappy.open(this.#input.bytes, SCRATCH_HEAD_BYTES, inputEnd, RECORD_BYTES_MAX);
    const { bytes: out, view } = this.#scratch;
    snappy.read(this.#input.bytes, this.#input.view, out, view, SCRATCH_HEAD_BYTES);
    return SCRATCH_HEAD_BYTES + snappy.sizeBytes;
  }

  #row(end: number, origin: RowOrigin, batch: Batch): RowFault | null {
    const reader = this.#reader;
    reader.bind(this.#scratch.bytes, this.#scratch.view);
    reader.at = SCRATCH_HEAD_BYTES;
    this.#slot = -1;
    this.#text = '';
    this.#parts = 0;
    this.#unknown = 0;
    while (reader.at < end) {
      const tag = reader.tag(end);
      if (tag === TIMESERIES) {
        const fault = this.#timeSeries(reader.fieldEnd(end));
        if (fault !== null) return fault;
      } else reader.skip(tag, end);
    }
    if (this.#parts !== ALL_PARTS) return rowInvalid('it lacks some of the eight series');
    return this.#append(origin, batch);
  }

  #append(origin: RowOrigin, batch: Batch): RowFault | null {
    const numbers = this.#numbers;
    const isNew = this.#slot < 0;
    const sizeMs = (isNew ? undefined : this.#sizeMs[this.#slot]) ?? this.#windowMs();
    if (sizeMs === null) return rowInvalid('its resolution is no duration');
    numbers[FROM] = numbers[TO] - sizeMs;
    if (!isSoundRow(numbers)) return rowInvalid(OUT_OF_RANGE);
    const ahead = aheadFault(numbers, origin);
    if (ahead !== null) return ahead;
    if (isNew) this.#slot = this.#table.slotOfText(this.#text);
    this.#sizeMs[this.#slot] = sizeMs;
    if (this.#unknown !== 0) this.#remember();
    appendRow(this.#slot, numbers, origin, batch);
    return null;
  }

  #windowMs(): number | null {
    const text = this.#slot < 0 ? this.#text : Buffer.from(this.#table.canonicalBytes(this.#slot)).toString();
    const { metricName } = parseCanonical(text);
    const sizeMs = parseDuration(metricName.slice(metricName.lastIndexOf(':') + 1));
    return sizeMs === null || sizeMs === 0 ? null : sizeMs;
  }

  #remember(): void {
    const { view } = this.#scratch;
    for (let part = 0; part < PARTS; part++) {
      if ((this.#unknown & (1 << part)) === 0) continue;
      const { [2 * part]: start, [2 * part + 1]: end } = this.#labels;
      const hash = finishHash(HASH_SEED, hashRange(view, start, end));
      this.#cache.insert(view, start, 0, start, end - start, hash, this.#slot * PARTS + part);
    }
  }

  #timeSeries(end: number): RowFault | null {
    const reader = this.#reader;
    const start = reader.at;
    let labelsEnd = start;
    let samples = 0;
    while (reader.at < end) {
      const { at } = reader;
      const tag = reader.tag(end);
      if (tag === LABEL && labelsEnd === at) labelsEnd = reader.at = reader.fieldEnd(end);
      else if (tag === SAMPLE && samples++ === 0) this.#sample(reader.fieldEnd(end));
      else return rowInvalid('a series is more than its labels and one sample');
    }
    if (samples === 0) return rowInvalid('a series has no sample');
    const part = this.#partOf(start, labelsEnd);
    if (typeof part !== 'number') return part;
    if ((this.#parts & (1 << part)) !== 0) return rowInvalid(`${ROLLUP_VALUES[part]} is there twice`);
    if (this.#parts === 0) this.#numbers[TO] = this.#timestampMs;
    else if (this.#numbers[TO] !== this.#timestampMs) return rowInvalid('its samples are of several times');
    this.#parts |= 1 << part;
    this.#numbers[FIRST_VALUE + part] = this.#value;
    reader.at = end;
    return null;
  }

  #sample(end: number): void {
    const reader = this.#reader;
    this.#value = 0;
    this.#timestampMs = 0;
    while (reader.at < end) {
      const tag = reader.tag(end);
      if (tag === VALUE) this.#value = reader.double(end);
      else if (tag === TIMESTAMP) this.#timestampMs = reader.int64(end);
      else reader.skip(tag, end);
    }
  }

  // Which number of the row a series is; every series must be of the same row.
  #partOf(start: number, end: number): number | RowFault {
    const { view } = this.#scratch;
    const hash = finishHash(HASH_SEED, hashRange(view, start, end));
    const found = this.#cache.find(view, start, 0, start, end - start, hash);
    if (found >= 0) {
      const slot = Math.floor(found / PARTS);
      if (this.#parts !== 0 && this.#slot !== slot) return SEVERAL;
      this.#slot = slot;
      return found % PARTS;
    }
    return this.#unknownPart(start, end);
  }

  #unknownPart(start: number, end: number): number | RowFault {
    const canonical = this.#canonical(start, end);
    if (typeof canonical !== 'string') return canonical;
    const { labels, metricName } = parseCanonical(canonical);
    const colon = metricName.lastIndexOf(':');
    const part = ROLLUP_VALUES.findIndex((name) => name === metricName.slice(colon + 1));
    const rowName = metricName.slice(0, Math.max(0, colon));
    const resolutionAt = rowName.lastIndexOf(':');
    if (part < 0 || resolutionAt < 1 || !isResolution(rowName.slice(resolutionAt + 1))) {
      return rowInvalid(`'${metricName}' names no number of a row`);
    }
    const text = canonicalText(rowName, labels);
    const slot = this.#table.find(Buffer.from(text));
    if (this.#parts !== 0 && (this.#slot !== slot || (slot < 0 && this.#text !== text))) return SEVERAL;
    this.#slot = slot;
    this.#text = text;
    this.#unknown |= 1 << part;
    this.#labels[2 * part] = start;
    this.#labels[2 * part + 1] = end;
    return part;
  }

  #canonical(start: number, end: number): string | RowFault {
    const reader = this.#reader;
    const pairs: (string | null)[] = [];
    reader.at = start;
    while (reader.at < end) {
      reader.tag(end);
      const stop = reader.fieldEnd(end);
      let [name, value]: (string | null)[] = ['', ''];
      while (reader.at < stop) {
        const tag = reader.tag(stop);
        if (tag !== LABEL_NAME && tag !== LABEL_VALUE) {
          reader.skip(tag, stop);
          continue;
        }
        const textEnd = reader.fieldEnd(stop);
        const text = utf8Text(reader.bytes, reader.at, textEnd);
        reader.at = textEnd;
        if (tag === LABEL_NAME) name = text;
        else value = text;
      }
      if (pairs.length < PAIRS_MAX * 2) pairs.push(name, value);
    }
    const canonical = canonicalOfPairs(pairs);
    return typeof canonical === 'string' ? canonical : rowInvalid(`a series' ${canonical.path} ${canonical.message}`);
  }
}

const SEVERAL = rowInvalid('its series are of several rows');
