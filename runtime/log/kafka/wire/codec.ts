// Owns the primitive types of Kafka's protocol: a writer that takes large byte ranges by reference, and a reader over
// one frame. "Compact" forms carry length + 1 as uvarint (0 = null) and belong to flexible versions.

import type { TopicPartition } from '#runtime/log/contract.ts';
import type { Frame } from '#runtime/log/kafka/frame-pool.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';

/** One request and how its answer is read. `flexible`: headers and structs end with tag buffers. */
export interface WireRequest<T> {
  readonly name: string;
  readonly apiKey: number;
  readonly version: number;
  readonly flexible: boolean;
  encode(out: WireWriter): void;
  /** Called once, while the frame is valid; retain it to keep views into it. */
  decode(input: WireReader): T;
}

export class WireWriter {
  readonly #out = new ByteWriter(256);
  readonly #chunks: Buffer[] = [];
  #sizeBytes = 0;

  i8(value: number): void {
    this.#out.u8(value & 255);
  }

  i16(value: number): void {
    this.#out.i16(value);
  }

  i32(value: number): void {
    this.#out.i32(value);
  }

  i64(value: bigint): void {
    this.#out.i64(value);
  }

  uvarint(value: number): void {
    this.#out.uvarint(value);
  }

  raw(bytes: Uint8Array): void {
    this.#out.raw(bytes);
  }

  text(value: string): void {
    const bytes = Buffer.from(value);
    this.#out.i16(bytes.length);
    this.#out.raw(bytes);
  }

  nullText(): void {
    this.#out.i16(-1);
  }

  compactText(value: string): void {
    const bytes = Buffer.from(value);
    this.#out.uvarint(bytes.length + 1);
    this.#out.raw(bytes);
  }

  compactCount(count: number): void {
    this.#out.uvarint(count + 1);
  }

  /** An empty tag buffer. */
  tags(): void {
    this.#out.u8(0);
  }

  /** Takes `bytes` by reference: they must not change until the answer is there. */
  reference(bytes: Buffer): void {
    this.#flush();
    this.#chunks.push(bytes);
    this.#sizeBytes += bytes.length;
  }

  #flush(): void {
    if (this.#out.length === 0) return;
    this.#chunks.push(this.#out.toBytes());
    this.#sizeBytes += this.#out.length;
    this.#out.clear();
  }

  /** The pieces to send; the first starts with room for the length, which is filled in. */
  finish(): readonly Buffer[] {
    this.#flush();
    this.#chunks[0].writeInt32BE(this.#sizeBytes - 4, 0);
    return this.#chunks;
  }
}

/** Reads past the end throw RangeError, which the connection turns into an error of the protocol. */
export class WireReader {
  readonly frame: Frame;
  readonly bytes: Buffer;
  readonly end: number;
  at: number;

  constructor(frame: Frame) {
    this.frame = frame;
    this.bytes = frame.bytes;
    this.at = frame.start;
    this.end = frame.end;
  }

  #take(size: number): number {
    const at = this.at;
    if (size < 0 || at + size > this.end) throw new RangeError(`an answer ends in the middle of a field`);
    this.at = at + size;
    return at;
  }

  i8(): number {
    return this.bytes.readInt8(this.#take(1));
  }

  i16(): number {
    return this.bytes.readInt16BE(this.#take(2));
  }

  i32(): number {
    return this.bytes.readInt32BE(this.#take(4));
  }

  i64(): bigint {
    return this.bytes.readBigInt64BE(this.#take(8));
  }

  uvarint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.bytes[this.#take(1)];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
      if (scale > 2 ** 35) throw new RangeError('an answer has an integer that is too long');
    }
  }

  #text(size: number): string | null {
    if (size < 0) return null;
    const at = this.#take(size);
    return this.bytes.toString('utf8', at, at + size);
  }

  text(): string | null {
    return this.#text(this.i16());
  }

  compactText(): string | null {
    return this.#text(this.uvarint() - 1);
  }

  /** A 16-byte id in Kafka's own text form. */
  uuid(): string {
    const at = this.#take(16);
    return this.bytes.toString('base64url', at, at + 16);
  }

  skip(size: number): void {
    this.#take(size);
  }

  /** Number of elements of an array, 0 for null. */
  count(): number {
    return this.#counted(this.i32());
  }

  compactCount(): number {
    return this.#counted(this.uvarint() - 1);
  }

  #counted(count: number): number {
    if (count > this.end - this.at) throw new RangeError('an answer has more elements than bytes');
    return Math.max(count, 0);
  }

  tags(): void {
    for (let left = this.uvarint(); left > 0; left--) {
      this.uvarint();
      this.#take(this.uvarint());
    }
  }
}

/** Topics with their partition numbers, in flexible versions. */
export function compactPartitions(out: WireWriter, partitions: readonly TopicPartition[]): void {
  const byTopic = Map.groupBy(partitions, ({ topic }) => topic);
  out.compactCount(byTopic.size);
  for (const [topic, own] of byTopic) {
    out.compactText(topic);
    out.compactCount(own.length);
    for (const { partition } of own) out.i32(partition);
    out.tags();
  }
}
