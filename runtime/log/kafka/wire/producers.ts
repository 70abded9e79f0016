// Owns DescribeProducers v0: which producer ids have a transaction open in a partition. Asked of the partition's leader.

import type { TopicPartition } from '#runtime/log/contract.ts';
import type { WireReader, WireRequest, WireWriter } from '#runtime/log/kafka/wire/codec.ts';

export interface PartitionProducers extends TopicPartition {
  readonly error: number;
  /** Whether the producer that was asked about has a transaction open. */
  readonly isOpen: boolean;
}

export const API_DESCRIBE_PRODUCERS = 61;

export function describeProducersRequest(
  partitions: readonly TopicPartition[],
  producerId: bigint,
): WireRequest<PartitionProducers[]> {
  return {
    name: 'DescribeProducers',
    apiKey: API_DESCRIBE_PRODUCERS,
    version: 0,
    flexible: true,
    encode(out: WireWriter) {
      const byTopic = Map.groupBy(partitions, ({ topic }) => topic);
      out.compactCount(byTopic.size);
      for (const [topic, own] of byTopic) {
        out.compactText(topic);
        out.compactCount(own.length);
        for (const { partition } of own) out.i32(partition);
        out.tags();
      }
      out.tags();
    },
    decode(input: WireReader): PartitionProducers[] {
      input.i32();
      const found: PartitionProducers[] = [];
      for (let topics = input.compactCount(); topics > 0; topics--) {
        const topic = input.compactText() ?? '';
        for (let left = input.compactCount(); left > 0; left--) {
          const partition = input.i32();
          const error = input.i16();
          input.compactText();
          found.push({ topic, partition, error, isOpen: readProducers(input, producerId) });
          input.tags();
        }
        input.tags();
      }
      return found;
    },
  };
}

function readProducers(input: WireReader, producerId: bigint): boolean {
  let isOpen = false;
  for (let left = input.compactCount(); left > 0; left--) {
    const id = input.i64();
    input.i32();
    input.i32();
    input.i64();
    input.i32();
    const openedAt = input.i64();
    input.tags();
    if (id === producerId && openedAt >= 0n) isOpen = true;
  }
  return isOpen;
}
