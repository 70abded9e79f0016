// Owns FindCoordinator v2, and OffsetCommit v7 by a group without members.

import type { WireReader, WireRequest, WireWriter } from '#runtime/log/kafka/wire/codec.ts';
import type { BrokerAddress } from '#runtime/log/kafka/wire/metadata.ts';

export interface CoordinatorAnswer {
  readonly error: number;
  readonly broker: BrokerAddress;
}

export function findCoordinatorRequest(kind: 'group' | 'transaction', key: string): WireRequest<CoordinatorAnswer> {
  return {
    name: 'FindCoordinator',
    apiKey: 10,
    version: 2,
    flexible: false,
    encode(out: WireWriter) {
      out.text(key);
      out.i8(kind === 'group' ? 0 : 1);
    },
    decode(input: WireReader): CoordinatorAnswer {
      input.i32();
      const error = input.i16();
      input.text();
      return { error, broker: { nodeId: input.i32(), host: input.text() ?? '', port: input.i32() } };
    },
  };
}

export interface GroupOffset {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
}

/** Answers the errors by topic and partition. */
export function offsetCommitRequest(
  group: string,
  offsets: readonly GroupOffset[],
): WireRequest<{ topic: string; partition: number; error: number }[]> {
  return {
    name: 'OffsetCommit',
    apiKey: 8,
    version: 7,
    flexible: false,
    encode(out: WireWriter) {
      out.text(group);
      out.i32(-1);
      out.text('');
      out.nullText();
      out.i32(offsets.length);
      for (const { topic, partition, offset } of offsets) {
        out.text(topic);
        out.i32(1);
        out.i32(partition);
        out.i64(offset);
        out.i32(-1);
        out.text('');
      }
    },
    decode(input: WireReader) {
      input.i32();
      const results: { topic: string; partition: number; error: number }[] = [];
      for (let topics = input.count(); topics > 0; topics--) {
        const topic = input.text() ?? '';
        for (let left = input.count(); left > 0; left--) {
          results.push({ topic, partition: input.i32(), error: input.i16() });
        }
      }
      return results;
    },
  };
}
