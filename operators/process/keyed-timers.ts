// Owns the timers of an operator: per key a set of times, and the order (time, key slot) in which they are due. The sets
// are state; the order is rebuilt from them. Invariant: every time of a set is in the heap; what is in the heap and in
// no set was deleted and is skipped.

import type { ValueCodec, ValueStore } from '#checkpoint/contract.ts';
import { invariant } from '#runtime/std/errors.ts';
import type { OperatorContext } from '#runtime/task/contract.ts';

/** Ascending, each once. */
const TIMES: ValueCodec<number[]> = {
  schemaVersion: 1,
  write(times, out) {
    out.uvarint(times.length);
    let before = 0;
    for (const time of times) {
      out.varint(time - before);
      before = time;
    }
  },
  read(input) {
    const times = new Array<number>(input.uvarint());
    let before = 0;
    for (let i = 0; i < times.length; i++) {
      before += input.varint();
      times[i] = before;
    }
    return times;
  },
};

/** Times beyond this do not fit the encoding: 35,000 years. */
export const TIMER_MS_MAX = 2 ** 50;

export class KeyedTimers {
  readonly #stateId: string;
  #times: ValueStore<number[]> | null = null;
  #heapMs = new Float64Array(64);
  #heapSlot = new Int32Array(64);
  #heapSize = 0;
  #built = false;

  constructor(stateId: string) {
    this.#stateId = stateId;
  }

  open(context: OperatorContext): void {
    this.#times = context.values(this.#stateId, TIMES);
  }

  /** Registered times. */
  has(slot: number): boolean {
    return this.#store.has(slot);
  }

  /** Registered times of a key, ascending. */
  timesOf(slot: number): readonly number[] {
    return this.#store.get(slot) ?? [];
  }

  register(slot: number, timeMs: number): void {
    invariant(Number.isInteger(timeMs) && Math.abs(timeMs) <= TIMER_MS_MAX, `timer at ${timeMs}`);
    this.#build();
    const store = this.#store;
    const known = store.get(slot);
    if (known === undefined) store.set(slot, [timeMs]);
    else {
      const at = placeOf(known, timeMs);
      if (known[at] === timeMs) return;
      store.change(slot)!.splice(at, 0, timeMs);
    }
    this.#push(timeMs, slot);
  }

  delete(slot: number, timeMs: number): void {
    const store = this.#store;
    const known = store.get(slot);
    if (known === undefined) return;
    const at = placeOf(known, timeMs);
    if (known[at] !== timeMs) return;
    if (known.length === 1) store.delete(slot);
    else store.change(slot)!.splice(at, 1);
  }

  deleteAll(slot: number): void {
    this.#store.delete(slot);
  }

  /** The earliest time, Infinity when there is none. */
  nextMs(): number {
    this.#build();
    while (this.#heapSize > 0) {
      const times = this.#store.get(this.#heapSlot[0]);
      if (times !== undefined && times[placeOf(times, this.#heapMs[0])] === this.#heapMs[0]) return this.#heapMs[0];
      this.#pop();
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Removes the first timer of exactly `timeMs`; its key slot, -1 when there is none. */
  take(timeMs: number): number {
    if (this.nextMs() !== timeMs) return -1;
    const slot = this.#heapSlot[0];
    this.#pop();
    this.delete(slot, timeMs);
    return slot;
  }

  get #store(): ValueStore<number[]> {
    invariant(this.#times !== null, `timers '${this.#stateId}' are used before open`);
    return this.#times;
  }

  // After a restore, at the first use.
  #build(): void {
    if (this.#built) return;
    this.#built = true;
    for (const [slot, times] of this.#store.entries()) for (const time of times) this.#push(time, slot);
  }

  #push(timeMs: number, slot: number): void {
    if (this.#heapSize === this.#heapMs.length) this.#widen();
    let at = this.#heapSize++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(timeMs, slot, parent)) break;
      this.#heapMs[at] = this.#heapMs[parent];
      this.#heapSlot[at] = this.#heapSlot[parent];
      at = parent;
    }
    this.#heapMs[at] = timeMs;
    this.#heapSlot[at] = slot;
  }

  #pop(): void {
    const last = --this.#heapSize;
    const timeMs = this.#heapMs[last];
    const slot = this.#heapSlot[last];
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= last) break;
      if (child + 1 < last && this.#isBefore(this.#heapMs[child + 1], this.#heapSlot[child + 1], child)) child++;
      if (!(this.#heapMs[child] < timeMs || (this.#heapMs[child] === timeMs && this.#heapSlot[child] < slot))) break;
      this.#heapMs[at] = this.#heapMs[child];
      this.#heapSlot[at] = this.#heapSlot[child];
      at = child;
    }
    this.#heapMs[at] = timeMs;
    this.#heapSlot[at] = slot;
  }

  #isBefore(timeMs: number, slot: number, at: number): boolean {
    return timeMs < this.#heapMs[at] || (timeMs === this.#heapMs[at] && slot < this.#heapSlot[at]);
  }

  #widen(): void {
    const times = new Float64Array(this.#heapMs.length * 2);
    const slots = new Int32Array(this.#heapSlot.length * 2);
    times.set(this.#heapMs);
    slots.set(this.#heapSlot);
    this.#heapMs = times;
    this.#heapSlot = slots;
  }
}

/** Where `time` is in a sorted list, or would be. */
function placeOf(times: readonly number[], time: number): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}
