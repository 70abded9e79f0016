// Owns handing batches to several consumers, in order. Invariant: none of them can change what the next one sees.

import { frozen } from '#operators/records/frozen.ts';
import type { Batch, BatchConsumer } from '#runtime/task/contract.ts';

export class EachConsumer implements BatchConsumer {
  readonly #consumers: readonly BatchConsumer[];

  constructor(consumers: readonly BatchConsumer[]) {
    this.#consumers = consumers;
  }

  process(batch: Batch): void {
    const { count, records } = batch;
    if (records !== null) for (let i = 0; i < count; i++) frozen(records[i]);
    for (let i = 0; i < this.#consumers.length; i++) this.#consumers[i].process(batch);
  }
}
