// Owns one value per key with its time to live: reading, changing and freeing it. Invariant: what is over at the
// watermark is never given.

import { readerOf, type ValueCodec, type ValueStore } from '#checkpoint/contract.ts';
import type { TtlPlan } from '#operators/process/contract.ts';
import type { KeyedTimers } from '#operators/process/keyed-timers.ts';
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
export class Binding {
  slot = -1;
  timestampMs = 0;
}

export class CellStore<V> {
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
    // When a value was written last cannot be told of one that did not expire.
    readOlder(older) {
      const read = older % 2 === schemaVersion % 2 ? readerOf(codec, Math.floor(older / 2)) : null;
      if (read === null || older === schemaVersion) return null;
      return (input) => {
        const atMs = expires ? input.f64() : 0;
        return { value: read(input), atMs };
      };
    },
  };
}
