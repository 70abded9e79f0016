// Owns the values of one page of keyed state: as the bytes they were read from until somebody asks for one, as objects
// from then on. Reading one value of a page decodes that one only. Invariant: `bytes of the page` follow from the values
// alone, however many of them were decoded.

import type { ValueCodec } from '#checkpoint/contract.ts';
import { RecentPage } from '#checkpoint/recency.ts';
import { ByteReader, type ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant } from '#runtime/std/errors.ts';

/**
 * Slots per page, at most the 32 bits of a mask. Measured with values of 80 bytes in LevelDB, 8 / 16 / 32 slots: a change
 * of a random key, page brought back and written again, 24 / 27 / 36 µs of CPU; a whole checkpoint 2.1 / 1.8 / 1.3 µs per
 * key; what stays in memory of a page that left, 230 bytes, 29 / 14 / 7 per key.
 */
export const PAGE_SHIFT = 4;
export const SLOTS_PER_PAGE = 1 << PAGE_SHIFT;

/** Measured: a page as it was read takes 380 bytes beside them, 160 more when a value is decoded. */
const PAGE_BYTES = 550;
/**
 * What a decoded value takes per byte of its encoding, and beside. Measured: 1.05 for long texts, 2.5 for flat objects, 4
 * for lists of numbers, 7 for maps of short texts and nested objects.
 */
const FACTOR = 4;
const VALUE_BYTES = 32;
/** Of a value that was not encoded yet. */
const FIRST_GUESS_BYTES = 64;
/** A page is measured again after so many changes per value. */
const CHANGES_PER_VALUE = 4;

const NOTHING: never[] = [];

export class ValuePage<V> extends RecentPage {
  /** Values in the page. */
  count: number;
  /** Epoch in which the tracker was last told. */
  epoch = 0;
  /** What was read; holds the values of all places that are not decoded. */
  #raw: Buffer | null;
  /** Nothing changed since: `#raw` is the page. */
  #intact: boolean;
  /** A bit per place that `#values` speaks for. */
  #decoded: number;
  /** Values that lie in `#raw` only. */
  #undecoded: number;
  #values: (V | undefined)[] = NOTHING;

  /** `raw`: a page's bytes, which it may keep and nobody changes; null: an empty page. */
  constructor(number: number, space: RecentPage['space'], raw: Buffer | null) {
    super(number, space);
    this.#raw = raw;
    this.#intact = raw !== null;
    this.count = raw === null ? 0 : countOf(raw);
    this.#decoded = raw === null ? -1 : 0;
    this.#undecoded = this.count;
    this.bytes = PAGE_BYTES + (raw?.length ?? 0);
    this.measureAt = CHANGES_PER_VALUE * Math.max(1, this.count);
  }

  get(place: number, codec: ValueCodec<V>): V | undefined {
    return ((this.#decoded >>> place) & 1) === 1 ? this.#values[place] : this.#decode(place, codec);
  }

  has(place: number): boolean {
    if (((this.#decoded >>> place) & 1) === 1) return this.#values[place] !== undefined;
    return seek(this.#raw as Buffer, place);
  }

  /** The value without keeping it decoded. */
  peek(place: number, codec: ValueCodec<V>): V | undefined {
    if (((this.#decoded >>> place) & 1) === 1) return this.#values[place];
    return readAt(this.#raw as Buffer, place, codec);
  }

  /** To be called before a value is changed in place. */
  change(): void {
    this.#intact = false;
    this.unsaved = true;
    if (++this.changes === this.measureAt) this.space?.outgrown(this);
  }

  /** True when the place had no value. */
  set(place: number, value: V): boolean {
    this.change();
    const had = this.#release(place);
    this.#hold(place, value);
    if (had) return false;
    this.count++;
    this.space?.resize(this, this.bytes + VALUE_BYTES + FIRST_GUESS_BYTES * FACTOR);
    return true;
  }

  /** True when the place had a value. */
  delete(place: number): boolean {
    this.change();
    if (!this.#release(place)) return false;
    this.#hold(place, undefined);
    this.count--;
    return true;
  }

  /**
   * Appends the page: uvarint number of values; for each, ascending, u8 place, uvarint length and the codec's bytes.
   * Nothing when it is empty.
   */
  write(out: ByteWriter, codec: ValueCodec<V>): void {
    if (this.count === 0) return;
    const raw = this.#raw;
    if (this.#intact && raw !== null) {
      out.raw(raw);
      return;
    }
    out.uvarint(this.count);
    let encodedBytes = 0;
    let at = raw === null ? 0 : firstEntry(raw);
    for (let place = 0; place < SLOTS_PER_PAGE; place++) {
      const from = at;
      if (raw !== null && at < raw.length && raw[at] === place) at = entryEnd(raw, at);
      if (((this.#decoded >>> place) & 1) === 0) {
        if (raw !== null && at > from) out.raw(raw, from, at);
        continue;
      }
      const value = this.#values[place];
      if (value === undefined) continue;
      out.u8(place);
      encodedBytes += writeSized(out, value, codec);
    }
    this.#measured(encodedBytes);
  }

  /** Bit per place that has a value. */
  presence(): number {
    let mask = 0;
    const raw = this.#raw;
    if (raw !== null) for (let at = firstEntry(raw); at < raw.length; at = entryEnd(raw, at)) mask |= 1 << raw[at];
    mask &= ~this.#decoded;
    for (let place = 0; place < this.#values.length; place++) {
      if (this.#values[place] !== undefined) mask |= 1 << place;
    }
    return mask;
  }

  #decode(place: number, codec: ValueCodec<V>): V | undefined {
    const raw = this.#raw as Buffer;
    const value = readAt(raw, place, codec);
    if (value === undefined) return undefined;
    this.#hold(place, value);
    this.space?.resize(this, this.bytes + VALUE_BYTES + foundBytes * FACTOR);
    if (--this.#undecoded === 0) this.#forget();
    return value;
  }

  /** What `#raw` says of the place counts no longer; true when there was a value, decoded or not. */
  #release(place: number): boolean {
    if (((this.#decoded >>> place) & 1) === 1) return this.#values[place] !== undefined;
    const had = seek(this.#raw as Buffer, place);
    if (had && --this.#undecoded === 0) this.#forget();
    return had;
  }

  #hold(place: number, value: V | undefined): void {
    if (this.#values.length === 0) this.#values = new Array<V | undefined>(SLOTS_PER_PAGE).fill(undefined);
    this.#values[place] = value;
    this.#decoded |= 1 << place;
  }

  /** Every value is decoded: the bytes would only take room. */
  #forget(): void {
    const raw = this.#raw as Buffer;
    this.#raw = null;
    this.#intact = false;
    this.#decoded = -1;
    if (this.#values.length === 0) this.#values = new Array<V | undefined>(SLOTS_PER_PAGE).fill(undefined);
    this.space?.resize(this, this.bytes - raw.length);
  }

  #measured(encodedBytes: number): void {
    this.changes = 0;
    this.measureAt = CHANGES_PER_VALUE * Math.max(1, this.count);
    const decoded = this.count - this.#undecoded;
    const bytes = PAGE_BYTES + (this.#raw?.length ?? 0) + decoded * VALUE_BYTES + encodedBytes * FACTOR;
    this.space?.resize(this, bytes);
  }
}

/** Slots of a page's bytes that have a value, as a mask. */
export function presenceOf(raw: Buffer): number {
  let mask = 0;
  for (let at = firstEntry(raw); at < raw.length; at = entryEnd(raw, at)) mask |= 1 << raw[at];
  return mask;
}

export function countOf(raw: Buffer): number {
  return raw[0];
}

// The last entry that was found; no object per look.
let foundStart = 0;
let foundBytes = 0;

function seek(raw: Buffer, place: number): boolean {
  for (let at = firstEntry(raw); at < raw.length; at = entryEnd(raw, at)) {
    if (raw[at] < place) continue;
    if (raw[at] > place) return false;
    const end = entryEnd(raw, at);
    foundBytes = entryBytes;
    foundStart = end - entryBytes;
    return true;
  }
  return false;
}

export function readAt<V>(raw: Buffer, place: number, codec: ValueCodec<V>): V | undefined {
  if (!seek(raw, place)) return undefined;
  const input = new ByteReader(raw, foundStart, foundStart + foundBytes);
  const value = codec.read(input);
  invariant(input.done && value !== undefined, 'a codec did not read the value that it wrote');
  return value;
}

/** The number of values is one byte. */
function firstEntry(_raw: Buffer): number {
  return 1;
}

let entryBytes = 0;

function entryEnd(raw: Buffer, at: number): number {
  let size = raw[at + 1];
  let start = at + 2;
  if (size > 127) {
    size &= 127;
    for (let scale = 128; ; scale *= 128) {
      const byte = raw[start++];
      size += (byte & 127) * scale;
      if (byte < 128) break;
    }
  }
  entryBytes = size;
  return start + size;
}

/** The codec's bytes behind their length; returns the length. */
function writeSized<V>(out: ByteWriter, value: V, codec: ValueCodec<V>): number {
  const at = out.length;
  out.u8(0);
  codec.write(value, out);
  const size = out.length - at - 1;
  invariant(size >= 0, 'a codec took back bytes');
  if (size < 128) {
    out.bytes[at] = size;
    return size;
  }
  let more = 1;
  for (let rest = size >>> 14; rest > 0; rest >>>= 7) more++;
  out.ensure(more);
  out.bytes.copyWithin(at + 1 + more, at + 1, out.length);
  out.length = at;
  out.uvarint(size);
  out.length += size;
  return size;
}
