// Owns the memory that keyed state of all tasks of a slot may take, and who has to give how much when it is not enough.
// Bytes are estimates (page-swap.ts). It moves nothing itself. Invariant: when too much is taken, somebody takes more
// than his share.

import { invariant } from '#runtime/std/errors.ts';

/** Down to here, so that not every entry has to make room. */
const AIM = 0.9;

/** One task's part. */
export interface MemoryUser {
  readonly memoryBytes: number;
}

export class StateMemory {
  #bytesMax: number;
  readonly #users = new Set<MemoryUser>();

  constructor(bytesMax: number) {
    invariant(bytesMax > 0, `state cannot live in ${bytesMax} bytes`);
    this.#bytesMax = bytesMax;
  }

  get bytesMax(): number {
    return this.#bytesMax;
  }

  /** Who has too much now gives it up when he is asked the next time. */
  resize(bytesMax: number): void {
    invariant(bytesMax > 0, `state cannot live in ${bytesMax} bytes`);
    this.#bytesMax = bytesMax;
  }

  join(user: MemoryUser): void {
    this.#users.add(user);
  }

  leave(user: MemoryUser): void {
    this.#users.delete(user);
  }

  get usedBytes(): number {
    let sum = 0;
    for (const user of this.#users) sum += user.memoryBytes;
    return sum;
  }

  /** Bytes this user has to give up now. Who takes less than his share never has to. */
  excessBytes(user: MemoryUser): number {
    const used = this.usedBytes;
    if (used <= this.bytesMax) return 0;
    const share = this.bytesMax / this.#users.size;
    const over = user.memoryBytes - share;
    return over <= 0 ? 0 : Math.min(used - AIM * this.bytesMax, user.memoryBytes - AIM * share);
  }
}
