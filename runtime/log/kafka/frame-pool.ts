// Owns the buffers that sockets read into. A frame is one answer of a broker in such a buffer; whoever looks at it after
// the socket's callback retains it, and the buffer is reused when the last one released it. Sizes are powers of two.

import { invariant } from '#runtime/std/errors.ts';

const SMALLEST_BYTES = 64 * 1024;
const CLASS_COUNT = 9;
const POOLED_BYTES_PER_CLASS = 32 * 1024 * 1024;
const POOLED_PER_CLASS = 4;

/** One answer: `bytes[start, end)` without its length prefix and correlation id. */
export class Frame {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  readonly #pool: FramePool;
  #holders = 0;

  constructor(pool: FramePool, bytes: Buffer, start: number, end: number) {
    this.#pool = pool;
    this.bytes = bytes;
    this.start = start;
    this.end = end;
  }

  get retained(): boolean {
    return this.#holders > 0;
  }

  retain(): void {
    if (this.#holders === 0) this.#pool.lent(this.bytes);
    this.#holders++;
  }

  release(): void {
    invariant(this.#holders > 0, 'a frame was released more often than it was retained');
    this.#holders--;
    if (this.#holders === 0) this.#pool.returned(this.bytes);
  }
}

export class FramePool {
  readonly #free: Buffer[][] = Array.from({ length: CLASS_COUNT }, () => []);
  #lentBytes = 0;

  /** Bytes of buffers that retained frames hold. */
  get lentBytes(): number {
    return this.#lentBytes;
  }

  /** A buffer of at least `size` bytes with unknown content. */
  take(size: number): Buffer {
    let capacity = SMALLEST_BYTES;
    for (let index = 0; index < CLASS_COUNT; index++) {
      if (size <= capacity) return this.#free[index].pop() ?? Buffer.allocUnsafeSlow(capacity);
      capacity *= 2;
    }
    return Buffer.allocUnsafeSlow(size);
  }

  /** Gives back a buffer of `take` that no frame was made of. */
  give(bytes: Buffer): void {
    const index = Math.log2(bytes.length / SMALLEST_BYTES);
    const free = this.#free[index];
    if (free === undefined || free.length >= POOLED_PER_CLASS) return;
    if (free.length * bytes.length < POOLED_BYTES_PER_CLASS) free.push(bytes);
  }

  lent(bytes: Buffer): void {
    this.#lentBytes += bytes.length;
  }

  returned(bytes: Buffer): void {
    this.#lentBytes -= bytes.length;
    this.give(bytes);
  }
}
