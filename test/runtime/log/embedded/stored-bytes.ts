// Owns reading a closed or quiet embedded log's files from their description in its README, without its code.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TopicPartition } from '#runtime/log/contract.ts';

/** Files of one partition's segments, in order. */
export function segmentPaths(directory: string, { topic, partition }: TopicPartition): string[] {
  const topics = join(directory, 'topics');
  const name = readdirSync(topics).find((entry) => entry.slice(entry.indexOf('.') + 1) === topic);
  if (name === undefined) return [];
  const path = join(topics, name, String(partition));
  if (!existsSync(path)) return [];
  return readdirSync(path)
    .sort()
    .map((file) => join(path, file));
}

/** All stored batches of a partition from `start` on. */
export function storedBytes(directory: string, at: TopicPartition, start = 0n): Buffer {
  const bytes = Buffer.concat(segmentPaths(directory, at).map((path) => readFileSync(path)));
  let from = 0;
  while (from < bytes.length && bytes.readBigInt64BE(from) + BigInt(bytes.readInt32BE(from + 23)) < start) {
    from += 12 + bytes.readInt32BE(from + 8);
  }
  return bytes.subarray(from);
}
