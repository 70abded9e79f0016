// Owns what is held back until its time is final: rows by (event time, key slot), in buckets of one second, and the pages
// of that state. The event time of a rollup row is the last millisecond of its window. The newest of two rows of the same time and key stays. Knows no watermark. Invariant: pages depend on
// the rows that are held, not on how they came.

import type { AdoptedPage, MovedKeys, PagedState, PageTracker, StateRegistry } from '#checkpoint/contract.ts';
import { copyValue, readValue, writeValue } from '#operators/formats/special-values.ts';
import type { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant } from '#runtime/std/errors.ts';
import { type Batch, ROLLUP_VALUES } from '#runtime/task/contract.ts';

/** Event times from a multiple of this to the next share a bucket: they are final together. */
export const BUCKET_MS = 1_000;
const PAGE_SLOTS_SHIFT = 12;
const PAGES_PER_BUCKET = 2_048;
const ROWS_FIRST = 16;

export type HeldKind = 'samples' | 'rollups';

/** Rows side by side, as they came; `order` puts them by (time, slot) when they are read. */
export class HeldBucket {
  /** The bucket holds times in [endMs - BUCKET_MS, endMs). */
  readonly endMs: number;
  count = 0;
  timeMs = new Float64Array(ROWS_FIRST);
  key = new Int32Array(ROWS_FIRST);
  originPartition = new Int32Array(ROWS_FIRST);
  originOffset = new Float64Array(ROWS_FIRST);
  /** One of a sample, eight of a rollup row. */
  values: Float64Array;
  windowStartMs: Float64Array;
  run: Int32Array;
  revision: Int32Array;
  /** By page of the bucket: the epoch in which it was touched last. */
  readonly epochs: number[] = [];
  /** Places in the order of (time, slot), made when the first is taken. */
  order: Int32Array | null = null;
  /** How many of `order` were taken. */
  taken = 0;
  readonly #places = new Map<number, number>();
  readonly #width: number;

  constructor(endMs: number, width: number) {
    this.endMs = endMs;
    this.#width = width;
    const rollups = width > 1 ? ROWS_FIRST : 0;
    this.values = new Float64Array(ROWS_FIRST * width);
    this.windowStartMs = new Float64Array(rollups);
    this.run = new Int32Array(rollups);
    this.revision = new Int32Array(rollups);
  }

  /** Place of the row of a time and key; -1 when there is none. */
  find(timeMs: number, slot: number): number {
    return this.#places.get(this.#name(timeMs, slot)) ?? -1;
  }

  /** A new place for a time and key. */
  add(timeMs: number, slot: number): number {
    if (this.count === this.key.length) this.#grow();
    const place = this.count++;
    this.timeMs[place] = timeMs;
    this.key[place] = slot;
    this.#places.set(this.#name(timeMs, slot), place);
    return place;
  }

  /** Places by (time, slot), those already taken left out. */
  sorted(): Int32Array {
    if (this.order === null) {
      const { key, timeMs } = this;
      this.order = Int32Array.from({ length: this.count }, (_, place) => place);
      this.order.sort((a, b) => timeMs[a] - timeMs[b] || key[a] - key[b]);
    }
    return this.order.subarray(this.taken);
  }

  #name(timeMs: number, slot: number): number {
    return slot * BUCKET_MS + (this.endMs - 1 - timeMs);
  }

  #grow(): void {
    const capacity = this.key.length * 2;
    this.timeMs = widened(this.timeMs, new Float64Array(capacity));
    this.key = widened(this.key, new Int32Array(capacity));
    this.originPartition = widened(this.originPartition, new Int32Array(capacity));
    this.originOffset = widened(this.originOffset, new Float64Array(capacity));
    this.values = widened(this.values, new Float64Array(capacity * this.#width));
    if (this.#width === 1) return;
    this.windowStartMs = widened(this.windowStartMs, new Float64Array(capacity));
    this.run = widened(this.run, new Int32Array(capacity));
    this.revision = widened(this.revision, new Int32Array(capacity));
  }
}

function widened<T extends Float64Array | Int32Array>(column: T, next: T): T {
  next.set(column);
  return next;
}

/** What became of a row that was put in. */
export type Held = 'new' | 'newer' | 'older';

export class HeldRows implements PagedState {
  readonly stateId: string;
  readonly schemaVersion = 1;
  readonly kind: HeldKind;
  /** Earliest first; each holds at least one row. */
  readonly buckets: HeldBucket[] = [];
  /** Rows in all of them. */
  size = 0;
  readonly #width: number;
  /** By slot: how many rows mention it. */
  #mentions = new Int32Array(1_024);
  #tracker: PageTracker = { epoch: 0, touch: () => invariant(false, 'state is used before open') };

  constructor(stateId: string, kind: HeldKind) {
    this.stateId = stateId;
    this.kind = kind;
    this.#width = kind === 'rollups' ? ROLLUP_VALUES.length : 1;
  }

  open(state: StateRegistry): void {
    this.#tracker = state.register(this);
  }

  /** Holds row i of a batch, unless a newer one (by run, revision) of its time and key is held. */
  put(batch: Batch, i: number): Held {
    const { rollups } = batch;
    const timeMs = batch.timestampMs[i];
    const slot = batch.key[i];
    const bucket = this.#bucketAt(bucketEnd(timeMs));
    invariant(bucket.order === null, `a row comes to '${this.stateId}' behind its time`);
    const found = bucket.find(timeMs, slot);
    if (found >= 0 && rollups !== null) {
      const newer = rollups.run[i] - bucket.run[found] || rollups.revision[i] - bucket.revision[found];
      if (newer < 0) return 'older';
    }
    this.#touch(bucket, slot);
    const place = found >= 0 ? found : this.#add(bucket, timeMs, slot);
    bucket.originPartition[place] = batch.originPartition[i];
    bucket.originOffset[place] = batch.originOffset[i];
    if (rollups === null) copyValue(batch.value, i, bucket.values, place);
    else {
      const width = this.#width;
      for (let v = 0; v < width; v++) bucket.values[place * width + v] = rollups.values[i * width + v];
      bucket.windowStartMs[place] = rollups.windowStartMs[i];
      bucket.run[place] = rollups.run[i];
      bucket.revision[place] = rollups.revision[i];
    }
    return found >= 0 ? 'newer' : 'new';
  }

  /** Takes the row at a place of the first bucket, next in its order; the bucket goes with its last row. */
  take(place: number): void {
    const bucket = this.buckets[0];
    const slot = bucket.key[place];
    this.#touch(bucket, slot);
    this.#mentions[slot]--;
    this.size--;
    bucket.taken++;
    if (bucket.taken === bucket.count) this.buckets.shift();
  }

  usesKey(slot: number): boolean {
    return slot < this.#mentions.length && this.#mentions[slot] > 0;
  }

  writePage(page: number, out: ByteWriter): void {
    const bucket = this.#find(pageBucketEnd(page));
    if (bucket === null) return;
    const first = (page % PAGES_PER_BUCKET) << PAGE_SLOTS_SHIFT;
    const end = first + (1 << PAGE_SLOTS_SHIFT);
    // Rows may still come to the bucket: its order is made anew then.
    const { order } = bucket;
    for (const place of bucket.sorted()) {
      if (bucket.key[place] >= first && bucket.key[place] < end) this.#writeRow(bucket, place, out);
    }
    bucket.order = order;
  }

  readPage(page: number, input: ByteReader): void {
    const bucket = this.#bucketAt(pageBucketEnd(page));
    while (!input.done) {
      const timeMs = bucket.endMs - 1 - input.uvarint();
      this.#readRow(bucket, this.#add(bucket, timeMs, input.uvarint()), input);
    }
  }

  adoptPage({ page, input }: AdoptedPage, keys: MovedKeys): void {
    const endMs = pageBucketEnd(page);
    const passedOver = new HeldBucket(endMs, this.#width);
    while (!input.done) {
      const timeMs = endMs - 1 - input.uvarint();
      const slot = keys.slotOf(input.uvarint());
      if (slot < 0) {
        this.#readRow(passedOver, 0, input);
        continue;
      }
      const bucket = this.#bucketAt(endMs);
      this.#touch(bucket, slot);
      this.#readRow(bucket, this.#add(bucket, timeMs, slot), input);
    }
  }

  #readRow(bucket: HeldBucket, place: number, input: ByteReader): void {
    bucket.originPartition[place] = input.uvarint();
    bucket.originOffset[place] = input.uvarint();
    for (let v = 0; v < this.#width; v++) readValue(input, bucket.values, place * this.#width + v);
    if (this.#width === 1) return;
    bucket.windowStartMs[place] = bucket.timeMs[place] + 1 - input.uvarint();
    bucket.run[place] = input.uvarint();
    bucket.revision[place] = input.uvarint();
  }

  #writeRow(bucket: HeldBucket, place: number, out: ByteWriter): void {
    out.uvarint(bucket.endMs - 1 - bucket.timeMs[place]);
    out.uvarint(bucket.key[place]);
    out.uvarint(bucket.originPartition[place]);
    out.uvarint(bucket.originOffset[place]);
    for (let v = 0; v < this.#width; v++) writeValue(out, bucket.values, place * this.#width + v);
    if (this.#width === 1) return;
    out.uvarint(bucket.timeMs[place] + 1 - bucket.windowStartMs[place]);
    out.uvarint(bucket.run[place]);
    out.uvarint(bucket.revision[place]);
  }

  #add(bucket: HeldBucket, timeMs: number, slot: number): number {
    if (slot >= this.#mentions.length) {
      this.#mentions = widened(this.#mentions, new Int32Array(Math.max(slot + 1, this.#mentions.length * 2)));
    }
    this.#mentions[slot]++;
    this.size++;
    return bucket.add(timeMs, slot);
  }

  #touch(bucket: HeldBucket, slot: number): void {
    const page = slot >>> PAGE_SLOTS_SHIFT;
    invariant(page < PAGES_PER_BUCKET, `a task has more than ${PAGES_PER_BUCKET << PAGE_SLOTS_SHIFT} keys`);
    if (bucket.epochs[page] === this.#tracker.epoch) return;
    this.#tracker.touch(pageOf(bucket.endMs, page));
    bucket.epochs[page] = this.#tracker.epoch;
  }

  #find(endMs: number): HeldBucket | null {
    const bucket = this.buckets[this.#placeOf(endMs)];
    return bucket?.endMs === endMs ? bucket : null;
  }

  #bucketAt(endMs: number): HeldBucket {
    const at = this.#placeOf(endMs);
    if (this.buckets[at]?.endMs !== endMs) this.buckets.splice(at, 0, new HeldBucket(endMs, this.#width));
    return this.buckets[at];
  }

  /** Place of the first bucket that does not end before. */
  #placeOf(endMs: number): number {
    const { buckets } = this;
    let low = 0;
    let high = buckets.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (buckets[middle].endMs < endMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** End of the bucket that holds an event time. */
export function bucketEnd(timeMs: number): number {
  return (Math.floor(timeMs / BUCKET_MS) + 1) * BUCKET_MS;
}

// Pages are non-negative: bucket numbers are folded as in zigzag coding.
function pageOf(endMs: number, page: number): number {
  const number = endMs / BUCKET_MS;
  return (number >= 0 ? number * 2 : -number * 2 - 1) * PAGES_PER_BUCKET + page;
}

function pageBucketEnd(page: number): number {
  const folded = Math.floor(page / PAGES_PER_BUCKET);
  return (folded % 2 === 0 ? folded / 2 : -(folded + 1) / 2) * BUCKET_MS;
}
