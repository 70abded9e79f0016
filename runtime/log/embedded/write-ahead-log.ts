// Owns the write-ahead log: files of groups, one group = one write and one sync, holding one or more operations that
// are acknowledged together. Invariant: a group is written only after the one before it is durable, so whatever is
// torn stands at the very end and was never acknowledged.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type LogFiles, writeFully } from '#runtime/log/embedded/log-files.ts';
import { crc32c } from '#runtime/std/crc32c.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';

/** `MLWG`, u32 crc of what follows up to the payload, u64 sequence, u32 operations, u32 payload bytes. */
const MAGIC = 0x4d4c5747;
const MAGIC_BYTES = Buffer.from('MLWG');
const GROUP_HEAD_BYTES = 24;
/** Per operation: u32 size, u32 crc of its bytes. */
const OPERATION_HEAD_BYTES = 8;
/** Small operations are gathered here into one write. */
const GATHER_BYTES = 256 * 1024;

export const WAL_DIRECTORY = 'wal';

export function walFileName(number: number): string {
  return `${String(number).padStart(16, '0')}.wal`;
}

/** Numbers of the files that are there, ascending. */
export function walNumbers(directory: string): number[] {
  const names = readdirSync(join(directory, WAL_DIRECTORY));
  return names
    .filter((name) => /^\d{16}\.wal$/.test(name))
    .map((name) => Number(name.slice(0, 16)))
    .sort((a, b) => a - b);
}

export interface WalPosition {
  readonly number: number;
  readonly sizeBytes: number;
  /** Sequence of the next group. */
  readonly sequence: number;
}

export class WriteAheadLog {
  number: number;
  /** Bytes that are durable. */
  sizeBytes: number;
  sequence: number;
  readonly #directory: string;
  readonly #files: LogFiles;
  readonly #gather = Buffer.allocUnsafeSlow(GATHER_BYTES);
  #gathered = 0;
  #writtenBytes: number;
  #fd: number;

  constructor(directory: string, files: LogFiles, position: WalPosition) {
    this.#directory = join(directory, WAL_DIRECTORY);
    this.#files = files;
    this.number = position.number;
    this.sizeBytes = position.sizeBytes;
    this.#writtenBytes = position.sizeBytes;
    this.sequence = position.sequence;
    this.#fd = files.open(join(this.#directory, walFileName(position.number)));
    files.syncDirectory(this.#directory);
  }

  /** Writes one group behind the durable end. Not durable, and not to be read, before `commit`. */
  append(operations: readonly Buffer[]): void {
    const headBytes = GROUP_HEAD_BYTES + operations.length * OPERATION_HEAD_BYTES;
    const head = Buffer.allocUnsafe(headBytes);
    let payloadBytes = 0;
    for (let i = 0; i < operations.length; i++) {
      const at = GROUP_HEAD_BYTES + i * OPERATION_HEAD_BYTES;
      head.writeUInt32BE(operations[i].length, at);
      head.writeUInt32BE(crc32c(operations[i]), at + 4);
      payloadBytes += operations[i].length;
    }
    head.writeUInt32BE(MAGIC, 0);
    head.writeBigUInt64BE(BigInt(this.sequence), 8);
    head.writeUInt32BE(operations.length, 16);
    head.writeUInt32BE(payloadBytes, 20);
    head.writeUInt32BE(crc32c(head, 8), 4);
    this.#writtenBytes = this.sizeBytes;
    this.#gathered = 0;
    this.#put(head);
    for (let i = 0; i < operations.length; i++) this.#put(operations[i]);
    this.#flushGathered();
  }

  /** Makes the group durable. After an error call `rollback`. */
  commit(): void {
    this.#files.syncData(this.#fd);
    this.sizeBytes = this.#writtenBytes;
    this.sequence++;
  }

  /** Takes back what was written since the last commit, durably, so that it cannot come back after a crash. */
  rollback(): void {
    this.#files.truncate(this.#fd, this.sizeBytes);
    this.#files.syncData(this.#fd);
    this.#writtenBytes = this.sizeBytes;
  }

  /** Goes on in a new file; the older ones stay until `removeBefore`. */
  rotate(): void {
    const next = this.number + 1;
    const path = join(this.#directory, walFileName(next));
    const fd = this.#files.open(path);
    try {
      this.#files.truncate(fd, 0);
      this.#files.syncDirectory(this.#directory);
    } catch (error) {
      this.#files.close(fd);
      this.#files.remove(path);
      throw error;
    }
    this.#files.close(this.#fd);
    this.#fd = fd;
    this.number = next;
    this.sizeBytes = 0;
    this.#writtenBytes = 0;
  }

  removeBefore(number: number, from: number): void {
    for (let i = from; i < number; i++) this.#files.remove(join(this.#directory, walFileName(i)));
  }

  close(): void {
    this.#files.close(this.#fd);
  }

  #put(bytes: Buffer): void {
    if (this.#gathered + bytes.length > GATHER_BYTES) this.#flushGathered();
    if (bytes.length > GATHER_BYTES) {
      writeFully(this.#files, this.#fd, bytes, 0, bytes.length, this.#writtenBytes);
      this.#writtenBytes += bytes.length;
      return;
    }
    this.#gather.set(bytes, this.#gathered);
    this.#gathered += bytes.length;
  }

  #flushGathered(): void {
    if (this.#gathered === 0) return;
    writeFully(this.#files, this.#fd, this.#gather, 0, this.#gathered, this.#writtenBytes);
    this.#writtenBytes += this.#gathered;
    this.#gathered = 0;
  }
}

export interface WalReplay {
  readonly end: WalPosition;
  readonly groups: number;
  /** Bytes of a torn last group that were passed over. */
  readonly tornBytes: number;
}

/**
 * Hands every operation from file `from` on to `apply`, in order. A group that is not whole ends the log when nothing
 * whole follows it; otherwise acknowledged data is damaged: log-corrupt.
 */
export function replayWal(
  directory: string,
  from: { readonly number: number; readonly sequence: number },
  apply: (operation: Buffer, file: string) => void,
): WalReplay {
  const numbers = walNumbers(directory).filter((number) => number >= from.number);
  let { sequence } = from;
  let groups = 0;
  let end: WalPosition = { number: from.number, sizeBytes: 0, sequence };
  for (let i = 0; i < numbers.length; i++) {
    const file = join(directory, WAL_DIRECTORY, walFileName(numbers[i]));
    if (numbers[i] !== from.number + i) {
      throw corrupt(file, `file ${walFileName(from.number + i)} before it is missing`);
    }
    const bytes = readFileSync(file);
    let at = 0;
    for (;;) {
      const size = groupSize(bytes, at, sequence);
      if (size === 0) break;
      applyGroup(bytes, at, file, apply);
      at += size;
      sequence++;
      groups++;
    }
    end = { number: numbers[i], sizeBytes: at, sequence };
    if (at === bytes.length) continue;
    if (i < numbers.length - 1 || laterGroupStands(bytes, at + 1, sequence)) {
      throw corrupt(file, `the group at byte ${at} is damaged and whole ones follow it`);
    }
    return { end, groups, tornBytes: bytes.length - at };
  }
  if (numbers.length === 0) throw corrupt(join(directory, WAL_DIRECTORY, walFileName(from.number)), 'it is missing');
  return { end, groups, tornBytes: 0 };
}

/** Size of the whole group at `at`, or 0 when none stands there. */
function groupSize(bytes: Buffer, at: number, sequence: number): number {
  if (at + GROUP_HEAD_BYTES > bytes.length || bytes.readUInt32BE(at) !== MAGIC) return 0;
  if (bytes.readBigUInt64BE(at + 8) !== BigInt(sequence)) return 0;
  const operations = bytes.readUInt32BE(at + 16);
  const headBytes = GROUP_HEAD_BYTES + operations * OPERATION_HEAD_BYTES;
  const size = headBytes + bytes.readUInt32BE(at + 20);
  if (at + size > bytes.length || crc32c(bytes, at + 8, at + headBytes) !== bytes.readUInt32BE(at + 4)) return 0;
  let position = at + headBytes;
  for (let i = 0; i < operations; i++) {
    const head = at + GROUP_HEAD_BYTES + i * OPERATION_HEAD_BYTES;
    const end = position + bytes.readUInt32BE(head);
    if (crc32c(bytes, position, end) !== bytes.readUInt32BE(head + 4)) return 0;
    position = end;
  }
  return size;
}

function applyGroup(bytes: Buffer, at: number, file: string, apply: (operation: Buffer, file: string) => void): void {
  const operations = bytes.readUInt32BE(at + 16);
  let position = at + GROUP_HEAD_BYTES + operations * OPERATION_HEAD_BYTES;
  for (let i = 0; i < operations; i++) {
    const size = bytes.readUInt32BE(at + GROUP_HEAD_BYTES + i * OPERATION_HEAD_BYTES);
    invariant(size > 0, 'an empty operation in the write-ahead log');
    apply(bytes.subarray(position, position + size), file);
    position += size;
  }
}

/** Whether a whole group with a sequence after `sequence` stands anywhere behind `from`. */
function laterGroupStands(bytes: Buffer, from: number, sequence: number): boolean {
  for (let at = bytes.indexOf(MAGIC_BYTES, from); at >= 0; at = bytes.indexOf(MAGIC_BYTES, at + 1)) {
    if (at + GROUP_HEAD_BYTES > bytes.length) return false;
    const found = Number(bytes.readBigUInt64BE(at + 8));
    if (found > sequence && groupSize(bytes, at, found) > 0) return true;
  }
  return false;
}

function corrupt(file: string, what: string): StreamError {
  return new StreamError(
    'log-corrupt',
    `write-ahead log ${file}: ${what}`,
    'restore the log directory from a copy, or move it away together with the checkpoints and start anew',
  );
}
