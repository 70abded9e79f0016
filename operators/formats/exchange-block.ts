// Owns the records of an exchange: a block of samples or of other records in columns with the writer's watermark, or a
// control alone.
// Knows no table and no log. Invariant: what `encode` wrote `read` gives back, and nothing else is ever taken for it:
// lengths and counts are checked before they are used.

import type { ValueCodec } from '#checkpoint/contract.ts';
import { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';
import type { Batch } from '#runtime/task/contract.ts';

// u8 kind, u8 version, uvarint writer, f64 watermark (little-endian); for data also: u8 flags, text origin topic,
// uvarint keys, keys × (uvarint length, canonical bytes), uvarint rows, then the columns, each over all rows:
// varint key difference; varint time difference (or f64 with RAW_TIMES); f64 value, or with RECORDS uvarint length of all
// and each the codec's bytes behind their uvarint length;
// varint origin partition difference (or once, with ONE_PARTITION); varint origin offset difference. A savepoint marker
// goes on with u8 1 when its writer is idle, text id.

export const EXCHANGE_DATA = 1;
export const EXCHANGE_WATERMARK = 2;
export const EXCHANGE_IDLE = 3;
export const EXCHANGE_MARKER = 4;
const VERSION = 1;
const ONE_PARTITION = 1;
const RAW_TIMES = 2;
const RECORDS = 4;
/** Rows of one block at most; the reader refuses more. */
export const BLOCK_ROWS_MAX = 4096;
/** Differences of times within this fit a varint. */
const TIME_MAX_MS = 2 ** 50;
/** Of the id of a savepoint. */
const SAVEPOINT_BYTES_MAX = 64;
/** A byte each for key, time, value and offset. */
const ROW_BYTES_MIN = 4;

/** Gathers the rows of one block in columns. */
export class ExchangeBlock {
  rows = 0;
  originTopic = '';
  maxTimestampMs = Number.NEGATIVE_INFINITY;
  /** Changes with each block: tells which keys of a table are in this one's dictionary. */
  serial = 0;
  readonly #keys = new ByteWriter(1024);
  readonly #payload = new ByteWriter(64);
  #keyCount = 0;
  #key: Int32Array = new Int32Array(64);
  #timestampMs: Float64Array = new Float64Array(64);
  #value: Float64Array = new Float64Array(64);
  #originPartition: Int32Array = new Int32Array(64);
  #originOffset: Float64Array = new Float64Array(64);

  /** Estimated size of the record; follows from the rows alone. */
  get sizeBytes(): number {
    return this.#keys.length + this.#payload.length + this.rows * 16;
  }

  /** Puts a key into the dictionary; its place. */
  addKey(canonical: Uint8Array): number {
    this.#keys.uvarint(canonical.length);
    this.#keys.raw(canonical);
    return this.#keyCount++;
  }

  addRow(key: number, timestampMs: number, value: number, originPartition: number, originOffset: number): void {
    if (this.rows === this.#key.length) this.#widen();
    const at = this.rows++;
    this.#key[at] = key;
    this.#timestampMs[at] = timestampMs;
    this.#value[at] = value;
    this.#originPartition[at] = originPartition;
    this.#originOffset[at] = originOffset;
    if (timestampMs > this.maxTimestampMs) this.maxTimestampMs = timestampMs;
  }

  /** A row that is no sample; a block holds rows of one kind. */
  addRecord(key: number, timestampMs: number, bytes: ByteWriter, originPartition: number, originOffset: number): void {
    this.#payload.uvarint(bytes.length);
    this.#payload.raw(bytes.bytes, 0, bytes.length);
    this.addRow(key, timestampMs, 0, originPartition, originOffset);
  }

  encode(out: ByteWriter, writer: number, watermarkMs: number): void {
    invariant(this.rows > 0 && this.rows <= BLOCK_ROWS_MAX, `a block of ${this.rows} rows`);
    const rows = this.rows;
    encodeHead(out, EXCHANGE_DATA, writer, watermarkMs);
    const onePartition = isConstant(this.#originPartition, rows);
    const rawTimes = !areWhole(this.#timestampMs, rows);
    const records = this.#payload.length > 0;
    out.u8((onePartition ? ONE_PARTITION : 0) | (rawTimes ? RAW_TIMES : 0) | (records ? RECORDS : 0));
    out.text(this.originTopic);
    out.uvarint(this.#keyCount);
    out.raw(this.#keys.bytes, 0, this.#keys.length);
    out.uvarint(rows);
    writeDifferences(out, this.#key, rows);
    if (rawTimes) writeDoubles(out, this.#timestampMs, rows);
    else writeDifferences(out, this.#timestampMs, rows);
    if (records) {
      out.uvarint(this.#payload.length);
      out.raw(this.#payload.bytes, 0, this.#payload.length);
    } else writeDoubles(out, this.#value, rows);
    writeDifferences(out, this.#originPartition, onePartition ? 1 : rows);
    writeDifferences(out, this.#originOffset, rows);
  }

  clear(): void {
    this.rows = 0;
    this.maxTimestampMs = Number.NEGATIVE_INFINITY;
    this.#keys.clear();
    this.#payload.clear();
    this.#keyCount = 0;
  }

  #widen(): void {
    const rows = this.#key.length * 2;
    const columns = [new Int32Array(rows), new Int32Array(rows)];
    const doubles = [new Float64Array(rows), new Float64Array(rows), new Float64Array(rows)];
    columns[0].set(this.#key);
    columns[1].set(this.#originPartition);
    doubles[0].set(this.#timestampMs);
    doubles[1].set(this.#value);
    doubles[2].set(this.#originOffset);
    [this.#key, this.#originPartition] = columns;
    [this.#timestampMs, this.#value, this.#originOffset] = doubles;
  }
}

/** Writes a record that says the watermark alone. */
export function encodeControl(out: ByteWriter, writer: number, watermarkMs: number, idle: boolean): void {
  encodeHead(out, idle ? EXCHANGE_IDLE : EXCHANGE_WATERMARK, writer, watermarkMs);
}

/** Writes the marker of a savepoint, which says the watermark as well. */
export function encodeMarker(
  out: ByteWriter,
  writer: number,
  watermarkMs: number,
  idle: boolean,
  savepoint: string,
): void {
  encodeHead(out, EXCHANGE_MARKER, writer, watermarkMs);
  out.u8(idle ? 1 : 0);
  out.text(savepoint);
}

function encodeHead(out: ByteWriter, kind: number, writer: number, watermarkMs: number): void {
  out.u8(kind);
  out.u8(VERSION);
  out.uvarint(writer);
  out.f64(watermarkMs);
}

function writeDifferences(out: ByteWriter, column: Int32Array | Float64Array, rows: number): void {
  let before = 0;
  for (let i = 0; i < rows; i++) {
    out.varint(column[i] - before);
    before = column[i];
  }
}

function writeDoubles(out: ByteWriter, column: Float64Array, rows: number): void {
  out.ensure(rows * 8);
  const view = new DataView(out.bytes.buffer, out.bytes.byteOffset + out.length, rows * 8);
  for (let i = 0; i < rows; i++) view.setFloat64(i * 8, column[i], true);
  out.length += rows * 8;
}

function isConstant(column: Int32Array, rows: number): boolean {
  for (let i = 1; i < rows; i++) if (column[i] !== column[0]) return false;
  return true;
}

function areWhole(column: Float64Array, rows: number): boolean {
  for (let i = 0; i < rows; i++) {
    const value = column[i];
    if (Math.floor(value) !== value || value > TIME_MAX_MS || value < -TIME_MAX_MS) return false;
  }
  return true;
}

/** Reads one record at a time: `read` the head and the dictionary, then `rowsInto` the columns. */
export class ExchangeRecord {
  kind = 0;
  writer = 0;
  watermarkMs = Number.NEGATIVE_INFINITY;
  idle = false;
  /** Of a marker. */
  savepoint: string | undefined = undefined;
  originTopic = '';
  rows = 0;
  /** Keys of the dictionary: bytes[keyStart[k], keyEnd[k]). */
  keyCount = 0;
  keyStart: Int32Array = new Int32Array(64);
  keyEnd: Int32Array = new Int32Array(64);
  #bytes: Buffer = Buffer.alloc(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  #at = 0;
  #end = 0;
  #flags = 0;
  #topicBytes: Buffer = Buffer.alloc(0);

  /** Reads bytes[start, end). Error exchange-corrupt. */
  read(bytes: Buffer, start: number, end: number): void {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    this.#at = start;
    this.#end = end;
    this.rows = 0;
    this.keyCount = 0;
    this.kind = this.#byte('its kind');
    if (this.kind < EXCHANGE_DATA || this.kind > EXCHANGE_MARKER) corrupt(`has the unknown kind ${this.kind}`);
    const version = this.#byte('its version');
    if (version !== VERSION) corrupt(`has version ${version}, and this version reads ${VERSION}`);
    this.writer = this.#uvarint('the writer');
    this.watermarkMs = this.#view.getFloat64(this.#skip(8, 'the watermark'), true);
    if (Number.isNaN(this.watermarkMs)) corrupt('has no watermark');
    this.idle = this.kind === EXCHANGE_IDLE;
    this.savepoint = undefined;
    if (this.kind === EXCHANGE_MARKER) this.#readMarker();
    if (this.kind === EXCHANGE_DATA) this.#readDictionary();
    else if (this.#at !== this.#end) corrupt('goes on behind its end');
  }

  /** Whether the rows are no samples, and need a codec. */
  get hasRecords(): boolean {
    return (this.#flags & RECORDS) !== 0;
  }

  /** Appends the rows of a data record; `slots[k]` is the key slot of dictionary entry k. */
  rowsInto(batch: Batch, slots: Int32Array, codec: ValueCodec<unknown> | null = null): void {
    const { rows } = this;
    const from = batch.count;
    while (batch.capacity < from + rows) batch.grow();
    batch.originTopic = this.originTopic;
    this.#readDifferences(batch.key, from, rows, 'keys');
    for (let i = from; i < from + rows; i++) {
      const key = batch.key[i];
      if (key < 0 || key >= this.keyCount) corrupt(`names key ${key} of ${this.keyCount}`);
      batch.key[i] = slots[key];
    }
    if ((this.#flags & RAW_TIMES) !== 0) this.#readDoubles(batch.timestampMs, from, rows, 'times');
    else this.#readDifferences(batch.timestampMs, from, rows, 'times');
    if ((this.#flags & RECORDS) !== 0) this.#readRecords(batch, from, rows, codec);
    else this.#readDoubles(batch.value, from, rows, 'values');
    if ((this.#flags & ONE_PARTITION) !== 0) {
      this.#readDifferences(batch.originPartition, from, 1, 'origin partitions');
      batch.originPartition.fill(batch.originPartition[from], from, from + rows);
    } else this.#readDifferences(batch.originPartition, from, rows, 'origin partitions');
    this.#readDifferences(batch.originOffset, from, rows, 'origin offsets');
    if (this.#at !== this.#end) corrupt('goes on behind its rows');
    const times = batch.timestampMs;
    let maxMs = batch.maxTimestampMs;
    for (let i = from; i < from + rows; i++) if (times[i] > maxMs) maxMs = times[i];
    batch.maxTimestampMs = maxMs;
    batch.count = from + rows;
  }

  #readDictionary(): void {
    this.#flags = this.#byte('its flags');
    if (this.#flags > (ONE_PARTITION | RAW_TIMES | RECORDS)) corrupt(`has unknown flags ${this.#flags}`);
    this.#readTopic();
    const keys = this.#uvarint('the number of keys');
    if (keys > BLOCK_ROWS_MAX) corrupt(`claims ${keys} keys`);
    if (keys > this.keyStart.length) {
      this.keyStart = new Int32Array(keys * 2);
      this.keyEnd = new Int32Array(keys * 2);
    }
    for (let k = 0; k < keys; k++) {
      const length = this.#uvarint('the length of a key');
      if (length === 0) corrupt('has an empty key');
      this.keyStart[k] = this.#skip(length, 'a key');
      this.keyEnd[k] = this.#at;
    }
    this.keyCount = keys;
    const rows = this.#uvarint('the number of rows');
    if (rows === 0 || rows > BLOCK_ROWS_MAX) corrupt(`claims ${rows} rows`);
    const bytesMin = rows * ROW_BYTES_MIN;
    if (bytesMin > this.#end - this.#at) corrupt(`claims ${rows} rows and has ${this.#end - this.#at} bytes left`);
    this.rows = rows;
  }

  #readMarker(): void {
    const idle = this.#byte('whether its writer is idle');
    if (idle > 1) corrupt(`says ${idle} where it says whether its writer is idle`);
    this.idle = idle === 1;
    const length = this.#uvarint('the length of a savepoint');
    if (length === 0 || length > SAVEPOINT_BYTES_MAX) corrupt(`names a savepoint in ${length} bytes`);
    const at = this.#skip(length, 'a savepoint');
    this.savepoint = this.#bytes.toString('utf8', at, at + length);
  }

  #readTopic(): void {
    const length = this.#uvarint('the length of the origin topic');
    const at = this.#skip(length, 'the origin topic');
    if (this.#bytes.compare(this.#topicBytes, 0, this.#topicBytes.length, at, at + length) === 0) return;
    this.originTopic = this.#bytes.toString('utf8', at, at + length);
    this.#topicBytes = Buffer.from(this.#bytes.subarray(at, at + length));
  }

  #readRecords(batch: Batch, from: number, rows: number, codec: ValueCodec<unknown> | null): void {
    if (codec === null) corrupt('holds records where samples are expected');
    const length = this.#uvarint('the length of its records');
    const end = this.#skip(length, 'its records') + length;
    const input = new ByteReader(this.#bytes, end - length, end);
    const records = (batch.records ??= []);
    for (let i = from; i < from + rows; i++) {
      const size = input.uvarint();
      const next = input.at + size;
      if (next > end) corrupt('ends within a record');
      records[i] = codec.read(input);
      if (input.at !== next) corrupt('holds a record that its codec reads otherwise');
    }
    if (!input.done) corrupt('goes on behind its records');
  }

  #byte(what: string): number {
    return this.#bytes[this.#skip(1, what)];
  }

  #skip(size: number, what: string): number {
    const at = this.#at;
    if (size > this.#end - at) corrupt(`ends within ${what}`);
    this.#at = at + size;
    return at;
  }

  #uvarint(what: string): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#byte(what);
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
      if (scale > 2 ** 49) corrupt(`has a number too large for ${what}`);
    }
  }

  #readDoubles(column: Float64Array, from: number, rows: number, what: string): void {
    const at = this.#skip(rows * 8, what);
    const view = this.#view;
    for (let i = 0; i < rows; i++) column[from + i] = view.getFloat64(at + i * 8, true);
  }

  // Bounds are checked once per column: a varint is at most 8 bytes here, and bytes behind the end read as 0 or as
  // neighbours, never further than 8 bytes a row.
  #readDifferences(column: Int32Array | Float64Array, from: number, rows: number, what: string): void {
    const bytes = this.#bytes;
    let at = this.#at;
    let before = 0;
    for (let i = from; i < from + rows; i++) {
      let byte = bytes[at++];
      let zigzag = byte & 127;
      if (byte > 127) {
        byte = bytes[at++];
        zigzag |= (byte & 127) << 7;
        let scale = 2 ** 14;
        while (byte > 127) {
          if (scale > 2 ** 49) corrupt(`has a number too large among its ${what}`);
          byte = bytes[at++];
          zigzag += (byte & 127) * scale;
          scale *= 128;
        }
      }
      before += zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
      column[i] = before;
    }
    if (at > this.#end) corrupt(`ends within its ${what}`);
    this.#at = at;
  }
}

function corrupt(problem: string): never {
  throw new StreamError(
    'exchange-corrupt',
    `a record of an exchange ${problem}`,
    'an internal topic was written by something else or by a newer version: start with the version that wrote it; to begin anew, give the job another name and other output topics',
  );
}
