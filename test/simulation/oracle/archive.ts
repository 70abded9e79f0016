// Owns reading what a simulated log ever held, trimmed or not, by decoders that share nothing with the product: the
// truth that the other oracles judge by.

import type { SimulatedPartition, StoredBatch } from '#test/simulation/world/log-partition.ts';
import type { World } from '#test/simulation/world/world.ts';
import { bodyOf, decodeRecords } from '#test/suites/log/bytes.ts';

export interface ArchivedRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: ReadonlyMap<string, Buffer>;
  /** Names the transaction it was committed in: producer id and epoch; null outside of one. */
  readonly transaction: string | null;
}

function isCommitted({ fate, control, bytes }: StoredBatch): boolean {
  return fate === 'committed' && !control && bytes.readInt32BE(57) > 0;
}

/** Batches that were committed and hold records. */
export function committedIn({ archive }: Pick<SimulatedPartition, 'archive'>): StoredBatch[] {
  return archive.filter(isCommitted);
}

function originalOf(world: World, topic: string, partition: number): SimulatedPartition {
  const stored = world.cluster.originals.get(topic)?.partitions[partition];
  if (stored === undefined) throw new Error(`${topic}/${partition} does not exist`);
  return stored;
}

/** Those of a partition of the topic that was the first of its name. */
export function committedBatches(world: World, topic: string, partition: number): StoredBatch[] {
  return committedIn(originalOf(world, topic, partition));
}

/** Committed records of one partition in the order of their offsets. */
export function committedRecords(world: World, topic: string, partition: number): ArchivedRecord[] {
  const records: ArchivedRecord[] = [];
  for (const batch of committedBatches(world, topic, partition)) readBatch(topic, partition, batch, records);
  return records;
}

function readBatch(topic: string, partition: number, batch: StoredBatch, records: ArchivedRecord[]): void {
  const { bytes, start } = bodyOf(batch.bytes);
  const count = batch.bytes.readInt32BE(57);
  const transactional = (batch.bytes.readInt16BE(21) & 0x10) !== 0;
  const transaction = transactional ? `${batch.producerId}/${batch.bytes.readInt16BE(51)}` : null;
  const baseTimestampMs = Number(batch.bytes.readBigInt64BE(27));
  for (const one of decodeRecords(bytes.subarray(start), count, BigInt(batch.baseOffset), baseTimestampMs)) {
    const headers = new Map<string, Buffer>();
    for (const [name, value] of one.headers) if (value !== null) headers.set(name, value);
    const { timestampMs, key, value } = one;
    records.push({ topic, partition, offset: Number(one.offset), timestampMs, key, value, headers, transaction });
  }
}

/** The last committed entry of a commit log as it stands now, without judging it. */
export function lastEntry(
  world: World,
  topic: string,
  partition: number,
): { readonly [field: string]: unknown } | null {
  const last = originalOf(world, topic, partition).archive.findLast(isCommitted);
  if (last === undefined) return null;
  const records: ArchivedRecord[] = [];
  readBatch(topic, partition, last, records);
  return JSON.parse(String(records.at(-1)?.value));
}

export interface LastEntry {
  readonly number: number;
  readonly version: string;
  readonly inputs: readonly { readonly endOffset: string }[];
}

/** The last entry whose commit the coordinator has taken, whether its marker is written or not; null: there is none. */
export function lastDecided(world: World, topic: string, partition: number): LastEntry | null {
  const { archive } = world.cluster.originals.get(topic)!.partitions[partition];
  const last = archive.findLast(({ control, decided, fate }) => !control && decided && fate !== 'aborted');
  if (last === undefined) return null;
  const records: ArchivedRecord[] = [];
  readBatch(topic, partition, last, records);
  return JSON.parse(String(records.at(-1)?.value));
}
