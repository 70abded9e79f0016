// Owns which writers of an exchange have sent the marker of which savepoint, as the log has it. A writer holds behind its
// marker until the savepoint is over: when it goes on before all others have sent theirs, the savepoint came to nothing,
// and its markers count no longer. Follows from log order only, so a replay knows the same.

import type { Json } from '#checkpoint/contract.ts';
import type { ExchangeControl } from '#runtime/task/contract.ts';

/** A job has one savepoint under way: older ones came to nothing. */
const SAVEPOINTS_MAX = 4;

export class SavepointMarkers {
  readonly #writers: number;
  /** By id, who has sent the marker and nothing since; in the order in which the first marker came. */
  readonly #heard = new Map<string, Set<number>>();
  /** Ids that came to nothing, for whoever waits for them; no state. */
  #broken: string[] = [];

  constructor(writers: number) {
    this.#writers = writers;
  }

  /** A writer spoke. */
  hear({ writer, savepoint }: Pick<ExchangeControl, 'writer' | 'savepoint'>): void {
    if (this.#heard.size === 0 && savepoint === undefined) return;
    for (const [id, writers] of this.#heard) if (id !== savepoint && writers.has(writer)) this.#drop(id);
    if (savepoint === undefined) return;
    const writers = this.#heard.get(savepoint);
    if (writers !== undefined) writers.add(writer);
    else this.#heard.set(savepoint, new Set([writer]));
    if (this.#heard.size > SAVEPOINTS_MAX) this.#drop(this.#heard.keys().next().value as string);
  }

  /** Whether every writer has sent the marker, and nothing behind it was read. */
  isComplete(id: string): boolean {
    return this.#heard.get(id)?.size === this.#writers;
  }

  /** Whether it was seen in this attempt that the markers will never be complete. */
  isBroken(id: string): boolean {
    return this.#broken.includes(id);
  }

  get isEmpty(): boolean {
    return this.#heard.size === 0;
  }

  save(): Json {
    return Array.from(this.#heard, ([id, writers]) => [id, ...[...writers].sort((a, b) => a - b)]);
  }

  restore(saved: Json | undefined): void {
    for (const [id, ...writers] of (saved ?? []) as [string, ...number[]][]) this.#heard.set(id, new Set(writers));
  }

  #drop(id: string): void {
    this.#heard.delete(id);
    this.#broken = [...this.#broken, id].slice(-SAVEPOINTS_MAX);
  }
}
