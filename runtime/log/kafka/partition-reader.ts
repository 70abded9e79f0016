// Owns what one partition reader has fetched and not handed out yet: segments of record batches in frames, bounded in
// bytes. Where it fetches from is the fetcher's work. Position never goes back; errors come after the data before them.

import { CODEC_NONE, decompress } from '#runtime/log/codecs.ts';
import type { FetchedBatch, PartitionReader, ReaderStatus, TopicPartition } from '#runtime/log/contract.ts';
import { BatchCursor, corrupt, offsetAfter } from '#runtime/log/kafka/batch-cursor.ts';
import type { Frame } from '#runtime/log/kafka/frame-pool.ts';
import type { FetchedPartition } from '#runtime/log/kafka/wire/fetch.ts';
import { BATCH_HEADER_BYTES } from '#runtime/log/record-batch.ts';
import { invariant } from '#runtime/std/errors.ts';

export interface PartitionLimits {
  /** Nothing more is fetched while more than this waits to be handed out. */
  readonly readAheadBytesMax: number;
  /** Largest record section after decompression. */
  readonly batchBytesMax: number;
}

/** Told when there is room for more, and when the reader is closed. */
export interface PartitionHome {
  drained(): void;
}

interface Segment {
  readonly cursor: BatchCursor;
  /** Null when the bytes are the segment's own. */
  readonly frame: Frame | null;
}

class KafkaBatch implements FetchedBatch {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  readonly count: number;
  readonly baseOffset: bigint;
  readonly baseTimestampMs: number;
  readonly skipBelowDelta: number;
  readonly nextOffset: bigint;
  readonly #released: () => void;

  constructor(
    cursor: BatchCursor,
    bytes: Buffer,
    start: number,
    end: number,
    skipBelowDelta: number,
    released: () => void,
  ) {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.count = cursor.count;
    this.baseOffset = cursor.baseOffset;
    this.baseTimestampMs = cursor.baseTimestampMs;
    this.skipBelowDelta = skipBelowDelta;
    this.nextOffset = cursor.nextOffset;
    this.#released = released;
  }

  release(): void {
    this.#released();
  }
}

const READY = Promise.resolve();

export class KafkaPartitionReader implements PartitionReader {
  readonly topic: string;
  readonly partition: number;
  readonly topicId: string;
  readonly topicIdBytes: Buffer;
  readonly name: string;
  /** The next offset to ask for. */
  fetchOffset: bigint;
  /** The last answer held only the beginning of a batch: ask for this partition first. */
  starving = false;
  /** Failures since the last good answer. */
  failures = 0;
  fault: string | null = null;
  home: PartitionHome | null = null;
  readonly #limits: PartitionLimits;
  readonly #closing: (reader: KafkaPartitionReader) => void;
  readonly #start: bigint;
  readonly #segments: Segment[] = [];
  readonly #release = () => this.#released();
  #bufferedBytes = 0;
  #position: bigint;
  /** The first segment's cursor stands at a visible batch that was not handed out. */
  #standing = false;
  #moved = false;
  #out = false;
  #outFrame: Frame | null = null;
  #closed = false;
  #error: unknown = null;
  #waiter: PromiseWithResolvers<void> | null = null;
  #logStart = -1n;
  #lastStable = -1n;
  #highWatermark = -1n;
  #fetches = 0;

  constructor(
    at: TopicPartition & { readonly topicId: string; readonly offset: bigint },
    limits: PartitionLimits,
    closing: (reader: KafkaPartitionReader) => void,
  ) {
    this.topic = at.topic;
    this.partition = at.partition;
    this.topicId = at.topicId;
    this.topicIdBytes = Buffer.from(at.topicId, 'base64url');
    this.name = `${at.topic}/${at.partition}`;
    this.fetchOffset = at.offset;
    this.#position = at.offset;
    this.#start = at.offset;
    this.#limits = limits;
    this.#closing = closing;
  }

  get live(): boolean {
    return !this.#closed && this.#error === null;
  }

  /** Whether there is room for another answer. */
  get hungry(): boolean {
    return this.#bufferedBytes < this.#limits.readAheadBytesMax;
  }

  /** Whether something fetched waits to be handed out. */
  get holding(): boolean {
    return this.#segments.length > 0;
  }

  get position(): bigint {
    this.#advance();
    this.#moved = false;
    return this.#position;
  }

  status(): ReaderStatus {
    this.#advance();
    return {
      position: this.#position,
      logStart: this.#logStart,
      lastStable: this.#lastStable,
      highWatermark: this.#highWatermark,
      fetches: this.#fetches,
      fault: this.fault,
    };
  }

  /** Takes a good answer. `copy`: not to hold on to the frame. */
  accept(part: FetchedPartition, frame: Frame, copy: boolean): void {
    this.#logStart = part.logStart;
    this.#lastStable = part.lastStable;
    this.#highWatermark = part.highWatermark;
    this.#fetches++;
    this.failures = 0;
    this.fault = null;
    const sizeBytes = part.recordsEnd - part.recordsStart;
    if (sizeBytes === 0) return;
    const next = offsetAfter(frame.bytes, part.recordsStart, part.recordsEnd);
    if (next <= this.fetchOffset) {
      const impossible =
        sizeBytes >= BATCH_HEADER_BYTES && 12 + frame.bytes.readInt32BE(part.recordsStart + 8) < BATCH_HEADER_BYTES;
      if (impossible) this.fail(corrupt(this.name, this.fetchOffset, 'has an impossible length'));
      this.starving = true;
      return;
    }
    this.starving = false;
    this.#bufferedBytes += sizeBytes;
    if (copy) {
      const bytes = Buffer.from(frame.bytes.subarray(part.recordsStart, part.recordsEnd));
      const own = { recordsStart: 0, recordsEnd: sizeBytes, aborted: part.aborted };
      this.#segments.push({ cursor: new BatchCursor(this.name, bytes, own, this.fetchOffset), frame: null });
    } else {
      frame.retain();
      this.#segments.push({ cursor: new BatchCursor(this.name, frame.bytes, part, this.fetchOffset), frame });
    }
    this.fetchOffset = next;
  }

  /** Ends the reader with an error, which `poll` throws once everything before it was handed out. */
  fail(error: unknown): void {
    if (!this.live) return;
    this.#error = error;
    this.fault = error instanceof Error ? error.message : String(error);
    this.wake();
  }

  /** Resolves `ready` when there is something to tell. */
  wake(): void {
    this.#advance();
    const waiter = this.#waiter;
    if (waiter === null || !this.#telling) return;
    this.#waiter = null;
    this.#moved = false;
    waiter.resolve();
  }

  get #telling(): boolean {
    return this.#standing || this.#moved || this.#closed || (this.#error !== null && this.#segments.length === 0);
  }

  ready(): Promise<void> {
    this.#advance();
    if (this.#telling) {
      this.#moved = false;
      return READY;
    }
    this.#waiter ??= Promise.withResolvers<void>();
    return this.#waiter.promise;
  }

  poll(): FetchedBatch | null {
    invariant(!this.#closed, `the reader of ${this.name} is closed`);
    invariant(!this.#out, `a batch of ${this.name} is still out`);
    this.#advance();
    this.#moved = false;
    if (!this.#standing) {
      if (this.#error !== null) throw this.#error;
      return null;
    }
    const { cursor, frame } = this.#segments[0];
    const batch = this.#batch(cursor, frame);
    this.#standing = false;
    this.#out = true;
    this.#position = cursor.nextOffset;
    return batch;
  }

  #batch(cursor: BatchCursor, frame: Frame | null): FetchedBatch {
    const { recordsStart, recordsEnd, baseOffset, codec } = cursor;
    const skipBelow = baseOffset < this.#start ? Number(this.#start - baseOffset) : 0;
    if (codec === CODEC_NONE) {
      frame?.retain();
      this.#outFrame = frame;
      return new KafkaBatch(cursor, cursor.bytes, recordsStart, recordsEnd, skipBelow, this.#release);
    }
    try {
      const packed = cursor.bytes.subarray(recordsStart, recordsEnd);
      const bytes = decompress(codec, packed, this.#limits.batchBytesMax);
      return new KafkaBatch(cursor, bytes, 0, bytes.length, skipBelow, this.#release);
    } catch (cause) {
      this.#standing = false;
      this.#drop();
      this.fail(corrupt(this.name, baseOffset, `cannot be decompressed: ${(cause as Error).message}`, cause));
      throw this.#error;
    }
  }

  #released(): void {
    invariant(this.#out, `a batch of ${this.name} was released twice`);
    this.#out = false;
    this.#outFrame?.release();
    this.#outFrame = null;
  }

  /** Moves over invisible batches to the next visible one, and gives frames back that are used up. */
  #advance(): void {
    if (this.#standing || this.#segments.length === 0) return;
    const full = !this.hungry;
    const before = this.#position;
    while (!this.#standing && this.#segments.length > 0) {
      const { cursor, frame } = this.#segments[0];
      const leftBytes = cursor.leftBytes;
      try {
        this.#standing = cursor.next();
      } catch (error) {
        this.#drop();
        this.fail(error);
        break;
      }
      const reached = this.#standing ? cursor.offsetBefore : cursor.nextOffset;
      if (reached > this.#position) this.#position = reached;
      this.#bufferedBytes -= leftBytes - (this.#standing ? cursor.leftBytes : 0);
      if (this.#standing) break;
      this.#segments.shift();
      frame?.release();
    }
    if (this.#position > before) this.#moved = true;
    if (full && this.hungry) this.home?.drained();
  }

  /** Forgets everything fetched. */
  #drop(): void {
    for (const { frame } of this.#segments.splice(0)) frame?.release();
    this.#bufferedBytes = 0;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#standing = false;
    this.#drop();
    this.#waiter?.resolve();
    this.#waiter = null;
    this.#closing(this);
  }
}
