// Owns decompression of record batches: gzip, snappy (raw and in xerial frames), lz4 frames, zstd. Output is bounded
// before it is made, so a small batch cannot fill the memory. The door of lz4-napi.

import { createRequire } from 'node:module';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { lazily } from '#runtime/std/lazily.ts';
import { uncompressSnappy } from '#runtime/std/snappy.ts';

const lz4 = lazily<typeof import('lz4-napi')>(() => createRequire(import.meta.url)('lz4-napi'));

export const CODEC_NONE = 0;
const GZIP = 1;
const SNAPPY = 2;
const LZ4 = 3;
const ZSTD = 4;

const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]);
const XERIAL_HEADER_BYTES = 16;
const LZ4_MAGIC = 0x184d2204;
const LZ4_WINDOW_BYTES = 64 * 1024;
const LZ4_STORED = 0x80000000;
/** lz4 needs a byte per 255 bytes of output, so a block cannot hold more than this times its size. */
const LZ4_RATIO_MAX = 255;

/** Decompresses the record section of a batch. Throws RangeError (or the codec's own error) when it is no such thing. */
export function decompress(codec: number, bytes: Buffer, outputBytesMax: number): Buffer {
  if (codec === GZIP) return gunzipSync(bytes, { maxOutputLength: outputBytesMax });
  if (codec === ZSTD) return zstdDecompressSync(bytes, { maxOutputLength: outputBytesMax });
  if (codec === SNAPPY) return snappy(bytes, outputBytesMax);
  if (codec === LZ4) return lz4Frame(bytes, outputBytesMax);
  throw new RangeError(`codec ${codec} is not known`);
}

function snappy(bytes: Buffer, outputBytesMax: number): Buffer {
  if (bytes.length < XERIAL_HEADER_BYTES || bytes.compare(XERIAL_MAGIC, 0, 8, 0, 8) !== 0) {
    checkSize(snappySize(bytes), outputBytesMax);
    return uncompressSnappy(bytes);
  }
  const blocks: Buffer[] = [];
  let sizeBytes = 0;
  for (let at = XERIAL_HEADER_BYTES; at < bytes.length; ) {
    const end = at + 4 + bytes.readInt32BE(at);
    if (end <= at + 4 || end > bytes.length) throw new RangeError('a snappy block runs past its batch');
    const block = bytes.subarray(at + 4, end);
    sizeBytes += snappySize(block);
    checkSize(sizeBytes, outputBytesMax);
    blocks.push(block);
    at = end;
  }
  if (blocks.length === 1) return uncompressSnappy(blocks[0]);
  const output = Buffer.allocUnsafeSlow(sizeBytes);
  let at = 0;
  for (const block of blocks) at += uncompressSnappy(block).copy(output, at);
  if (at !== sizeBytes) throw new RangeError('a snappy block is shorter than it says');
  return output;
}

/** A snappy block starts with the size of its content. */
function snappySize(bytes: Buffer): number {
  let size = 0;
  let scale = 1;
  for (let at = 0; at < Math.min(5, bytes.length); at++) {
    size += (bytes[at] & 127) * scale;
    if (bytes[at] < 128) return size;
    scale *= 128;
  }
  throw new RangeError('a snappy block without a size');
}

/**
 * The LZ4 frame format, block by block (1.8 GB/s; the package's own frame decoder reaches 0.35 and has no limit). Its
 * checksums are not looked at: the batch has one.
 */
function lz4Frame(bytes: Buffer, outputBytesMax: number): Buffer {
  if (bytes.readUInt32LE(0) !== LZ4_MAGIC) throw new RangeError('not an lz4 frame');
  const flags = bytes[4];
  if (flags >>> 6 !== 1) throw new RangeError('an lz4 frame of another version');
  if ((flags & 0x01) !== 0) throw new RangeError('an lz4 frame with a dictionary');
  const linked = (flags & 0x20) === 0;
  const blockChecksumBytes = (flags & 0x10) === 0 ? 0 : 4;
  const blockBytesMax = lz4BlockBytesMax(bytes[5]);
  let at = 7 + ((flags & 0x08) === 0 ? 0 : 8);
  let output: Buffer = Buffer.allocUnsafeSlow(Math.min(outputBytesMax, Math.max(bytes.length * 4, LZ4_WINDOW_BYTES)));
  let length = 0;
  for (;;) {
    const prefix = bytes.readUInt32LE(at);
    if (prefix === 0) return output.subarray(0, length);
    const stored = prefix >= LZ4_STORED;
    const end = at + 4 + (stored ? prefix - LZ4_STORED : prefix);
    if (end > bytes.length) throw new RangeError('an lz4 block runs past its batch');
    let block: Buffer;
    if (stored) block = bytes.subarray(at + 4, end);
    else {
      const room = Math.min(blockBytesMax, prefix * LZ4_RATIO_MAX);
      const before = linked ? output.subarray(Math.max(0, length - LZ4_WINDOW_BYTES), length) : null;
      block = lz4Block(bytes.subarray(at, end), room, before);
    }
    checkSize(length + block.length, outputBytesMax);
    if (length + block.length > output.length) output = grown(output, length, length + block.length, outputBytesMax);
    length += block.copy(output, length);
    at = end + blockChecksumBytes;
  }
}

/** The package wants the room for a block in front of it, in 4 bytes: exactly where the frame has the block's size. */
function lz4Block(prefixed: Buffer, room: number, before: Buffer | null): Buffer {
  const size = prefixed.readUInt32LE(0);
  prefixed.writeUInt32LE(room, 0);
  try {
    return before === null || before.length === 0
      ? lz4().uncompressSync(prefixed)
      : lz4().uncompressSync(prefixed, before);
  } finally {
    prefixed.writeUInt32LE(size, 0);
  }
}

function lz4BlockBytesMax(descriptor: number): number {
  const code = (descriptor >>> 4) & 7;
  if (code < 4) throw new RangeError('an lz4 frame with an unknown block size');
  return 1 << (8 + 2 * code);
}

function grown(output: Buffer, length: number, needed: number, outputBytesMax: number): Buffer {
  const next = Buffer.allocUnsafeSlow(Math.min(outputBytesMax, Math.max(needed, output.length * 2)));
  output.copy(next, 0, 0, length);
  return next;
}

function checkSize(sizeBytes: number, outputBytesMax: number): void {
  if (sizeBytes > outputBytesMax) {
    throw new RangeError(`a batch of at least ${sizeBytes} bytes after decompression, ${outputBytesMax} are allowed`);
  }
}
