// Owns gathering the records that an operator sends on into batches, with where they came from. Invariant: between
// batches nothing is held back.

import { Batch, type BatchConsumer } from '#runtime/task/contract.ts';

const ROWS_MAX = 1024;

export class RecordRows {
  readonly #consumers: readonly BatchConsumer[];
  readonly #batch = new Batch(ROWS_MAX);
  readonly #records: unknown[] = new Array<unknown>(ROWS_MAX).fill(null);
  #partition = -1;
  #offset = -1;

  constructor(consumers: readonly BatchConsumer[]) {
    this.#consumers = consumers;
    this.#batch.records = this.#records;
  }

  /** What follows comes from this row. */
  from(batch: Batch, index: number): void {
    this.#originate(batch.originTopic);
    this.#partition = batch.originPartition[index];
    this.#offset = batch.originOffset[index];
  }

  /** What follows comes from no record, and no topic: which came last no checkpoint knows. */
  fromTimer(): void {
    this.#originate('');
    this.#partition = -1;
    this.#offset = -1;
  }

  add(slot: number, timestampMs: number, record: unknown): void {
    const batch = this.#batch;
    if (batch.count === ROWS_MAX) this.flush();
    const at = batch.count++;
    batch.timestampMs[at] = timestampMs;
    batch.key[at] = slot;
    batch.originPartition[at] = this.#partition;
    batch.originOffset[at] = this.#offset;
    this.#records[at] = record;
    if (timestampMs > batch.maxTimestampMs) batch.maxTimestampMs = timestampMs;
  }

  #originate(topic: string): void {
    if (topic === this.#batch.originTopic) return;
    this.flush();
    this.#batch.originTopic = topic;
  }

  flush(): void {
    const batch = this.#batch;
    if (batch.count === 0) return;
    for (let i = 0; i < this.#consumers.length; i++) this.#consumers[i].process(batch);
    this.#records.fill(null, 0, batch.count);
    batch.clear();
  }
}

/** The view of a row of a stream of records. */
export function recordOf(batch: Batch, index: number): unknown {
  return batch.records?.[index];
}
