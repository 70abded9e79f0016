// Owns chunks of 32-bit integers in power-of-two sizes, cut from slabs and reused through free lists. An address names
// a slab and a place in it: `slabs[address >>> 16][(address & 0xffff) + i]`. Addresses follow from history and are
// never state. Invariant: chunks that are out do not overlap.

import { invariant } from '#runtime/std/errors.ts';

const SLAB_SHIFT = 16;
const SLAB_INTS = 1 << SLAB_SHIFT;
/** Of the first slab; each is twice the one before: most tasks have few keys, and a process a thousand tasks. */
const FIRST_INTS = 1 << 10;
export const SLAB_MASK = SLAB_INTS - 1;
const CLASS_MIN = 3;
const CLASSES = 24;
const SLABS_MAX = 1 << 15;

export class IntPool {
  readonly slabs: Int32Array[] = [];
  readonly #free: number[][] = Array.from({ length: CLASSES }, () => []);
  #next = 0;
  /** Length of the current slab. */
  #end = 0;
  #slab = -1;

  /** Ints in all slabs. */
  get sizeInts(): number {
    return this.slabs.reduce((size, slab) => size + slab.length, 0);
  }

  /** Smallest chunk size that holds `ints`. */
  static sizeFor(ints: number): number {
    return ints <= 1 << CLASS_MIN ? 1 << CLASS_MIN : 1 << (32 - Math.clz32(ints - 1));
  }

  /** Address of a chunk of `size` ints (as sizeFor gives); what it holds is arbitrary. */
  take(size: number): number {
    const free = this.#free[31 - Math.clz32(size)];
    const reused = free.pop();
    if (reused !== undefined) return reused;
    if (size > SLAB_INTS) return this.#addSlab(size) << SLAB_SHIFT;
    if (this.#next + size > this.#end) {
      this.#freeRest();
      const wanted = Math.max(size, FIRST_INTS, 2 * this.#end);
      this.#end = Math.min(wanted, SLAB_INTS);
      this.#slab = this.#addSlab(this.#end);
      this.#next = 0;
    }
    const address = (this.#slab << SLAB_SHIFT) | this.#next;
    this.#next += size;
    return address;
  }

  give(address: number, size: number): void {
    this.#free[31 - Math.clz32(size)].push(address);
  }

  // What is left of the current slab goes to the free lists, largest pieces first, so nothing is lost.
  #freeRest(): void {
    while (this.#next < this.#end) {
      const size = 1 << (31 - Math.clz32(this.#end - this.#next));
      this.give((this.#slab << SLAB_SHIFT) | this.#next, size);
      this.#next += size;
    }
  }

  #addSlab(ints: number): number {
    invariant(this.slabs.length < SLABS_MAX, 'the sketches of one operator need more than 8 GiB');
    this.slabs.push(new Int32Array(ints));
    return this.slabs.length - 1;
  }
}
