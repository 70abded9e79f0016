// Owns a disk in memory with the durability of a real one: what was not synced may be lost or torn when the power
// fails, directory entries apart from contents; killing a process loses nothing that a call had done. Every operation
// happens in an event of its process, so a crash can come before it, between its halves and after it.

import { posix } from 'node:path';
import type { Disk } from '#runtime/std/disk.ts';
import type { Process } from '#test/simulation/world/process.ts';
import type { Random } from '#test/simulation/world/random.ts';

export interface DiskFaults {
  readonly latencyMs: number;
  /** Per write: no space left, a part of the file stays. */
  readonly noSpace: number;
  /** Per write, read or sync: EIO. A sync that fails leaves data that will not survive, and does not fail again. */
  readonly ioError: number;
  /** Per sync of a file: one bit of what is stored is wrong from then on. */
  readonly bitFlip: number;
}

export const NO_DISK_FAULTS: DiskFaults = { latencyMs: 0.2, noSpace: 0, ioError: 0, bitFlip: 0 };

export function drawDiskFaults(random: Random): DiskFaults {
  const draw = (rare: number) => random.pick([0, 0, 0, rare]);
  return {
    latencyMs: random.pick([0.1, 0.5, 5]),
    noSpace: draw(0.01),
    ioError: draw(0.005),
    bitFlip: draw(0.01),
  };
}

class File {
  bytes: Buffer = Buffer.alloc(0);
  /** What survives for sure; null before the first sync. */
  durable: Buffer | null = null;
}

class Directory {
  readonly entries = new Map<string, File | Directory>();
}

/** A change of directory entries that is not durable yet. */
interface PendingChange {
  readonly directories: readonly Directory[];
  readonly apply: (durable: (directory: Directory) => Map<string, File | Directory>) => void;
}

export class SimulatedDisk {
  faults: DiskFaults;
  /** Told before a process removes a file; for those who judge. */
  onRemove: (path: string) => void = () => {};
  /** What went wrong, for a test that wants to know whether its faults happened. */
  readonly counts = { bitsFlipped: 0, refused: 0, powerFailures: 0, contentsLost: 0, contentsTorn: 0, entriesLost: 0 };
  readonly #random: Random;
  #root = new Directory();
  /** Entries as they are on the platter. */
  #durable = new Map<Directory, Map<string, File | Directory>>();
  #pending: PendingChange[] = [];
  readonly #refused = new Set<string>();

  constructor(random: Random, faults: DiskFaults = NO_DISK_FAULTS) {
    this.#random = random;
    this.faults = faults;
  }

  /** The disk as a process uses it. */
  mount(process: Process): Disk {
    const after = <T>(label: string, action: () => T) => process.after(this.#latencyMs(), label, action);
    const operate = <T>(label: string, action: () => T) => process.operate(this.#latencyMs(), label, action);
    return {
      readFile: async (path) => {
        const file = await operate('read file', () => {
          this.#maybeFail('EIO', this.faults.ioError, path);
          return Buffer.from(this.#file(path).bytes);
        });
        return file;
      },
      writeNewFile: async (path, bytes) => {
        const whole = Buffer.from(bytes);
        const part = this.#random.int(whole.length + 1);
        const file = await operate('create file', () => {
          const created = new File();
          this.#link(path, created);
          created.bytes = whole.subarray(0, part);
          this.#maybeFail('ENOSPC', this.faults.noSpace, path);
          this.#maybeFail('EIO', this.faults.ioError, path);
          return created;
        });
        await operate('write file', () => {
          file.bytes = whole;
        });
      },
      syncFile: async (path) => {
        await operate('sync file', () => this.#sync(path));
        await after('synced file', () => undefined);
      },
      syncDirectory: async (path) => {
        await operate('sync directory', () => {
          this.#maybeFail('EIO', this.faults.ioError, path, () => this.#noteUnsynced(path));
          this.#syncDirectory(this.#directory(path));
        });
        await after('synced directory', () => undefined);
      },
      rename: async (from, to) => {
        await operate('rename', () => this.#rename(from, to));
        await after('renamed', () => undefined);
      },
      link: async (from, to) => {
        await after('link', () => this.#link(to, this.#file(from)));
        await after('linked', () => undefined);
      },
      remove: async (path) => {
        await operate('remove', () => {
          this.onRemove(posix.normalize(path));
          this.#unlink(path);
        });
        await after('removed', () => undefined);
      },
      list: (path) => operate('list', () => this.#list(path)),
      makeDirectory: async (path) => {
        await operate('make directory', () => this.#makeDirectory(path));
        await after('made directory', () => undefined);
      },
    };
  }

  /** The power fails: kill the processes first. Afterwards the disk is as a reboot finds it. */
  powerFailure(): void {
    const random = this.#random;
    this.counts.powerFailures++;
    // Some file systems keep the order of changes, others do not.
    const ordered = random.chance(0.5);
    const kept = random.int(this.#pending.length + 1);
    this.#pending.forEach((change, i) => {
      if (ordered ? i < kept : random.chance(0.5)) change.apply((directory) => this.#entriesOf(directory));
      else this.counts.entriesLost++;
    });
    this.#pending = [];
    const seen = new Set<File | Directory>();
    const visit = (directory: Directory) => {
      if (seen.has(directory)) return;
      seen.add(directory);
      directory.entries.clear();
      for (const [name, node] of this.#entriesOf(directory)) {
        directory.entries.set(name, node);
        if (node instanceof Directory) visit(node);
        else if (!seen.has(node)) {
          seen.add(node);
          this.#lose(node);
        }
      }
    };
    visit(this.#root);
  }

  /** Paths of all files as a running process sees them, sorted. */
  files(): string[] {
    const paths: string[] = [];
    const visit = (directory: Directory, path: string) => {
      for (const [name, node] of directory.entries) {
        if (node instanceof Directory) visit(node, `${path}/${name}`);
        else paths.push(`${path}/${name}`);
      }
    };
    visit(this.#root, '');
    return paths.sort();
  }

  /** Names of the files in a directory as a running process sees them, sorted; none when there is no such directory. */
  filesIn(path: string): string[] {
    let node: File | Directory | undefined = this.#root;
    for (const name of parts(path)) node = node instanceof Directory ? node.entries.get(name) : undefined;
    if (!(node instanceof Directory)) return [];
    return [...node.entries].flatMap(([name, one]) => (one instanceof File ? [name] : [])).sort();
  }

  /** A file as a running process sees it, null when there is none; for those who judge. */
  peek(path: string): Buffer | null {
    try {
      return this.#file(path).bytes;
    } catch {
      return null;
    }
  }

  /** Flips one bit of a stored file. */
  flipBit(path: string): void {
    this.#flip(this.#file(path));
  }

  /** Removes a file, or a directory with all it holds, durably: a mistake of people. */
  wipe(path: string): void {
    const { directory, name } = this.#place(path);
    directory.entries.delete(name);
    this.#entriesOf(directory).delete(name);
  }

  #sync(path: string): void {
    const file = this.#file(path);
    const failed = this.#random.happens('sync-fails', this.faults.ioError);
    if (failed) {
      this.counts.refused++;
      file.durable = file.bytes.subarray(0, this.#random.int(file.bytes.length + 1));
      throw fault('EIO', path);
    }
    // After a failed sync the page cache calls itself clean.
    if (file.durable !== null) return;
    file.durable = file.bytes;
    if (this.#random.happens('bit-flip', this.faults.bitFlip)) this.#flip(file);
  }

  #flip(file: File): void {
    if (file.bytes.length === 0) return;
    this.counts.bitsFlipped++;
    const flipped = Buffer.from(file.bytes);
    flipped[this.#random.int(flipped.length)] ^= 1 << this.#random.int(8);
    file.bytes = flipped;
    if (file.durable !== null) file.durable = flipped;
  }

  /** What a power failure leaves of a file. */
  #lose(file: File): void {
    if (file.durable === null) {
      const size = file.bytes.length;
      const torn = Buffer.from(file.bytes.subarray(0, this.#random.pick([0, size, this.#random.int(size + 1)])));
      // Blocks that were allocated and never written read as zeros.
      if (torn.length > 0 && this.#random.chance(0.3)) torn.fill(0, this.#random.int(torn.length));
      if (torn.length === 0 && size > 0) this.counts.contentsLost++;
      else if (!torn.equals(file.bytes)) this.counts.contentsTorn++;
      file.durable = torn;
    }
    file.bytes = file.durable;
  }

  #entriesOf(directory: Directory): Map<string, File | Directory> {
    let entries = this.#durable.get(directory);
    if (entries === undefined) {
      entries = new Map();
      this.#durable.set(directory, entries);
    }
    return entries;
  }

  /** Whether somebody who wanted a file to last was told that it may not, when its directory was synced. */
  wasRefused(path: string): boolean {
    return this.#refused.has(posix.normalize(path));
  }

  #noteUnsynced(path: string): void {
    const directory = this.#directory(path);
    const lasting = this.#entriesOf(directory);
    for (const name of directory.entries.keys()) {
      if (!lasting.has(name)) this.#refused.add(posix.normalize(`${path}/${name}`));
    }
  }

  #syncDirectory(directory: Directory): void {
    const left: PendingChange[] = [];
    for (const change of this.#pending) {
      if (change.directories.includes(directory)) change.apply((one) => this.#entriesOf(one));
      else left.push(change);
    }
    this.#pending = left;
  }

  #change(directories: readonly Directory[], apply: PendingChange['apply']): void {
    apply((directory) => directory.entries);
    this.#pending.push({ directories, apply });
  }

  #link(path: string, node: File | Directory): void {
    const { directory, name } = this.#place(path);
    if (directory.entries.has(name)) throw fault('EEXIST', path);
    this.#change([directory], (entries) => entries(directory).set(name, node));
  }

  #unlink(path: string): void {
    let place: { directory: Directory; name: string };
    try {
      place = this.#place(path);
    } catch {
      return;
    }
    const { directory, name } = place;
    if (directory.entries.has(name)) this.#change([directory], (entries) => entries(directory).delete(name));
  }

  #rename(from: string, to: string): void {
    const source = this.#place(from);
    const target = this.#place(to);
    const node = source.directory.entries.get(source.name);
    if (node === undefined) throw fault('ENOENT', from);
    this.#change([source.directory, target.directory], (entries) => {
      entries(source.directory).delete(source.name);
      entries(target.directory).set(target.name, node);
    });
  }

  #makeDirectory(path: string): void {
    let directory = this.#root;
    for (const name of parts(path)) {
      const next = directory.entries.get(name);
      if (next instanceof File) throw fault('EEXIST', path);
      if (next !== undefined) directory = next;
      else {
        const parent = directory;
        const made = new Directory();
        this.#change([parent], (entries) => entries(parent).set(name, made));
        directory = made;
      }
    }
  }

  #list(path: string): string[] {
    try {
      return [...this.#directory(path).entries.keys()].sort();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  #file(path: string): File {
    const { directory, name } = this.#place(path);
    const node = directory.entries.get(name);
    if (node === undefined) throw fault('ENOENT', path);
    if (node instanceof Directory) throw fault('EISDIR', path);
    return node;
  }

  #directory(path: string): Directory {
    const names = parts(path);
    return this.#walk(names, names.length, path);
  }

  #walk(names: readonly string[], depth: number, path: string): Directory {
    let directory = this.#root;
    for (let i = 0; i < depth; i++) {
      const next = directory.entries.get(names[i]);
      if (next === undefined) throw fault('ENOENT', path);
      if (next instanceof File) throw fault('ENOTDIR', path);
      directory = next;
    }
    return directory;
  }

  #place(path: string): { directory: Directory; name: string } {
    const names = parts(path);
    return { directory: this.#walk(names, names.length - 1, path), name: names[names.length - 1] };
  }

  #maybeFail(code: 'EIO' | 'ENOSPC', probability: number, path: string, before: () => void = () => {}): void {
    if (!this.#random.happens(code === 'EIO' ? 'disk-io-error' : 'disk-no-space', probability)) return;
    this.counts.refused++;
    before();
    throw fault(code, path);
  }

  #latencyMs(): number {
    return this.faults.latencyMs * this.#random.between(0.2, 2);
  }
}

/** Paths come again and again, and taking them apart is a twentieth of a run. */
const known = new Map<string, readonly string[]>();
const KNOWN_MAX = 4096;

function parts(path: string): readonly string[] {
  let found = known.get(path);
  if (found === undefined) {
    found = posix
      .normalize(path)
      .split('/')
      .filter((part) => part !== '' && part !== '.');
    if (known.size >= KNOWN_MAX) known.clear();
    known.set(path, found);
  }
  return found;
}

function fault(code: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${path}`), { code, path });
}
