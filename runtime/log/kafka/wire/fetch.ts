// Owns Fetch v13, sessionless and read committed. Topics go by id, so an old reader can never read a topic that was
// created again under the same name.

import type { Frame } from '#runtime/log/kafka/frame-pool.ts';
import type { WireReader, WireRequest, WireWriter } from '#runtime/log/kafka/wire/codec.ts';

export interface FetchAsked {
  readonly topicId: string;
  readonly topicIdBytes: Buffer;
  readonly partition: number;
  readonly offset: bigint;
}

export interface FetchLimits {
  readonly waitMs: number;
  readonly answerBytesMax: number;
  readonly partitionBytesMax: number;
}

/** A transaction that was aborted: its batches from `firstOffset` up to its marker are not to be seen. */
export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: bigint;
}

export interface FetchedPartition {
  readonly topicId: string;
  readonly partition: number;
  readonly error: number;
  readonly highWatermark: bigint;
  readonly lastStable: bigint;
  readonly logStart: bigint;
  readonly aborted: readonly AbortedTransaction[];
  /** Record batches are `frame.bytes[recordsStart, recordsEnd)`; the last may be cut off. */
  readonly recordsStart: number;
  readonly recordsEnd: number;
}

export interface FetchAnswer {
  readonly error: number;
  readonly throttleMs: number;
  /** Retained: whoever asked releases it. */
  readonly frame: Frame;
  readonly partitions: readonly FetchedPartition[];
}

const NONE_ABORTED: readonly AbortedTransaction[] = [];
const READ_COMMITTED = 1;

/** Each partition at most once; partitions of one topic need not stand together. */
export function fetchRequest(asked: readonly FetchAsked[], limits: FetchLimits): WireRequest<FetchAnswer> {
  return {
    name: 'Fetch',
    apiKey: 1,
    version: 13,
    flexible: true,
    encode(out: WireWriter) {
      out.i32(-1);
      out.i32(limits.waitMs);
      out.i32(1);
      out.i32(limits.answerBytesMax);
      out.i8(READ_COMMITTED);
      out.i32(0);
      out.i32(-1);
      out.compactCount(asked.length);
      for (const { topicIdBytes, partition, offset } of asked) {
        out.raw(topicIdBytes);
        out.compactCount(1);
        out.i32(partition);
        out.i32(-1);
        out.i64(offset);
        out.i32(-1);
        out.i64(-1n);
        out.i32(limits.partitionBytesMax);
        out.tags();
        out.tags();
      }
      out.compactCount(0);
      out.compactText('');
      out.tags();
    },
    decode,
  };
}

function decode(input: WireReader): FetchAnswer {
  const throttleMs = input.i32();
  const error = input.i16();
  input.i32();
  const partitions: FetchedPartition[] = [];
  for (let topics = input.compactCount(); topics > 0; topics--) {
    const topicId = input.uuid();
    for (let left = input.compactCount(); left > 0; left--) partitions.push(decodePartition(input, topicId));
    input.tags();
  }
  input.tags();
  input.frame.retain();
  return { error, throttleMs, frame: input.frame, partitions };
}

function decodePartition(input: WireReader, topicId: string): FetchedPartition {
  const partition = input.i32();
  const error = input.i16();
  const highWatermark = input.i64();
  const lastStable = input.i64();
  const logStart = input.i64();
  const aborted = decodeAborted(input);
  input.i32();
  const size = Math.max(0, input.uvarint() - 1);
  const recordsStart = input.at;
  input.skip(size);
  input.tags();
  return {
    topicId,
    partition,
    error,
    highWatermark,
    lastStable,
    logStart,
    aborted,
    recordsStart,
    recordsEnd: recordsStart + size,
  };
}

function decodeAborted(input: WireReader): readonly AbortedTransaction[] {
  const count = input.compactCount();
  if (count === 0) return NONE_ABORTED;
  const aborted: AbortedTransaction[] = [];
  for (let left = count; left > 0; left--) {
    aborted.push({ producerId: input.i64(), firstOffset: input.i64() });
    input.tags();
  }
  return aborted;
}
