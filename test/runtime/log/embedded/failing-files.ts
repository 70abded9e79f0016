// Owns disks that misbehave under an embedded log: one that refuses on request, and one that stops for good at its n-th
// change and then loses what was not synced. Content is kept in real files; what was synced is remembered beside them.

import { existsSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type DiskSpace, type LogFiles, nodeLogFiles } from '#runtime/log/embedded/log-files.ts';

export type Operation = keyof LogFiles;

export function diskError(code: string, syscall: string): Error {
  return Object.assign(new Error(`${code}: refused by the test, ${syscall}`), { code, syscall, errno: -1 });
}

/** Does what the real disk does unless `refuse` names an error for the operation on this path. */
export class RefusingFiles implements LogFiles {
  refuse: (operation: Operation, path: string) => string | null = () => null;
  /** Bytes that a refused write leaves behind first. */
  shortWriteBytes = 0;
  /** What the disk says of its space; null: what the real one says. */
  freeBytes: number | null = null;
  readonly #paths = new Map<number, string>();

  #ask(operation: Operation, path: string): void {
    const code = this.refuse(operation, path);
    if (code !== null) throw diskError(code, operation);
  }

  #pathOf(fd: number): string {
    return this.#paths.get(fd) ?? '';
  }

  space(path: string): DiskSpace | null {
    const real = nodeLogFiles.space(path);
    return real === null || this.freeBytes === null ? real : { freeBytes: this.freeBytes, totalBytes: 1000 };
  }

  open(path: string): number {
    this.#ask('open', path);
    const fd = nodeLogFiles.open(path);
    this.#paths.set(fd, path);
    return fd;
  }

  write(fd: number, bytes: Uint8Array, start: number, sizeBytes: number, position: number): number {
    const path = this.#pathOf(fd);
    if (this.refuse('write', path) !== null && this.shortWriteBytes > 0) {
      nodeLogFiles.write(fd, bytes, start, Math.min(this.shortWriteBytes, sizeBytes), position);
    }
    this.#ask('write', path);
    return nodeLogFiles.write(fd, bytes, start, sizeBytes, position);
  }

  truncate(fd: number, sizeBytes: number): void {
    this.#ask('truncate', this.#pathOf(fd));
    nodeLogFiles.truncate(fd, sizeBytes);
  }

  syncData(fd: number): void {
    this.#ask('syncData', this.#pathOf(fd));
    nodeLogFiles.syncData(fd);
  }

  close(fd: number): void {
    this.#paths.delete(fd);
    nodeLogFiles.close(fd);
  }

  remove(path: string): void {
    this.#ask('remove', path);
    nodeLogFiles.remove(path);
  }

  makeDirectory(path: string): void {
    this.#ask('makeDirectory', path);
    nodeLogFiles.makeDirectory(path);
  }

  syncDirectory(path: string): void {
    this.#ask('syncDirectory', path);
    nodeLogFiles.syncDirectory(path);
  }

  async syncLater(path: string): Promise<void> {
    this.#ask('syncLater', path);
    await nodeLogFiles.syncLater(path);
  }

  async replace(path: string, bytes: Uint8Array): Promise<void> {
    this.#ask('replace', path);
    await nodeLogFiles.replace(path, bytes);
  }
}

/** The real disk without the waiting: for tests in which syncs are only thought of. */
export const unsyncedFiles: LogFiles = {
  ...nodeLogFiles,
  syncData: () => undefined,
  syncDirectory: () => undefined,
  syncLater: async () => undefined,
  replace: async (path, bytes) => {
    writeFileSync(`${path}.tmp`, bytes);
    renameSync(`${path}.tmp`, path);
  },
};

/** Thrown by a disk that has stopped; not a fault of the disk but the end of the process. */
export class Stopped extends Error {
  override readonly name = 'Stopped';
}

interface Durable {
  /** Content as last synced, null when the file was never synced. */
  content: Buffer | null;
  /** Whether the directory's entry was synced since the file was made. */
  listed: boolean;
}

/**
 * Stops at its n-th change of the disk: a write then leaves half of its bytes. `losePower` afterwards takes back what
 * was never synced, file by file as `chance` (0 to 1) tells; without it the files are as a killed process leaves them.
 */
export class StoppingFiles implements LogFiles {
  changes = 0;
  readonly #stopAt: number;
  readonly #paths = new Map<number, string>();
  readonly #durable = new Map<string, Durable>();
  readonly #removed = new Map<string, Buffer>();

  constructor(stopAt: number) {
    this.#stopAt = stopAt;
  }

  get stopped(): boolean {
    return this.changes >= this.#stopAt;
  }

  space(path: string): DiskSpace | null {
    return nodeLogFiles.space(path);
  }

  #step(): void {
    if (++this.changes >= this.#stopAt) throw new Stopped('the process was killed here');
  }

  open(path: string): number {
    if (!existsSync(path)) {
      this.#step();
      this.#durable.set(path, { content: null, listed: false });
      this.#removed.delete(path);
    } else if (!this.#durable.has(path)) this.#durable.set(path, { content: readFileSync(path), listed: true });
    const fd = nodeLogFiles.open(path);
    this.#paths.set(fd, path);
    return fd;
  }

  write(fd: number, bytes: Uint8Array, start: number, sizeBytes: number, position: number): number {
    if (this.stopped) throw new Stopped('the process is dead');
    if (this.changes + 1 >= this.#stopAt && sizeBytes > 1) {
      nodeLogFiles.write(fd, bytes, start, sizeBytes >> 1, position);
    }
    this.#step();
    return nodeLogFiles.write(fd, bytes, start, sizeBytes, position);
  }

  truncate(fd: number, sizeBytes: number): void {
    this.#step();
    nodeLogFiles.truncate(fd, sizeBytes);
  }

  syncData(fd: number): void {
    this.#step();
    this.#remember(this.#paths.get(fd) as string);
  }

  close(fd: number): void {
    this.#paths.delete(fd);
    nodeLogFiles.close(fd);
  }

  remove(path: string): void {
    this.#step();
    const durable = this.#durable.get(path);
    if (durable?.listed && durable.content !== null) this.#removed.set(path, durable.content);
    this.#durable.delete(path);
    nodeLogFiles.remove(path);
  }

  makeDirectory(path: string): void {
    this.#step();
    nodeLogFiles.makeDirectory(path);
  }

  syncDirectory(path: string): void {
    this.#step();
    for (const [file, durable] of this.#durable) if (dirname(file) === path) durable.listed = true;
    for (const file of this.#removed.keys()) if (dirname(file) === path) this.#removed.delete(file);
  }

  async syncLater(path: string): Promise<void> {
    this.#step();
    if (this.#durable.has(path)) this.#remember(path);
    else if (existsSync(path))
      for (const [file, state] of this.#durable) if (dirname(file) === path) state.listed = true;
  }

  async replace(path: string, bytes: Uint8Array): Promise<void> {
    this.#step();
    await unsyncedFiles.replace(path, bytes);
  }

  losePower(chance: () => number): void {
    for (const [path, content] of this.#removed) if (chance() < 0.5) writeFileSync(path, content);
    for (const [path, { content, listed }] of this.#durable) {
      if (!existsSync(path)) continue;
      if (!listed && chance() < 0.5) rmSync(path);
      else if (content === null) truncateSync(path, Math.floor(chance() * readFileSync(path).length));
      else this.#tear(path, content, chance);
    }
  }

  /** Of what was written since the sync any part may have reached the disk. */
  #tear(path: string, content: Buffer, chance: () => number): void {
    const now = readFileSync(path);
    const kept = Math.floor(chance() * 3);
    if (kept === 0) writeFileSync(path, content);
    else if (kept === 1) {
      const at = Math.floor(chance() * (now.length + 1));
      const lost = Buffer.from(now);
      if (at < lost.length && at >= content.length) lost[at] ^= 0xff;
      writeFileSync(path, lost);
    }
  }

  #remember(path: string): void {
    const durable = this.#durable.get(path);
    if (durable !== undefined && existsSync(path)) durable.content = readFileSync(path);
  }
}
