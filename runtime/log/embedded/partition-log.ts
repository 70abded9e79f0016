// Owns the segment files of one partition on the writer thread's side: appending, rolling, taking back, deleting below
// a cut. A segment is nothing but record batches, named by its first offset. Invariant: what stands behind the last
// commit in the files is invisible and may be taken back; durability is the write-ahead log's matter.

import { readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type LogFiles, writeFully } from '#runtime/log/embedded/log-files.ts';
import { SharedPartition } from '#runtime/log/embedded/shared-partition.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';

export interface Segment {
  readonly baseOffset: bigint;
  sizeBytes: number;
  /** Largest record timestamp, -1 for none. */
  maxTimestampMs: number;
}

export interface PartitionState {
  readonly logStart: bigint;
  readonly end: bigint;
  readonly segments: readonly Readonly<Segment>[];
}

/** Paths whose content or entries the next checkpoint must sync. */
export type Unsynced = Set<string>;

export interface PartitionOptions {
  readonly files: LogFiles;
  readonly segmentBytesMax: number;
  readonly unsynced: Unsynced;
}

export function segmentFileName(baseOffset: bigint): string {
  return `${String(baseOffset).padStart(20, '0')}.log`;
}

/** Base offset of a segment file, or -1n for another file. */
export function segmentBaseOffset(name: string): bigint {
  return /^\d{20}\.log$/.test(name) ? BigInt(name.slice(0, 20)) : -1n;
}

export class PartitionLog {
  /** Directory of the segments. */
  readonly path: string;
  readonly shared = new SharedPartition();
  /** Offset the next batch gets; ahead of `shared.end` while a group is under way. */
  nextOffset: bigint;
  readonly #options: PartitionOptions;
  readonly #segments: Segment[];
  #fd = -1;
  #made = false;
  /** The state at the last commit, to go back to. */
  #committedCount: number;
  #committedBytes = 0;
  #committedMaxTimestampMs = -1;

  constructor(path: string, options: PartitionOptions, state: PartitionState) {
    this.path = path;
    this.#options = options;
    this.#segments = state.segments.map((segment) => ({ ...segment }));
    this.nextOffset = state.end;
    this.#committedCount = 0;
    this.shared.logStart = state.logStart;
    this.commit();
  }

  get segments(): readonly Readonly<Segment>[] {
    return this.#segments;
  }

  /** As of the last commit. */
  state(): PartitionState {
    invariant(this.nextOffset === this.shared.end, 'the state of a partition is read only between groups');
    const segments = this.#segments.map((segment) => ({ ...segment }));
    return { logStart: this.shared.logStart, end: this.shared.end, segments };
  }

  /** Gives the next batch its offset. */
  reserve(span: number): bigint {
    const baseOffset = this.nextOffset;
    this.nextOffset = baseOffset + BigInt(span);
    return baseOffset;
  }

  /** Writes bytes[start, end), one record batch with its offset reserved, behind the last one. */
  append(bytes: Buffer, start: number, end: number, baseOffset: bigint, maxTimestampMs: number): void {
    const size = end - start;
    let active = this.#segments.at(-1);
    if (active === undefined || (active.sizeBytes > 0 && active.sizeBytes + size > this.#options.segmentBytesMax)) {
      active = this.#roll(baseOffset);
    }
    const path = join(this.path, segmentFileName(active.baseOffset));
    this.#open(path);
    writeFully(this.#options.files, this.#fd, bytes, start, end, active.sizeBytes);
    active.sizeBytes += size;
    if (maxTimestampMs > active.maxTimestampMs) active.maxTimestampMs = maxTimestampMs;
    this.#options.unsynced.add(path);
  }

  /** Makes everything appended visible. */
  commit(): void {
    this.#markCommitted();
    this.shared.end = this.nextOffset;
  }

  /** Takes back what was appended since the last commit; may be called again when it failed. */
  rollback(): void {
    const { files } = this.#options;
    this.#closeActive();
    while (this.#segments.length > this.#committedCount) {
      const last = this.#segments[this.#segments.length - 1];
      files.remove(join(this.path, segmentFileName(last.baseOffset)));
      this.#segments.pop();
    }
    const active = this.#segments.at(-1);
    if (active !== undefined) {
      // Also when its size seems unchanged: a write that failed half way left bytes behind.
      this.#open(join(this.path, segmentFileName(active.baseOffset)));
      files.truncate(this.#fd, this.#committedBytes);
      active.sizeBytes = this.#committedBytes;
      active.maxTimestampMs = this.#committedMaxTimestampMs;
    }
    this.nextOffset = this.shared.end;
  }

  /** Moves the log start and returns the files that no longer hold anything to be read. */
  cut(before: bigint): string[] {
    if (before <= this.shared.logStart) return [];
    this.shared.logStart = before;
    const dead: string[] = [];
    while (this.#segments.length > 1 && this.#segments[1].baseOffset <= before) {
      dead.push(join(this.path, segmentFileName((this.#segments.shift() as Segment).baseOffset)));
    }
    this.#markCommitted();
    return dead;
  }

  /** How many segments go when none may be older or more than these limits (-1: no limit). */
  expired(nowMs: number, retentionMs: number, retentionBytes: number): number {
    let sizeBytes = 0;
    for (const segment of this.#segments) sizeBytes += segment.sizeBytes;
    let first = 0;
    while (first < this.#segments.length - 1) {
      const segment = this.#segments[first];
      const tooOld = retentionMs >= 0 && segment.maxTimestampMs < nowMs - retentionMs;
      const tooMuch = retentionBytes >= 0 && sizeBytes - segment.sizeBytes >= retentionBytes;
      if (!tooOld && !tooMuch) break;
      sizeBytes -= segment.sizeBytes;
      first++;
    }
    return first;
  }

  /** When a segment was last written to; replaying the write-ahead log counts. */
  writtenMs(index: number): number {
    const path = join(this.path, segmentFileName(this.#segments[index].baseOffset));
    return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Brings the files back to the state this object was made with, as the first step of recovery: cuts what was written
   * later, removes segments made later. A missing file is passed over here: its deletion may follow in the log.
   */
  restoreFiles(): void {
    const { files } = this.#options;
    const known = new Set(this.#segments.map((segment) => segmentFileName(segment.baseOffset)));
    for (const name of listFiles(this.path)) {
      if (segmentBaseOffset(name) >= 0n && !known.has(name)) files.remove(join(this.path, name));
    }
    for (const segment of this.#segments) {
      const path = join(this.path, segmentFileName(segment.baseOffset));
      const sizeBytes = fileSize(path);
      if (sizeBytes < 0 || sizeBytes === segment.sizeBytes) continue;
      if (sizeBytes < segment.sizeBytes) throw this.#damaged(path, `has ${sizeBytes} of ${segment.sizeBytes} bytes`);
      const fd = files.open(path);
      try {
        files.truncate(fd, segment.sizeBytes);
      } finally {
        files.close(fd);
      }
    }
  }

  /** The last step of recovery: every segment is there with its whole size. */
  checkFiles(): void {
    for (const segment of this.#segments) {
      const path = join(this.path, segmentFileName(segment.baseOffset));
      const sizeBytes = fileSize(path);
      if (sizeBytes !== segment.sizeBytes) {
        throw this.#damaged(path, sizeBytes < 0 ? 'is missing' : `has ${sizeBytes} of ${segment.sizeBytes} bytes`);
      }
    }
  }

  close(): void {
    this.#closeActive();
  }

  #markCommitted(): void {
    const active = this.#segments.at(-1);
    this.#committedCount = this.#segments.length;
    this.#committedBytes = active?.sizeBytes ?? 0;
    this.#committedMaxTimestampMs = active?.maxTimestampMs ?? -1;
  }

  #roll(baseOffset: bigint): Segment {
    const { files, unsynced } = this.#options;
    this.#closeActive();
    // A segment that was rolled and taken back may have left a file that could not be removed.
    files.remove(join(this.path, segmentFileName(baseOffset)));
    const segment = { baseOffset, sizeBytes: 0, maxTimestampMs: -1 };
    this.#segments.push(segment);
    unsynced.add(this.path);
    return segment;
  }

  #open(path: string): void {
    if (this.#fd >= 0) return;
    const { files, unsynced } = this.#options;
    if (!this.#made) {
      files.makeDirectory(this.path);
      unsynced.add(dirname(this.path)).add(dirname(dirname(this.path)));
      this.#made = true;
    }
    this.#fd = files.open(path);
  }

  #closeActive(): void {
    if (this.#fd < 0) return;
    this.#options.files.close(this.#fd);
    this.#fd = -1;
  }

  #damaged(path: string, what: string): StreamError {
    return new StreamError(
      'log-corrupt',
      `segment ${path} ${what}`,
      'restore the log directory from a copy, or move it away together with the checkpoints and start anew',
    );
  }
}

function listFiles(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function fileSize(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? -1;
}
