// Owns the contract of a disk: what checkpoints need of a file system, small enough that the simulation can lose,
// tear and flip what was not synced. `nodeDisk` is the real one. Paths are absolute or relative to the process.

import { link, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';

export interface Disk {
  readFile(path: string): Promise<Uint8Array>;
  /** Writes a whole new file; not durable before `syncFile`. Fails with EEXIST if it is there. */
  writeNewFile(path: string, bytes: Uint8Array): Promise<void>;
  syncFile(path: string): Promise<void>;
  /** Makes entries (creations, renames, removals) of a directory durable. */
  syncDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** A second name for a file; fails with EEXIST if it is there. File systems may refuse it. */
  link(from: string, to: string): Promise<void>;
  /** Removing what is not there is no error. */
  remove(path: string): Promise<void>;
  /** Names in a directory, sorted; empty when the directory does not exist. */
  list(path: string): Promise<string[]>;
  makeDirectory(path: string): Promise<void>;
}

export const nodeDisk: Disk = {
  readFile: (path) => readFile(path),
  async writeNewFile(path, bytes) {
    const file = await open(path, 'wx');
    try {
      await file.writeFile(bytes);
    } finally {
      await file.close();
    }
  },
  async syncFile(path) {
    const file = await open(path, 'r+');
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  },
  async syncDirectory(path) {
    const directory = await open(path, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
  rename: (from, to) => rename(from, to),
  link: (from, to) => link(from, to),
  remove: (path) => rm(path, { force: true, recursive: true }),
  async list(path) {
    try {
      return (await readdir(path)).sort();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  },
  async makeDirectory(path) {
    await mkdir(path, { recursive: true });
  },
};
