// Owns that a key in use is never forgotten: a series table that asks every operator of its stage before it frees a
// slot, whichever of the stage's keyBys began the sweep.

import { SeriesTable } from '#operators/series/series-table.ts';
import type { Operator } from '#runtime/task/contract.ts';

export class StageSeries extends SeriesTable {
  readonly #users: Operator[] = [];

  /** Says that the operator keeps slots of this table between batches. */
  usedBy(operator: Operator): void {
    this.#users.push(operator);
  }

  override evict(isUsed: (slot: number) => boolean): number {
    return super.evict((slot) => isUsed(slot) || this.#users.some((user) => user.usesKey(slot)));
  }
}
