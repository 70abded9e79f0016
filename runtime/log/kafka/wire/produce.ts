// Owns Produce for transactional batches: version 12 (transaction.version 2) and version 8. Batches go by reference.

import type { StagedBatch } from '#runtime/log/contract.ts';
import type { WireReader, WireRequest, WireWriter } from '#runtime/log/kafka/wire/codec.ts';

export interface ProducedPartition {
  readonly topic: string;
  readonly partition: number;
  readonly error: number;
  readonly baseOffset: bigint;
  readonly message: string | null;
}

const ALL_IN_SYNC = -1;

/** At most one batch per partition. */
export function produceRequest(
  version: 8 | 12,
  transactionalId: string,
  timeoutMs: number,
  batches: readonly StagedBatch[],
): WireRequest<readonly ProducedPartition[]> {
  const flexible = version === 12;
  return {
    name: 'Produce',
    apiKey: 0,
    version,
    flexible,
    encode(out: WireWriter) {
      if (flexible) out.compactText(transactionalId);
      else out.text(transactionalId);
      out.i16(ALL_IN_SYNC);
      out.i32(timeoutMs);
      const byTopic = Map.groupBy(batches, ({ topic }) => topic);
      if (flexible) encodeFlexible(out, byTopic);
      else encodeClassic(out, byTopic);
    },
    decode: flexible ? decodeFlexible : decodeClassic,
  };
}

function encodeFlexible(out: WireWriter, byTopic: ReadonlyMap<string, readonly StagedBatch[]>): void {
  out.compactCount(byTopic.size);
  for (const [topic, batches] of byTopic) {
    out.compactText(topic);
    out.compactCount(batches.length);
    for (const { partition, bytes } of batches) {
      out.i32(partition);
      out.uvarint(bytes.length + 1);
      out.reference(bytes);
      out.tags();
    }
    out.tags();
  }
  out.tags();
}

function encodeClassic(out: WireWriter, byTopic: ReadonlyMap<string, readonly StagedBatch[]>): void {
  out.i32(byTopic.size);
  for (const [topic, batches] of byTopic) {
    out.text(topic);
    out.i32(batches.length);
    for (const { partition, bytes } of batches) {
      out.i32(partition);
      out.i32(bytes.length);
      out.reference(bytes);
    }
  }
}

function decodeFlexible(input: WireReader): readonly ProducedPartition[] {
  const results: ProducedPartition[] = [];
  for (let topics = input.compactCount(); topics > 0; topics--) {
    const topic = input.compactText() ?? '';
    for (let left = input.compactCount(); left > 0; left--) {
      const partition = input.i32();
      const error = input.i16();
      const baseOffset = input.i64();
      input.skip(16);
      for (let records = input.compactCount(); records > 0; records--) {
        input.i32();
        input.compactText();
        input.tags();
      }
      results.push({ topic, partition, error, baseOffset, message: input.compactText() });
      input.tags();
    }
    input.tags();
  }
  return results;
}

function decodeClassic(input: WireReader): readonly ProducedPartition[] {
  const results: ProducedPartition[] = [];
  for (let topics = input.count(); topics > 0; topics--) {
    const topic = input.text() ?? '';
    for (let left = input.count(); left > 0; left--) {
      const partition = input.i32();
      const error = input.i16();
      const baseOffset = input.i64();
      input.skip(16);
      for (let records = input.count(); records > 0; records--) {
        input.i32();
        input.text();
      }
      results.push({ topic, partition, error, baseOffset, message: input.text() });
    }
  }
  return results;
}
