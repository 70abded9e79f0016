// A disk in memory that loses power: what was not synced is kept, lost or torn as a seed decides, names and contents
// apart. It can also refuse one operation, stop the process at one, and be tampered with.

import { basename, dirname, join } from 'node:path';
import type { Disk } from '#runtime/std/disk.ts';
import { Seeded } from '#test/checkpoint/seeded.ts';

interface File {
  bytes: Uint8Array;
  synced: Uint8Array | null;
}

/** A file or a directory (by its path, so that its names are its own). */
type Node = File | 'directory';

interface Directory {
  now: Map<string, Node>;
  synced: Map<string, Node>;
}

export class PowerCut extends Error {
  override readonly name = 'PowerCut';
}

export class PowerDisk implements Disk {
  /** Operations so far. */
  operations = 0;
  /** The operation with this number (from 1) is cut in the middle, and none after it happens. */
  cutAt = Number.POSITIVE_INFINITY;
  /** Asked before each operation: the error code it fails with, or null. */
  refuse: (operation: string, path: string) => string | null = () => null;
  readonly #directories = new Map<string, Directory>([['/', { now: new Map(), synced: new Map() }]]);

  async readFile(path: string): Promise<Uint8Array> {
    this.#begin('readFile', path);
    return this.#file(path).bytes.slice();
  }

  async writeNewFile(path: string, bytes: Uint8Array): Promise<void> {
    const cut = this.#begin('writeNewFile', path);
    const { now } = this.#directory(dirname(path));
    if (now.has(basename(path))) throw fault('EEXIST', path);
    now.set(basename(path), { bytes: bytes.slice(0, cut ? bytes.length >> 1 : bytes.length), synced: null });
    this.#end(cut);
  }

  async syncFile(path: string): Promise<void> {
    const cut = this.#begin('syncFile', path);
    const file = this.#file(path);
    if (!cut) file.synced = file.bytes;
    this.#end(cut);
  }

  async syncDirectory(path: string): Promise<void> {
    const cut = this.#begin('syncDirectory', path);
    const directory = this.#directory(path);
    if (!cut) directory.synced = new Map(directory.now);
    this.#end(cut);
  }

  async rename(from: string, to: string): Promise<void> {
    const cut = this.#begin('rename', from);
    const file = this.#file(from);
    this.#directory(dirname(from)).now.delete(basename(from));
    this.#directory(dirname(to)).now.set(basename(to), file);
    this.#end(cut);
  }

  async link(from: string, to: string): Promise<void> {
    const cut = this.#begin('link', from);
    const file = this.#file(from);
    const { now } = this.#directory(dirname(to));
    if (now.has(basename(to))) throw fault('EEXIST', to);
    now.set(basename(to), file);
    this.#end(cut);
  }

  async remove(path: string): Promise<void> {
    const cut = this.#begin('remove', path);
    this.#directories.get(dirname(path))?.now.delete(basename(path));
    this.#end(cut);
  }

  async list(path: string): Promise<string[]> {
    this.#end(this.#begin('list', path));
    return [...(this.#directories.get(path)?.now.keys() ?? [])].sort();
  }

  async makeDirectory(path: string): Promise<void> {
    const cut = this.#begin('makeDirectory', path);
    this.#make(path);
    this.#end(cut);
  }

  /** Power is lost and comes back: only what was synced is sure. */
  losePower(seed: number): void {
    const random = new Seeded(seed);
    this.cutAt = Number.POSITIVE_INFINITY;
    for (const path of [...this.#directories.keys()].sort()) {
      const directory = this.#directories.get(path)!;
      for (const name of new Set([...directory.now.keys(), ...directory.synced.keys()])) {
        if (directory.now.get(name) === directory.synced.get(name) || random.chance(50)) continue;
        const before = directory.synced.get(name);
        if (before === undefined) directory.now.delete(name);
        else directory.now.set(name, before);
      }
      for (const node of directory.now.values()) if (node !== 'directory') tear(node, random);
      directory.synced = new Map(directory.now);
    }
    for (const path of [...this.#directories.keys()].sort()) {
      if (path !== '/' && this.#directories.get(dirname(path))?.now.get(basename(path)) !== 'directory') {
        this.#directories.delete(path);
      }
    }
  }

  /** The bytes of every file, by path. */
  files(): Map<string, Uint8Array> {
    const files = new Map<string, Uint8Array>();
    for (const [path, { now }] of this.#directories) {
      for (const [name, node] of now) if (node !== 'directory') files.set(join(path, name), node.bytes);
    }
    return files;
  }

  /** Replaces a file's bytes behind everybody's back; null removes it. */
  tamper(path: string, bytes: Uint8Array | null): void {
    const directory = this.#directory(dirname(path));
    if (bytes === null) directory.now.delete(basename(path));
    else directory.now.set(basename(path), { bytes, synced: bytes });
    directory.synced = new Map(directory.now);
  }

  #make(path: string): void {
    if (this.#directories.has(path)) return;
    const parent = dirname(path);
    this.#make(parent);
    this.#directories.get(parent)!.now.set(basename(path), 'directory');
    this.#directories.set(path, { now: new Map(), synced: new Map() });
  }

  #directory(path: string): Directory {
    const directory = this.#directories.get(path);
    if (directory === undefined) throw fault('ENOENT', path);
    return directory;
  }

  #file(path: string): File {
    const node = this.#directory(dirname(path)).now.get(basename(path));
    if (node === undefined || node === 'directory') throw fault('ENOENT', path);
    return node;
  }

  #begin(operation: string, path: string): boolean {
    this.operations++;
    if (this.operations > this.cutAt) throw new PowerCut('the process is gone');
    const code = this.refuse(operation, path);
    if (code !== null) throw fault(code, path);
    return this.operations === this.cutAt;
  }

  #end(cut: boolean): void {
    if (cut) throw new PowerCut('the process dies here');
  }
}

function tear(file: File, random: Seeded): void {
  if (file.synced !== file.bytes) {
    const kept = random.below(file.bytes.length + 1);
    const torn = random.chance(30) ? file.bytes : file.bytes.slice(0, kept);
    if (random.chance(30)) torn.fill(0, kept >> 1);
    file.bytes = torn;
  }
  file.synced = file.bytes;
}

function fault(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
