// Owns reading one JSON sample object from bytes without making objects: a compact scanner for text without spaces and
// a tolerant one for any field order, spaces and unknown scalar fields. Both only say yes or "not mine": faults and
// everything unusual belong to the caller's full parser. Invariant: a yes is what JSON.parse would have given.

import { isUtf8 } from 'node:buffer';
import { areDigits, fourDigits, JsonNumberScanner } from '#operators/formats/json-number.ts';
import { parseJson } from '#operators/formats/json-value.ts';
import { PlainSeries } from '#operators/formats/plain-series.ts';
import {
  finishHash,
  HASH_SEED,
  hashRange,
  mixWord,
  type RawSeriesCache,
  tailMask,
} from '#operators/formats/raw-series-cache.ts';
import { canonicalSeries } from '#operators/series/canonical.ts';

/** Bytes that must be readable behind the end of a record: fields are compared by words. */
export const SCAN_OVERREAD_BYTES = 32;

/** Largest distance of an event time from 1970 in milliseconds, that of ECMAScript's Date. */
export const TIMESTAMP_MAX_MS = 8.64e15;

const NOT_MINE = -1;
const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const BACKSLASH = 0x5c;

const NAME = 1;
const TIMESTAMP = 2;
const VALUE = 4;
const LABELS = 8;
const ALL = 15;

const METR = word('metr');
const IC_N = word('ic_n');
const AME = word('ame"');
const TIME = word('time');
const STAM = word('stam');
const AMP = word('amp"');
const VALU = word('valu');
const LUE = word('lue"');
const LABE = word('labe');
const ELS = word('els"');

function word(text: string): number {
  return Buffer.from(text).readInt32LE(0);
}

/** The fields describe the sample that was scanned last. */
export class JsonSampleScanner {
  timestampMs = 0;
  value = 0;
  /** Slot of the series; -1 when it has none yet, then `canonical` is its text. */
  slot = -1;
  canonical = '';
  #nameStart = 0;
  #nameSize = 0;
  #labelsStart = 0;
  #labelsSize = 0;
  #hash = 0;
  #hashed = 0;
  #view: DataView = new DataView(new ArrayBuffer(0));
  readonly #cache: RawSeriesCache;
  readonly #number = new JsonNumberScanner();
  readonly #plain = new PlainSeries();
  #bytes: Buffer = Buffer.alloc(0);
  #end = 0;

  constructor(cache: RawSeriesCache) {
    this.#cache = cache;
  }

  /** Takes the bytes that hold the record, which ends at `end` and has SCAN_OVERREAD_BYTES readable bytes behind it. */
  bind(bytes: Buffer, end: number): void {
    this.#end = end;
    if (bytes === this.#bytes) return;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /**
   * Text as JSON encoders write it (no spaces, or one behind colon and comma), all four fields in any order, and a known
   * series. The labels are taken to end at the first brace: when a label value holds one, the cache does not know the
   * range and the answer is -1. The end of the object, or -1. About 0.13 µs.
   */
  compact(start: number): number {
    const view = this.#view;
    const bytes = this.#bytes;
    const end = this.#end;
    let p = start + 1;
    let seen = 0;
    let nameHash = 0;
    let labelsHash = 0;
    for (;;) {
      if (p >= end) return NOT_MINE;
      const key = this.#key(p);
      const field = key >> 4;
      if (field === 0 || (seen & field) !== 0) return NOT_MINE;
      seen |= field;
      p += key & 15;
      if (bytes[p++] !== COLON) return NOT_MINE;
      if (bytes[p] === SPACE) p++;
      if (field === TIMESTAMP) {
        p = this.#timestamp(p);
        if (p < 0) return NOT_MINE;
      } else if (field === VALUE) {
        this.value = this.#number.scan(bytes, p);
        p = this.#number.end;
        if (p < 0) return NOT_MINE;
      } else if (field === NAME) {
        if (bytes[p++] !== QUOTE) return NOT_MINE;
        this.#nameStart = p;
        nameHash = this.#hashUntil(p, QUOTE * 0x01010101);
        this.#nameSize = this.#hashed;
        p += this.#hashed + 1;
      } else {
        if (bytes[p] !== OPEN) return NOT_MINE;
        this.#labelsStart = p;
        labelsHash = this.#hashUntil(p, CLOSE * 0x01010101);
        this.#labelsSize = this.#hashed;
        p += this.#hashed + 1;
      }
      const byte = bytes[p++];
      if (byte === COMMA) {
        if (bytes[p] === SPACE) p++;
        continue;
      }
      if (byte !== CLOSE || seen !== ALL || p > end) return NOT_MINE;
      const hash = finishHash(nameHash, labelsHash);
      this.slot = this.#cache.find(view, this.#nameStart, this.#nameSize, this.#labelsStart, this.#labelsSize, hash);
      return this.slot < 0 ? NOT_MINE : p;
    }
  }

  // Field whose quoted key stands at `at`, times 16, plus the key's size; 0 for anything else.
  #key(at: number): number {
    const view = this.#view;
    if (this.#bytes[at] !== QUOTE) return 0;
    switch (view.getInt32(at + 1, true)) {
      case TIME:
        if (view.getInt32(at + 5, true) !== STAM || view.getInt32(at + 7, true) !== AMP) return 0;
        return (TIMESTAMP << 4) | 11;
      case VALU:
        return view.getInt32(at + 3, true) === LUE ? (VALUE << 4) | 7 : 0;
      case METR:
        if (view.getInt32(at + 5, true) !== IC_N || view.getInt32(at + 9, true) !== AME) return 0;
        return (NAME << 4) | 13;
      case LABE:
        return view.getInt32(at + 4, true) === ELS ? (LABELS << 4) | 8 : 0;
      default:
        return 0;
    }
  }

  // Hash of the bytes before the first `byte`; leaves their count in #hashed, past the record when there is none.
  #hashUntil(start: number, pattern: number): number {
    const view = this.#view;
    const end = this.#end;
    let hash = HASH_SEED;
    let at = start;
    for (; at < end; at += 4) {
      const bits = view.getInt32(at, true);
      const difference = bits ^ pattern;
      const zeros = (difference - 0x01010101) & ~difference & 0x80808080;
      if (zeros !== 0) {
        const rest = (31 - Math.clz32(zeros & -zeros)) >> 3;
        this.#hashed = at + rest - start;
        return mixWord(hash, bits & tailMask(rest));
      }
      hash = mixWord(hash, bits);
    }
    this.#hashed = at - start;
    return hash;
  }

  // Thirteen digits (2001 to 2286) by four, anything else as a number. Index behind it, or -1.
  #timestamp(at: number): number {
    const view = this.#view;
    const high = view.getInt32(at, true);
    const middle = view.getInt32(at + 4, true);
    const low = view.getInt32(at + 8, true);
    const last = this.#bytes[at + 12] - 0x30;
    const after = this.#bytes[at + 13];
    if (
      areDigits(high) &&
      areDigits(middle) &&
      areDigits(low) &&
      last >= 0 &&
      last <= 9 &&
      (after === COMMA || after === CLOSE) &&
      (high & 0xff) !== 0x30
    ) {
      this.timestampMs = (fourDigits(high) * 10000 + fourDigits(middle)) * 100000 + (fourDigits(low) * 10 + last);
      return at + 13;
    }
    const value = this.#number.scan(this.#bytes, at);
    if (this.#number.end < 0 || !isTimestamp(value)) return NOT_MINE;
    this.timestampMs = value + 0;
    return this.#number.end;
  }

  /**
   * A good sample in any JSON spelling but escaped keys, repeated fields and unknown fields that hold objects or
   * arrays. `value` is NaN or infinite where the sample says so or is a stale marker; `slot` is -1 and `canonical` set
   * when the series has no slot in `find` yet. The end of the object, or -1.
   */
  tolerant(start: number, find: (canonical: string) => number): number {
    const bytes = this.#bytes;
    let p = this.skipSpace(start + 1);
    let seen = 0;
    this.#labelsStart = start;
    this.#labelsSize = 0;
    for (;;) {
      const key = this.#key(p);
      const field = key >> 4;
      const close = field === 0 ? this.#plainStringEnd(p) : p + (key & 15) - 1;
      if (close < 0) return NOT_MINE;
      p = this.skipSpace(close + 1);
      if (bytes[p] !== COLON || (seen & field) !== 0) return NOT_MINE;
      seen |= field;
      p = this.#field(field, this.skipSpace(p + 1));
      if (p < 0) return NOT_MINE;
      p = this.skipSpace(p);
      if (p >= this.#end) return NOT_MINE;
      const byte = bytes[p++];
      if (byte === CLOSE) break;
      if (byte !== COMMA) return NOT_MINE;
      p = this.skipSpace(p);
    }
    if ((seen | LABELS) !== ALL) return NOT_MINE;
    return this.#findSeries(find) ? p : NOT_MINE;
  }

  /** First index from `at` that holds no JSON white space, at most the end of the record. */
  skipSpace(at: number): number {
    const bytes = this.#bytes;
    let p = at;
    while (p < this.#end) {
      const byte = bytes[p];
      if (byte !== SPACE && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
      p++;
    }
    return p;
  }

  #field(field: number, at: number): number {
    if (field === TIMESTAMP) return this.#timestamp(at);
    if (field === VALUE) return this.#value(at);
    if (field === LABELS) {
      this.#labelsStart = at;
      const close = this.#labelsEnd(at);
      this.#labelsSize = close - at;
      return close < 0 ? NOT_MINE : close + 1;
    }
    if (field === NAME) {
      this.#nameStart = at + 1;
      const close = this.#stringEnd(at);
      this.#nameSize = close - at - 1;
      return close < 0 ? NOT_MINE : close + 1;
    }
    return this.#scalar(at);
  }

  #value(at: number): number {
    const bytes = this.#bytes;
    if (bytes[at] === QUOTE) {
      const close = this.#plainStringEnd(at);
      const text = close < 0 || close - at > 5 ? '' : bytes.toString('latin1', at + 1, close);
      if (text === 'NaN') this.value = Number.NaN;
      else if (text === '+Inf') this.value = Number.POSITIVE_INFINITY;
      else if (text === '-Inf') this.value = Number.NEGATIVE_INFINITY;
      else return NOT_MINE;
      return close + 1;
    }
    if (bytes[at] === 0x6e) {
      this.value = Number.NaN;
      return this.#literal(at, 'null');
    }
    this.value = this.#number.scan(bytes, at);
    return this.#number.end;
  }

  #scalar(at: number): number {
    const byte = this.#bytes[at];
    if (byte === QUOTE) {
      const close = this.#plainStringEnd(at);
      return close < 0 ? NOT_MINE : close + 1;
    }
    if (byte === 0x6e) return this.#literal(at, 'null');
    if (byte === 0x74) return this.#literal(at, 'true');
    if (byte === 0x66) return this.#literal(at, 'false');
    this.#number.scan(this.#bytes, at);
    return this.#number.end;
  }

  #literal(at: number, text: string): number {
    for (let i = 0; i < text.length; i++) if (this.#bytes[at + i] !== text.charCodeAt(i)) return NOT_MINE;
    return at + text.length;
  }

  // Index of the quote that ends the string at `at`, when it is printable ASCII without escapes; else -1.
  #plainStringEnd(at: number): number {
    const bytes = this.#bytes;
    if (bytes[at] !== QUOTE) return NOT_MINE;
    for (let p = at + 1; p < this.#end; p++) {
      const byte = bytes[p];
      if (byte === QUOTE) return p;
      if (byte < 0x20 || byte >= 0x80 || byte === BACKSLASH) return NOT_MINE;
    }
    return NOT_MINE;
  }

  // The same for any string; what is between the quotes is checked where it is read.
  #stringEnd(at: number): number {
    const bytes = this.#bytes;
    if (bytes[at] !== QUOTE) return NOT_MINE;
    for (let p = at + 1; p < this.#end; p++) {
      const byte = bytes[p];
      if (byte === QUOTE) return p;
      if (byte === BACKSLASH) p++;
    }
    return NOT_MINE;
  }

  // Index of the brace that ends the flat object at `at`, -1 when it holds objects or arrays or does not end.
  #labelsEnd(at: number): number {
    const bytes = this.#bytes;
    if (bytes[at] !== OPEN) return NOT_MINE;
    for (let p = at + 1; p < this.#end; p++) {
      const byte = bytes[p];
      if (byte === CLOSE) return p;
      if (byte === OPEN || byte === 0x5b) return NOT_MINE;
      if (byte === QUOTE) {
        p = this.#stringEnd(p);
        if (p < 0) return NOT_MINE;
      }
    }
    return NOT_MINE;
  }

  #findSeries(find: (canonical: string) => number): boolean {
    const view = this.#view;
    const nameStart = this.#nameStart;
    const nameSize = this.#nameSize;
    const labelsStart = this.#labelsStart;
    const labelsSize = this.#labelsSize;
    const labelsHash = labelsSize === 0 ? HASH_SEED : hashRange(view, labelsStart, labelsStart + labelsSize);
    this.#hash = finishHash(hashRange(view, nameStart, nameStart + nameSize), labelsHash);
    this.slot = this.#cache.find(view, nameStart, nameSize, labelsStart, labelsSize, this.#hash);
    if (this.slot >= 0) return true;
    const canonical = this.#parseSeries();
    if (canonical === null) return false;
    this.canonical = canonical;
    this.slot = find(canonical);
    if (this.slot >= 0) this.remember(this.slot);
    return true;
  }

  /** Lets the cache know the slot of the sample scanned last. */
  remember(slot: number): void {
    this.#cache.insert(
      this.#view,
      this.#nameStart,
      this.#nameSize,
      this.#labelsStart,
      this.#labelsSize,
      this.#hash,
      slot,
    );
  }

  #parseSeries(): string | null {
    const bytes = this.#bytes;
    const plain = this.#plain.canonical(bytes, this.#nameStart, this.#nameSize, this.#labelsStart, this.#labelsSize);
    if (plain !== null) return plain;
    const name = bytes.subarray(this.#nameStart - 1, this.#nameStart + this.#nameSize + 1);
    const labels = bytes.subarray(this.#labelsStart, this.#labelsStart + this.#labelsSize + 1);
    if (!isUtf8(name)) return null;
    if (this.#labelsSize > 0 && !isUtf8(labels)) return null;
    try {
      const metricName: unknown = JSON.parse(name.toString());
      const series = canonicalSeries(metricName, this.#labelsSize === 0 ? undefined : parseJson(labels.toString()));
      return typeof series === 'string' ? series : null;
    } catch {
      return null;
    }
  }
}

/** Whether a number is an event time: whole milliseconds, before 1970 too, within the range of dates. */
export function isTimestamp(value: number): boolean {
  return Number.isInteger(value) && value <= TIMESTAMP_MAX_MS && value >= -TIMESTAMP_MAX_MS;
}
