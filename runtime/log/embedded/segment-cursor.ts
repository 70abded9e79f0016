// Owns reading record batches of one partition from its segment files, in order, in chunks, by whoever knows how far
// they are committed. Synchronous. Invariant: bytes read before an offset was committed are never looked at again,
// because a failed group may have been taken back and overwritten since.

import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { CODEC_NONE, decompress } from '#runtime/log/codecs.ts';
import { segmentBaseOffset, segmentFileName } from '#runtime/log/embedded/partition-log.ts';
import { ATTRIBUTE_CODEC, BATCH_HEADER_BYTES } from '#runtime/log/record-batch.ts';
import { crc32c } from '#runtime/std/crc32c.ts';
import { StreamError } from '#runtime/std/errors.ts';

/** Larger reads gain nothing measurable; a batch larger than this gets a buffer of its own size. */
const CHUNK_BYTES = 256 * 1024;
const SPARE_CHUNKS_MAX = 16;
/** Largest record section after decompression. */
const RECORDS_BYTES_MAX = 128 * 1024 * 1024;

/** Chunks shared by the cursors of one reader: a cursor holds one only while it has something in it. */
export class ChunkPool {
  readonly #spare: Buffer[] = [];

  take(sizeBytes: number): Buffer {
    if (sizeBytes <= CHUNK_BYTES) return this.#spare.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES);
    return Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(sizeBytes)));
  }

  give(chunk: Buffer): void {
    if (chunk.length === CHUNK_BYTES && this.#spare.length < SPARE_CHUNKS_MAX) this.#spare.push(chunk);
  }
}

const NOTHING = Buffer.alloc(0);

export class SegmentCursor {
  /** After `next` gave true the batch is bytes[start, end). Dies with the next call of anything. */
  bytes: Buffer = NOTHING;
  start = 0;
  end = 0;
  /** After `open` the records of the batch are records[recordsStart, recordsEnd), not compressed. */
  records: Buffer = NOTHING;
  recordsStart = 0;
  recordsEnd = 0;
  readonly #directory: string;
  readonly #pool: ChunkPool;
  #fd = -1;
  #segment = -1n;
  /** Place of bytes[0] in the file, and how much of `bytes` is filled. */
  #chunkAt = 0;
  #filled = 0;
  /** Offset up to which the bytes in the chunk were committed when they were read. */
  #readEnd = -1n;

  constructor(directory: string, pool: ChunkPool) {
    this.#directory = directory;
    this.#pool = pool;
  }

  get baseOffset(): bigint {
    return this.bytes.readBigInt64BE(this.start);
  }

  get lastOffsetDelta(): number {
    return this.bytes.readInt32BE(this.start + 23);
  }

  get maxTimestampMs(): number {
    return Number(this.bytes.readBigInt64BE(this.start + 35));
  }

  /**
   * Goes to the batch that holds `offset`, which must be below `committedEnd`. False when a file that should hold it is
   * gone. Error: log-corrupt.
   */
  seek(offset: bigint, committedEnd: bigint): boolean {
    const segment = this.#segmentOf(offset);
    this.#segment = -1n;
    if (segment < 0n || !this.#openSegment(segment)) return false;
    let expected = segment;
    while (this.next(expected, committedEnd)) {
      const nextOffset = expected + BigInt(this.lastOffsetDelta) + 1n;
      if (nextOffset > offset) {
        this.end = this.start;
        return true;
      }
      expected = nextOffset;
    }
    return false;
  }

  /**
   * Goes to the batch after the current one; it begins with offset `expected`, which must be below `committedEnd`. False
   * when a file that should hold it is gone. Error: log-corrupt. Does not check the batch's checksum.
   */
  next(expected: bigint, committedEnd: bigint): boolean {
    this.start = this.end;
    if (expected >= this.#readEnd) this.#filled = Math.min(this.#filled, this.start);
    for (;;) {
      const have = this.#filled - this.start;
      const needed = have < BATCH_HEADER_BYTES ? BATCH_HEADER_BYTES : this.#batchBytes(expected);
      if (have >= needed && have >= BATCH_HEADER_BYTES) {
        this.end = this.start + needed;
        return true;
      }
      const got = this.#fill(needed, committedEnd);
      if (got >= needed) continue;
      if (got > 0) throw this.corrupt(`ends in the middle of the batch with offset ${expected}`);
      if (!this.#openSegment(expected)) return false;
    }
  }

  /** Opens the batch for its records. Throws log-corrupt when it fails its checksum. */
  open(): void {
    const { bytes, start, end } = this;
    if (crc32c(bytes, start + 21, end) !== bytes.readUInt32BE(start + 17)) {
      throw this.corrupt(`fails the checksum of the batch with offset ${this.baseOffset}`);
    }
    this.records = bytes;
    this.recordsStart = start + BATCH_HEADER_BYTES;
    this.recordsEnd = end;
    const codec = bytes[start + 22] & ATTRIBUTE_CODEC;
    if (codec !== CODEC_NONE) this.#decompress(codec);
  }

  #decompress(codec: number): void {
    try {
      this.records = decompress(codec, this.bytes.subarray(this.recordsStart, this.recordsEnd), RECORDS_BYTES_MAX);
    } catch (error) {
      throw this.corrupt(
        `holds a batch with offset ${this.baseOffset} that cannot be read: ${(error as Error).message}`,
      );
    }
    this.recordsStart = 0;
    this.recordsEnd = this.records.length;
  }

  /** Gives the chunk back; the place is kept. */
  rest(): void {
    this.#chunkAt += this.end;
    this.start = this.end = this.#filled = 0;
    if (this.bytes.length > 0) this.#pool.give(this.bytes);
    this.bytes = this.records = NOTHING;
  }

  close(): void {
    this.end = this.start;
    this.rest();
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  corrupt(what: string): StreamError {
    const file = join(this.#directory, segmentFileName(this.#segment));
    return new StreamError(
      'log-corrupt',
      `segment ${file} ${what} (byte ${this.#chunkAt + this.start})`,
      'restore the log directory from a copy, or move it away together with the checkpoints and start anew',
    );
  }

  #batchBytes(expected: bigint): number {
    const { bytes, start } = this;
    const size = bytes.readInt32BE(start + 8) + 12;
    if (size <= BATCH_HEADER_BYTES || bytes[start + 16] !== 2 || bytes.readBigInt64BE(start) !== expected) {
      throw this.corrupt(`holds no batch with offset ${expected} where it should`);
    }
    return size;
  }

  /** Reads from the current batch on; how many bytes of it are at hand then. */
  #fill(needed: number, committedEnd: bigint): number {
    this.#chunkAt += this.start;
    this.start = this.end = this.#filled = 0;
    if (this.#fd < 0) return 0;
    if (this.bytes.length < needed) {
      if (this.bytes.length > 0) this.#pool.give(this.bytes);
      this.bytes = this.#pool.take(needed);
    }
    this.#readEnd = committedEnd;
    while (this.#filled < needed) {
      const room = this.bytes.length - this.#filled;
      const got = readSync(this.#fd, this.bytes, this.#filled, room, this.#chunkAt + this.#filled);
      if (got === 0) break;
      this.#filled += got;
    }
    return this.#filled;
  }

  #openSegment(baseOffset: bigint): boolean {
    if (baseOffset === this.#segment) return false;
    const path = join(this.#directory, segmentFileName(baseOffset));
    const fd = openOrNothing(path);
    if (fd < 0) return false;
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = fd;
    this.#segment = baseOffset;
    this.#chunkAt = 0;
    this.start = this.end = this.#filled = 0;
    return true;
  }

  #segmentOf(offset: bigint): bigint {
    let best = -1n;
    for (const name of readdirOrNothing(this.#directory)) {
      const base = segmentBaseOffset(name);
      if (base <= offset && base > best) best = base;
    }
    return best;
  }
}

function openOrNothing(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return -1;
    throw error;
  }
}

function readdirOrNothing(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
