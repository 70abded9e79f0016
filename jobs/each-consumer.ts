// Owns handing batches to several consumers, in order.

import type { Batch, BatchConsumer } from '#runtime/task/contract.ts';

export class EachConsumer implements BatchConsumer {
  readonly #consumers: readonly BatchConsumer[];

  constructor(consumers: readonly BatchConsumer[]) {
    this.#consumers = consumers;
  }

  process(batch: Batch): void {
    for (let i = 0; i < this.#consumers.length; i++) this.#consumers[i].process(batch);
  }
}
