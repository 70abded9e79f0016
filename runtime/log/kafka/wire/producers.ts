// Owns what is asked of a partition's leader about transactions there: DescribeProducers v0 (who has one open) and
// WriteTxnMarkers v1 (end one with a marker, which otherwise only coordinators do).

import type { TopicPartition } from '#runtime/log/contract.ts';
import {
  compactPartitions,
  type WireReader,
  type WireRequest,
  type WireWriter,
} from '#runtime/log/kafka/wire/codec.ts';

/** A transaction that is open in a partition. */
export interface OpenTransaction extends TopicPartition {
  readonly producerId: bigint;
  readonly epoch: number;
  /** Of the coordinator that wrote the producer's last marker there; -1 when none did. */
  readonly coordinatorEpoch: number;
}

export interface PartitionProducers extends TopicPartition {
  readonly error: number;
  /** What the producer that was asked about has open there. */
  readonly open: OpenTransaction | null;
}

export interface PartitionError extends TopicPartition {
  readonly error: number;
}

export function describeProducersRequest(
  partitions: readonly TopicPartition[],
  producerId: bigint,
): WireRequest<PartitionProducers[]> {
  return {
    name: 'DescribeProducers',
    apiKey: 61,
    version: 0,
    flexible: true,
    encode(out: WireWriter) {
      compactPartitions(out, partitions);
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
          found.push({ topic, partition, error, open: readProducers(input, { topic, partition }, producerId) });
          input.tags();
        }
        input.tags();
      }
      return found;
    },
  };
}

function readProducers(input: WireReader, at: TopicPartition, asked: bigint): OpenTransaction | null {
  let open: OpenTransaction | null = null;
  for (let left = input.compactCount(); left > 0; left--) {
    const producerId = input.i64();
    const epoch = input.i32();
    input.i32();
    input.i64();
    const coordinatorEpoch = input.i32();
    const openedAt = input.i64();
    input.tags();
    if (producerId === asked && openedAt >= 0n) open = { ...at, producerId, epoch, coordinatorEpoch };
  }
  return open;
}

/** Ends these transactions of one producer id as committed. A newer epoch in a partition refuses its marker there. */
export function commitMarkersRequest(open: readonly OpenTransaction[]): WireRequest<PartitionError[]> {
  return {
    name: 'WriteTxnMarkers',
    apiKey: 27,
    version: 1,
    flexible: true,
    encode(out: WireWriter) {
      out.compactCount(open.length);
      for (const one of open) {
        out.i64(one.producerId);
        out.i16(one.epoch);
        out.i8(1);
        compactPartitions(out, [one]);
        out.i32(Math.max(0, one.coordinatorEpoch));
        out.tags();
      }
      out.tags();
    },
    decode(input: WireReader): PartitionError[] {
      const answers: PartitionError[] = [];
      for (let markers = input.compactCount(); markers > 0; markers--) {
        input.i64();
        for (let topics = input.compactCount(); topics > 0; topics--) {
          const topic = input.compactText() ?? '';
          for (let left = input.compactCount(); left > 0; left--) {
            answers.push({ topic, partition: input.i32(), error: input.i16() });
            input.tags();
          }
          input.tags();
        }
        input.tags();
      }
      return answers;
    },
  };
}
