// Owns a growing byte buffer with the integer encodings of Kafka and of our own formats, and its reader. No object
// per write; the buffer is reused by `clear`.

import type { BufferPool } from '#runtime/std/buffer-pool.ts';
import { invariant } from '#runtime/std/errors.ts';

export class ByteWriter {
  bytes: Buffer;
  length = 0;
  readonly #pool: BufferPool | null;

  /** With a pool its buffers are the pool's. */
  constructor(capacity = 1024, pool: BufferPool | null = null) {
    this.#pool = pool;
    this.bytes = pool === null ? Buffer.allocUnsafeSlow(capacity) : pool.take(capacity);
  }

  clear(): void {
    this.length = 0;
  }

  ensure(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    let capacity = this.bytes.length * 2;
    while (capacity < this.length + more) capacity *= 2;
    const grown = this.#pool === null ? Buffer.allocUnsafeSlow(capacity) : this.#pool.take(capacity);
    this.bytes.copy(grown, 0, 0, this.length);
    this.#pool?.give(this.bytes);
    this.bytes = grown;
  }

  u8(value: number): void {
    this.ensure(1);
    this.bytes[this.length++] = value;
  }

  i16(value: number): void {
    this.ensure(2);
    this.length = this.bytes.writeInt16BE(value, this.length);
  }

  i32(value: number): void {
    this.ensure(4);
    this.length = this.bytes.writeInt32BE(value, this.length);
  }

  u32(value: number): void {
    this.ensure(4);
    this.length = this.bytes.writeUInt32BE(value, this.length);
  }

  i64(value: bigint): void {
    this.ensure(8);
    this.length = this.bytes.writeBigInt64BE(value, this.length);
  }

  f64(value: number): void {
    this.ensure(8);
    this.length = this.bytes.writeDoubleLE(value, this.length);
  }

  /** Unsigned LEB128 of a non-negative safe integer. */
  uvarint(value: number): void {
    this.ensure(8);
    const bytes = this.bytes;
    let at = this.length;
    let rest = value;
    while (rest > 0x7fffffff) {
      bytes[at++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    while (rest > 127) {
      bytes[at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.length = at;
  }

  /** Zigzag LEB128 of a safe integer of at most 52 bits (Kafka's varint and varlong). */
  varint(value: number): void {
    this.uvarint(value >= 0 ? value * 2 : -value * 2 - 1);
  }

  raw(source: Uint8Array, start = 0, end = source.length): void {
    const size = end - start;
    this.ensure(size);
    if (size < 24) {
      const bytes = this.bytes;
      let at = this.length;
      for (let i = start; i < end; i++) bytes[at++] = source[i];
    } else {
      this.bytes.set(start === 0 && end === source.length ? source : source.subarray(start, end), this.length);
    }
    this.length += size;
  }

  /** Text as UTF-8, prefixed with its length in bytes as uvarint. */
  text(value: string): void {
    const size = Buffer.byteLength(value);
    this.uvarint(size);
    this.ensure(size);
    this.bytes.write(value, this.length, 'utf8');
    this.length += size;
  }

  /** A copy of what was written. */
  toBytes(): Buffer {
    return Buffer.from(this.bytes.subarray(0, this.length));
  }
}

export class ByteReader {
  readonly bytes: Buffer;
  at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = start;
    this.end = end;
  }

  get done(): boolean {
    return this.at >= this.end;
  }

  #take(size: number): number {
    const at = this.at;
    invariant(size >= 0 && at + size <= this.end, `read of ${size} bytes past the end of ${this.end}`);
    this.at = at + size;
    return at;
  }

  u8(): number {
    return this.bytes[this.#take(1)];
  }

  i16(): number {
    return this.bytes.readInt16BE(this.#take(2));
  }

  i32(): number {
    return this.bytes.readInt32BE(this.#take(4));
  }

  u32(): number {
    return this.bytes.readUInt32BE(this.#take(4));
  }

  i64(): bigint {
    return this.bytes.readBigInt64BE(this.#take(8));
  }

  f64(): number {
    return this.bytes.readDoubleLE(this.#take(8));
  }

  uvarint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.bytes[this.#take(1)];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
      invariant(scale <= 2 ** 56, 'varint too long');
    }
  }

  varint(): number {
    const zigzag = this.uvarint();
    return zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
  }

  raw(size: number): Buffer {
    const at = this.#take(size);
    return this.bytes.subarray(at, at + size);
  }

  text(): string {
    const size = this.uvarint();
    const at = this.#take(size);
    return this.bytes.toString('utf8', at, at + size);
  }
}
