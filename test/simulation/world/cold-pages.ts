// Owns the place where pages of state lie that are not in memory, as an embedded database would be: nothing in it
// outlives the attempt that wrote it, what dead processes left is cleared away, and what it gives back may be damaged.

import type { ColdPages, ColdWrite } from '#checkpoint/cold-pages.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { DiskFaults } from '#test/simulation/world/disk.ts';
import type { Process } from '#test/simulation/world/process.ts';
import type { Random } from '#test/simulation/world/random.ts';

interface Database {
  readonly process: Process;
  readonly pages: Map<string, Buffer>;
}

/** Of one machine. */
export class ColdStorage {
  readonly counts = { opened: 0, leftBehind: 0, written: 0, read: 0, refused: 0, bitsFlipped: 0 };
  readonly #random: Random;
  readonly #faults: () => DiskFaults;
  /** Databases by task. */
  readonly #tasks = new Map<string, Database[]>();

  constructor(random: Random, faults: () => DiskFaults) {
    this.#random = random;
    this.#faults = faults;
  }

  /** Begins empty; another live process keeps what it has. */
  async open(process: Process, task: string): Promise<ColdPages> {
    const database: Database = { process, pages: new Map() };
    await this.#after(process, 'open pages', () => {
      const all = this.#tasks.get(task) ?? [];
      const living = all.filter((one) => one.process.alive);
      this.counts.leftBehind += all.length - living.length;
      this.counts.opened++;
      this.#tasks.set(task, [...living, database]);
    });
    return {
      read: (state, page) => this.#read(database, state, page),
      write: (writes) => this.#after(process, 'write pages', () => this.#write(database, writes)),
      close: () =>
        this.#after(process, 'close pages', () => {
          database.pages.clear();
          this.#tasks.set(
            task,
            this.#tasks.get(task)!.filter((one) => one !== database),
          );
        }),
    };
  }

  #after(process: Process, label: string, action: () => void): Promise<void> {
    return process.after(this.#faults().latencyMs * this.#random.between(0.2, 2), label, action);
  }

  #read({ pages }: Database, state: number, page: number): Buffer | null {
    this.counts.read++;
    if (this.#random.happens('pages-refused', this.#faults().ioError)) throw this.#refused('read');
    const stored = pages.get(`${state}/${page}`);
    return stored === undefined ? null : Buffer.from(stored);
  }

  // The bytes are taken when it happens, not when it was asked for: until then they may not change.
  #write({ pages }: Database, writes: readonly ColdWrite[]): void {
    const { bitFlip, ioError, noSpace } = this.#faults();
    if (this.#random.happens('pages-refused', ioError)) throw this.#refused('write');
    if (this.#random.happens('pages-no-space', noSpace)) throw this.#refused('write');
    for (const { state, page, bytes } of writes) {
      const name = `${state}/${page}`;
      this.counts.written++;
      if (bytes === null) {
        pages.delete(name);
        continue;
      }
      const stored = Buffer.from(bytes);
      if (stored.length > 0 && this.#random.happens('pages-bit-flip', bitFlip)) {
        this.counts.bitsFlipped++;
        stored[this.#random.int(stored.length)] ^= 1 << this.#random.int(8);
      }
      pages.set(name, stored);
    }
  }

  #refused(what: string): StreamError {
    this.counts.refused++;
    return new StreamError('disk-failed', `pages outside memory: cannot ${what}`, 'look at the disk');
  }
}
