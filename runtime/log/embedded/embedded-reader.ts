// Owns reading partitions on the client's thread: straight from the segment files up to the committed end that the
// writer thread publishes in shared memory. Messages only subscribe and wake. Invariant: nothing at or behind the
// committed end is ever handed out.

import { join } from 'node:path';
import type { FetchedBatch, LogReader, PartitionReader, ReaderStatus, TopicPartition } from '#runtime/log/contract.ts';
import type { EmbeddedConnection } from '#runtime/log/embedded/embedded-connection.ts';
import type { PartitionAccess } from '#runtime/log/embedded/messages.ts';
import { ChunkPool, SegmentCursor } from '#runtime/log/embedded/segment-cursor.ts';
import { SharedPartition } from '#runtime/log/embedded/shared-partition.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';

type ReadAt = TopicPartition & { readonly topicId: string; readonly offset: bigint };

export class EmbeddedLogReader implements LogReader {
  readonly #connection: EmbeddedConnection;
  readonly #directory: string;
  readonly #pool = new ChunkPool();
  readonly #onClose: () => void;
  readonly #open = new Set<EmbeddedPartitionReader>();

  constructor(connection: EmbeddedConnection, directory: string, onClose: () => void) {
    this.#connection = connection;
    this.#directory = directory;
    this.#onClose = onClose;
  }

  open(at: ReadAt): PartitionReader {
    const forget = () => this.#open.delete(reader);
    const reader = new EmbeddedPartitionReader(this.#connection, this.#directory, this.#pool, at, forget);
    this.#open.add(reader);
    return reader;
  }

  async close(): Promise<void> {
    for (const reader of [...this.#open]) reader.close();
    this.#onClose();
  }
}

interface Waiter {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

class EmbeddedPartitionReader implements PartitionReader {
  readonly topic: string;
  readonly partition: number;
  position: bigint;
  readonly #connection: EmbeddedConnection;
  readonly #directory: string;
  readonly #pool: ChunkPool;
  readonly #topicId: string;
  readonly #onClose: () => void;
  readonly #handle: number;
  #shared: SharedPartition | null = null;
  #cursor: SegmentCursor | null = null;
  /** Offset the cursor's next batch begins with, -1n before the first. */
  #nextBase = -1n;
  #batchOut = false;
  #fetches = 0;
  #waiter: Waiter | null = null;
  #asking = true;
  #error: unknown = null;
  #fault: StreamError | null = null;
  #closed = false;

  constructor(connection: EmbeddedConnection, directory: string, pool: ChunkPool, at: ReadAt, onClose: () => void) {
    this.topic = at.topic;
    this.partition = at.partition;
    this.position = at.offset;
    this.#topicId = at.topicId;
    this.#connection = connection;
    this.#directory = directory;
    this.#pool = pool;
    this.#onClose = onClose;
    this.#handle = connection.onWake(() => this.#look());
    this.#subscribe();
  }

  poll(): FetchedBatch | null {
    invariant(!this.#batchOut, `a batch of ${this.topic}/${this.partition} is out`);
    invariant(!this.#closed, `the reader of ${this.topic}/${this.partition} is closed`);
    if (this.#error !== null) throw this.#error;
    if (this.#shared === null) return null;
    try {
      return this.#read(this.#shared);
    } catch (error) {
      this.#error = (error as NodeJS.ErrnoException).syscall === undefined ? error : this.#unreadable(error as Error);
      throw this.#error;
    }
  }

  ready(): Promise<void> {
    if (this.#waiter === null) {
      let resolve = (): void => undefined;
      const promise = new Promise<void>((done) => {
        resolve = done;
      });
      this.#waiter = { promise, resolve };
    }
    const { promise } = this.#waiter;
    this.#look();
    return promise;
  }

  status(): ReaderStatus {
    const shared = this.#shared;
    const fault = this.#fault ?? this.#connection.lost;
    const answers = shared !== null && fault === null;
    if (answers) this.#fetches++;
    const end = shared?.end ?? -1n;
    return {
      position: this.position,
      logStart: shared?.logStart ?? -1n,
      lastStable: end,
      highWatermark: end,
      fetches: this.#fetches,
      fault: fault?.message ?? null,
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#connection.forget(this.#handle);
    if (!this.#batchOut) this.#cursor?.close();
    this.#onClose();
    this.#look();
  }

  #read(shared: SharedPartition): FetchedBatch | null {
    this.#fetches++;
    const { end, logStart } = shared;
    if (shared.deleted) {
      this.#subscribe();
      return null;
    }
    if (this.position < logStart || this.position > end) throw this.#outOfRange(logStart, end);
    const cursor = this.#cursor as SegmentCursor;
    if (this.position === end) {
      cursor.rest();
      return null;
    }
    if (!this.#toNextBatch(cursor, end)) return this.#gone(shared);
    cursor.open();
    const baseOffset = this.#nextBase;
    const nextOffset = baseOffset + BigInt(cursor.lastOffsetDelta) + 1n;
    const skipBelowDelta = Math.max(0, Number(this.position - baseOffset));
    const { bytes, start } = cursor;
    this.#nextBase = nextOffset;
    this.position = nextOffset;
    this.#batchOut = true;
    return {
      bytes: cursor.records,
      start: cursor.recordsStart,
      end: cursor.recordsEnd,
      count: bytes.readInt32BE(start + 57),
      baseOffset,
      baseTimestampMs: Number(bytes.readBigInt64BE(start + 27)),
      skipBelowDelta,
      nextOffset,
      release: this.#release,
    };
  }

  #toNextBatch(cursor: SegmentCursor, end: bigint): boolean {
    if (this.#nextBase < 0n) {
      if (!cursor.seek(this.position, end)) return false;
      this.#nextBase = cursor.baseOffset;
    }
    return cursor.next(this.#nextBase, end);
  }

  readonly #release = (): void => {
    this.#batchOut = false;
    if (this.#closed || this.position === this.#shared?.end) this.#cursor?.rest();
    if (this.#closed) this.#cursor?.close();
  };

  /** A file that should hold the position is gone: the log start tells, or the topic is, or it is damage. */
  #gone(shared: SharedPartition): null {
    const { logStart, end } = shared;
    if (this.position < logStart) throw this.#outOfRange(logStart, end);
    invariant(this.#cursor !== null, 'a reader that looks at files has a cursor');
    if (!shared.deleted) throw this.#cursor.corrupt(`is missing or does not reach offset ${this.position}`);
    this.#subscribe();
    return null;
  }

  #outOfRange(logStart: bigint, end: bigint): StreamError {
    const lost = this.position < logStart;
    return new StreamError(
      'offset-out-of-range',
      lost
        ? `${this.topic}/${this.partition}: offset ${this.position} is gone, the log starts at ${logStart}; offsets ${this.position} to ${logStart - 1n} are lost`
        : `${this.topic}/${this.partition}: offset ${this.position} lies behind the end ${end} (the log starts at ${logStart})`,
      lost
        ? 'raise retention.ms or retention.bytes of the topic, then start a new run of the job'
        : 'the topic lost records or the position is of another topic: start a new run of the job',
    );
  }

  #unreadable(cause: Error): StreamError {
    return new StreamError(
      'disk-failed',
      `${this.topic}/${this.partition} cannot be read at offset ${this.position}: ${cause.message}`,
      'look after the disk of the log directory',
      { cause },
    );
  }

  /** Also asks again when the topic was deleted: the answer says whether it is gone or another one now. */
  #subscribe(): void {
    if (this.#shared !== null && this.#asking) return;
    this.#asking = true;
    const { topic, partition } = this;
    const call = { topic, partition, topicId: this.#topicId, handle: this.#handle };
    this.#connection.call('subscribe', call).then(
      (access) => this.#start(access),
      (error: unknown) => this.#fail(error),
    );
  }

  #start(access: PartitionAccess): void {
    this.#asking = false;
    if (this.#closed) return;
    this.#shared = new SharedPartition(access.shared);
    this.#cursor ??= new SegmentCursor(join(this.#directory, access.path), this.#pool);
    this.#look();
  }

  #fail(error: unknown): void {
    this.#asking = false;
    if (error instanceof StreamError && error.code === 'log-unavailable') this.#fault = error;
    else this.#error = error;
    this.#look();
  }

  /** Resolves `ready` when there is something; otherwise asks for a wake, and looks once more. */
  #look(): void {
    const waiter = this.#waiter;
    if (waiter === null) return;
    if (!this.#hasNews()) {
      this.#shared?.askForWake();
      if (!this.#hasNews()) return;
    }
    this.#waiter = null;
    waiter.resolve();
  }

  #hasNews(): boolean {
    if (this.#closed || this.#error !== null) return true;
    const shared = this.#shared;
    if (shared === null) return false;
    if (shared.deleted) {
      this.#subscribe();
      return false;
    }
    return shared.end !== this.position || shared.logStart > this.position;
  }
}
