// Owns the memory of raw bytes that once decoded to a series: (bytes of the metric name, bytes of the labels) → slot.
// Only a cache: bounded, emptied when full, and forgetting an entry costs nothing but a second look. Invariant: an
// answer means that both byte ranges equal ranges that a full JSON parser accepted.

/** Bytes behind a range that `find`, `hash` and `insert` may touch: words are read whole and masked. */
export const OVERREAD_BYTES = 4;

const ENTRY_WORDS = 4;
/** Half full, a table of a million entries has no longer run; only chosen collisions do. */
const PROBES_MAX = 64;
const RANGE_BYTES_MAX = 0xffff;
const ENTRIES_FIRST = 128;
const ARENA_WORDS_FIRST = 2 * 1024;
const DROPPED = -1;

/** Start value of the two hashes of an entry; `mixWord` takes four bytes, `finishHash` joins them. */
export const HASH_SEED = 0x2f0b4c47;

/** One round of MurmurHash3 (A. Appleby, x86_32). */
export function mixWord(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const h = hash ^ k;
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
}

/** Joins the hashes of name and labels, in whatever order they were met. */
export function finishHash(nameHash: number, labelsHash: number): number {
  let h = Math.imul(nameHash, 0x85ebca6b) ^ labelsHash;
  h ^= h >>> 16;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 15);
}

/** Hash of a byte range; the last round takes the 0 to 3 bytes that are left, as the scanner does. */
export function hashRange(view: DataView, start: number, end: number): number {
  let hash = HASH_SEED;
  let at = start;
  for (const stop = end - 3; at < stop; at += 4) hash = mixWord(hash, view.getInt32(at, true));
  return mixWord(hash, view.getInt32(at, true) & tailMask(end - at));
}

/** Mask of the first `bytes` bytes, 0 to 3, of a little-endian word. */
export function tailMask(bytes: number): number {
  return (1 << (bytes << 3)) - 1;
}

export interface RawSeriesCacheOptions {
  /** Bytes kept at most; beyond it the cache is emptied. @default 64 MiB */
  readonly bytesMax?: number;
}

export class RawSeriesCache {
  /** How often it was emptied because it was full. */
  emptied = 0;
  readonly #bytesMax: number;
  /** Per entry: slot + 1 (0 free, -1 dropped), hash, first arena word, name length << 16 | labels length. */
  #entries = new Int32Array(ENTRIES_FIRST * ENTRY_WORDS);
  #mask = ENTRIES_FIRST - 1;
  #count = 0;
  #arena = new Int32Array(ARENA_WORDS_FIRST);
  #arenaUsed = 0;

  constructor(options: RawSeriesCacheOptions = {}) {
    this.#bytesMax = options.bytesMax ?? 64 * 1024 * 1024;
  }

  get count(): number {
    return this.#count;
  }

  /** Slot of a name range and a labels range with that joint hash, -1 when they are not known. */
  find(
    view: DataView,
    nameStart: number,
    nameSize: number,
    labelsStart: number,
    labelsSize: number,
    hash: number,
  ): number {
    const entries = this.#entries;
    const sizes = (nameSize << 16) | labelsSize;
    let index = hash & this.#mask;
    for (let probe = 0; probe < PROBES_MAX; probe++) {
      const entry = index << 2;
      const slot = entries[entry];
      if (slot === 0) return -1;
      if (entries[entry + 1] === hash && entries[entry + 3] === sizes && slot > 0) {
        const words = entries[entry + 2];
        const labelWords = words + (nameSize >> 2) + 1;
        if (this.#equals(words, view, nameStart, nameSize) && this.#equals(labelWords, view, labelsStart, labelsSize)) {
          return slot - 1;
        }
      }
      index = (index + 1) & this.#mask;
    }
    return -1;
  }

  #equals(word: number, view: DataView, start: number, size: number): boolean {
    const arena = this.#arena;
    const stop = start + size - 3;
    let at = start;
    let index = word;
    for (; at < stop; at += 4) if (view.getInt32(at, true) !== arena[index++]) return false;
    return (view.getInt32(at, true) & tailMask(start + size - at)) === arena[index];
  }

  /** Remembers ranges that were accepted as the series of `slot`, perhaps at the cost of another entry. */
  insert(
    view: DataView,
    nameStart: number,
    nameSize: number,
    labelsStart: number,
    labelsSize: number,
    hash: number,
    slot: number,
  ): void {
    if (nameSize > RANGE_BYTES_MAX || labelsSize > RANGE_BYTES_MAX) return;
    const words = (nameSize >> 2) + (labelsSize >> 2) + 2;
    if (!this.#reserve(words)) return;
    let index = hash & this.#mask;
    for (let probe = 1; this.#entries[index << 2] > 0; probe++) {
      index = (probe < PROBES_MAX ? index + 1 : hash) & this.#mask;
      if (probe === PROBES_MAX) break;
    }
    const entry = index << 2;
    if (this.#entries[entry] === 0) this.#count++;
    this.#entries[entry] = slot + 1;
    this.#entries[entry + 1] = hash;
    this.#entries[entry + 2] = this.#arenaUsed;
    this.#entries[entry + 3] = (nameSize << 16) | labelsSize;
    this.#append(view, nameStart, nameSize);
    this.#append(view, labelsStart, labelsSize);
  }

  #append(view: DataView, start: number, size: number): void {
    const arena = this.#arena;
    const stop = start + size - 3;
    let at = start;
    for (; at < stop; at += 4) arena[this.#arenaUsed++] = view.getInt32(at, true);
    arena[this.#arenaUsed++] = view.getInt32(at, true) & tailMask(start + size - at);
  }

  /** Forgets everything that leads to one of these slots. */
  drop(slots: readonly number[]): void {
    const dropped = new Set(slots);
    const entries = this.#entries;
    for (let entry = 0; entry < entries.length; entry += ENTRY_WORDS) {
      if (entries[entry] > 0 && dropped.has(entries[entry] - 1)) entries[entry] = DROPPED;
    }
  }

  clear(): void {
    this.#entries.fill(0);
    this.#count = 0;
    this.#arenaUsed = 0;
  }

  // Room for one more entry of `words`; false when it is larger than everything the cache may hold.
  #reserve(words: number): boolean {
    const capacity = this.#mask + 1;
    const entriesWanted = (this.#count + 1) * 2 > capacity ? capacity * 2 : capacity;
    let arenaWanted = this.#arena.length;
    while (arenaWanted < this.#arenaUsed + words) arenaWanted *= 2;
    if ((entriesWanted * ENTRY_WORDS + arenaWanted) * 4 > this.#bytesMax) {
      let alone = this.#arena.length;
      while (alone < words) alone *= 2;
      if ((ENTRIES_FIRST * ENTRY_WORDS + alone) * 4 > this.#bytesMax) return false;
      this.clear();
      this.emptied++;
      if ((capacity * ENTRY_WORDS + alone) * 4 > this.#bytesMax) this.#rehash(ENTRIES_FIRST);
      this.#growArena(alone);
      return true;
    }
    this.#growArena(arenaWanted);
    if (entriesWanted > capacity) this.#rehash(entriesWanted);
    return true;
  }

  #growArena(words: number): void {
    if (words <= this.#arena.length) return;
    const arena = new Int32Array(words);
    arena.set(this.#arena.subarray(0, this.#arenaUsed));
    this.#arena = arena;
  }

  #rehash(capacity: number): void {
    const old = this.#entries;
    const entries = new Int32Array(capacity * ENTRY_WORDS);
    const mask = capacity - 1;
    this.#count = 0;
    for (let from = 0; from < old.length; from += ENTRY_WORDS) {
      if (old[from] <= 0) continue;
      let index = old[from + 1] & mask;
      while (entries[index << 2] !== 0) index = (index + 1) & mask;
      const to = index << 2;
      for (let i = 0; i < ENTRY_WORDS; i++) entries[to + i] = old[from + i];
      this.#count++;
    }
    this.#entries = entries;
    this.#mask = mask;
  }
}
