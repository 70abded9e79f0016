// Owns a real file system that gets full: a tmpfs over a directory, and a file that takes all its room. Linux only; who
// is not root needs a mount namespace of their own (`unshare -rm`).

import { execFileSync } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';

/** False where mounting is for others. */
export function mountSmallDisk(directory: string, sizeMiB: number): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'tmpfs', directory], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

export function unmountSmallDisk(directory: string): void {
  execFileSync('umount', [directory]);
}

/** Writes into a file until the disk refuses, then ends; any other refusal is thrown. */
export function fillDisk(path: string): void {
  const chunk = Buffer.alloc(64 * 1024, 1);
  const file = openSync(path, 'w');
  try {
    for (;;) writeSync(file, chunk);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
}
