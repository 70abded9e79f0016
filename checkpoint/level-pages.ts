// Owns pages in a LevelDB database, one per task and attempt: a working copy, never the truth. It begins empty whatever
// an earlier attempt left, and goes when the attempt ends. The door of `level`. LevelDB's binding checks no checksum:
// whoever reads compares with what it remembers (page-swap.ts).

import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Level } from 'level';
import type { ColdPages, ColdWrite } from '#checkpoint/cold-pages.ts';
import type { TaskIdentity } from '#checkpoint/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';

/** u16 state, 48 bits of page number: pages of a state lie together, in order. */
const KEY_BYTES = 8;
/** The swap above is the cache. Pages are given out as they are: compressing them saved disk only, for 10 % of CPU. */
const CACHE_BYTES = 512 * 1024;
/** Two of them may be in memory per task. Larger ones made writing no faster. */
const WRITE_BUFFER_BYTES = 1024 * 1024;

export interface LevelPagesOptions {
  /** Where databases of tasks lie; local to this machine. */
  readonly root: string;
  readonly identity: TaskIdentity;
  readonly attempt: string;
}

export class LevelPages implements ColdPages {
  readonly #level: Level<Buffer, Buffer>;
  readonly #directory: string;
  readonly #key = Buffer.alloc(KEY_BYTES);

  private constructor(level: Level<Buffer, Buffer>, directory: string) {
    this.#level = level;
    this.#directory = directory;
  }

  /** Clears away what earlier attempts of the task left, and begins empty. Error: disk-failed. */
  static async open({ root, identity, attempt }: LevelPagesOptions): Promise<LevelPages> {
    const { namespace, job, run, generation, stage, partition } = identity;
    const task = join(root, namespace, job, run, `g${generation}`, stage, String(partition));
    const directory = join(task, attempt);
    try {
      await mkdir(task, { recursive: true });
      for (const left of await readdir(task, { withFileTypes: true })) {
        if (left.isDirectory()) await clear(join(task, left.name));
      }
      // Only jobs that ask for it pay for loading it.
      const { Level } = await import('level');
      const level = new Level<Buffer, Buffer>(directory, {
        keyEncoding: 'buffer',
        valueEncoding: 'buffer',
        errorIfExists: true,
        compression: false,
        cacheSize: CACHE_BYTES,
        writeBufferSize: WRITE_BUFFER_BYTES,
      });
      await level.open();
      return new LevelPages(level, directory);
    } catch (error) {
      throw failed(directory, 'begin', error);
    }
  }

  read(state: number, page: number): Buffer | null {
    try {
      return this.#level.getSync(writeKey(this.#key, state, page)) ?? null;
    } catch (error) {
      throw failed(this.#directory, 'read', error);
    }
  }

  async write(writes: readonly ColdWrite[]): Promise<void> {
    const batch = this.#level.batch();
    try {
      for (const { state, page, bytes } of writes) {
        const key = writeKey(Buffer.allocUnsafe(KEY_BYTES), state, page);
        if (bytes === null) batch.del(key);
        else batch.put(key, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
      }
      await batch.write();
    } catch (error) {
      throw failed(this.#directory, 'write', error);
    }
  }

  async close(): Promise<void> {
    await this.#level.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** In Node `Level` is ClassicLevel, whose static functions its types leave out. */
async function destroy(directory: string): Promise<void> {
  const { Level } = await import('level');
  return (Level as unknown as { destroy(location: string): Promise<void> }).destroy(directory);
}

/** A database that a live process holds is not ours to remove; it says so itself, by its lock. */
async function clear(directory: string): Promise<void> {
  try {
    await destroy(directory);
  } catch (error) {
    if ((error as { code?: string }).code === 'LEVEL_LOCKED') return;
  }
  await rm(directory, { recursive: true, force: true });
}

function writeKey(key: Buffer, state: number, page: number): Buffer {
  key.writeUInt16BE(state, 0);
  key.writeUIntBE(page, 2, 6);
  return key;
}

function failed(directory: string, what: string, cause: unknown): StreamError {
  const reason = (cause as Error).cause ?? cause;
  return new StreamError(
    'disk-failed',
    `state outside memory in '${directory}': LevelDB cannot ${what} (${(reason as Error).message})`,
    'look at the disk and its free space; the task goes on from its last checkpoint',
    { cause },
  );
}
