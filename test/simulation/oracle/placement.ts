// Owns where a record belongs and who brought it: the partition of a key, the entry of a transaction.

import { partitionOfKey } from '#test/integration/oracle/placement.ts';
import type { CommittedEntry } from '#test/simulation/oracle/commit-chain.ts';

/** Partition of a key; each key is hashed once. */
export class Placement {
  readonly #hashed = new Map<string, number>();

  of(key: string, partitionCount: number): number {
    const name = `${partitionCount} ${key}`;
    let partition = this.#hashed.get(name);
    if (partition === undefined) {
      partition = partitionOfKey(Buffer.from(key), partitionCount);
      this.#hashed.set(name, partition);
    }
    return partition;
  }
}

/** Which entry of which task committed a transaction. */
export type EntryOf = ReadonlyMap<string, { readonly task: string; readonly number: number }>;

export function entriesByTransaction(chains: ReadonlyMap<string, readonly CommittedEntry[]>): EntryOf {
  const entries = new Map<string, { readonly task: string; readonly number: number }>();
  for (const [task, chain] of chains) {
    for (const { transaction, number } of chain) entries.set(transaction, { task, number });
  }
  return entries;
}
