// Owns the way through the record batches of one fetch answer: which are complete, intact and visible. Read committed
// as Kafka means it: aborted transactions are opened up to a batch's last offset before the batch is looked at, so a
// marker closes the transaction it belongs to and no later one.

import type { AbortedTransaction, FetchedPartition } from '#runtime/log/kafka/wire/fetch.ts';
import {
  ATTRIBUTE_CODEC,
  ATTRIBUTE_CONTROL,
  ATTRIBUTE_TRANSACTIONAL,
  BATCH_HEADER_BYTES,
} from '#runtime/log/record-batch.ts';
import { crc32c } from '#runtime/std/crc32c.ts';
import { StreamError } from '#runtime/std/errors.ts';

const ABORT_MARKER = 0;

/**
 * Offset after the last complete batch in bytes[start, end), or -1n when there is none; reads lengths only, so that the
 * next request can leave before the batches are looked at.
 */
export function offsetAfter(bytes: Buffer, start: number, end: number): bigint {
  let last = -1;
  let at = start;
  while (end - at >= BATCH_HEADER_BYTES) {
    const size = 12 + bytes.readInt32BE(at + 8);
    if (size < BATCH_HEADER_BYTES || at + size > end) break;
    last = at;
    at += size;
  }
  return last < 0 ? -1n : bytes.readBigInt64BE(last) + BigInt(bytes.readInt32BE(last + 23)) + 1n;
}

/** Walks batches; after `next()` returned true the fields describe a visible one. */
export class BatchCursor {
  readonly bytes: Buffer;
  /** Records are bytes[recordsStart, recordsEnd), compressed unless `codec` is 0. */
  recordsStart = 0;
  recordsEnd = 0;
  codec = 0;
  count = 0;
  baseOffset = 0n;
  baseTimestampMs = 0;
  /** Offset after the last batch passed, visible or not. */
  nextOffset: bigint;
  /** The same before the current visible batch was passed. */
  offsetBefore: bigint;
  readonly #name: string;
  readonly #from: bigint;
  readonly #end: number;
  readonly #aborted: readonly AbortedTransaction[];
  readonly #open = new Set<bigint>();
  #abortedIndex = 0;
  #at: number;

  /** `from` is the offset that was asked; `name` names the partition in errors. */
  constructor(
    name: string,
    bytes: Buffer,
    part: Pick<FetchedPartition, 'recordsStart' | 'recordsEnd' | 'aborted'>,
    from: bigint,
  ) {
    this.#name = name;
    this.bytes = bytes;
    this.#at = part.recordsStart;
    this.#end = part.recordsEnd;
    this.#from = from;
    this.nextOffset = from;
    this.offsetBefore = from;
    this.#aborted = part.aborted.length < 2 ? part.aborted : part.aborted.toSorted(byFirstOffset);
  }

  /** Bytes not passed yet. */
  get leftBytes(): number {
    return this.#end - this.#at;
  }

  /** Moves to the next visible batch. Errors: log-corrupt, log-unsupported. */
  next(): boolean {
    const bytes = this.bytes;
    for (;;) {
      const at = this.#at;
      if (this.#end - at < BATCH_HEADER_BYTES) return false;
      const end = at + 12 + bytes.readInt32BE(at + 8);
      if (end > this.#end) return false;
      this.#at = end;
      const baseOffset = bytes.readBigInt64BE(at);
      this.#check(at, end, baseOffset);
      const attributes = bytes.readInt16BE(at + 21);
      const lastOffset = baseOffset + BigInt(bytes.readInt32BE(at + 23));
      this.offsetBefore = this.nextOffset;
      if (lastOffset >= this.nextOffset) this.nextOffset = lastOffset + 1n;
      if (!this.#visible(at, end, attributes, lastOffset)) continue;
      this.recordsStart = at + BATCH_HEADER_BYTES;
      this.recordsEnd = end;
      this.codec = attributes & ATTRIBUTE_CODEC;
      this.count = bytes.readInt32BE(at + 57);
      this.baseOffset = baseOffset;
      this.baseTimestampMs = Number(bytes.readBigInt64BE(at + 27));
      if (this.count > 0 && lastOffset >= this.#from) return true;
    }
  }

  #check(at: number, end: number, baseOffset: bigint): void {
    const bytes = this.bytes;
    if (end - at < BATCH_HEADER_BYTES) throw corrupt(this.#name, baseOffset, 'has an impossible length');
    if (bytes[at + 16] !== 2) {
      const message = `${this.#name} has a batch of format ${bytes[at + 16]} at offset ${baseOffset}; only 2 can be read`;
      throw new StreamError('log-unsupported', message, 'copy the topic with a current producer');
    }
    // Checking costs 0.01 CPU seconds per million records: it is never left out.
    if (crc32c(bytes, at + 21, end) !== bytes.readUInt32BE(at + 17)) {
      throw corrupt(this.#name, baseOffset, 'fails its checksum');
    }
  }

  #visible(at: number, end: number, attributes: number, lastOffset: bigint): boolean {
    const aborted = this.#aborted;
    while (this.#abortedIndex < aborted.length && aborted[this.#abortedIndex].firstOffset <= lastOffset) {
      this.#open.add(aborted[this.#abortedIndex++].producerId);
    }
    if ((attributes & ATTRIBUTE_CONTROL) !== 0) {
      if (markerKind(this.bytes, at + BATCH_HEADER_BYTES, end) === ABORT_MARKER) {
        this.#open.delete(this.bytes.readBigInt64BE(at + 43));
      }
      return false;
    }
    if ((attributes & ATTRIBUTE_TRANSACTIONAL) === 0 || this.#open.size === 0) return true;
    return !this.#open.has(this.bytes.readBigInt64BE(at + 43));
  }
}

export function corrupt(name: string, baseOffset: bigint, what: string, cause?: unknown): StreamError {
  const message = `${name}: the batch at offset ${baseOffset} ${what}`;
  const remedy = 'check disks and memory of the brokers, restore the partition';
  return new StreamError('log-corrupt', message, remedy, { cause });
}

function byFirstOffset(a: AbortedTransaction, b: AbortedTransaction): number {
  return a.firstOffset < b.firstOffset ? -1 : a.firstOffset > b.firstOffset ? 1 : 0;
}

/** The type in a control record's key: two bytes of version, two of type. -1 when there is no such key. */
function markerKind(bytes: Buffer, start: number, end: number): number {
  let at = afterVarint(bytes, start, end);
  at = afterVarint(bytes, at + 1, end);
  at = afterVarint(bytes, at, end);
  const keyBytes = at < end ? bytes[at] >>> 1 : 0;
  return keyBytes >= 4 && at + 1 + keyBytes <= end ? bytes.readInt16BE(at + 3) : -1;
}

function afterVarint(bytes: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end && bytes[at] > 127) at++;
  return at + 1;
}
