// Owns when keys are looked over for eviction: at each multiple of keyTtl that the watermark passes, several at once
// when it leaps. Knows no table. Invariant: the next time is a multiple of keyTtl above every watermark it fired under.

import type { AdoptedPage, PagedState, PageTracker, StateRegistry } from '#checkpoint/contract.ts';
import type { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant } from '#runtime/std/errors.ts';

export class KeyExpiry implements PagedState {
  readonly stateId: string;
  readonly schemaVersion = 1;
  /** Infinity before the first record. */
  nextSweepMs = Number.POSITIVE_INFINITY;
  readonly #keyTtlMs: number;
  #tracker: PageTracker | null = null;

  constructor(stateId: string, keyTtlMs: number) {
    invariant(keyTtlMs > 0, 'keyTtl must be positive');
    this.stateId = stateId;
    this.#keyTtlMs = keyTtlMs;
  }

  open(state: StateRegistry): void {
    this.#tracker = state.register(this);
  }

  /**
   * Sets the first time, from the first record there is and above the watermark: one that was due already would come after
   * the batch, wherever that ends.
   */
  begin(timestampMs: number, watermarkMs: number): void {
    if (this.nextSweepMs !== Number.POSITIVE_INFINITY) return;
    this.#set(this.#multipleAbove(Math.max(timestampMs, watermarkMs)));
  }

  nextBoundaryMs(watermarkMs: number): number {
    return this.#multipleAbove(watermarkMs);
  }

  /** The sweep of this time was done. */
  swept(timeMs: number, watermarkMs: number): void {
    this.#set(this.#multipleAbove(Math.max(timeMs, watermarkMs)));
  }

  writePage(_page: number, out: ByteWriter): void {
    if (this.nextSweepMs !== Number.POSITIVE_INFINITY) out.f64(this.nextSweepMs);
  }

  readPage(_page: number, input: ByteReader): void {
    this.nextSweepMs = input.f64();
  }

  /** The earliest of those whose keys come here. */
  adoptPage({ input }: AdoptedPage): void {
    this.#set(Math.min(this.nextSweepMs, input.f64()));
  }

  #set(nextSweepMs: number): void {
    invariant(this.#tracker !== null, `state '${this.stateId}' is used before open`);
    this.#tracker.touch(0);
    this.nextSweepMs = nextSweepMs;
  }

  #multipleAbove(timeMs: number): number {
    return (Math.floor(timeMs / this.#keyTtlMs) + 1) * this.#keyTtlMs;
  }
}
