// Owns the bytes of one transaction as they travel to the writer thread and stand in the write-ahead log: a head, then
// per batch (topic number, partition, size, record batch). The client leaves topic numbers and base offsets open; the
// writer thread fills them in place. Integers are big-endian.

import type { StagedBatch } from '#runtime/log/contract.ts';
import { ATTRIBUTE_CODEC, BATCH_HEADER_BYTES } from '#runtime/log/record-batch.ts';
import { crc32c } from '#runtime/std/crc32c.ts';
import { invariant } from '#runtime/std/errors.ts';

/** First byte of every operation of the write-ahead log. */
export const OPERATION_TRANSACTION = 1;
export const OPERATION_CHANGE = 2;

const HEAD_BYTES = 8;
const BATCH_HEAD_BYTES = 12;
/** What may be set in the attributes of a batch: how it is compressed, and whose its timestamps are. */
const ATTRIBUTES_STORED = 0x08 | ATTRIBUTE_CODEC;

export function frameSizeBytes(batches: readonly StagedBatch[]): number {
  let size = HEAD_BYTES;
  for (let i = 0; i < batches.length; i++) size += BATCH_HEAD_BYTES + batches[i].bytes.length;
  return size;
}

/**
 * Copies the batches into a frame, each with its checksum. The batches stay as they are, so that they can be sent
 * again. Neither producer fields nor the transactional bit are set: what is stored is committed, and without markers a
 * transactional batch would read as an open transaction.
 */
export function writeFrame(frame: Buffer, batches: readonly StagedBatch[]): void {
  frame.writeUInt32BE(OPERATION_TRANSACTION << 24, 0);
  frame.writeUInt32BE(batches.length, 4);
  let at = HEAD_BYTES;
  for (let i = 0; i < batches.length; i++) {
    const { topic, bytes, partition, recordCount } = batches[i];
    const whole = bytes.length > BATCH_HEADER_BYTES && bytes.readInt32BE(8) === bytes.length - 12 && bytes[16] === 2;
    invariant(whole && recordCount > 0, `batch for ${topic}/${partition} is not one whole record batch of version 2`);
    invariant((bytes[22] & ~ATTRIBUTES_STORED) === 0, `batch for ${topic}/${partition} is transactional or control`);
    frame.writeUInt32BE(0, at);
    frame.writeUInt32BE(partition, at + 4);
    frame.writeUInt32BE(bytes.length, at + 8);
    at += BATCH_HEAD_BYTES;
    frame.set(bytes, at);
    frame.writeUInt32BE(crc32c(frame, at + 21, at + bytes.length), at + 17);
    at += bytes.length;
  }
}

/** Walks the batches of a frame; after `next()` returned true the fields describe one. */
export class FrameWalker {
  topicNumber = 0;
  partition = 0;
  /** The record batch is frame[start, end). */
  start = 0;
  end = 0;
  #frame: Buffer = Buffer.alloc(0);
  #left = 0;
  #at = 0;

  reset(frame: Buffer): void {
    this.#frame = frame;
    this.#left = frame.readUInt32BE(4);
    this.#at = HEAD_BYTES;
  }

  next(): boolean {
    if (this.#left === 0) return false;
    this.#left--;
    const frame = this.#frame;
    this.topicNumber = frame.readUInt32BE(this.#at);
    this.partition = frame.readUInt32BE(this.#at + 4);
    this.start = this.#at + BATCH_HEAD_BYTES;
    this.end = this.start + frame.readUInt32BE(this.#at + 8);
    invariant(this.end <= frame.length, 'a batch runs past its frame');
    this.#at = this.end;
    return true;
  }

  /** Offsets that the batch takes. */
  get span(): number {
    return this.#frame.readInt32BE(this.start + 23) + 1;
  }

  get baseOffset(): bigint {
    return this.#frame.readBigInt64BE(this.start);
  }

  get maxTimestampMs(): number {
    return Number(this.#frame.readBigInt64BE(this.start + 35));
  }

  address(topicNumber: number, baseOffset: bigint): void {
    this.#frame.writeUInt32BE(topicNumber, this.start - BATCH_HEAD_BYTES);
    this.#frame.writeBigInt64BE(baseOffset, this.start);
    this.topicNumber = topicNumber;
  }
}
