// Owns a column of quantile sketches, one per row: a chunk with a sorted run of (code, count) pairs and behind it a
// tail of raw codes, so that adding a value is one store. How codes are spread over run and tail is history; the
// folded form (all pairs sorted, no tail) is what is emitted and written. Invariant: both describe the same multiset.

import { codeOfBits } from '#operators/sketch/bucket.ts';
import { IntPool, SLAB_MASK } from '#operators/sketch/int-pool.ts';
import { PairFolder } from '#operators/sketch/pair-folder.ts';
import type { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant } from '#runtime/std/errors.ts';

// Four ints per row in `refs`.
const STRIDE = 4;
const ADDRESS = 0;
const USED = 1;
const SIZE = 2;
const PAIRS = 3;

/** Values per bucket up to which a merge pushes them one by one. */
const RAW_PER_PAIR = 2;
/** Raw codes that another merge may push for pairs it did not find; more are folded at once. */
const RAW_MAX = 64;

export class SketchColumn {
  readonly #pool = new IntPool();
  readonly #folder = new PairFolder();
  #refs: Int32Array = new Int32Array(0);
  #missing: Int32Array = new Int32Array(64);
  #folded: Int32Array = new Int32Array(256);
  #bitsOf: Float64Array = new Float64Array(0);
  #bits: Int32Array = new Int32Array(0);

  /** Makes rows below `rowCount` usable; new ones are empty. */
  reserve(rowCount: number): void {
    if (rowCount * STRIDE <= this.#refs.length) return;
    const refs = new Int32Array(rowCount * STRIDE);
    refs.set(this.#refs);
    this.#refs = refs;
  }

  get sizeInts(): number {
    return this.#pool.sizeInts + this.#refs.length;
  }

  /** Adds finite values[i] to row rows[i] for i below `count`; a negative row is skipped. */
  addAll(values: Float64Array, rows: Int32Array, count: number): void {
    if (this.#bitsOf !== values) {
      this.#bitsOf = values;
      this.#bits = new Int32Array(values.buffer, values.byteOffset, values.length * 2);
    }
    const bits = this.#bits;
    const refs = this.#refs;
    const slabs = this.#pool.slabs;
    for (let i = 0; i < count; i++) {
      const row = rows[i];
      if (row < 0) continue;
      const at = row * STRIDE;
      if (refs[at + USED] === refs[at + SIZE]) this.#makeRoom(at);
      const used = refs[at + USED];
      const address = refs[at + ADDRESS];
      slabs[address >>> 16][(address & SLAB_MASK) + used] = codeOfBits(bits[2 * i + 1], bits[2 * i]);
      refs[at + USED] = used + 1;
    }
  }

  /** Adds a bucket code once. */
  add(row: number, code: number): void {
    const refs = this.#refs;
    const at = row * STRIDE;
    if (refs[at + USED] === refs[at + SIZE]) this.#makeRoom(at);
    const address = refs[at + ADDRESS];
    this.#pool.slabs[address >>> 16][(address & SLAB_MASK) + refs[at + USED]++] = code;
  }

  // A fold overwrites #folded, which mergeFrom hands in as `sketch`: by then all of it was taken over.
  /** Adds `pairs` pairs (code, count) at `sketch[start]`, sorted by code, `count` values in all. */
  merge(row: number, sketch: Int32Array, start: number, pairs: number, count: number): void {
    const refs = this.#refs;
    const at = row * STRIDE;
    if (refs[at + USED] === 0) this.#store(at, sketch, start, pairs);
    else if (count > RAW_PER_PAIR * pairs) this.#mergeCounts(at, sketch, start, pairs);
    else if (count <= refs[at + SIZE] - refs[at + USED]) this.#push(at, sketch, start, pairs, count);
    else this.#fold(at, sketch, start, pairs);
  }

  // Few values per bucket: they go to the tail one by one, which touches the end of the chunk alone.
  #push(at: number, sketch: Int32Array, start: number, pairs: number, count: number): void {
    const refs = this.#refs;
    const address = refs[at + ADDRESS];
    const chunk = this.#pool.slabs[address >>> 16];
    let tail = (address & SLAB_MASK) + refs[at + USED];
    for (let i = start; i < start + 2 * pairs; i += 2) {
      const code = sketch[i];
      for (let n = sketch[i + 1]; n > 0; n--) chunk[tail++] = code;
    }
    refs[at + USED] += count;
  }

  // Many values per bucket: buckets that are there are counted up, the others pushed or folded in.
  #mergeCounts(at: number, sketch: Int32Array, start: number, pairs: number): void {
    const refs = this.#refs;
    const address = refs[at + ADDRESS];
    const chunk = this.#pool.slabs[address >>> 16];
    const from = address & SLAB_MASK;
    const runEnd = from + 2 * refs[at + PAIRS];
    if (this.#missing.length < 2 * pairs) this.#missing = new Int32Array(4 * pairs);
    const missing = this.#missing;
    let missed = 0;
    let missedCount = 0;
    let run = from;
    for (let i = start; i < start + 2 * pairs; i += 2) {
      const code = sketch[i];
      const count = sketch[i + 1];
      run = lowerBound(chunk, run, runEnd, code);
      if (run < runEnd && chunk[run] === code) {
        invariant(chunk[run + 1] + count <= 0x7fffffff, 'a sketch bucket counts more than 2^31 - 1 values');
        chunk[run + 1] += count;
      } else {
        missing[2 * missed] = code;
        missing[2 * missed++ + 1] = count;
        missedCount += count;
      }
    }
    if (missed === 0) return;
    if (missedCount <= RAW_MAX && missedCount <= refs[at + SIZE] - refs[at + USED]) {
      this.#push(at, missing, 0, missed, missedCount);
    } else this.#fold(at, missing, 0, missed);
  }

  /** Adds what `other` holds in `otherRow`. */
  mergeFrom(other: SketchColumn, otherRow: number, row: number): void {
    this.#ensureFolded(other.pairsMax(otherRow));
    const pairs = other.copyTo(otherRow, this.#folded, 0);
    let count = 0;
    for (let i = 1; i < 2 * pairs; i += 2) count += this.#folded[i];
    if (pairs > 0) this.merge(row, this.#folded, 0, pairs, count);
  }

  /** Upper bound of the pairs that copyTo gives. */
  pairsMax(row: number): number {
    const at = row * STRIDE;
    return this.#refs[at + USED] - this.#refs[at + PAIRS];
  }

  /** Writes the folded pairs to `target[at]` (room for pairsMax pairs must be there); their number. Changes nothing. */
  copyTo(row: number, target: Int32Array, at: number): number {
    const refs = this.#refs;
    const ref = row * STRIDE;
    const used = refs[ref + USED];
    if (used === 0) return 0;
    const address = refs[ref + ADDRESS];
    const chunk = this.#pool.slabs[address >>> 16];
    return this.#folder.fold(chunk, address & SLAB_MASK, refs[ref + PAIRS], used, NOTHING, 0, 0, target, at);
  }

  clear(row: number): void {
    const refs = this.#refs;
    const at = row * STRIDE;
    if (refs[at + SIZE] > 0) this.#pool.give(refs[at + ADDRESS], refs[at + SIZE]);
    refs[at + USED] = 0;
    refs[at + SIZE] = 0;
    refs[at + PAIRS] = 0;
  }

  /** Folded pairs: their number, then code and count of each, codes as differences. */
  write(row: number, out: ByteWriter): void {
    this.#ensureFolded(this.pairsMax(row));
    const pairs = this.copyTo(row, this.#folded, 0);
    out.uvarint(pairs);
    let before = 0;
    for (let i = 0; i < 2 * pairs; i += 2) {
      out.varint(this.#folded[i] - before);
      out.uvarint(this.#folded[i + 1]);
      before = this.#folded[i];
    }
  }

  read(row: number, input: ByteReader): void {
    const pairs = input.uvarint();
    this.#ensureFolded(pairs);
    let code = 0;
    for (let i = 0; i < 2 * pairs; i += 2) {
      code += input.varint();
      this.#folded[i] = code;
      this.#folded[i + 1] = input.uvarint();
    }
    this.#store(row * STRIDE, this.#folded, 0, pairs);
  }

  #ensureFolded(pairs: number): void {
    if (this.#folded.length < 2 * pairs) this.#folded = new Int32Array(4 * pairs);
  }

  // The chunk is full: fold it, and take a larger one when the pairs alone fill more than half of it.
  #makeRoom(at: number): void {
    if (this.#refs[at + SIZE] === 0) {
      const size = IntPool.sizeFor(1);
      this.#refs[at + ADDRESS] = this.#pool.take(size);
      this.#refs[at + SIZE] = size;
      return;
    }
    this.#fold(at, NOTHING, 0, 0);
  }

  #fold(at: number, extra: Int32Array, extraStart: number, extraPairs: number): void {
    const refs = this.#refs;
    const used = refs[at + USED];
    this.#ensureFolded(used - refs[at + PAIRS] + extraPairs);
    const address = refs[at + ADDRESS];
    const chunk = this.#pool.slabs[address >>> 16];
    const from = address & SLAB_MASK;
    const pairs = this.#folder.fold(
      chunk,
      from,
      refs[at + PAIRS],
      used,
      extra,
      extraStart,
      extraPairs,
      this.#folded,
      0,
    );
    this.#store(at, this.#folded, 0, pairs);
  }

  // Replaces what the row holds; at least half of its chunk is free afterwards.
  #store(at: number, sketch: Int32Array, start: number, pairs: number): void {
    const refs = this.#refs;
    if (4 * pairs > refs[at + SIZE]) {
      if (refs[at + SIZE] > 0) this.#pool.give(refs[at + ADDRESS], refs[at + SIZE]);
      const size = IntPool.sizeFor(4 * pairs);
      refs[at + ADDRESS] = this.#pool.take(size);
      refs[at + SIZE] = size;
    }
    const address = refs[at + ADDRESS];
    const chunk = this.#pool.slabs[address >>> 16];
    const to = address & SLAB_MASK;
    for (let i = 0; i < 2 * pairs; i++) chunk[to + i] = sketch[start + i];
    refs[at + PAIRS] = pairs;
    refs[at + USED] = 2 * pairs;
  }
}

const NOTHING = new Int32Array(0);

/** First pair in chunk[from, end) whose code is not below `code`. */
function lowerBound(chunk: Int32Array, from: number, end: number, code: number): number {
  let low = from;
  let pairs = (end - from) >> 1;
  while (pairs > 0) {
    const half = pairs >> 1;
    const middle = low + 2 * half;
    if (chunk[middle] < code) {
      low = middle + 2;
      pairs -= half + 1;
    } else pairs = half;
  }
  return low;
}
