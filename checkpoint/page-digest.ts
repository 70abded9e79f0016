// Owns the hash of one page (128 bits of SHA-256 over its record) and the digest of many: the sum of their hashes
// modulo 2^128, so that neither order nor history matters and one changed page costs one subtraction and one addition.

import { hash as hashOnce } from 'node:crypto';
import type { ByteWriter } from '#runtime/std/byte-writer.ts';

/** Bytes of a page's hash in a segment. */
export const PAGE_HASH_BYTES = 16;

/** Four lanes of a 128-bit hash, most significant first, as signed 32-bit integers; all zero: no page. */
export class PageHash {
  a = 0;
  b = 0;
  c = 0;
  d = 0;

  /** SHA-256 of bytes[start, end), cut to 128 bits. */
  ofBytes(bytes: Buffer, start: number, end: number): void {
    this.readFrom(hashOnce('sha256', bytes.subarray(start, end), 'buffer'), 0);
  }

  readFrom(bytes: Buffer, at: number): void {
    this.a = bytes.readInt32BE(at);
    this.b = bytes.readInt32BE(at + 4);
    this.c = bytes.readInt32BE(at + 8);
    this.d = bytes.readInt32BE(at + 12);
  }

  writeTo(out: ByteWriter): void {
    out.i32(this.a);
    out.i32(this.b);
    out.i32(this.c);
    out.i32(this.d);
  }

  copy(other: PageHash): void {
    this.a = other.a;
    this.b = other.b;
    this.c = other.c;
    this.d = other.d;
  }

  clear(): void {
    this.a = 0;
    this.b = 0;
    this.c = 0;
    this.d = 0;
  }

  equals(other: PageHash): boolean {
    return this.a === other.a && this.b === other.b && this.c === other.c && this.d === other.d;
  }
}

const LANE = 2 ** 32;

/** Sum of page hashes modulo 2^128. */
export class PageDigest {
  readonly #lanes = new Uint32Array(4);

  add(hash: PageHash): void {
    const lanes = this.#lanes;
    const d = lanes[3] + (hash.d >>> 0);
    const c = lanes[2] + (hash.c >>> 0) + (d >= LANE ? 1 : 0);
    const b = lanes[1] + (hash.b >>> 0) + (c >= LANE ? 1 : 0);
    const a = lanes[0] + (hash.a >>> 0) + (b >= LANE ? 1 : 0);
    this.#set(a, b, c, d);
  }

  subtract(hash: PageHash): void {
    const lanes = this.#lanes;
    const d = lanes[3] - (hash.d >>> 0);
    const c = lanes[2] - (hash.c >>> 0) - (d < 0 ? 1 : 0);
    const b = lanes[1] - (hash.b >>> 0) - (c < 0 ? 1 : 0);
    const a = lanes[0] - (hash.a >>> 0) - (b < 0 ? 1 : 0);
    this.#set(a, b, c, d);
  }

  copy(other: PageDigest): void {
    this.#lanes.set(other.#lanes);
  }

  /** 32 hexadecimal digits; all zero for an empty state. */
  toText(): string {
    let text = '';
    for (const lane of this.#lanes) text += lane.toString(16).padStart(8, '0');
    return text;
  }

  /** Typed arrays reduce modulo 2^32, negative numbers too. */
  #set(a: number, b: number, c: number, d: number): void {
    this.#lanes[0] = a;
    this.#lanes[1] = b;
    this.#lanes[2] = c;
    this.#lanes[3] = d;
  }
}
