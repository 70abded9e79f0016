// Owns how a data set gets into a log without Kafka, and how its topics are read again: through the log port, whatever
// stands behind it. Where each record came to lie is asked of the log before and checked after every write.

import type { LogClient, LogWriter, StagedBatch } from '#runtime/log/contract.ts';
import { RecordBatchBuilder, RecordWalker } from '#runtime/log/record-batch.ts';
import type { OutputRecord } from './comparison.ts';
import type { DataRecord } from './data-set.ts';
import type { InputRecord } from './rollup-oracle.ts';

/** A transaction needs a place for its entry; nobody reads this one. */
const ENTRY_TOPIC = 'feed-entries';

export class LogFeed {
  readonly topic: string;
  readonly #client: LogClient;
  readonly #writer: LogWriter;
  readonly #partitionCount: number;

  private constructor(client: LogClient, topic: string, partitionCount: number) {
    this.#client = client;
    this.topic = topic;
    this.#partitionCount = partitionCount;
    this.#writer = client.writer(`feed-${topic}`);
  }

  /** Creates the topic if it is not there. */
  static async open(client: LogClient, topic: string, partitionCount: number): Promise<LogFeed> {
    const config = { 'retention.ms': '-1' };
    await client.admin.createTopics([
      { topic, partitionCount, config },
      { topic: ENTRY_TOPIC, partitionCount: 1, config },
    ]);
    const feed = new LogFeed(client, topic, partitionCount);
    await feed.#writer.fence();
    return feed;
  }

  /** Writes all records in one transaction. */
  async write(records: readonly DataRecord[]): Promise<InputRecord[]> {
    const next = await this.#ends();
    const placed = records.map(({ partition, key, value }) => {
      return { topic: this.topic, partition, offset: next[partition]++, key, value };
    });
    const [end] = await this.#client.admin.listOffsets([{ topic: ENTRY_TOPIC, partition: 0, at: 'high-watermark' }]);
    const entry = new RecordBatchBuilder(ENTRY_TOPIC, 0);
    entry.append(0, null, 0, 0, Buffer.from('x'), 0, 1);
    await this.#writer.transact({
      batches: staged(this.topic, records),
      entry: entry.finish(),
      expectedEntryOffset: end,
    });
    const ends = await this.#ends();
    for (const [partition, offset] of next.entries()) {
      if (ends[partition] < offset)
        throw new Error(`${this.topic}-${partition} ends at ${ends[partition]}, not ${offset}`);
    }
    return placed;
  }

  close(): Promise<void> {
    return this.#writer.close();
  }

  async #ends(): Promise<number[]> {
    const partitions = Array.from({ length: this.#partitionCount }, (_, partition) => partition);
    const queries = partitions.map((partition) => ({ topic: this.topic, partition, at: 'high-watermark' as const }));
    return (await this.#client.admin.listOffsets(queries)).map(Number);
  }
}

function staged(topic: string, records: readonly DataRecord[]): StagedBatch[] {
  const builders = new Map<number, RecordBatchBuilder>();
  for (const { partition, key, value, headers, timestampMs } of records) {
    const builder = builders.get(partition) ?? new RecordBatchBuilder(topic, partition);
    builders.set(partition, builder);
    const named = headers.map(([name, bytes]) => ({ key: name, value: bytes }));
    builder.append(timestampMs, key, 0, key?.length ?? 0, value, 0, value?.length ?? 0, named);
  }
  return [...builders.values()].map((builder) => builder.finish());
}

/** Everything committed in a topic, each partition in order. */
export async function readTopic(client: LogClient, topic: string): Promise<OutputRecord[]> {
  const [description] = await client.admin.describeTopics([topic]);
  if (description === null) throw new Error(`there is no topic ${topic}`);
  const records: OutputRecord[] = [];
  const reader = client.reader();
  try {
    for (let partition = 0; partition < description.partitionCount; partition++) {
      const [start, end] = await client.admin.listOffsets([
        { topic, partition, at: 'earliest' },
        { topic, partition, at: 'last-stable' },
      ]);
      const open = reader.open({ topic, partition, topicId: description.topicId, offset: start });
      while (open.position < end) {
        const batch = open.poll();
        if (batch === null) {
          await open.ready();
          continue;
        }
        const walker = new RecordWalker();
        walker.reset(batch.bytes, batch.start, batch.end, batch.count);
        while (walker.next()) {
          const { keyStart, keyEnd, valueStart, valueEnd } = walker;
          const copy = (from: number, to: number) => (from < 0 ? null : Buffer.from(batch.bytes.subarray(from, to)));
          records.push({
            topic,
            partition,
            offset: Number(batch.baseOffset) + walker.offsetDelta,
            timestampMs: batch.baseTimestampMs + walker.timestampDelta,
            key: copy(keyStart, keyEnd),
            value: copy(valueStart, valueEnd),
            headers: new Map(walker.headers().map(({ key, value }) => [key, Buffer.from(value)])),
          });
        }
        batch.release();
      }
      open.close();
    }
  } finally {
    await reader.close();
  }
  return records;
}
