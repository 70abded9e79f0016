// Owns the series of one task: canonical bytes ↔ slot, and which slots are still alive. Knows no sample and no
// operator. Slots are state: the lowest free one is given to a new series, generation marks are kept with it, so
// replay gives and frees the same slots. Invariant: pages depend on the live slots, their marks and the generation only.

import type { AdoptedPage, MovedKeys, PagedState, PageTracker, StateRegistry } from '#checkpoint/contract.ts';
import { ByteSlabs } from '#operators/series/byte-slabs.ts';
import { parseCanonical, seriesJson } from '#operators/series/canonical.ts';
import { writeSeriesJson } from '#operators/series/series-json-bytes.ts';
import { type ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';
import { murmur2 } from '#runtime/std/murmur2.ts';
import type { KeyTable } from '#runtime/task/contract.ts';

const PAGE_SLOTS_SHIFT = 8;
const PAGE_SLOTS = 1 << PAGE_SLOTS_SHIFT;
/** Page 0 holds the generation, page p > 0 the slots from (p - 1) * 256. */
const GENERATION_PAGE = 0;
const SLOTS_FIRST = 256;
/** Keys that come from other tasks were seen in this one or in the two before: what is older may go at once. */
const ADOPTED_GENERATION = 3;

export interface SeriesTableOptions {
  /** `<operator id>/<name>`, unique within the task. */
  readonly stateId: string;
  /** Live series at most; one more is error series-limit. @default 1000000 */
  readonly seriesMax?: number;
}

export class SeriesTable implements KeyTable, PagedState {
  readonly stateId: string;
  readonly schemaVersion = 1;
  readonly #seriesMax: number;
  #tracker: PageTracker | null = null;
  #registry: StateRegistry | null = null;
  #pageEpoch = new Float64Array(2);
  #slotCount = 0;
  #size = 0;
  #lowestFree = 0;
  #generation = 1;
  #hash = new Int32Array(SLOTS_FIRST);
  #seen = new Int32Array(SLOTS_FIRST);
  #canonical: (Buffer | null)[] = [];
  #json: (Buffer | null)[] = [];
  #slabs = new ByteSlabs();
  readonly #text = new ByteWriter(256);
  #liveBytes = 0;
  /** Open addressing by hash: slot + 1, 0 where nothing is. */
  #index = new Int32Array(SLOTS_FIRST * 4);
  readonly #listeners: ((slots: readonly number[]) => void)[] = [];

  constructor(options: SeriesTableOptions) {
    this.stateId = options.stateId;
    this.#seriesMax = options.seriesMax ?? 1_000_000;
  }

  /** Registers the table as state. Source and keyBy of a stage share one table, so the same registry twice is fine. */
  open(registry: StateRegistry): void {
    if (this.#registry === registry) return;
    invariant(this.#registry === null, `series table ${this.stateId} was opened for another attempt`);
    this.#registry = registry;
    this.#tracker = registry.register(this);
  }

  get slotCount(): number {
    return this.#slotCount;
  }

  /** Series in the table. */
  get size(): number {
    return this.#size;
  }

  /** Counts the calls of `evict`, from 1. */
  get generation(): number {
    return this.#generation;
  }

  isLive(slot: number): boolean {
    return slot < this.#slotCount && this.#canonical[slot] !== null;
  }

  canonicalBytes(slot: number): Buffer {
    const bytes = this.#canonical[slot];
    if (!bytes) invariant(false, `slot ${slot} holds no series`);
    return bytes;
  }

  hash(slot: number): number {
    return this.#hash[slot];
  }

  jsonBytes(slot: number): Buffer {
    return this.#json[slot] ?? this.#makeJson(slot);
  }

  metricName(slot: number): string {
    return parseCanonical(this.canonicalBytes(slot).toString()).metricName;
  }

  labels(slot: number): readonly (readonly [string, string])[] {
    return parseCanonical(this.canonicalBytes(slot).toString()).labels;
  }

  /** Slot of canonical bytes[start, end), -1 when the series is not in the table. */
  find(bytes: Uint8Array, start = 0, end = bytes.length, hash = murmur2(bytes, start, end)): number {
    const index = this.#index;
    const mask = index.length - 1;
    let at = hash & mask;
    for (;;) {
      const slot = index[at] - 1;
      if (slot < 0) return -1;
      if (this.#hash[slot] === hash && equal(this.#canonical[slot]!, bytes, start, end)) return slot;
      at = (at + 1) & mask;
    }
  }

  /** Slot of canonical bytes[start, end); a new series gets the lowest free slot. Error series-limit. */
  slotOf(bytes: Uint8Array, start = 0, end = bytes.length, hash = murmur2(bytes, start, end)): number {
    const found = this.find(bytes, start, end, hash);
    return found >= 0 ? found : this.#add(bytes, start, end, hash);
  }

  slotOfText(canonical: string): number {
    return this.slotOf(Buffer.from(canonical));
  }

  /** Marks the slots of a key column as seen in this generation. */
  markSeen(slots: Int32Array, count: number): void {
    const seen = this.#seen;
    const generation = this.#generation;
    for (let i = 0; i < count; i++) {
      const slot = slots[i];
      if (seen[slot] !== generation) this.#mark(slot);
    }
  }

  /**
   * Frees the slots that were not seen in this generation and the one before and that `isUsed` does not claim, then
   * begins a new generation. Only between batches: slots in a batch must stay. Returns how many were freed.
   */
  evict(isUsed: (slot: number) => boolean): number {
    const freed: number[] = [];
    const oldest = this.#generation - 1;
    for (let slot = 0; slot < this.#slotCount; slot++) {
      if (this.#seen[slot] < oldest && this.#canonical[slot] !== null && !isUsed(slot)) {
        this.#free(slot);
        freed.push(slot);
      }
    }
    this.#touch(GENERATION_PAGE);
    this.#generation++;
    if (freed.length === 0) return 0;
    while (this.#slotCount > 0 && this.#canonical[this.#slotCount - 1] === null) this.#slotCount--;
    this.#lowestFree = Math.min(this.#lowestFree, freed[0]);
    this.#rebuildIndex(this.#index.length);
    if (this.#liveBytes * 2 < this.#slabs.allocatedBytes) this.#compact();
    for (const listener of this.#listeners) listener(freed);
    return freed.length;
  }

  /** Calls `listener` with the freed slots, ascending, after each eviction that freed any. */
  onEvict(listener: (slots: readonly number[]) => void): void {
    this.#listeners.push(listener);
  }

  writePage(page: number, out: ByteWriter): void {
    if (page === GENERATION_PAGE) {
      if (this.#generation > 1) out.uvarint(this.#generation);
      return;
    }
    const first = (page - 1) << PAGE_SLOTS_SHIFT;
    let end = Math.min(first + PAGE_SLOTS, this.#slotCount);
    while (end > first && this.#canonical[end - 1] === null) end--;
    for (let slot = first; slot < end; slot++) {
      const bytes = this.#canonical[slot];
      if (bytes === null) out.uvarint(0);
      else {
        out.uvarint(bytes.length);
        out.raw(bytes);
        out.uvarint(this.#seen[slot]);
      }
    }
  }

  readPage(page: number, input: ByteReader): void {
    if (page === GENERATION_PAGE) {
      this.#generation = input.uvarint();
      return;
    }
    for (let slot = (page - 1) << PAGE_SLOTS_SHIFT; !input.done; slot++) {
      const size = input.uvarint();
      if (size === 0) continue;
      const bytes = input.raw(size);
      this.#place(slot, bytes, 0, size, murmur2(bytes));
      this.#seen[slot] = input.uvarint();
    }
  }

  // When a key was seen there is told by how many generations ago; here all of them lie in the last ones.
  adoptKeys(pages: Iterable<AdoptedPage>, keys: MovedKeys): void {
    this.#touch(GENERATION_PAGE);
    this.#generation = ADOPTED_GENERATION;
    let generation = 1;
    for (const { page, input } of pages) {
      if (page === GENERATION_PAGE) {
        generation = input.uvarint();
        continue;
      }
      for (let from = (page - 1) << PAGE_SLOTS_SHIFT; !input.done; from++) {
        const size = input.uvarint();
        if (size === 0) continue;
        const bytes = input.raw(size);
        const age = generation - input.uvarint();
        const hash = murmur2(bytes);
        if (!keys.belongs(hash)) continue;
        const slot = this.slotOf(bytes, 0, size, hash);
        this.#seen[slot] = ADOPTED_GENERATION - Math.min(age, ADOPTED_GENERATION - 1);
        keys.place(from, slot);
      }
    }
  }

  #touch(page: number): void {
    const tracker = this.#tracker;
    invariant(tracker !== null, `series table ${this.stateId} changed before it was opened`);
    if (page >= this.#pageEpoch.length) {
      const grown = new Float64Array(Math.max(page + 1, this.#pageEpoch.length * 2));
      grown.set(this.#pageEpoch);
      this.#pageEpoch = grown;
    }
    if (this.#pageEpoch[page] === tracker.epoch) return;
    tracker.touch(page);
    this.#pageEpoch[page] = tracker.epoch;
  }

  #mark(slot: number): void {
    this.#touch((slot >> PAGE_SLOTS_SHIFT) + 1);
    this.#seen[slot] = this.#generation;
  }

  #add(bytes: Uint8Array, start: number, end: number, hash: number): number {
    if (this.#size >= this.#seriesMax) {
      throw new StreamError(
        'series-limit',
        `series table ${this.stateId} holds ${this.#size} live series, and '${show(bytes, start, end)}' is one more`,
        `raise seriesMax (${this.#seriesMax}), or remove a label that takes ever new values`,
      );
    }
    invariant(end > start, 'a series has no canonical bytes');
    let slot = this.#lowestFree;
    while (slot < this.#slotCount && this.#canonical[slot] !== null) slot++;
    this.#lowestFree = slot + 1;
    this.#touch((slot >> PAGE_SLOTS_SHIFT) + 1);
    this.#place(slot, bytes, start, end, hash);
    this.#seen[slot] = this.#generation;
    return slot;
  }

  #place(slot: number, bytes: Uint8Array, start: number, end: number, hash: number): void {
    if (slot >= this.#hash.length) {
      const capacity = Math.max(this.#hash.length * 2, slot + 1);
      this.#hash = grown(this.#hash, capacity);
      this.#seen = grown(this.#seen, capacity);
    }
    while (this.#slotCount <= slot) {
      this.#canonical[this.#slotCount] = null;
      this.#json[this.#slotCount++] = null;
    }
    this.#canonical[slot] = this.#slabs.copy(bytes, start, end);
    this.#hash[slot] = hash;
    this.#liveBytes += end - start;
    this.#size++;
    if (this.#size * 2 > this.#index.length) this.#rebuildIndex(this.#index.length * 2);
    else this.#insertIndex(slot);
  }

  #free(slot: number): void {
    this.#touch((slot >> PAGE_SLOTS_SHIFT) + 1);
    this.#liveBytes -= this.#canonical[slot]!.length + (this.#json[slot]?.length ?? 0);
    this.#canonical[slot] = null;
    this.#json[slot] = null;
    this.#seen[slot] = 0;
    this.#size--;
  }

  #insertIndex(slot: number): void {
    const mask = this.#index.length - 1;
    let at = this.#hash[slot] & mask;
    while (this.#index[at] !== 0) at = (at + 1) & mask;
    this.#index[at] = slot + 1;
  }

  #rebuildIndex(capacity: number): void {
    this.#index = new Int32Array(capacity);
    for (let slot = 0; slot < this.#slotCount; slot++) if (this.#canonical[slot] !== null) this.#insertIndex(slot);
  }

  #compact(): void {
    const slabs = new ByteSlabs();
    for (let slot = 0; slot < this.#slotCount; slot++) {
      const canonical = this.#canonical[slot];
      const json = this.#json[slot];
      if (canonical !== null) this.#canonical[slot] = slabs.copy(canonical, 0, canonical.length);
      if (json !== null) this.#json[slot] = slabs.copy(json, 0, json.length);
    }
    this.#slabs = slabs;
  }

  #makeJson(slot: number): Buffer {
    const canonical = this.canonicalBytes(slot);
    const text = this.#text;
    text.clear();
    if (!writeSeriesJson(text, canonical)) text.raw(Buffer.from(seriesJson(parseCanonical(canonical.toString()))));
    const json = this.#slabs.copy(text.bytes, 0, text.length);
    this.#liveBytes += json.length;
    this.#json[slot] = json;
    return json;
  }
}

function equal(kept: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  const size = kept.length;
  if (end - start !== size) return false;
  for (let i = 0; i < size; i++) if (kept[i] !== bytes[start + i]) return false;
  return true;
}

function grown(column: Int32Array, capacity: number): Int32Array<ArrayBuffer> {
  const next = new Int32Array(capacity);
  next.set(column);
  return next;
}

function show(bytes: Uint8Array, start: number, end: number): string {
  const text = Buffer.from(bytes.subarray(start, end)).toString();
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
