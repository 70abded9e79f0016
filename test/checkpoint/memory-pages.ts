// Pages outside memory, in memory: what LevelDB promises, for tests that count, damage or refuse.

import type { ColdPages, ColdWrite } from '#checkpoint/cold-pages.ts';
import { StreamError } from '#runtime/std/errors.ts';

export class MemoryPages implements ColdPages {
  readonly pages = new Map<string, Buffer>();
  readonly batches: number[] = [];
  reads = 0;
  closed = false;
  /** The next writes fail, as on a full disk. */
  full = false;

  /** Awaited while a batch is on its way. */
  duringWrite: () => void = () => {};

  read(state: number, page: number): Buffer | null {
    this.reads++;
    const found = this.pages.get(`${state}/${page}`);
    return found === undefined ? null : Buffer.from(found);
  }

  async write(writes: readonly ColdWrite[]): Promise<void> {
    this.batches.push(writes.length);
    await null;
    this.duringWrite();
    if (this.full) throw new StreamError('disk-failed', 'no room', 'make room');
    for (const { state, page, bytes } of writes) {
      if (bytes === null) this.pages.delete(`${state}/${page}`);
      else this.pages.set(`${state}/${page}`, Buffer.from(bytes));
    }
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}
