// Owns buffers that are used again: memory outside the heap that comes and goes makes the collector run (measured: a
// third of the CPU of a rollup with new buffers for every batch went there). Sizes are powers of two. Invariant: a buffer is
// given back once, by its only owner.

import { invariant } from '#runtime/std/errors.ts';

/** Smaller ones are cheap to make. */
const SMALLEST_BYTES = 16 * 1024;
const LARGEST_SHIFT = 24;

export class BufferPool {
  readonly #bytesMax: number;
  readonly #smallestBytes: number;
  readonly #free: Buffer[][] = Array.from({ length: LARGEST_SHIFT + 1 }, () => []);
  #bytes = 0;

  /**
   * @param bytesMax of the buffers that wait to be used again
   * @param smallestBytes smaller ones are not kept @default 16 KiB
   */
  constructor(bytesMax: number, smallestBytes = SMALLEST_BYTES) {
    this.#bytesMax = bytesMax;
    this.#smallestBytes = smallestBytes;
  }

  /** Waiting to be used again. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A buffer of at least so many bytes, with unknown content. */
  take(bytes: number): Buffer {
    const shift = shiftOf(bytes);
    if (shift > LARGEST_SHIFT) return Buffer.allocUnsafeSlow(bytes);
    const buffer = this.#free[shift].pop();
    if (buffer === undefined) return Buffer.allocUnsafeSlow(1 << shift);
    this.#bytes -= buffer.length;
    return buffer;
  }

  /** Takes back the buffer that `part` is, or is a part of; drops what is too much, and what did not come from here. */
  give(part: Uint8Array): void {
    const { buffer } = part;
    const size = buffer.byteLength;
    const shift = shiftOf(size);
    if (size < this.#smallestBytes || shift > LARGEST_SHIFT || size !== 1 << shift) return;
    if (this.#bytes + size > this.#bytesMax) return;
    const free = this.#free[shift];
    invariant(!free.some((other) => other.buffer === buffer), 'a buffer was given back twice');
    free.push(Buffer.from(buffer as ArrayBuffer));
    this.#bytes += size;
  }
}

/** The smallest power of two that holds so many. */
function shiftOf(bytes: number): number {
  return bytes <= 1 ? 0 : 32 - Math.clz32(bytes - 1);
}
