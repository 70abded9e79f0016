// Owns one value per key slot, for keyed state of any shape: get, set, delete, change in place. When the
// task can swap, its pages leave memory between entries and come back when they are missed. The codec's bytes must follow
// from the value alone.

import {
  type AdoptedPage,
  type MovedKeys,
  type PagedState,
  type PageTracker,
  readerOf,
  type StateRegistry,
  type ValueCodec,
  type ValueStore,
} from '#checkpoint/contract.ts';
import type { SwappedState, SwapSpace } from '#checkpoint/page-swap.ts';
import type { RecentPage } from '#checkpoint/recency.ts';
import { countOf, PAGE_SHIFT, presenceOf, readAt, SLOTS_PER_PAGE, ValuePage } from '#checkpoint/value-page.ts';
import { type ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';

const PLACE_MASK = SLOTS_PER_PAGE - 1;

export class KeyedValues<V extends NonNullable<unknown> | null> implements PagedState, ValueStore<V>, SwappedState {
  readonly stateId: string;
  readonly inAnyOrder = true;
  readonly #codec: ValueCodec<V>;
  /** Pages in memory, by number. */
  readonly #pages: (ValuePage<V> | undefined)[] = [];
  readonly #scratch = new ByteWriter();
  #tracker: PageTracker | null = null;
  #space: SwapSpace | null = null;
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
    this.#space = registry.swap?.attach(this) ?? null;
  }

  /** Number of keys that have a value. */
  get size(): number {
    return this.#size;
  }

  /** The value, to be read only; undefined when the key has none. */
  get(slot: number): V | undefined {
    return this.#page(slot >> PAGE_SHIFT)?.get(slot & PLACE_MASK, this.#codec);
  }

  has(slot: number): boolean {
    return this.#page(slot >> PAGE_SHIFT)?.has(slot & PLACE_MASK) ?? false;
  }

  /** The value, to be changed in place before the next call on this state. */
  change(slot: number): V | undefined {
    const page = this.#page(slot >> PAGE_SHIFT);
    const value = page?.get(slot & PLACE_MASK, this.#codec);
    if (page === null || value === undefined) return undefined;
    this.#touch(page);
    page.change();
    return value;
  }

  set(slot: number, value: V): void {
    const number = slot >> PAGE_SHIFT;
    const owned = this.#codec.own === undefined ? value : this.#codec.own(value);
    const page = this.#page(number) ?? this.#begin(number);
    this.#touch(page);
    if (page.set(slot & PLACE_MASK, owned)) this.#size++;
  }

  /** True when the key had a value. */
  delete(slot: number): boolean {
    const page = this.#page(slot >> PAGE_SHIFT);
    const place = slot & PLACE_MASK;
    if (page === null || !page.has(place)) return false;
    this.#touch(page);
    page.delete(place);
    this.#size--;
    if (page.count === 0 && this.#space === null) this.#pages[page.number] = undefined;
    return true;
  }

  /** Slots that have a value, ascending. Leaves pages where they are. */
  *slots(): IterableIterator<number> {
    const end = Math.max(this.#pages.length, this.#space?.end ?? 0);
    for (let number = 0; number < end; number++) {
      const mask = this.#pages[number]?.presence() ?? this.#missing(number, presenceOf, 0);
      if (mask === 0) continue;
      for (let place = 0; place < SLOTS_PER_PAGE; place++) {
        if (((mask >>> place) & 1) === 1) yield (number << PAGE_SHIFT) + place;
      }
    }
  }

  /** Slots and their values, to be read only, ascending by slot. Leaves pages where they are. */
  *entries(): IterableIterator<readonly [slot: number, value: V]> {
    const end = Math.max(this.#pages.length, this.#space?.end ?? 0);
    for (let number = 0; number < end; number++) {
      const raw = this.#pages[number] === undefined ? this.#missing(number, (bytes) => bytes, null) : null;
      for (let place = 0; place < SLOTS_PER_PAGE; place++) {
        const value = raw === null ? this.#pages[number]?.peek(place, this.#codec) : readAt(raw, place, this.#codec);
        if (value !== undefined) yield [(number << PAGE_SHIFT) + place, value];
      }
    }
  }

  writePage(number: number, out: ByteWriter): void {
    const page = this.#pages[number];
    if (page !== undefined) this.#write(page, out);
    else this.#missing(number, (bytes) => out.raw(bytes), undefined);
  }

  readPage(number: number, input: ByteReader): void {
    const bytes = input.raw(input.end - input.at);
    const space = this.#space;
    this.#size += countOf(bytes);
    if (space?.full) {
      space.hold(number, bytes);
      return;
    }
    const copy = Buffer.allocUnsafeSlow(bytes.length);
    bytes.copy(copy);
    const page = this.#keep(new ValuePage<V>(number, space, copy));
    page.unsaved = true;
  }

  readsSchema(version: number): boolean {
    return (this.#codec.readOlder?.(version) ?? null) !== null;
  }

  readOlderPage(number: number, input: ByteReader, version: number): void {
    const read = this.#codec.readOlder?.(version) ?? null;
    invariant(read !== null, `state '${this.stateId}' cannot read schema ${version}`);
    for (let left = input.u8(); left > 0; left--) {
      const slot = (number << PAGE_SHIFT) + input.u8();
      const end = input.uvarint() + input.at;
      const value = this.#naming(() => read(input));
      invariant(input.at === end, `a migration of state '${this.stateId}' read ${input.at - end} bytes too many`);
      this.set(slot, value);
    }
  }

  adoptPage({ page, input, version }: AdoptedPage, keys: MovedKeys): void {
    const read = readerOf(this.#codec, version);
    invariant(read !== null, `state '${this.stateId}' cannot read schema ${version}`);
    for (let left = input.u8(); left > 0; left--) {
      const slot = keys.slotOf((page << PAGE_SHIFT) + input.u8());
      const size = input.uvarint();
      const end = input.at + size;
      if (slot < 0) input.raw(size);
      else
        this.set(
          slot,
          this.#naming(() => read(input)),
        );
      invariant(input.at === end, `a codec of state '${this.stateId}' did not read the value that it wrote`);
    }
  }

  measurePage(page: RecentPage): void {
    this.#scratch.clear();
    const found = this.#pages[page.number];
    if (found !== undefined) this.#write(found, this.#scratch);
  }

  dropPage(number: number): void {
    this.#pages[number] = undefined;
  }

  /** A value that was changed in place into something that its codec refuses is found only here. */
  #write(page: ValuePage<V>, out: ByteWriter): void {
    this.#naming(() => page.write(out, this.#codec));
  }

  #naming<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      throw new StreamError(error.code, `state '${this.stateId}': ${error.message}`, error.remedy, { cause: error });
    }
  }

  /** The page in memory, null when there is none anywhere. */
  #page(number: number): ValuePage<V> | null {
    const page = this.#pages[number];
    const space = this.#space;
    if (space === null) return page ?? null;
    if (page === undefined) return this.#load(number, space);
    space.hits++;
    if (page.usedAt !== space.tick) space.use(page);
    return page;
  }

  #load(number: number, space: SwapSpace): ValuePage<V> | null {
    if (!space.has(number)) return null;
    space.misses++;
    return this.#keep(new ValuePage<V>(number, space, space.read(number)));
  }

  /** What `use` makes of the bytes of a page that is not in memory. */
  #missing<T>(number: number, use: (bytes: Buffer) => T, none: T): T {
    return this.#space?.has(number) ? use(this.#space.read(number)) : none;
  }

  #begin(number: number): ValuePage<V> {
    return this.#keep(new ValuePage<V>(number, this.#space, null));
  }

  #keep(page: ValuePage<V>): ValuePage<V> {
    // An array that grows by the end stays an array.
    while (this.#pages.length <= page.number) this.#pages.push(undefined);
    this.#pages[page.number] = page;
    this.#space?.admit(page);
    return page;
  }

  #touch(page: ValuePage<V>): void {
    const tracker = this.#tracker;
    invariant(tracker !== null, `state '${this.stateId}' is opened before it is used`);
    if (page.epoch === tracker.epoch) return;
    tracker.touch(page.number);
    page.epoch = tracker.epoch;
  }
}
