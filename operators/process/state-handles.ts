// Owns the state handles of one operator: they speak of the key that is bound, keep what its codec owns, and have
// freed what has outlived its time. Invariant: what is kept changes through its handle only.

import type { ValueCodec } from '#checkpoint/contract.ts';
import { Binding, CellStore } from '#operators/process/cell-store.ts';
import type {
  AggregateFunction,
  AggregatingState,
  ListState,
  MapState,
  OwningCodec,
  StateDescriptor,
  StateHandle,
  ValueState,
} from '#operators/process/contract.ts';
import { KeyedTimers } from '#operators/process/keyed-timers.ts';
import { frozen } from '#operators/records/frozen.ts';
import type { OperatorContext } from '#runtime/task/contract.ts';

export class StateHandles {
  readonly handles: Readonly<Record<string, StateHandle>>;
  readonly #id: string;
  readonly #binding = new Binding();
  readonly #cells: CellStore<unknown>[] = [];
  readonly #looks: (readonly [name: string, descriptor: StateDescriptor, cells: CellStore<unknown>])[] = [];
  readonly #expiry: KeyedTimers | null;

  constructor(id: string, states: ReadonlyMap<string, StateDescriptor>) {
    this.#id = id;
    const expires = [...states.values()].some(({ ttl }) => ttl !== null);
    this.#expiry = expires ? new KeyedTimers(`${id}/time-to-live`) : null;
    const handles: Record<string, StateHandle> = Object.create(null);
    for (const [name, descriptor] of states) handles[name] = this.#handle(name, descriptor);
    this.handles = Object.freeze(handles);
  }

  #handle(name: string, descriptor: StateDescriptor): StateHandle {
    const cells = <V>(codec: ValueCodec<V>): CellStore<V> => {
      const { ttl } = descriptor;
      const store = new CellStore<V>(`${this.#id}/${name}`, codec, ttl, this.#binding, this.#expiry);
      this.#cells.push(store as CellStore<unknown>);
      this.#looks.push([name, descriptor, store as CellStore<unknown>]);
      return store;
    };
    switch (descriptor.kind) {
      case 'value':
        return new ValueHandle(cells(freezing(descriptor.codec, frozen)), descriptor.codec);
      case 'list':
        return new ListHandle(cells(freezing(descriptor.codec, frozenEach)), descriptor.element);
      case 'map':
        return new MapHandle(cells(freezing(descriptor.codec, frozenEach)), descriptor.key, descriptor.value);
      case 'aggregating':
        return new AggregatingHandle(cells(descriptor.codec), descriptor.codec, descriptor.aggregate);
    }
  }

  open(context: OperatorContext): void {
    for (const cells of this.#cells) cells.open(context);
    this.#expiry?.open(context);
  }

  bind(slot: number, timestampMs: number): void {
    this.#binding.slot = slot;
    this.#binding.timestampMs = timestampMs;
  }

  usesKey(slot: number): boolean {
    return this.#cells.some((cells) => cells.has(slot)) || this.#expiry?.has(slot) === true;
  }

  /** What the key has, as its handles would give it; null when nothing. Changes nothing and renews no time to live. */
  look(slot: number): Record<string, unknown> | null {
    let found: Record<string, unknown> | null = null;
    for (const [name, descriptor, cells] of this.#looks) {
      const value = cells.look(slot);
      if (value === null) continue;
      found ??= {};
      if (descriptor.kind === 'aggregating') found[name] = descriptor.aggregate.result(value);
      else if (descriptor.kind === 'map') found[name] = new Map(value as Map<unknown, unknown>);
      else found[name] = descriptor.kind === 'list' ? [...(value as unknown[])] : value;
    }
    return found;
  }

  /** When something may have outlived its time, Infinity when nothing can. */
  nextSweepMs(): number {
    return this.#expiry === null ? Number.POSITIVE_INFINITY : this.#expiry.nextMs();
  }

  /** Frees what has outlived its time of the first key due at exactly `timeMs`; false when there is no such key. */
  sweepOne(timeMs: number): boolean {
    const expiry = this.#expiry;
    const slot = expiry === null ? -1 : expiry.take(timeMs);
    if (slot < 0) return false;
    let nextMs = Number.POSITIVE_INFINITY;
    for (const cells of this.#cells) nextMs = Math.min(nextMs, cells.sweep(slot, timeMs));
    if (nextMs < Number.POSITIVE_INFINITY) expiry?.register(slot, nextMs);
    return true;
  }
}

class ValueHandle implements ValueState<unknown> {
  readonly #cells: CellStore<unknown>;
  readonly #codec: OwningCodec<unknown>;

  constructor(cells: CellStore<unknown>, codec: OwningCodec<unknown>) {
    this.#cells = cells;
    this.#codec = codec;
  }

  get(): unknown {
    return this.#cells.read();
  }

  set(value: unknown): void {
    if (value === null || value === undefined) this.#cells.clear();
    else this.#cells.write(kept(value, this.#codec));
  }

  clear(): void {
    this.#cells.clear();
  }
}

const NOTHING: readonly unknown[] = Object.freeze([]);
const NOTHING_MAPPED: readonly (readonly [unknown, unknown])[] = Object.freeze([]);

class ListHandle implements ListState<unknown> {
  readonly #cells: CellStore<unknown[]>;
  readonly #element: OwningCodec<unknown>;

  constructor(cells: CellStore<unknown[]>, element: OwningCodec<unknown>) {
    this.#cells = cells;
    this.#element = element;
  }

  get(): readonly unknown[] {
    const list = this.#cells.read();
    // What was given out stays as it is: a change that no handle makes would be lost with the next restart.
    return list === null ? NOTHING : Object.freeze(list);
  }

  add(value: unknown): void {
    const own = kept(value, this.#element);
    const list = this.#cells.change();
    if (list === null) this.#cells.write([own]);
    else if (Object.isFrozen(list)) this.#cells.write([...list, own]);
    else list.push(own);
  }

  set(values: readonly unknown[]): void {
    if (values.length === 0) this.#cells.clear();
    else this.#cells.write(Array.from(values, (value) => kept(value, this.#element)));
  }

  clear(): void {
    this.#cells.clear();
  }
}

class MapHandle implements MapState<unknown, unknown> {
  readonly #cells: CellStore<Map<unknown, unknown>>;
  readonly #key: OwningCodec<unknown>;
  readonly #value: OwningCodec<unknown>;

  constructor(cells: CellStore<Map<unknown, unknown>>, key: OwningCodec<unknown>, value: OwningCodec<unknown>) {
    this.#cells = cells;
    this.#key = key;
    this.#value = value;
  }

  get size(): number {
    return this.#cells.read()?.size ?? 0;
  }

  get(key: unknown): unknown {
    return this.#cells.read()?.get(key) ?? null;
  }

  has(key: unknown): boolean {
    return this.#cells.read()?.has(key) === true;
  }

  set(key: unknown, value: unknown): void {
    const ownKey = kept(key, this.#key);
    const own = kept(value, this.#value);
    const map = this.#cells.change();
    if (map === null) this.#cells.write(new Map([[ownKey, own]]));
    else map.set(ownKey, own);
  }

  delete(key: unknown): boolean {
    if (!this.has(key)) return false;
    const map = this.#cells.change();
    map?.delete(key);
    if (map?.size === 0) this.#cells.clear();
    return true;
  }

  entries(): Iterable<readonly [unknown, unknown]> {
    const map = this.#cells.read();
    // As it is now, whatever happens to it while it is gone through.
    return map === null ? NOTHING_MAPPED : [...map];
  }

  clear(): void {
    this.#cells.clear();
  }
}

class AggregatingHandle implements AggregatingState<unknown, unknown> {
  readonly #cells: CellStore<unknown>;
  readonly #codec: OwningCodec<unknown>;
  readonly #aggregate: AggregateFunction<unknown, unknown, unknown>;

  constructor(
    cells: CellStore<unknown>,
    codec: OwningCodec<unknown>,
    aggregate: AggregateFunction<unknown, unknown, unknown>,
  ) {
    this.#cells = cells;
    this.#codec = codec;
    this.#aggregate = aggregate;
  }

  get(): unknown {
    const accumulator = this.#cells.read();
    return accumulator === null ? null : this.#aggregate.result(accumulator);
  }

  // Not frozen: `add` may change its accumulator in place, and nobody else sees it.
  add(value: unknown): void {
    const before = this.#cells.change() ?? this.#aggregate.create();
    this.#cells.write(this.#codec.own(this.#aggregate.add(before, value)));
  }

  clear(): void {
    this.#cells.clear();
  }
}

/** What is kept changes through its handle only, or a checkpoint would miss it. */
function kept<V>(value: V, codec: OwningCodec<V>): V {
  return frozen(codec.own(value));
}

/** What comes back from bytes is as frozen as what was just set. */
function freezing<V>(codec: ValueCodec<V>, freeze: (value: V) => void): ValueCodec<V> {
  return {
    schemaVersion: codec.schemaVersion,
    write: (value, out) => codec.write(value, out),
    read(input) {
      const value = codec.read(input);
      freeze(value);
      return value;
    },
    readOlder(schemaVersion) {
      const read = codec.readOlder?.(schemaVersion) ?? null;
      if (read === null) return null;
      return (input) => {
        const value = read(input);
        freeze(value);
        return value;
      };
    },
  };
}

function frozenEach(values: Iterable<unknown>): void {
  for (const value of values) frozen(value);
}
