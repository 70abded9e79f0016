// Owns which pages of a task's keyed state are in memory and which lie outside. Between entries the least recently used
// leave until the slot's budget holds; a page that is missed comes back at once, synchronously. Invariant: what comes
// back is what was written last, byte by byte (length and CRC-32C are remembered here), or the task ends.

import type { ColdPages, ColdWrite } from '#checkpoint/cold-pages.ts';
import type { SwapStatus } from '#checkpoint/contract.ts';
import { Recency, type RecentPage } from '#checkpoint/recency.ts';
import type { StateMemory } from '#checkpoint/state-memory.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { crc32c } from '#runtime/std/crc32c.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';

/** Written at once; so much more is in memory while pages leave. */
const BATCH_BYTES = 4 * 1024 * 1024;

/** A state whose pages can leave memory. */
export interface SwappedState {
  readonly stateId: string;
  /** Canonical bytes of a page; nothing when it holds nothing. */
  writePage(number: number, out: ByteWriter): void;
  /** Looks again at what a page takes in memory, and tells `SwapSpace.resize`. */
  measurePage(page: RecentPage): void;
  /** The page is safe outside: forget it. */
  dropPage(number: number): void;
}

export interface PageSwapOptions {
  /** Shared by the tasks of a slot. */
  readonly memory: StateMemory;
  /** Empty; asked once, and only when the task has state that can leave memory. */
  readonly open: () => Promise<ColdPages>;
}

export class PageSwap {
  readonly #memory: StateMemory;
  readonly #openCold: PageSwapOptions['open'];
  readonly #spaces: SwapSpace[] = [];
  readonly #recency = new Recency();
  readonly #scratch = new ByteWriter();
  #outgrown: RecentPage[] = [];
  #held: { readonly space: SwapSpace; readonly number: number; readonly bytes: Buffer }[] = [];
  #cold: ColdPages | null = null;
  #fault: StreamError | null = null;
  #tick = 0;
  #pages = 0;
  memoryBytes = 0;

  constructor(options: PageSwapOptions) {
    this.#memory = options.memory;
    this.#openCold = options.open;
  }

  /** The space of one state; called when it is opened. */
  attach(state: SwappedState): SwapSpace {
    invariant(this.#cold === null, `state '${state.stateId}' was opened after restore`);
    const space = new SwapSpace(this, state, this.#spaces.length);
    this.#spaces.push(space);
    return space;
  }

  /** Before restore. Error: disk-failed. */
  async open(): Promise<void> {
    if (this.#spaces.length === 0) return;
    this.#cold = await this.#openCold();
    this.#memory.join(this);
  }

  /**
   * Makes room: to be awaited between entries, never while an operator works. Errors: disk-failed, state-corrupt, also
   * of a read that failed since the last time.
   */
  async relieve(): Promise<void> {
    if (this.#spaces.length === 0) return;
    this.requireSound();
    this.#tick++;
    for (const space of this.#spaces) space.tick = this.#tick;
    this.#measure();
    if (this.#held.length > 0) await this.#writeHeld();
    for (;;) {
      const excess = this.#memory.excessBytes(this);
      if (excess <= 0 || this.#recency.oldest === null) return;
      const leaving = this.#choose(excess);
      const unsaved = leaving.filter((page) => page.unsaved);
      if (unsaved.length > 0) await this.#save(unsaved);
      for (const page of leaving) if (!page.unsaved) this.#drop(page);
    }
  }

  /** Throws when a page could not be read, whoever caught that: what was computed since must not be committed. */
  requireSound(): void {
    if (this.#fault !== null) throw this.#fault;
  }

  async close(): Promise<void> {
    const cold = this.#cold;
    this.#cold = null;
    this.#memory.leave(this);
    await cold?.close();
  }

  status(): SwapStatus {
    let [pagesSwapped, bytesSwapped, hits, misses] = [0, 0, 0, 0];
    for (const space of this.#spaces) {
      pagesSwapped += space.pages;
      bytesSwapped += space.bytes;
      hits += space.hits;
      misses += space.misses;
    }
    return {
      budgetBytes: this.#memory.bytesMax,
      pagesInMemory: this.#pages,
      bytesInMemory: this.memoryBytes,
      pagesSwapped,
      bytesSwapped,
      hits,
      misses,
    };
  }

  /** For spaces only, as is what follows. */
  get full(): boolean {
    return this.#memory.excessBytes(this) > 0;
  }

  get cold(): ColdPages {
    invariant(this.#cold !== null, 'a page was missed before restore or after the end');
    return this.#cold;
  }

  admit(page: RecentPage): void {
    page.usedAt = this.#tick;
    this.#recency.add(page);
    this.#pages++;
    this.memoryBytes += page.bytes;
  }

  renew(page: RecentPage): void {
    page.usedAt = this.#tick;
    this.#recency.renew(page);
  }

  outgrown(page: RecentPage): void {
    this.#outgrown.push(page);
  }

  hold(space: SwapSpace, number: number, bytes: Buffer): void {
    this.#held.push({ space, number, bytes });
  }

  failed(fault: StreamError): StreamError {
    this.#fault ??= fault;
    return fault;
  }

  #measure(): void {
    const outgrown = this.#outgrown;
    if (outgrown.length === 0) return;
    this.#outgrown = [];
    for (const page of outgrown) page.space?.measure(page);
  }

  #choose(excessBytes: number): RecentPage[] {
    const leaving: RecentPage[] = [];
    let bytes = 0;
    let unsavedBytes = 0;
    for (let page = this.#recency.oldest; page !== null && bytes < excessBytes; page = page.newer) {
      if (unsavedBytes >= BATCH_BYTES) break;
      leaving.push(page);
      bytes += page.bytes;
      if (page.unsaved) unsavedBytes += page.bytes;
    }
    return leaving;
  }

  async #save(pages: readonly RecentPage[]): Promise<void> {
    const scratch = this.#scratch;
    scratch.clear();
    const ends = pages.map((page) => {
      page.space?.write(page.number, scratch);
      return scratch.length;
    });
    const saved = pages.map((page, i) => {
      const bytes = scratch.bytes.subarray(i === 0 ? 0 : ends[i - 1], ends[i]);
      return { space: page.space as SwapSpace, number: page.number, bytes };
    });
    // What changes while it is being written is unsaved again, and stays.
    for (const page of pages) page.unsaved = false;
    try {
      await this.#write(saved);
    } catch (error) {
      for (const page of pages) page.unsaved = true;
      throw error;
    }
  }

  async #writeHeld(): Promise<void> {
    const held = this.#held;
    this.#held = [];
    await this.#write(held);
  }

  async #write(pages: readonly { space: SwapSpace; number: number; bytes: Buffer }[]): Promise<void> {
    const writes: ColdWrite[] = [];
    for (const { space, number, bytes } of pages) {
      if (bytes.length > 0) writes.push({ state: space.index, page: number, bytes });
      else if (space.has(number)) writes.push({ state: space.index, page: number, bytes: null });
    }
    try {
      if (writes.length > 0) await this.cold.write(writes);
    } catch (error) {
      throw error instanceof StreamError ? this.failed(error) : error;
    }
    for (const { space, number, bytes } of pages) space.saved(number, bytes);
  }

  #drop(page: RecentPage): void {
    this.#recency.remove(page);
    page.usedAt = -1;
    this.#pages--;
    this.memoryBytes -= page.bytes;
    page.space?.drop(page.number);
  }
}

/** What the swap knows of one state's pages outside memory: 8 bytes each. */
export class SwapSpace {
  readonly index: number;
  /** Pages and bytes that lie outside, whether in memory too or not. */
  pages = 0;
  bytes = 0;
  hits = 0;
  misses = 0;
  /** Grows with every `relieve`: a page whose `usedAt` is another must be told to `use`. */
  tick = 0;
  readonly #swap: PageSwap;
  readonly #state: SwappedState;
  /** By page number; 0: none. */
  #lengths = new Uint32Array(64);
  #sums = new Uint32Array(64);

  constructor(swap: PageSwap, state: SwappedState, index: number) {
    this.#swap = swap;
    this.#state = state;
    this.index = index;
  }

  /** Page numbers below this may lie outside. */
  get end(): number {
    return this.#lengths.length;
  }

  /** Whether the page lies outside memory, unless one in memory says otherwise. */
  has(number: number): boolean {
    return number < this.#lengths.length && this.#lengths[number] !== 0;
  }

  /** The page as it was written last. Errors: state-corrupt, disk-failed. */
  read(number: number): Buffer {
    let bytes: Buffer | null = null;
    try {
      bytes = this.#swap.cold.read(this.index, number);
    } catch (error) {
      throw error instanceof StreamError ? this.#swap.failed(error) : error;
    }
    if (bytes !== null && bytes.length === this.#lengths[number] && crc32c(bytes) === this.#sums[number]) return bytes;
    throw this.#swap.failed(corrupt(this.#state.stateId, number, bytes));
  }

  /** A page came into memory. */
  admit(page: RecentPage): void {
    this.#swap.admit(page);
  }

  use(page: RecentPage): void {
    this.#swap.renew(page);
  }

  resize(page: RecentPage, bytes: number): void {
    this.#swap.memoryBytes += bytes - page.bytes;
    page.bytes = bytes;
  }

  /** Its bytes are to be measured before the next pages leave. */
  outgrown(page: RecentPage): void {
    this.#swap.outgrown(page);
  }

  /** During restore: no more is to come into memory. */
  get full(): boolean {
    return this.#swap.full;
  }

  /** During restore: a page goes straight outside, at the next `relieve`; until then `bytes` must not change. */
  hold(number: number, bytes: Buffer): void {
    this.#swap.hold(this, number, bytes);
  }

  /** For the swap only, as is what follows. */
  saved(number: number, bytes: Buffer): void {
    if (number >= this.#lengths.length) this.#grow(number);
    const before = this.#lengths[number];
    this.pages += Number(bytes.length > 0) - Number(before > 0);
    this.bytes += bytes.length - before;
    this.#lengths[number] = bytes.length;
    this.#sums[number] = bytes.length === 0 ? 0 : crc32c(bytes);
  }

  write(number: number, out: ByteWriter): void {
    this.#state.writePage(number, out);
  }

  measure(page: RecentPage): void {
    if (page.usedAt >= 0) this.#state.measurePage(page);
  }

  drop(number: number): void {
    this.#state.dropPage(number);
  }

  #grow(number: number): void {
    const size = Math.max(this.#lengths.length * 2, number + 1);
    const lengths = new Uint32Array(size);
    lengths.set(this.#lengths);
    this.#lengths = lengths;
    const sums = new Uint32Array(size);
    sums.set(this.#sums);
    this.#sums = sums;
  }
}

function corrupt(stateId: string, number: number, bytes: Buffer | null): StreamError {
  const what = bytes === null ? 'is gone' : 'is not what was written';
  return new StreamError(
    'state-corrupt',
    `page ${number} of state '${stateId}' ${what} outside memory`,
    'none is needed: the task begins anew from its last checkpoint; look at the disk when it happens again',
  );
}
