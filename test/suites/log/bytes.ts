// Owns an encoder and a decoder of Kafka record batches written from the layout alone, slow and plain: the oracle for
// everything that builds, stores, filters or walks batches. Shares no code with the product but CRC-32C's package.

import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { crc32c } from '@node-rs/crc32';
import { compressFrameSync, decompressFrameSync } from 'lz4-napi';
import { compressSync, uncompressSync } from 'snappy';
import type { StagedBatch } from '#runtime/log/contract.ts';
import type { Codec } from '#test/suites/log/subject.ts';

export interface PlainRecord {
  readonly timestampMs: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly (readonly [string, Buffer | null])[];
}

export interface StoredRecord extends PlainRecord {
  readonly offset: bigint;
}

export interface StoredBatch {
  readonly baseOffset: bigint;
  readonly lastOffset: bigint;
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly transactional: boolean;
  readonly control: 'commit' | 'abort' | null;
  readonly records: readonly StoredRecord[];
}

export function record(value: string | Buffer | null, more: Partial<PlainRecord> = {}): PlainRecord {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return { timestampMs: 1_700_000_000_000, key: null, headers: [], ...more, value: bytes };
}

const CODEC_NUMBER = { gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const;
const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1]);

function compress(codec: Codec, bytes: Buffer): Buffer {
  if (codec === 'gzip') return gzipSync(bytes);
  if (codec === 'zstd') return zstdCompressSync(bytes);
  if (codec === 'lz4') return compressFrameSync(bytes);
  const parts: Buffer[] = [XERIAL_MAGIC];
  for (let at = 0; at < bytes.length; at += 32_768) {
    const block = compressSync(bytes.subarray(at, at + 32_768));
    const size = Buffer.alloc(4);
    size.writeInt32BE(block.length);
    parts.push(size, block);
  }
  return Buffer.concat(parts);
}

/** The records of a stored batch, decompressed: `bytes` from `start` to its end. */
export function bodyOf(batch: Buffer): { readonly bytes: Buffer; readonly start: number } {
  const codec = batch.readInt16BE(21) & 7;
  return codec === 0 ? { bytes: batch, start: 61 } : { bytes: decompress(codec, batch.subarray(61)), start: 0 };
}

function decompress(codec: number, bytes: Buffer): Buffer {
  if (codec === 0) return bytes;
  if (codec === 1) return gunzipSync(bytes);
  if (codec === 4) return zstdDecompressSync(bytes);
  if (codec === 3) return decompressFrameSync(bytes);
  if (codec !== 2) throw new Error(`codec ${codec}`);
  if (!bytes.subarray(0, 8).equals(XERIAL_MAGIC.subarray(0, 8))) return Buffer.from(uncompressSync(bytes) as Buffer);
  const parts: Buffer[] = [];
  for (let at = 16; at < bytes.length; ) {
    const size = bytes.readInt32BE(at);
    parts.push(Buffer.from(uncompressSync(bytes.subarray(at + 4, at + 4 + size)) as Buffer));
    at += 4 + size;
  }
  return Buffer.concat(parts);
}

/** Zigzag varint, by the book: 64-bit arithmetic, seven bits at a time. */
export function varint(value: number | bigint): Buffer {
  // One byte, as most are.
  if (typeof value === 'number' && value >= -64 && value < 64)
    return Buffer.from([value < 0 ? -2 * value - 1 : 2 * value]);
  let rest = BigInt(value) >= 0n ? BigInt(value) * 2n : BigInt(value) * -2n - 1n;
  const bytes: number[] = [];
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) + 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

function sized(bytes: Buffer | null): Buffer {
  return bytes === null ? varint(-1) : Buffer.concat([varint(bytes.length), bytes]);
}

function encodeRecord(one: PlainRecord, timestampDelta: number, offsetDelta: number): Buffer {
  const headers = one.headers.map(([key, value]) => Buffer.concat([sized(Buffer.from(key)), sized(value)]));
  const body = [Buffer.from([0]), varint(timestampDelta), varint(offsetDelta), sized(one.key), sized(one.value)];
  const bytes = Buffer.concat([...body, varint(headers.length), ...headers]);
  return Buffer.concat([varint(bytes.length), bytes]);
}

/** A finished batch: not transactional, CRC right, base offset 0. */
export function encodeBatch(
  topic: string,
  partition: number,
  records: readonly PlainRecord[],
  codec: Codec | null = null,
): StagedBatch {
  const base = records[0].timestampMs;
  const plain = Buffer.concat(records.map((one, i) => encodeRecord(one, one.timestampMs - base, i)));
  const body = codec === null ? plain : compress(codec, plain);
  const head = Buffer.alloc(61);
  head.writeInt32BE(49 + body.length, 8);
  head.writeInt32BE(-1, 12);
  head[16] = 2;
  head.writeInt16BE(codec === null ? 0 : CODEC_NUMBER[codec], 21);
  head.writeInt32BE(records.length - 1, 23);
  head.writeBigInt64BE(BigInt(base), 27);
  head.writeBigInt64BE(BigInt(Math.max(...records.map((one) => one.timestampMs))), 35);
  head.writeBigInt64BE(-1n, 43);
  head.writeInt16BE(-1, 51);
  head.writeInt32BE(-1, 53);
  head.writeInt32BE(records.length, 57);
  const bytes = Buffer.allocUnsafeSlow(61 + body.length);
  head.copy(bytes);
  body.copy(bytes, 61);
  bytes.writeUInt32BE(crc32c(bytes.subarray(21)), 17);
  return { topic, partition, bytes, recordCount: records.length };
}

class Cursor {
  at = 0;
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  varint(): number {
    // One or two bytes, as most are: thousands of worlds are read by it.
    const [first, second] = [this.bytes[this.at], this.bytes[this.at + 1]];
    if (first < 128) return this.#small(first, 1);
    if (second < 128) return this.#small((first & 127) + 128 * second, 2);
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.bytes[this.at++];
      if (byte === undefined || shift > 63n) throw new Error('varint runs past the end');
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) break;
    }
    return Number(value & 1n ? -(value + 1n) / 2n : value / 2n);
  }

  #small(value: number, size: number): number {
    this.at += size;
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  sized(): Buffer | null {
    const size = this.varint();
    if (size < 0) return null;
    if (this.at + size > this.bytes.length) throw new Error('field runs past the end');
    this.at += size;
    return Buffer.from(this.bytes.subarray(this.at - size, this.at));
  }
}

/** Decodes the records of one batch body (decompressed). */
export function decodeRecords(
  body: Buffer,
  count: number,
  baseOffset: bigint,
  baseTimestampMs: number,
): StoredRecord[] {
  const cursor = new Cursor(body);
  const records: StoredRecord[] = [];
  for (let i = 0; i < count; i++) {
    const size = cursor.varint();
    const stop = cursor.at + size;
    cursor.at++;
    const timestampMs = baseTimestampMs + cursor.varint();
    const offset = baseOffset + BigInt(cursor.varint());
    const key = cursor.sized();
    const value = cursor.sized();
    const headers: [string, Buffer | null][] = [];
    for (let left = cursor.varint(); left > 0; left--) headers.push([String(cursor.sized()), cursor.sized()]);
    if (cursor.at !== stop) throw new Error(`record ${i} has ${cursor.at - stop} bytes too many`);
    records.push({ offset, timestampMs, key, value, headers });
  }
  return records;
}

/** Decodes concatenated stored batches; checks sizes and CRC. */
export function decodeBatches(bytes: Buffer): StoredBatch[] {
  const batches: StoredBatch[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 12 + bytes.readInt32BE(at + 8);
    if (end > bytes.length || bytes[at + 16] !== 2) throw new Error(`no whole batch of version 2 at byte ${at}`);
    if (crc32c(bytes.subarray(at + 21, end)) !== bytes.readUInt32BE(at + 17)) throw new Error(`crc at byte ${at}`);
    const attributes = bytes.readInt16BE(at + 21);
    const baseOffset = bytes.readBigInt64BE(at);
    const body = decompress(attributes & 7, bytes.subarray(at + 61, end));
    const timestamp = Number(bytes.readBigInt64BE(at + 27));
    const records = decodeRecords(body, bytes.readInt32BE(at + 57), baseOffset, timestamp);
    const control = (attributes & 0x20) === 0 ? null : records[0].key!.readInt16BE(2) === 1 ? 'commit' : 'abort';
    batches.push({
      baseOffset,
      lastOffset: baseOffset + BigInt(bytes.readInt32BE(at + 23)),
      producerId: bytes.readBigInt64BE(at + 43),
      producerEpoch: bytes.readInt16BE(at + 51),
      baseSequence: bytes.readInt32BE(at + 53),
      transactional: (attributes & 0x10) !== 0,
      control,
      records,
    });
    at = end;
  }
  return batches;
}

/**
 * What a read-committed reader must see of a partition, in order: a transactional batch shares the fate that the next
 * control batch of its producer tells; without one the transaction is open and everything from it on is not yet seen.
 */
export function committedRecords(batches: readonly StoredBatch[]): StoredRecord[] {
  const seen: StoredRecord[] = [];
  for (let i = 0; i < batches.length; i++) {
    const batch = batches[i];
    if (batch.control !== null) continue;
    if (!batch.transactional) {
      seen.push(...batch.records);
      continue;
    }
    const end = batches.find((later, j) => j > i && later.control !== null && later.producerId === batch.producerId);
    if (end === undefined) break;
    if (end.control === 'commit') seen.push(...batch.records);
  }
  return seen;
}
