// Owns reading a task's commit log: all entries that are committed, chain checked, and where the next entry goes.
// Only called after fencing, so nobody else writes meanwhile.

import type { LogClient, LogReader, TopicPartition } from '#runtime/log/contract.ts';
import { RecordWalker } from '#runtime/log/record-batch.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { chainHash, readEntry, type WrittenEntry } from '#runtime/task/entry.ts';
import { stoppedWhile } from '#runtime/task/task-environment.ts';

const UNSETTLED_MAX_MS = 60_000;

export interface CommitLogEntry extends WrittenEntry {
  readonly offset: bigint;
}

export interface CommitLogContent {
  /** First offset the log still has. */
  readonly logStart: bigint;
  /** Where the next entry must land. */
  readonly end: bigint;
  readonly entries: readonly CommitLogEntry[];
}

export interface CommitLogPlace extends TopicPartition {
  readonly topicId: string;
}

export interface CommitLogEdges {
  readonly log: LogClient;
  readonly reader: LogReader;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Reads all committed entries that are left. Error: commit-log-corrupt. */
export async function readCommitLog(edges: CommitLogEdges, place: CommitLogPlace): Promise<CommitLogContent> {
  for (;;) {
    const [logStart, end] = await settledEnd(edges, place);
    try {
      const entries = await readEntries(edges, place, logStart, end);
      checkChain(entries, `${place.topic}/${place.partition}`);
      return { logStart, end, entries };
    } catch (error) {
      // An older instance trimmed the log while it was read: what it removed lies below a checkpoint. Look again.
      if (!(error instanceof StreamError) || error.code !== 'offset-out-of-range') throw error;
      await edges.clock.sleep(20, edges.signal);
      checkStopped(edges, place);
    }
  }
}

async function readEntries(
  edges: CommitLogEdges,
  place: CommitLogPlace,
  start: bigint,
  end: bigint,
): Promise<CommitLogEntry[]> {
  const { topic, partition, topicId } = place;
  const entries: CommitLogEntry[] = [];
  if (start >= end) return entries;
  const partitionReader = edges.reader.open({ topic, partition, topicId, offset: start });
  const walker = new RecordWalker();
  // `ready` waits as long as the log is away: closing the reader ends it.
  const close = () => partitionReader.close();
  edges.signal.addEventListener('abort', close, { once: true });
  try {
    for (;;) {
      checkStopped(edges, place);
      if (partitionReader.position >= end) break;
      const batch = partitionReader.poll();
      if (batch === null) {
        await partitionReader.ready();
        continue;
      }
      walker.reset(batch.bytes, batch.start, batch.end, batch.count);
      while (walker.next()) {
        const offset = batch.baseOffset + BigInt(walker.offsetDelta);
        if (walker.offsetDelta < batch.skipBelowDelta || offset >= end) continue;
        entries.push({ ...readEntry(walker, `${topic}/${partition} offset ${offset}`), offset });
      }
      batch.release();
    }
  } finally {
    edges.signal.removeEventListener('abort', close);
    partitionReader.close();
  }
  return entries;
}

function checkStopped({ signal }: CommitLogEdges, { topic, partition }: CommitLogPlace): void {
  if (signal.aborted) throw stoppedWhile(`reading the commit log ${topic}/${partition}`);
}

// After fencing no transaction of ours is open: the last stable offset must reach the high watermark. A short lag of
// markers is waited for; a lasting difference means that somebody else writes here.
async function settledEnd(edges: CommitLogEdges, place: CommitLogPlace): Promise<readonly [bigint, bigint]> {
  const { topic, partition } = place;
  const startMs = edges.clock.monotonicMs();
  for (;;) {
    const [logStart, stable, high] = await edges.log.admin.listOffsets([
      { topic, partition, at: 'earliest' },
      { topic, partition, at: 'last-stable' },
      { topic, partition, at: 'high-watermark' },
    ]);
    if (stable >= high) return [logStart, stable];
    const waitedMs = edges.clock.monotonicMs() - startMs;
    if (waitedMs > UNSETTLED_MAX_MS || edges.signal.aborted) {
      throw new StreamError(
        'foreign-writer',
        `commit log ${topic}/${partition} has an open transaction of another producer (stable ${stable}, end ${high})`,
        'let only one installation use this namespace (set another MILLRACE_NAMESPACE for the second); kafka-transactions.sh find-hanging shows whose it is',
      );
    }
    await edges.clock.sleep(20, edges.signal);
  }
}

function checkChain(entries: readonly CommitLogEntry[], where: string): void {
  for (let i = 1; i < entries.length; i++) {
    const before = entries[i - 1];
    const { entry, bytes, chainHash: written, offset } = entries[i];
    if (entry.number === before.entry.number + 1 && written === chainHash(before.chainHash, bytes)) continue;
    throw new StreamError(
      'commit-log-corrupt',
      `${where}: entry ${entry.number} at offset ${offset} does not continue entry ${before.entry.number}`,
      'two writers or a damaged log: restore the log from a replica; to begin anew, give the job another name and other output topics',
    );
  }
}
