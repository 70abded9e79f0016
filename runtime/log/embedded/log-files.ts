// Owns the file operations that the writer thread changes the disk with, small enough that a test can refuse each of
// them. Reading goes to node:fs directly.

import {
  closeSync,
  constants,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

export interface DiskSpace {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

export interface LogFiles {
  /** Opens for reading and writing; makes the file when it is missing, never cuts it. */
  open(path: string): number;
  /** Writes some bytes (at least one) and says how many. */
  write(fd: number, bytes: Uint8Array, start: number, sizeBytes: number, position: number): number;
  truncate(fd: number, sizeBytes: number): void;
  syncData(fd: number): void;
  close(fd: number): void;
  /** Of the disk that a path lies on; null when it does not say. */
  space(path: string): DiskSpace | null;
  /** A file or a whole directory; what is not there is no error. */
  remove(path: string): void;
  makeDirectory(path: string): void;
  syncDirectory(path: string): void;
  /** Makes a file's content, or a directory's entries, durable without holding up the thread. Absent is no error. */
  syncLater(path: string): Promise<void>;
  /** Replaces a whole file durably: temporary name, sync, rename, sync of the directory. */
  replace(path: string, bytes: Uint8Array): Promise<void>;
}

export const nodeLogFiles: LogFiles = {
  open: (path) => openSync(path, constants.O_RDWR | constants.O_CREAT, 0o644),
  write: (fd, bytes, start, sizeBytes, position) => writeSync(fd, bytes, start, sizeBytes, position),
  truncate: (fd, sizeBytes) => ftruncateSync(fd, sizeBytes),
  syncData: (fd) => fdatasyncSync(fd),
  close: (fd) => closeSync(fd),
  space: (path) => {
    try {
      const { bavail, blocks, bsize } = statfsSync(path);
      return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
    } catch {
      return null;
    }
  },
  remove: (path) => rmSync(path, { force: true, recursive: true }),
  makeDirectory: (path) => {
    mkdirSync(path, { recursive: true });
  },
  syncDirectory: (path) => {
    const fd = openSync(path, 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  },
  syncLater: async (path) => {
    const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (file === null) return;
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  },
  replace: async (path, bytes) => {
    const file = await open(`${path}.tmp`, 'w');
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.tmp`, path);
    await nodeLogFiles.syncLater(dirname(path));
  },
};

/** Writes all of bytes[start, end) at a position; a short write goes on until the disk refuses. */
export function writeFully(
  files: LogFiles,
  fd: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  position: number,
): void {
  let at = start;
  while (at < end) at += files.write(fd, bytes, at, end - at, position + at - start);
}
