// Owns memory for many small byte strings: they lie side by side in shared slabs, which never move. A slab is freed
// when nothing points into it any more; the owner copies what lives into fresh slabs when too much is dead.

const SLAB_BYTES_FIRST = 4 * 1024;
const SLAB_BYTES_MAX = 256 * 1024;

export class ByteSlabs {
  /** Bytes of all slabs made so far. */
  allocatedBytes = 0;
  #slab = Buffer.alloc(0);
  #used = 0;

  /** A copy of bytes[start, end) that stays. */
  copy(bytes: Uint8Array, start: number, end: number): Buffer {
    const size = end - start;
    if (this.#used + size > this.#slab.length) {
      const next = Math.min(Math.max(this.#slab.length * 2, SLAB_BYTES_FIRST), SLAB_BYTES_MAX);
      this.#slab = Buffer.allocUnsafeSlow(Math.max(next, size));
      this.#used = 0;
      this.allocatedBytes += this.#slab.length;
    }
    const kept = this.#slab.subarray(this.#used, this.#used + size);
    this.#used += size;
    for (let i = 0; i < size; i++) kept[i] = bytes[start + i];
    return kept;
  }
}
