// Owns keyBy(series) where no exchange is needed: keys are the series slots of the source. Marks them as seen, and
// evicts those that were not seen for keyTtl and that no operator of the stage mentions.

import type { SeriesTable } from '#operators/series/series-table.ts';
import { KeyExpiry } from '#operators/transforms/key-expiry.ts';
import { invariant } from '#runtime/std/errors.ts';
import type { Batch, BatchConsumer, Operator, OperatorContext } from '#runtime/task/contract.ts';

export interface KeyBySeriesOptions {
  readonly id: string;
  readonly table: SeriesTable;
  /** A key may be forgotten after it was not seen for two to three of these, in event time. */
  readonly keyTtlMs: number;
  /** Operators whose state and pending output may mention keys of `table`. */
  readonly users: readonly Operator[];
  readonly next: readonly BatchConsumer[];
}

export class KeyBySeries implements Operator {
  readonly id: string;
  readonly #table: SeriesTable;
  readonly #users: readonly Operator[];
  readonly #next: readonly BatchConsumer[];
  readonly #expiry: KeyExpiry;
  #context: OperatorContext | null = null;

  constructor(options: KeyBySeriesOptions) {
    this.id = options.id;
    this.#table = options.table;
    this.#users = options.users;
    this.#next = options.next;
    this.#expiry = new KeyExpiry(`${options.id}/expiry`, options.keyTtlMs);
  }

  open(context: OperatorContext): void {
    this.#context = context;
    this.#table.open(context.state);
    this.#expiry.open(context.state);
  }

  process(batch: Batch): void {
    if (batch.count === 0) return;
    this.#expiry.begin(batch.timestampMs[0], this.#context!.watermarkMs());
    this.#table.markSeen(batch.key, batch.count);
    for (let i = 0; i < this.#next.length; i++) this.#next[i].process(batch);
  }

  nextBoundaryMs(watermarkMs: number): number {
    return this.#expiry.nextBoundaryMs(watermarkMs);
  }

  nextTimerMs(): number {
    return this.#expiry.nextSweepMs;
  }

  /** Forgetting keys puts nothing out. */
  nextOutputMs(): number {
    return Number.POSITIVE_INFINITY;
  }

  fire(timeMs: number): boolean {
    invariant(this.#context !== null, `keyBy '${this.id}' fires before open`);
    const users = this.#users;
    const evicted = this.#table.evict((slot) => users.some((user) => user.usesKey(slot)));
    if (evicted > 0) this.#context.count('keys-evicted', evicted);
    this.#expiry.swept(timeMs, this.#context.watermarkMs());
    return true;
  }

  usesKey(): boolean {
    return false;
  }

  endEntry(): void {}

  wantsEntry(): boolean {
    return false;
  }
}
