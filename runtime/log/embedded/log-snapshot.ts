// Owns log.json: what the log consists of at the start of one write-ahead log file (topics, partitions, segments with
// their sizes, published offsets). Text for people, with a checksum line; replaced as a whole.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PartitionState } from '#runtime/log/embedded/partition-log.ts';
import { crc32c } from '#runtime/std/crc32c.ts';
import { StreamError } from '#runtime/std/errors.ts';

export const SNAPSHOT_FILE = 'log.json';
const FORMAT = 1;

export interface TopicState {
  /** Never used again within a log; names the directory. */
  readonly number: number;
  readonly topic: string;
  readonly topicId: string;
  readonly config: Readonly<Record<string, string>>;
  readonly partitions: readonly PartitionState[];
}

export interface LogSnapshot {
  readonly identity: string;
  readonly nextTopicNumber: number;
  /** The first write-ahead log file that is not contained in this snapshot, and its first group. */
  readonly wal: { readonly number: number; readonly sequence: number };
  readonly topics: readonly TopicState[];
  /** group → `<topic>/<partition>` → offset. Nothing reads them back but people. */
  readonly offsets: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export function encodeSnapshot(snapshot: LogSnapshot): Buffer {
  const bigints = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value);
  const text = Buffer.from(JSON.stringify({ format: FORMAT, ...snapshot }, bigints, 1));
  return Buffer.concat([text, Buffer.from(`\n${crc32c(text).toString(16).padStart(8, '0')}\n`)]);
}

/** The snapshot of a log directory, or null when there is none. Errors: log-corrupt, log-unsupported. */
export function readSnapshot(directory: string): LogSnapshot | null {
  const path = join(directory, SNAPSHOT_FILE);
  if (!existsSync(path)) return null;
  const bytes = readFileSync(path);
  const textEnd = bytes.length - 10;
  const sum = bytes.toString('latin1', Math.max(0, textEnd + 1), bytes.length - 1);
  if (textEnd < 0 || sum !== crc32c(bytes, 0, textEnd).toString(16).padStart(8, '0')) {
    throw new StreamError(
      'log-corrupt',
      `${path} fails its checksum`,
      'restore the log directory from a copy, or move it away together with the checkpoints and start anew',
    );
  }
  const parsed = JSON.parse(bytes.toString('utf8', 0, textEnd)) as LogSnapshot & { readonly format: number };
  if (parsed.format !== FORMAT) {
    throw new StreamError(
      'log-unsupported',
      `${path} has format ${parsed.format}, this version reads ${FORMAT}`,
      'start the log with the version of Millrace that wrote it',
    );
  }
  return { ...parsed, topics: parsed.topics.map(reviveTopic) };
}

function reviveTopic(topic: TopicState): TopicState {
  const partitions = topic.partitions.map(({ logStart, end, segments }) => ({
    logStart: BigInt(logStart),
    end: BigInt(end),
    segments: segments.map((segment) => ({ ...segment, baseOffset: BigInt(segment.baseOffset) })),
  }));
  return { ...topic, partitions };
}
