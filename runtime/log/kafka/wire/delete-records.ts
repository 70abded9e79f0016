// Owns DeleteRecords v1 for partitions of one leader.

import type { WireReader, WireRequest, WireWriter } from '#runtime/log/kafka/wire/codec.ts';

export interface RecordsCut {
  readonly topic: string;
  readonly partition: number;
  /** Records below this offset go. */
  readonly before: bigint;
}

export interface CutAnswer {
  readonly topic: string;
  readonly partition: number;
  readonly error: number;
}

export function deleteRecordsRequest(
  cuts: readonly RecordsCut[],
  timeoutMs: number,
): WireRequest<readonly CutAnswer[]> {
  return {
    name: 'DeleteRecords',
    apiKey: 21,
    version: 1,
    flexible: false,
    encode(out: WireWriter) {
      out.i32(cuts.length);
      for (const { topic, partition, before } of cuts) {
        out.text(topic);
        out.i32(1);
        out.i32(partition);
        out.i64(before);
      }
      out.i32(timeoutMs);
    },
    decode(input: WireReader) {
      input.i32();
      const answers: CutAnswer[] = [];
      for (let topics = input.count(); topics > 0; topics--) {
        const topic = input.text() ?? '';
        for (let left = input.count(); left > 0; left--) {
          const partition = input.i32();
          input.i64();
          answers.push({ topic, partition, error: input.i16() });
        }
      }
      return answers;
    },
  };
}
