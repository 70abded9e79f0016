// Owns one value per key slot, for small keyed state of any shape: get, set, delete, change in place. Pages hold 256
// slots. The codec's bytes must follow from the value alone.

import type { PagedState, PageTracker, StateRegistry, ValueCodec, ValueStore } from '#checkpoint/contract.ts';
import type { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant } from '#runtime/std/errors.ts';

const SHIFT = 8;
const SLOTS_PER_PAGE = 1 << SHIFT;

/** The values of one page by slot within it. */
class ValuePage<V> {
  readonly values: (V | undefined)[] = new Array<V | undefined>(SLOTS_PER_PAGE).fill(undefined);
  count = 0;
  epoch = 0;
}

export class KeyedValues<V extends NonNullable<unknown> | null> implements PagedState, ValueStore<V> {
  readonly stateId: string;
  readonly #codec: ValueCodec<V>;
  readonly #pages: (ValuePage<V> | undefined)[] = [];
  #tracker: PageTracker | null = null;
  #size = 0;

  constructor(stateId: string, codec: ValueCodec<V>) {
    this.stateId = stateId;
    this.#codec = codec;
  }

  get schemaVersion(): number {
    return this.#codec.schemaVersion;
  }

  open(registry: StateRegistry): void {
    this.#tracker = registry.register(this);
  }

  /** Number of keys that have a value. */
  get size(): number {
    return this.#size;
  }

  /** The value, to be read only; undefined when the key has none. */
  get(slot: number): V | undefined {
    return this.#pages[slot >> SHIFT]?.values[slot & (SLOTS_PER_PAGE - 1)];
  }

  has(slot: number): boolean {
    return this.get(slot) !== undefined;
  }

  /** The value, to be changed in place before the next call on this state. */
  change(slot: number): V | undefined {
    const value = this.get(slot);
    if (value !== undefined) this.#touch(slot >> SHIFT);
    return value;
  }

  set(slot: number, value: V): void {
    const page = this.#touch(slot >> SHIFT);
    const place = slot & (SLOTS_PER_PAGE - 1);
    if (page.values[place] === undefined) {
      page.count++;
      this.#size++;
    }
    page.values[place] = value;
  }

  /** True when the key had a value. */
  delete(slot: number): boolean {
    if (!this.has(slot)) return false;
    const page = this.#touch(slot >> SHIFT);
    page.values[slot & (SLOTS_PER_PAGE - 1)] = undefined;
    page.count--;
    this.#size--;
    return true;
  }

  /** Slots that have a value, ascending. */
  *slots(): IterableIterator<number> {
    for (let number = 0; number < this.#pages.length; number++) {
      const page = this.#pages[number];
      if (page === undefined || page.count === 0) continue;
      for (let place = 0; place < SLOTS_PER_PAGE; place++) {
        if (page.values[place] !== undefined) yield (number << SHIFT) + place;
      }
    }
  }

  /** Body: uvarint number of values; for each, ascending, u8 slot within the page and the codec's bytes. */
  writePage(number: number, out: ByteWriter): void {
    const page = this.#pages[number];
    if (page === undefined || page.count === 0) return;
    out.uvarint(page.count);
    for (let place = 0; place < SLOTS_PER_PAGE; place++) {
      const value = page.values[place];
      if (value === undefined) continue;
      out.u8(place);
      this.#codec.write(value, out);
    }
  }

  readPage(number: number, input: ByteReader): void {
    const page = new ValuePage<V>();
    page.count = input.uvarint();
    for (let i = 0; i < page.count; i++) {
      const place = input.u8();
      page.values[place] = this.#codec.read(input);
    }
    this.#pages[number] = page;
    this.#size += page.count;
  }

  #touch(number: number): ValuePage<V> {
    const tracker = this.#tracker;
    invariant(tracker !== null, `state '${this.stateId}' is opened before it is used`);
    const page = (this.#pages[number] ??= new ValuePage<V>());
    if (page.epoch !== tracker.epoch) {
      tracker.touch(number);
      page.epoch = tracker.epoch;
    }
    return page;
  }
}
