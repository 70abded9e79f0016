// Owns the log on disk as the writer thread sees it: staging transactions into a group, making the group durable with
// one write and one sync, changing topics, checkpointing the write-ahead log into the segments. Synchronous but for
// checkpoints. Invariant: nothing is visible before it is durable, and what failed is taken back before anything else
// is written.

import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { TopicPartition, TopicSpec } from '#runtime/log/contract.ts';
import { DiskRoom, type RoomReport } from '#runtime/log/embedded/disk-room.ts';
import { type Change, checkTopicName, encodeChanges } from '#runtime/log/embedded/log-changes.ts';
import { type LogFiles, nodeLogFiles } from '#runtime/log/embedded/log-files.ts';
import { type Recovered, recoverLog } from '#runtime/log/embedded/log-recovery.ts';
import { encodeSnapshot, SNAPSHOT_FILE } from '#runtime/log/embedded/log-snapshot.ts';
import type { LogTopics } from '#runtime/log/embedded/log-topics.ts';
import type { PartitionLog, Unsynced } from '#runtime/log/embedded/partition-log.ts';
import { type RetentionPolicy, retentionCuts } from '#runtime/log/embedded/retention.ts';
import { FrameWalker } from '#runtime/log/embedded/transaction-frame.ts';
import { WriteAheadLog } from '#runtime/log/embedded/write-ahead-log.ts';
import { type Clock, systemClock } from '#runtime/std/clock.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';

export interface LogStoreOptions {
  readonly directory: string;
  /** A segment is closed before it grows beyond this. @default 32 MiB */
  readonly segmentBytesMax?: number;
  /** A checkpoint is taken when the write-ahead log is larger. @default 64 MiB */
  readonly walBytesMax?: number;
  readonly files?: LogFiles;
  /** For how often a full disk is looked at again. @default systemClock */
  readonly clock?: Clock;
  /** Told what people should know and nobody has to act on. */
  readonly note?: (message: string) => void;
  /** Told once when only opening the log again can help; every write fails from then on. */
  readonly onBroken?: (fault: StreamError) => void;
  /** Told when the disk has no room left, and when it has again. */
  readonly onRoom?: (report: RoomReport) => void;
}

const SEGMENT_BYTES_MAX = 32 * 1024 * 1024;
const WAL_BYTES_MAX = 64 * 1024 * 1024;
/** How many times its size the write-ahead log may reach while a checkpoint is under way. */
const WAL_GROWTH_MAX = 4;

interface CheckpointPlan {
  readonly paths: readonly string[];
  readonly snapshot: Buffer;
  readonly walNumber: number;
}

export class LogStore {
  readonly identity: string;
  readonly topics: LogTopics;
  stagedBytes = 0;
  readonly #directory: string;
  readonly #files: LogFiles;
  readonly #walBytesMax: number;
  readonly #wal: WriteAheadLog;
  readonly #note: (message: string) => void;
  readonly #onBroken: (fault: StreamError) => void;
  readonly #room: DiskRoom;
  readonly #unsynced: Unsynced;
  readonly #frames: Buffer[] = [];
  readonly #touched = new Set<PartitionLog>();
  readonly #walker = new FrameWalker();
  /** Oldest write-ahead log file that the stored snapshot needs. */
  #walFrom: number;
  #takeBackNeeded = false;
  #broken: StreamError | null = null;
  #checkpoint: Promise<void> | null = null;

  /** Errors: log-corrupt, log-unsupported, disk-failed. */
  static async open(options: LogStoreOptions): Promise<LogStore> {
    const files = options.files ?? nodeLogFiles;
    const unsynced: Unsynced = new Set();
    const segmentBytesMax = options.segmentBytesMax ?? SEGMENT_BYTES_MAX;
    try {
      const recovered = await recoverLog(options.directory, { files, segmentBytesMax, unsynced });
      const store = new LogStore(options, files, unsynced, recovered);
      if (recovered.replay.groups > 0 || recovered.replay.tornBytes > 0) await store.checkpoint();
      return store;
    } catch (error) {
      throw asFault('opening the log', error);
    }
  }

  private constructor(options: LogStoreOptions, files: LogFiles, unsynced: Unsynced, recovered: Recovered) {
    this.identity = recovered.identity;
    this.topics = recovered.topics;
    this.#directory = options.directory;
    this.#files = files;
    this.#walBytesMax = options.walBytesMax ?? WAL_BYTES_MAX;
    this.#unsynced = unsynced;
    this.#walFrom = recovered.walFrom;
    this.#wal = new WriteAheadLog(options.directory, files, recovered.replay.end);
    this.#note = options.note ?? (() => undefined);
    this.#onBroken = options.onBroken ?? (() => undefined);
    this.#room = new DiskRoom({
      directory: options.directory,
      files,
      clock: options.clock ?? systemClock,
      report: options.onRoom ?? (() => undefined),
    });
    const { groups, tornBytes } = recovered.replay;
    if (groups > 0) this.#note(`replayed ${groups} groups of the write-ahead log after an unclean stop`);
    if (tornBytes === 0) return;
    this.#note(`dropped ${tornBytes} bytes of a group that was never acknowledged`);
    this.#wal.rollback();
  }

  /**
   * Adds a transaction to the group under way and gives its records their offsets; `flush` makes it durable and
   * visible. The frame must stay as it is until then. Returns the entry's offset. Errors: topic-unknown,
   * record-too-large, foreign-writer, disk-failed; nothing is staged then.
   */
  stage(frame: Buffer, targets: readonly TopicPartition[], expectedEntryOffset: bigint): bigint {
    this.#assertWritable();
    this.#room.require(frame.length);
    this.#check(frame, targets, expectedEntryOffset);
    const walker = this.#walker;
    walker.reset(frame);
    let entryOffset = -1n;
    for (let i = 0; walker.next(); i++) {
      const topic = this.topics.topic(targets[i].topic);
      const partition = topic.partitions[targets[i].partition];
      entryOffset = partition.reserve(walker.span);
      walker.address(topic.number, entryOffset);
      this.#touched.add(partition);
    }
    this.#frames.push(frame);
    this.stagedBytes += frame.length;
    return entryOffset;
  }

  /** Makes everything staged durable, then visible; all or nothing. Returns the partitions that grew. Error: disk-failed. */
  flush(): readonly PartitionLog[] {
    if (this.#frames.length === 0) return [];
    const touched = [...this.#touched];
    try {
      this.#wal.append(this.#frames);
      for (let i = 0; i < this.#frames.length; i++) this.#appendToSegments(this.#frames[i]);
      this.#wal.commit();
    } catch (error) {
      this.#takeBackNeeded = true;
      this.#tryTakeBack();
      if (isFull(error)) this.#room.refused();
      throw asFault('writing a transaction', error);
    } finally {
      this.#frames.length = 0;
      this.stagedBytes = 0;
    }
    this.#room.written();
    for (let i = 0; i < touched.length; i++) touched[i].commit();
    this.#touched.clear();
    if (this.#wal.sizeBytes > this.#walBytesMax) this.#startCheckpoint();
    return touched;
  }

  /** Error: config-invalid. One that exists already is left alone. */
  createTopics(specs: readonly TopicSpec[]): void {
    const changes: Change[] = [];
    let number = this.topics.nextTopicNumber;
    for (const { topic, partitionCount, config } of specs) {
      checkTopicName(topic);
      invariant(Number.isInteger(partitionCount) && partitionCount > 0, `topic ${topic}: ${partitionCount} partitions`);
      const twice = changes.some((change) => change.change === 'topic-created' && change.topic === topic);
      if (twice || this.topics.find(topic) !== undefined) continue;
      const topicId = randomUUID();
      changes.push({ change: 'topic-created', number: number++, topic, topicId, partitionCount, config: config ?? {} });
    }
    this.change(changes);
  }

  /** Drops the whole segments that are no longer kept; the partitions that lost some. */
  retain(nowMs: number, policy: RetentionPolicy | null): readonly PartitionLog[] {
    const cuts = retentionCuts(this.topics.all(), nowMs, policy, (...of) => this.topics.publishedOffset(...of));
    const cut = cuts.map(({ topic, partition }) => topic.partitions[partition]);
    this.change(
      cuts.map(({ topic, partition, before }): Change => {
        return { change: 'records-deleted', number: topic.number, partition, before: String(before) };
      }),
    );
    return cut;
  }

  /** Makes changes durable, then applies them; all or nothing. Error: disk-failed. */
  change(changes: readonly Change[]): void {
    invariant(this.#frames.length === 0, 'a change while transactions are staged');
    if (changes.length === 0) return;
    this.#assertWritable();
    try {
      this.#wal.append([encodeChanges(changes)]);
      this.#wal.commit();
    } catch (error) {
      this.#takeBackNeeded = true;
      this.#tryTakeBack();
      throw asFault('changing topics', error);
    }
    for (const change of changes) for (const path of this.topics.apply(change)) this.#removeDead(path);
  }

  /** Syncs the segments and starts a new write-ahead log. Errors: disk-failed. */
  async checkpoint(): Promise<void> {
    while (this.#checkpoint !== null) await this.#checkpoint;
    if (this.#wal.sizeBytes === 0 && this.#wal.number === this.#walFrom) return;
    this.#assertWritable();
    try {
      await this.#run(this.#plan());
    } catch (error) {
      throw asFault('checkpointing the log', error);
    }
  }

  /** Work to wait for before more is written, lest the write-ahead log outgrows its checkpoints; null when none. */
  get congestion(): Promise<void> | null {
    return this.#wal.sizeBytes > WAL_GROWTH_MAX * this.#walBytesMax ? this.#checkpoint : null;
  }

  /** Orderly: afterwards the write-ahead log is empty. */
  async close(): Promise<void> {
    try {
      await this.checkpoint();
    } finally {
      this.topics.close();
      this.#wal.close();
    }
  }

  #check(frame: Buffer, targets: readonly TopicPartition[], expectedEntryOffset: bigint): void {
    const walker = this.#walker;
    walker.reset(frame);
    const entry = targets[targets.length - 1];
    let entryOffset = this.topics.partition(entry.topic, entry.partition).nextOffset;
    for (let i = 0; walker.next(); i++) {
      const { topic, partition } = targets[i];
      this.topics.partition(topic, partition);
      const { maxMessageBytes } = this.topics.topic(topic);
      const sizeBytes = walker.end - walker.start;
      if (sizeBytes > maxMessageBytes) throw tooLarge(topic, sizeBytes, maxMessageBytes);
      const beforeEntry = i < targets.length - 1 && topic === entry.topic && partition === entry.partition;
      if (beforeEntry) entryOffset += BigInt(walker.span);
    }
    if (entryOffset === expectedEntryOffset) return;
    throw new StreamError(
      'foreign-writer',
      `the entry would get offset ${entryOffset} in ${entry.topic}/${entry.partition}, expected was ${expectedEntryOffset}`,
      'find out who else writes to this internal topic; nothing of the transaction was written',
    );
  }

  #appendToSegments(frame: Buffer): void {
    const walker = this.#walker;
    walker.reset(frame);
    while (walker.next()) {
      const partition = this.topics.byNumber(walker.topicNumber)?.partitions[walker.partition];
      invariant(partition !== undefined, 'a staged batch has its partition');
      partition.append(frame, walker.start, walker.end, walker.baseOffset, walker.maxTimestampMs);
    }
  }

  /** Files that nothing refers to: what cannot be removed now is removed by the next start. */
  #removeDead(path: string): void {
    try {
      this.#files.remove(path);
    } catch (error) {
      this.#note(`could not remove ${path}, the next start will: ${(error as Error).message}`);
    }
  }

  #assertWritable(): void {
    if (this.#broken !== null) throw this.#broken;
    if (!this.#takeBackNeeded) return;
    try {
      this.#takeBack();
    } catch (error) {
      throw asFault('taking back a failed write', error);
    }
  }

  #takeBack(): void {
    for (const partition of this.#touched) partition.rollback();
    this.#wal.rollback();
    this.#touched.clear();
    this.#takeBackNeeded = false;
  }

  /** What cannot be taken back now is taken back before the next write; until then that write fails. */
  #tryTakeBack(): void {
    try {
      this.#takeBack();
    } catch (error) {
      this.#note(`could not take back a failed write, the next one will try again: ${(error as Error).message}`);
    }
  }

  #startCheckpoint(): void {
    if (this.#checkpoint !== null || this.#broken !== null) return;
    let plan: CheckpointPlan;
    try {
      plan = this.#plan();
    } catch (error) {
      // No room for a new file: the old one goes on, and the next group tries again.
      this.#note(`no checkpoint of the log: ${(error as Error).message}`);
      return;
    }
    this.#checkpoint = this.#run(plan)
      .catch((error: Error) => this.#note(`the checkpoint of the log failed: ${error.message}`))
      .finally(() => {
        this.#checkpoint = null;
      });
  }

  /** Everything up to here goes into the snapshot; everything from here on into the new file. */
  #plan(): CheckpointPlan {
    this.#wal.rotate();
    const paths = [...this.#unsynced];
    this.#unsynced.clear();
    const wal = { number: this.#wal.number, sequence: this.#wal.sequence };
    const snapshot = encodeSnapshot({ identity: this.identity, wal, ...this.topics.snapshot() });
    return { paths, snapshot, walNumber: wal.number };
  }

  async #run(plan: CheckpointPlan): Promise<void> {
    try {
      for (const path of plan.paths) await this.#files.syncLater(path);
    } catch (error) {
      // What the kernel dropped cannot be synced again; only replaying the write-ahead log brings it back.
      this.#broken = diskFailed('syncing segments', error);
      this.#onBroken(this.#broken);
      throw this.#broken;
    }
    await this.#files.replace(join(this.#directory, SNAPSHOT_FILE), plan.snapshot);
    this.#wal.removeBefore(plan.walNumber, this.#walFrom);
    this.#walFrom = plan.walNumber;
  }
}

function tooLarge(topic: string, sizeBytes: number, maxMessageBytes: number): StreamError {
  return new StreamError(
    'record-too-large',
    `a record batch of ${sizeBytes} bytes exceeds max.message.bytes (${maxMessageBytes}) of topic ${topic}`,
    'raise max.message.bytes of the topic, or write smaller records',
  );
}

/** A disk's refusal as a StreamError; our own bugs stay what they are. */
function asFault(doing: string, error: unknown): unknown {
  return (error as NodeJS.ErrnoException).syscall === undefined ? error : diskFailed(doing, error);
}

function diskFailed(doing: string, cause: unknown): StreamError {
  const { message } = cause as NodeJS.ErrnoException;
  return new StreamError(
    'disk-failed',
    `${doing}: ${message}`,
    isFull(cause)
      ? 'make room on the disk of the log directory'
      : 'look after the disk of the log directory, then restart',
    { cause },
  );
}

function isFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}
