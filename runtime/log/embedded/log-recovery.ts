// Owns the way from the files on disk to the log they mean: the snapshot, segments cut back to it, the write-ahead log
// replayed onto them. Invariant: nothing on disk is changed that a second recovery after a crash in this one would need.

import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { type Change, decodeChanges } from '#runtime/log/embedded/log-changes.ts';
import type { LogFiles } from '#runtime/log/embedded/log-files.ts';
import { encodeSnapshot, type LogSnapshot, readSnapshot, SNAPSHOT_FILE } from '#runtime/log/embedded/log-snapshot.ts';
import { LogTopics, TOPICS_DIRECTORY, topicPath } from '#runtime/log/embedded/log-topics.ts';
import type { PartitionOptions } from '#runtime/log/embedded/partition-log.ts';
import { FrameWalker, OPERATION_CHANGE, OPERATION_TRANSACTION } from '#runtime/log/embedded/transaction-frame.ts';
import {
  replayWal,
  WAL_DIRECTORY,
  type WalReplay,
  walFileName,
  walNumbers,
} from '#runtime/log/embedded/write-ahead-log.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface Recovered {
  readonly identity: string;
  readonly topics: LogTopics;
  /** The snapshot's first write-ahead log file. */
  readonly walFrom: number;
  readonly replay: WalReplay;
}

/** Errors: log-corrupt, log-unsupported; what the disk throws as it is. */
export async function recoverLog(directory: string, options: PartitionOptions): Promise<Recovered> {
  const { files } = options;
  files.makeDirectory(join(directory, WAL_DIRECTORY));
  files.makeDirectory(join(directory, TOPICS_DIRECTORY));
  const snapshot = readSnapshot(directory) ?? (await firstSnapshot(directory, files));
  const topics = new LogTopics(directory, options, snapshot);
  removeUnknownTopics(directory, files, topics);
  for (const topic of topics.all()) for (const partition of topic.partitions) partition.restoreFiles();
  for (const number of walNumbers(directory)) {
    if (number < snapshot.wal.number) files.remove(join(directory, WAL_DIRECTORY, walFileName(number)));
  }
  const replay = replayWal(directory, snapshot.wal, (operation, file) =>
    applyOperation(topics, files, operation, file),
  );
  for (const topic of topics.all()) for (const partition of topic.partitions) partition.checkFiles();
  return { identity: snapshot.identity, topics, walFrom: snapshot.wal.number, replay };
}

async function firstSnapshot(directory: string, files: LogFiles): Promise<LogSnapshot> {
  const path = join(directory, SNAPSHOT_FILE);
  // Only the first write-ahead log file, and that empty, may be left of a first start that did not get here.
  if (topicDirectories(directory).length > 0 || walNumbers(directory).some((number) => number > 1)) {
    throw new StreamError(
      'log-corrupt',
      `${path} is missing, but the directory holds a log`,
      'restore the file from a copy, or move the directory away together with the checkpoints and start anew',
    );
  }
  const fd = files.open(join(directory, WAL_DIRECTORY, walFileName(1)));
  files.close(fd);
  files.syncDirectory(join(directory, WAL_DIRECTORY));
  files.syncDirectory(dirname(resolve(directory)));
  const wal = { number: 1, sequence: 1 };
  const snapshot = { identity: randomUUID(), nextTopicNumber: 1, wal, topics: [], offsets: {} };
  await files.replace(path, encodeSnapshot(snapshot));
  return snapshot;
}

/** Topics made after the snapshot come back with the replay; topics deleted before it must not. */
function removeUnknownTopics(directory: string, files: LogFiles, topics: LogTopics): void {
  const known = new Set([...topics.all()].map((topic) => topicPath(topic.number, topic.topic)));
  for (const path of topicDirectories(directory)) if (!known.has(path)) files.remove(join(directory, path));
}

/** Relative to the log's directory; what others put beside them is not ours to touch. */
function topicDirectories(directory: string): string[] {
  const names = readdirSync(join(directory, TOPICS_DIRECTORY));
  return names.filter((name) => /^\d+\./.test(name)).map((name) => join(TOPICS_DIRECTORY, name));
}

const walker = new FrameWalker();

function applyOperation(topics: LogTopics, files: LogFiles, operation: Buffer, file: string): void {
  if (operation[0] === OPERATION_CHANGE) {
    for (const change of decodeChanges(operation)) applyChange(topics, files, change);
  } else if (operation[0] === OPERATION_TRANSACTION) applyTransaction(topics, operation, file);
  else throw inconsistent(file, `holds an operation of kind ${operation[0]}`);
}

function applyChange(topics: LogTopics, files: LogFiles, change: Change): void {
  for (const path of topics.apply(change)) files.remove(path);
}

function applyTransaction(topics: LogTopics, frame: Buffer, file: string): void {
  walker.reset(frame);
  while (walker.next()) {
    const partition = topics.byNumber(walker.topicNumber)?.partitions[walker.partition];
    if (partition === undefined) throw inconsistent(file, `writes to topic number ${walker.topicNumber}, unknown`);
    const { baseOffset } = walker;
    if (partition.reserve(walker.span) !== baseOffset) {
      throw inconsistent(file, `goes on at offset ${baseOffset} in ${partition.path}, which ends at another`);
    }
    partition.append(frame, walker.start, walker.end, baseOffset, walker.maxTimestampMs);
    partition.commit();
  }
}

function inconsistent(file: string, what: string): StreamError {
  return new StreamError(
    'log-corrupt',
    `write-ahead log ${file} ${what}`,
    'restore the log directory from a copy, or move it away together with the checkpoints and start anew',
  );
}
