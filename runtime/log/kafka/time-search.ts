// Owns the exact answer to "the first record at or after a time". Kafka's own answer counts the markers of transactions
// and aborted records, whose times are those of the brokers' clocks; so it is only where the search begins. It is never
// too late.

import type { OffsetQuery, PartitionReader } from '#runtime/log/contract.ts';
import type { Cluster } from '#runtime/log/kafka/cluster.ts';
import { listOffsets } from '#runtime/log/kafka/offsets.ts';
import { KafkaReader, type ReaderOptions } from '#runtime/log/kafka/reader.ts';
import { RecordWalker } from '#runtime/log/record-batch.ts';

/** Replaces Kafka's answers to the queries by time; `offsets` are its answers in the order of the queries. */
export async function searchTimes(
  cluster: Cluster,
  options: ReaderOptions,
  queries: readonly OffsetQuery[],
  offsets: bigint[],
): Promise<void> {
  const timed = queries.map((_, index) => index).filter((index) => typeof queries[index].at === 'object');
  if (timed.length === 0) return;
  const places = timed.map((index) => ({ topic: queries[index].topic, partition: queries[index].partition }));
  const stables = await listOffsets(
    cluster,
    places.map((place) => ({ ...place, at: 'last-stable' })),
  );
  const highs = await listOffsets(
    cluster,
    places.map((place) => ({ ...place, at: 'high-watermark' })),
  );
  const log = new KafkaReader(cluster, options, () => {});
  try {
    const search = async (index: number, i: number) => {
      const { topic, partition, at } = queries[index];
      const from = offsets[index];
      const known = cluster.known(topic);
      if (from < 0n || known === undefined || typeof at !== 'object') offsets[index] = highs[i];
      else if (from < stables[i]) {
        const reader = log.open({ topic, partition, topicId: known.topicId, offset: from });
        // Between the last stable offset and the high watermark nothing is decided yet.
        offsets[index] = await firstSince(reader, at.timestampMs, stables[i]);
        reader.close();
      }
    };
    await Promise.all(timed.map(search));
  } finally {
    await log.close();
  }
}

/** Offset of the first visible record below `end` whose timestamp is at or after `timestampMs`, else `end`. */
async function firstSince(reader: PartitionReader, timestampMs: number, end: bigint): Promise<bigint> {
  const walker = new RecordWalker();
  while (reader.position < end) {
    const batch = reader.poll();
    if (batch === null) {
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
  return end;
}
