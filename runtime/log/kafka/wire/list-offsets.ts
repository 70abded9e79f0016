// Owns ListOffsets v5 for partitions of one leader.

import type { WireReader, WireRequest, WireWriter } from '#runtime/log/kafka/wire/codec.ts';

export const EARLIEST = -2n;
export const LATEST = -1n;

export interface OffsetAsked {
  readonly topic: string;
  readonly partition: number;
  /** EARLIEST, LATEST or milliseconds since the epoch. */
  readonly timestamp: bigint;
}

export interface OffsetAnswer {
  readonly topic: string;
  readonly partition: number;
  readonly error: number;
  /** -1 when no record is that young. */
  readonly offset: bigint;
}

/** LATEST is the last stable offset when `readCommitted`, else the high watermark. A partition may be asked once. */
export function listOffsetsRequest(
  readCommitted: boolean,
  asked: readonly OffsetAsked[],
): WireRequest<readonly OffsetAnswer[]> {
  return {
    name: 'ListOffsets',
    apiKey: 2,
    version: 5,
    flexible: false,
    encode(out: WireWriter) {
      out.i32(-1);
      out.i8(readCommitted ? 1 : 0);
      out.i32(asked.length);
      for (const { topic, partition, timestamp } of asked) {
        out.text(topic);
        out.i32(1);
        out.i32(partition);
        out.i32(-1);
        out.i64(timestamp);
      }
    },
    decode(input: WireReader) {
      input.i32();
      const answers: OffsetAnswer[] = [];
      for (let topics = input.count(); topics > 0; topics--) {
        const topic = input.text() ?? '';
        for (let left = input.count(); left > 0; left--) {
          const partition = input.i32();
          const error = input.i16();
          input.i64();
          answers.push({ topic, partition, error, offset: input.i64() });
          input.i32();
        }
      }
      return answers;
    },
  };
}
