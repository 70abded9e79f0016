// Owns the state handles of one operator: they speak of the key that is bound, keep values within their time to live,
// and free what has outlived it. Invariant: a value whose time to live is over at the watermark is never seen.

import type { ValueCodec, ValueStore } from '#checkpoint/contract.ts';
import type {
  AggregateFunction,
  AggregatingState,
  ListState,
  MapState,
  OwningCodec,
  StateDescriptor,
  StateHandle,
  TtlPlan,
  ValueState,
} from '#operators/process/contract.ts';
import { KeyedTimers } from '#operators/process/keyed-timers.ts';
import { invariant } from '#runtime/std/errors.ts';
import type { OperatorContext } from '#runtime/task/contract.ts';

/** Of the time to live, how exactly its end is looked for. */
const SWEEPS_PER_TTL = 8;

interface Cell<V> {
  value: V;
  /** Event time of the last update; 0 where nothing expires. */
  atMs: number;
}

/** Which key the handles speak of, and when it is. */
class Binding {
  slot = -1;
  timestampMs = 0;
}

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
        return new ValueHandle(cells(descriptor.codec), descriptor.codec);
      case 'list':
        return new ListHandle(cells(descriptor.codec), descriptor.element);
      case 'map':
        return new MapHandle(cells(descriptor.codec), descriptor.key, descriptor.value);
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
      else found[name] = descriptor.kind === 'map' ? new Map(value as Map<unknown, unknown>) : value;
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

class CellStore<V> {
  readonly #stateId: string;
  readonly #codec: ValueCodec<V>;
  readonly #ttl: TtlPlan | null;
  readonly #binding: Binding;
  readonly #expiry: KeyedTimers | null;
  #store: ValueStore<Cell<V>> | null = null;
  #context: OperatorContext | null = null;

  constructor(
    stateId: string,
    codec: ValueCodec<V>,
    ttl: TtlPlan | null,
    binding: Binding,
    expiry: KeyedTimers | null,
  ) {
    this.#stateId = stateId;
    this.#codec = codec;
    this.#ttl = ttl;
    this.#binding = binding;
    this.#expiry = expiry;
  }

  open(context: OperatorContext): void {
    this.#context = context;
    this.#store = context.values(this.#stateId, cellCodec(this.#codec, this.#ttl !== null));
  }

  has(slot: number): boolean {
    return this.#values.has(slot);
  }

  /** The value of any key; null when it has none that lives. */
  look(slot: number): V | null {
    return this.#living(slot)?.value ?? null;
  }

  /** The cell's value to be read, null when the key has none that lives. */
  read(): V | null {
    const cell = this.#living();
    if (cell === null) return null;
    if (this.#ttl?.update === 'read-and-write') this.#renew();
    return cell.value;
  }

  /** The cell's value to be changed in place; counts as a write. */
  change(): V | null {
    if (this.#living() === null) return null;
    const cell = this.#values.change(this.#binding.slot);
    if (cell === undefined) return null;
    if (this.#ttl !== null) cell.atMs = this.#nowMs();
    return cell.value;
  }

  write(value: V): void {
    const { slot } = this.#binding;
    const values = this.#values;
    const cell = values.change(slot);
    const atMs = this.#ttl === null ? 0 : this.#nowMs();
    if (cell === undefined) values.set(slot, { value, atMs });
    else {
      cell.value = value;
      cell.atMs = atMs;
    }
    if (this.#ttl !== null && this.#expiry?.has(slot) === false)
      this.#expiry.register(slot, this.#endMs(atMs, this.#ttl));
  }

  clear(): void {
    this.#values.delete(this.#binding.slot);
  }

  /** Removes the value of `slot` if its time is over at `timeMs`; when to look again otherwise, Infinity for never. */
  sweep(slot: number, timeMs: number): number {
    const cell = this.#ttl === null ? undefined : this.#values.get(slot);
    if (cell === undefined || this.#ttl === null) return Number.POSITIVE_INFINITY;
    if (cell.atMs + this.#ttl.ms > timeMs) return this.#endMs(cell.atMs, this.#ttl);
    this.#values.delete(slot);
    return Number.POSITIVE_INFINITY;
  }

  #renew(): void {
    const cell = this.#values.change(this.#binding.slot);
    if (cell !== undefined) cell.atMs = this.#nowMs();
  }

  #living(slot = this.#binding.slot): Cell<V> | null {
    const cell = this.#values.get(slot);
    if (cell === undefined) return null;
    return this.#ttl !== null && cell.atMs + this.#ttl.ms <= this.#watermarkMs() ? null : cell;
  }

  // Rounded up, so that a key that is written all the time is looked at seldom.
  #endMs(atMs: number, ttl: TtlPlan): number {
    const step = Math.max(1, Math.floor(ttl.ms / SWEEPS_PER_TTL));
    return Math.ceil((atMs + ttl.ms) / step) * step;
  }

  #nowMs(): number {
    return Math.max(this.#binding.timestampMs, this.#watermarkMs());
  }

  #watermarkMs(): number {
    return this.#context!.watermarkMs();
  }

  get #values(): ValueStore<Cell<V>> {
    invariant(this.#store !== null && this.#binding.slot >= -1, `state '${this.#stateId}' is used before open`);
    return this.#store;
  }
}

function cellCodec<V>(codec: ValueCodec<V>, expires: boolean): ValueCodec<Cell<V>> {
  // The layout of a cell may change apart from that of the value.
  const schemaVersion = codec.schemaVersion * 2 + (expires ? 1 : 0);
  return {
    schemaVersion,
    write(cell, out) {
      if (expires) out.f64(cell.atMs);
      codec.write(cell.value, out);
    },
    read(input) {
      const atMs = expires ? input.f64() : 0;
      return { value: codec.read(input), atMs };
    },
  };
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

class ListHandle implements ListState<unknown> {
  readonly #cells: CellStore<unknown[]>;
  readonly #element: OwningCodec<unknown>;

  constructor(cells: CellStore<unknown[]>, element: OwningCodec<unknown>) {
    this.#cells = cells;
    this.#element = element;
  }

  get(): readonly unknown[] {
    return this.#cells.read() ?? NOTHING;
  }

  add(value: unknown): void {
    const own = kept(value, this.#element);
    const list = this.#cells.change();
    if (list === null) this.#cells.write([own]);
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
    return this.#cells.read() ?? [];
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

function frozen<V>(value: V): V {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value) || ArrayBuffer.isView(value)) return value;
  Object.freeze(value);
  for (const inner of Object.values(value)) frozen(inner);
  return value;
}
