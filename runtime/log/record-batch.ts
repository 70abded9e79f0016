// Owns Kafka's record batch, version 2: building one without an object per record, stamping producer fields and CRC
// onto a finished one, and walking the records of one. Source: the Kafka protocol's record batch layout.

import { gzipSync } from 'node:zlib';
import type { StagedBatch } from '#runtime/log/contract.ts';
import type { BufferPool } from '#runtime/std/buffer-pool.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { crc32c } from '#runtime/std/crc32c.ts';
import { invariant } from '#runtime/std/errors.ts';

export const BATCH_HEADER_BYTES = 61;
export const ATTRIBUTE_CODEC = 0x07;
const CODEC_GZIP = 1;
export const ATTRIBUTE_TRANSACTIONAL = 0x10;
export const ATTRIBUTE_CONTROL = 0x20;

export interface RecordHeader {
  readonly key: string;
  readonly value: Uint8Array;
}

const NO_HEADERS: readonly RecordHeader[] = [];

/** Builds one batch for one partition. Reusable: what `finish` hands out belongs to the caller. */
export class RecordBatchBuilder {
  readonly topic: string;
  readonly partition: number;
  recordCount = 0;
  readonly #pool: BufferPool | null;
  #capacityBytes: number;
  #out: ByteWriter | null = null;
  #baseTimestampMs = 0;
  #maxTimestampMs = 0;

  /** @param pool where the batches' buffers come from; who is done with a batch may give it back there */
  constructor(topic: string, partition: number, capacityBytes = 4096, pool: BufferPool | null = null) {
    this.topic = topic;
    this.partition = partition;
    this.#pool = pool;
    this.#capacityBytes = Math.max(capacityBytes, BATCH_HEADER_BYTES);
  }

  get sizeBytes(): number {
    return this.#out?.length ?? BATCH_HEADER_BYTES;
  }

  /** Appends a record: key bytes[keyStart, keyEnd) (null: no key) and value bytes[valueStart, valueEnd) (null: tombstone). */
  append(
    timestampMs: number,
    key: Uint8Array | null,
    keyStart: number,
    keyEnd: number,
    value: Uint8Array | null,
    valueStart: number,
    valueEnd: number,
    headers: readonly RecordHeader[] = NO_HEADERS,
  ): void {
    const out = (this.#out ??= this.#begin());
    if (this.recordCount === 0) {
      this.#baseTimestampMs = timestampMs;
      this.#maxTimestampMs = timestampMs;
    } else if (timestampMs > this.#maxTimestampMs) this.#maxTimestampMs = timestampMs;
    const timestampDelta = timestampMs - this.#baseTimestampMs;
    const keySize = key === null ? -1 : keyEnd - keyStart;
    const valueSize = value === null ? -1 : valueEnd - valueStart;
    let size = 1 + varintSize(timestampDelta) + varintSize(this.recordCount);
    size += varintSize(keySize) + Math.max(0, keySize) + varintSize(valueSize) + Math.max(0, valueSize);
    size += varintSize(headers.length);
    for (let i = 0; i < headers.length; i++) {
      const keyBytes = Buffer.byteLength(headers[i].key);
      size += varintSize(keyBytes) + keyBytes + varintSize(headers[i].value.length) + headers[i].value.length;
    }
    out.ensure(size + 8);
    out.varint(size);
    out.u8(0);
    out.varint(timestampDelta);
    out.varint(this.recordCount);
    out.varint(keySize);
    if (key !== null) out.raw(key, keyStart, keyEnd);
    out.varint(valueSize);
    if (value !== null) out.raw(value, valueStart, valueEnd);
    out.varint(headers.length);
    for (let i = 0; i < headers.length; i++) {
      const keyBytes = Buffer.from(headers[i].key);
      out.varint(keyBytes.length);
      out.raw(keyBytes);
      out.varint(headers[i].value.length);
      out.raw(headers[i].value);
    }
    this.recordCount++;
  }

  #begin(): ByteWriter {
    const out = new ByteWriter(this.#capacityBytes, this.#pool);
    out.length = BATCH_HEADER_BYTES;
    return out;
  }

  /** The finished batch as its own bytes; the builder is empty again. */
  finish(): StagedBatch {
    const out = this.#out;
    invariant(out !== null && this.recordCount > 0, 'finish of an empty record batch');
    const bytes = this.#takeBytes(out);
    const size = bytes.length;
    bytes.writeBigInt64BE(0n, 0);
    bytes.writeInt32BE(size - 12, 8);
    bytes.writeInt32BE(-1, 12);
    bytes[16] = 2;
    bytes.writeUInt32BE(0, 17);
    bytes.writeInt16BE(0, 21);
    bytes.writeInt32BE(this.recordCount - 1, 23);
    bytes.writeBigInt64BE(BigInt(this.#baseTimestampMs), 27);
    bytes.writeBigInt64BE(BigInt(this.#maxTimestampMs), 35);
    bytes.writeBigInt64BE(-1n, 43);
    bytes.writeInt16BE(-1, 51);
    bytes.writeInt32BE(-1, 53);
    bytes.writeInt32BE(this.recordCount, 57);
    const staged = { topic: this.topic, partition: this.partition, bytes, recordCount: this.recordCount };
    this.recordCount = 0;
    return staged;
  }

  // A buffer that is mostly full goes as it is, another as a copy of what it holds.
  #takeBytes(out: ByteWriter): Buffer {
    const size = out.length;
    this.#capacityBytes = out.bytes.length;
    if (size * 2 > out.bytes.length) {
      this.#out = null;
      return out.bytes.subarray(0, size);
    }
    const bytes = this.#pool === null ? Buffer.allocUnsafeSlow(size) : this.#pool.take(size).subarray(0, size);
    out.bytes.copy(bytes, 0, 0, size);
    out.length = BATCH_HEADER_BYTES;
    return bytes;
  }
}

/** The batch with its records in gzip, which every client reads; the same batch when that is no shorter. */
export function gzipBatch(batch: StagedBatch): StagedBatch {
  const { bytes } = batch;
  const packed = gzipSync(bytes.subarray(BATCH_HEADER_BYTES));
  const size = BATCH_HEADER_BYTES + packed.length;
  if (size >= bytes.length) return batch;
  const smaller = Buffer.allocUnsafeSlow(size);
  bytes.copy(smaller, 0, 0, BATCH_HEADER_BYTES);
  packed.copy(smaller, BATCH_HEADER_BYTES);
  smaller.writeInt32BE(size - 12, 8);
  smaller.writeInt16BE(CODEC_GZIP, 21);
  return { ...batch, bytes: smaller };
}

/** Writes producer id, epoch, base sequence and the transactional bit into a staged batch and computes its CRC. */
export function stampBatch(bytes: Buffer, producerId: bigint, epoch: number, baseSequence: number): void {
  bytes.writeInt16BE(bytes.readInt16BE(21) | ATTRIBUTE_TRANSACTIONAL, 21);
  bytes.writeBigInt64BE(producerId, 43);
  bytes.writeInt16BE(epoch, 51);
  bytes.writeInt32BE(baseSequence, 53);
  bytes.writeUInt32BE(crc32c(bytes, 21), 17);
}

function varintSize(value: number): number {
  let rest = value >= 0 ? value * 2 : -value * 2 - 1;
  let size = 1;
  while (rest > 127) {
    rest = Math.floor(rest / 128);
    size++;
  }
  return size;
}

/**
 * Walks the records of one batch. After `next()` returned true the fields describe the record; key and value are
 * [start, end) in `bytes`, start -1 for null. No object per record.
 */
export class RecordWalker {
  bytes: Buffer = Buffer.alloc(0);
  timestampDelta = 0;
  offsetDelta = 0;
  keyStart = -1;
  keyEnd = -1;
  valueStart = -1;
  valueEnd = -1;
  headersAt = 0;
  left = 0;
  #at = 0;
  #recordAt = 0;
  #recordEnd = 0;
  #end = 0;
  #cursor = 0;

  reset(bytes: Buffer, start: number, end: number, count: number): void {
    this.bytes = bytes;
    this.#at = start;
    this.#recordAt = start;
    this.#end = end;
    this.left = count;
  }

  next(): boolean {
    if (this.left <= 0) return false;
    this.left--;
    const bytes = this.bytes;
    this.#recordAt = this.#at;
    this.#cursor = this.#at;
    const size = this.#varint();
    const stop = this.#cursor + size;
    if (size < 0 || stop > this.#end) throw new RangeError('record runs past its batch');
    this.#cursor++;
    this.timestampDelta = this.#varint();
    this.offsetDelta = this.#varint();
    const keySize = this.#varint();
    if (keySize < 0) this.keyStart = this.keyEnd = -1;
    else {
      this.keyStart = this.#cursor;
      this.keyEnd = this.#cursor += keySize;
    }
    const valueSize = this.#varint();
    if (valueSize < 0) this.valueStart = this.valueEnd = -1;
    else {
      this.valueStart = this.#cursor;
      this.valueEnd = this.#cursor += valueSize;
    }
    if (this.#cursor > stop || bytes.length < stop) throw new RangeError('record fields run past the record');
    this.headersAt = this.#cursor;
    this.#at = stop;
    this.#recordEnd = stop;
    return true;
  }

  /** Puts the current record back: the next `next()` gives it again. Once per record. */
  back(): void {
    invariant(this.#recordAt < this.#at, 'no record to put back');
    this.#at = this.#recordAt;
    this.left++;
  }

  /** Headers of the current record; views into `bytes`. Allocates: not for the hot path. */
  headers(): RecordHeader[] {
    this.#cursor = this.headersAt;
    const count = this.#varint();
    if (count < 0) throw new RangeError('record has a negative number of headers');
    const headers: RecordHeader[] = [];
    for (let i = 0; i < count; i++) {
      const keySize = this.#varint();
      const keyStart = this.#skip(keySize);
      const key = this.bytes.toString('utf8', keyStart, this.#cursor);
      const valueSize = this.#varint();
      const valueStart = this.#skip(Math.max(0, valueSize));
      headers.push({ key, value: this.bytes.subarray(valueStart, this.#cursor) });
    }
    return headers;
  }

  /** Moves over a field of a header and gives its start; without this check a wrong count would never end. */
  #skip(size: number): number {
    const start = this.#cursor;
    this.#cursor += size;
    if (size < 0 || this.#cursor > this.#recordEnd) throw new RangeError('record headers run past the record');
    return start;
  }

  #varint(): number {
    const bytes = this.bytes;
    let at = this.#cursor;
    let byte = bytes[at++];
    let low = byte & 127;
    if (byte < 128) {
      this.#cursor = at;
      return (low >>> 1) ^ -(low & 1);
    }
    let shift = 7;
    while (byte > 127 && shift < 28) {
      byte = bytes[at++];
      low |= (byte & 127) << shift;
      shift += 7;
    }
    if (byte < 128) {
      this.#cursor = at;
      return (low >>> 1) ^ -(low & 1);
    }
    let value = low;
    let scale = 2 ** shift;
    while (byte > 127) {
      if (scale > 2 ** 63) throw new RangeError('varint too long');
      byte = bytes[at++];
      value += (byte & 127) * scale;
      scale *= 128;
    }
    this.#cursor = at;
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}
