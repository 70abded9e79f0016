// Owns which whole segments an embedded log may drop: by a topic's own `retention.ms` and `retention.bytes`, as Kafka
// judges (record timestamps), and by what the installation keeps of the topics of its users (time since they were
// written, bytes of all together). Internal topics are cut by those who wrote them, never here. Invariant: the
// installation's wishes take nothing that a group it names has not published to have read.

import { withDefaults } from '#runtime/log/embedded/log-changes.ts';
import type { Topic } from '#runtime/log/embedded/log-topics.ts';
import type { PartitionLog } from '#runtime/log/embedded/partition-log.ts';

export interface RetentionPolicy {
  /** Milliseconds since the last write to a segment, by topic. */
  readonly keepMs: Readonly<Record<string, number>>;
  /** Of all other topics. */
  readonly otherKeepMs: number;
  /** Of all topics together; the segments written longest ago go first. */
  readonly keepBytes: number;
  /** Consumer groups that must have read a record before it goes, by topic. One that published nothing read nothing. */
  readonly readers: Readonly<Record<string, readonly string[]>>;
}

/** Topics that are ours, and so is their clean-up. */
export const INTERNAL_PREFIX = '__';

export interface RetentionCut {
  readonly topic: Topic;
  readonly partition: number;
  /** First offset that stays. */
  readonly before: bigint;
}

/** The segments of a partition that may still go; the last one never may. */
interface Head {
  readonly log: PartitionLog;
  index: number;
  /** What lies behind it stays. */
  readonly readTo: bigint;
}

/** Offset of the next record that a group wants of a partition; null when it published none. */
export type PublishedOffset = (group: string, topic: string, partition: number) => bigint | null;

export function retentionCuts(
  topics: Iterable<Topic>,
  nowMs: number,
  policy: RetentionPolicy | null,
  published: PublishedOffset,
): readonly RetentionCut[] {
  const all = [...topics];
  const heads = new Map<PartitionLog, Head>();
  for (const topic of all) {
    const config = withDefaults(topic.config);
    if (!config['cleanup.policy'].includes('delete')) continue;
    const readers = policy?.readers[topic.topic] ?? [];
    for (const [partition, log] of topic.partitions.entries()) {
      const index = log.expired(nowMs, Number(config['retention.ms']), Number(config['retention.bytes']));
      let readTo = log.shared.end;
      for (const group of readers) {
        const offset = published(group, topic.topic, partition) ?? log.shared.logStart;
        if (offset < readTo) readTo = offset;
      }
      heads.set(log, { log, index, readTo });
    }
  }
  if (policy !== null) {
    const ofUsers = all.filter(({ topic }) => !topic.startsWith(INTERNAL_PREFIX));
    for (const { topic, partitions } of ofUsers) {
      const oldestMs = nowMs - (policy.keepMs[topic] ?? policy.otherKeepMs);
      for (const log of partitions) dropOlder(heads.get(log), oldestMs);
    }
    const logs = ofUsers.flatMap(({ partitions }) => partitions.flatMap((log) => heads.get(log) ?? []));
    dropBeyond(logs, policy.keepBytes);
  }
  return all.flatMap((topic) =>
    topic.partitions.flatMap((log, partition): RetentionCut[] => {
      const index = heads.get(log)?.index ?? 0;
      const before = index === 0 ? log.shared.logStart : log.segments[index].baseOffset;
      return before > log.shared.logStart ? [{ topic, partition, before }] : [];
    }),
  );
}

function dropOlder(head: Head | undefined, oldestMs: number): void {
  if (head === undefined) return;
  while (mayGo(head) && head.log.writtenMs(head.index) < oldestMs) head.index++;
}

function dropBeyond(heads: readonly Head[], keepBytes: number): void {
  let bytes = 0;
  for (const { log, index } of heads) {
    for (const segment of log.segments.slice(index)) bytes += segment.sizeBytes;
  }
  const writtenMs = new Map(heads.map((head) => [head, mayGo(head) ? head.log.writtenMs(head.index) : Infinity]));
  while (bytes > keepBytes) {
    let oldest: Head | null = null;
    for (const [head, ms] of writtenMs) {
      if (ms < (oldest === null ? Infinity : (writtenMs.get(oldest) as number))) oldest = head;
    }
    if (oldest === null) return;
    bytes -= oldest.log.segments[oldest.index].sizeBytes;
    oldest.index++;
    writtenMs.set(oldest, mayGo(oldest) ? oldest.log.writtenMs(oldest.index) : Infinity);
  }
}

function mayGo({ log, index, readTo }: Head): boolean {
  return index < log.segments.length - 1 && log.segments[index + 1].baseOffset <= readTo;
}
