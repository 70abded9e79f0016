// Owns what one task sees of a registry, entry by entry: which ids were missing is noted, because it decides output, and
// given again in replay. Waits for nobody. Invariant: replay sees a schema as missing exactly where the entry did.

import type { SchemaAnswer, SchemaLookup } from '#operators/formats/schema-lookup.ts';
import { StreamError } from '#runtime/std/errors.ts';

export class EntrySchemas implements SchemaLookup {
  readonly #registry: SchemaLookup;
  readonly #misses = new Set<number>();
  /** Of the entry that is replayed; null while running live. */
  #recorded: ReadonlySet<number> | null = null;

  constructor(registry: SchemaLookup) {
    this.#registry = registry;
  }

  /** Begins an entry; `recorded` are its misses when it is replayed, null when it is new. */
  begin(recorded: readonly number[] | null): void {
    this.#recorded = recorded === null ? null : new Set(recorded);
    this.#misses.clear();
  }

  /** Ids found missing in this entry, ascending: what the entry records. */
  get misses(): number[] {
    return [...this.#misses].sort((a, b) => a - b);
  }

  /** Error replay-diverged: a schema that was there when the entry was written is gone. */
  get(id: number): SchemaAnswer {
    if (this.#recorded?.has(id) || this.#misses.has(id)) return 'missing';
    const answer = this.#registry.get(id);
    if (answer !== 'missing') return answer;
    if (this.#recorded !== null) {
      throw new StreamError(
        'replay-diverged',
        `schema ${id} was in the registry when records were processed with it, and is not there any more`,
        'bring the schema back under its id, or restore a checkpoint behind these records',
      );
    }
    this.#misses.add(id);
    return 'missing';
  }
}
