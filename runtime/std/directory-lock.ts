// Owns the lock on a directory: one holder among all live processes that see the same file system, freed by the kernel
// when the holder dies. The lock is SQLite's (byte-range locks of fcntl) on an empty file: no stale lock files, no
// process ids to compare, right across containers. Invariant: the lock file is never removed and never read by us,
// because closing any other descriptor of it in this process would drop the lock.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StreamError } from '#runtime/std/errors.ts';

export const LOCK_FILE = 'lock';
export const HOLDER_FILE = 'lock-holder.json';

const SQLITE_BUSY = 5;

export interface DirectoryLock {
  /** Frees the directory; a second call does nothing. */
  release(): void;
}

/** Keeps the handles alive: a collected handle would free its lock. */
const held = new Set<DatabaseSync>();

/**
 * Takes the directory for this process, creating it when it is missing. Errors: directory-in-use (names the holder),
 * directory-not-writable.
 */
export async function lockDirectory(path: string): Promise<DirectoryLock> {
  const holderPath = join(path, HOLDER_FILE);
  let database: DatabaseSync | null = null;
  try {
    mkdirSync(path, { recursive: true });
    database = new DatabaseSync(join(path, LOCK_FILE), { timeout: 0 });
    database.exec('BEGIN EXCLUSIVE');
    writeHolder(holderPath);
  } catch (error) {
    database?.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) throw inUse(path, holderPath);
    throw new StreamError(
      'directory-not-writable',
      `directory ${path} cannot be written: ${(error as Error).message}`,
      'give this user write access to it, or name another directory',
      { cause: error },
    );
  }
  const handle = database;
  held.add(handle);
  return {
    release() {
      if (!held.delete(handle)) return;
      rmSync(holderPath, { force: true });
      handle.close();
    },
  };
}

/** Only for people: a full disk must not keep a log from opening and being trimmed. */
function writeHolder(holderPath: string): void {
  try {
    writeFileSync(holderPath, `${JSON.stringify({ pid: process.pid, host: hostname() })}\n`);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
  }
}

function inUse(path: string, holderPath: string): StreamError {
  return new StreamError(
    'directory-in-use',
    `directory ${path} is in use by ${describeHolder(holderPath)}`,
    'stop that process, or name another directory',
  );
}

function describeHolder(holderPath: string): string {
  try {
    const holder = JSON.parse(readFileSync(holderPath, 'utf8')) as { pid: number; host: string };
    return `process ${holder.pid} on host ${holder.host}`;
  } catch {
    return 'another process';
  }
}
