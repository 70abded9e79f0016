// Owns the late output: one JSON sample per late record, with headers that say where it came from. Keeps nothing.

import { writeSample } from '#operators/formats/json-sample.ts';
import { Untimed } from '#operators/records/untimed.ts';
import type { RecordHeader } from '#runtime/log/record-batch.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant } from '#runtime/std/errors.ts';
import { partitionOf } from '#runtime/std/murmur2.ts';
import type { Batch, KeyTable, Operator, OperatorContext } from '#runtime/task/contract.ts';

export interface LateSinkOptions {
  readonly id: string;
  readonly sinkIndex: number;
  readonly topic: string;
  readonly keys: KeyTable;
}

export class LateSink extends Untimed implements Operator {
  readonly id: string;
  readonly #options: LateSinkOptions;
  readonly #out = new ByteWriter(1024);
  #context: OperatorContext | null = null;
  #partitionCount = 0;

  constructor(options: LateSinkOptions) {
    super();
    this.id = options.id;
    this.#options = options;
  }

  open(context: OperatorContext): void {
    this.#context = context;
    this.#partitionCount = context.partitionCount(this.#options.topic);
  }

  process(batch: Batch): void {
    invariant(batch.stats === null && this.#context !== null, `sink '${this.id}' takes samples`);
    const { sinkIndex, topic, keys } = this.#options;
    const sourceTopic = Buffer.from(batch.originTopic);
    const out = this.#out;
    for (let i = 0; i < batch.count; i++) {
      const slot = batch.key[i];
      const timestampMs = batch.timestampMs[i];
      out.clear();
      writeSample(out, keys.jsonBytes(slot), timestampMs, batch.value, i);
      const headers: RecordHeader[] = [
        { key: 'source-topic', value: sourceTopic },
        { key: 'source-partition', value: Buffer.from(String(batch.originPartition[i])) },
        { key: 'source-offset', value: Buffer.from(String(batch.originOffset[i])) },
      ];
      this.#context.output.append(
        sinkIndex,
        topic,
        partitionOf(keys.hash(slot), this.#partitionCount),
        // Kafka takes no record timestamp before 1970.
        Math.max(0, timestampMs),
        keys.canonicalBytes(slot),
        out.bytes,
        0,
        out.length,
        headers,
        headers.length,
      );
    }
  }
}
