// Owns the exact answer to "the first record at or after a time". Kafka's own answer counts the markers of transactions
// and aborted records, whose times are those of the brokers' clocks; so it is only where the search begins. It is never
// too late.

import type { TopicPartition } from '#runtime/log/contract.ts';
import type { Cluster } from '#runtime/log/kafka/cluster.ts';
import { KafkaReader, type ReaderOptions } from '#runtime/log/kafka/reader.ts';
import { RecordWalker } from '#runtime/log/record-batch.ts';

/** Offset of the first visible record from `from` on whose timestamp is at or after `timestampMs`, else `end`. */
export async function firstVisibleSince(
  cluster: Cluster,
  options: ReaderOptions,
  at: TopicPartition & { readonly topicId: string },
  timestampMs: number,
  from: bigint,
  end: bigint,
): Promise<bigint> {
  const { topic, partition, topicId } = at;
  const log = new KafkaReader(cluster, options, () => {});
  const reader = log.open({ topic, partition, topicId, offset: from });
  const walker = new RecordWalker();
  try {
    for (;;) {
      const batch = reader.poll();
      if (batch === null) {
        if (reader.position >= end) return end;
        // What is not decided yet may be young enough.
        const { lastStable, fetches } = reader.status();
        if (fetches > 0 && lastStable < end && reader.position >= lastStable) return lastStable;
        await reader.ready();
        continue;
      }
      walker.reset(batch.bytes, batch.start, batch.end, batch.count);
      let found = -1n;
      while (found < 0n && walker.next()) {
        if (walker.offsetDelta < batch.skipBelowDelta) continue;
        if (batch.baseTimestampMs + walker.timestampDelta < timestampMs) continue;
        found = batch.baseOffset + BigInt(walker.offsetDelta);
      }
      batch.release();
      if (found >= 0n) return found;
    }
  } finally {
    await log.close();
  }
}
