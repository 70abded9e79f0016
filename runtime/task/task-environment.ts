// Owns what a task is given: its identity, its knobs and its edges to the world (log, clock, checkpoints, ownership).
// Swap these and the same task runs in production, under the test driver and in simulation.

import type { TaskCheckpoints, TaskIdentity } from '#checkpoint/contract.ts';
import type { LogClient, LogReader, TopicPartition } from '#runtime/log/contract.ts';
import type { BufferPool } from '#runtime/std/buffer-pool.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';
import type { CommitPace } from '#runtime/task/commit-pace.ts';
import type { StageProgram } from '#runtime/task/contract.ts';
import type { TaskOrigin } from '#runtime/task/origin.ts';
import type { VersionParts } from '#runtime/task/task-version.ts';

export interface TaskOptions {
  /** Longest wait of pending output for its commit. @default 200 */
  readonly commitIntervalMs: number;
  /** Longest entry without output. @default 5,000 */
  readonly quietIntervalMs: number;
  /** Staged or consumed bytes at which an entry ends. @default 4 MiB, minimum 64 KiB */
  readonly commitBytesMax: number;
  /** @default 60,000 */
  readonly checkpointIntervalMs: number;
  /** Busy time since the last checkpoint after which the next is due. @default 5,000 */
  readonly replayBudgetMs: number;
  /** Copied and unwritten checkpoint bytes at which the task waits. @default 64 MiB */
  readonly snapshotBytesMax: number;
  /** How often idle time is put into an entry. @default 1,000 */
  readonly idleTickMs: number;
  /** How long no look may have proved that a source is quiet. @default 5,000 */
  readonly idleGapMaxMs: number;
  /** Replays entries of another version and goes on although the output may differ. @default false */
  readonly acceptDivergentReplay: boolean;
  /**
   * Replays up to the last entry, writes a checkpoint there and ends: for the version that wrote it, after a crash, so that
   * another can take over. Takes no new input. @default false
   */
  readonly replayOnly?: boolean;
  /**
   * Takes over the state that it would go on from, and ends without a word: whether another version could. Writes nothing.
   * @default false
   */
  readonly trial?: boolean;
  /** Goes on without the states of operators that the job has no more. @default false */
  readonly allowDroppedState?: boolean;
}

export const DEFAULT_TASK_OPTIONS: TaskOptions = {
  commitIntervalMs: 200,
  quietIntervalMs: 5_000,
  commitBytesMax: 4 * 1024 * 1024,
  checkpointIntervalMs: 60_000,
  replayBudgetMs: 5_000,
  snapshotBytesMax: 64 * 1024 * 1024,
  idleTickMs: 1_000,
  idleGapMaxMs: 5_000,
  acceptDivergentReplay: false,
};

/** Which input a task reads and where it starts on its very first start. */
export interface TaskInput extends TopicPartition {
  readonly start: 'earliest' | 'latest' | { readonly timestampMs: number };
  /** Internal input (an exchange): trimmed below the oldest kept checkpoint. */
  readonly internal: boolean;
}

export interface TaskPlan {
  readonly identity: TaskIdentity;
  /** Hash of what decides output. */
  readonly version: string;
  /** What the version is made of; absent: not known. */
  readonly versionParts?: VersionParts;
  readonly input: TaskInput;
  /** Commit log of the stage; the task's partition is its own. */
  readonly commitTopic: string;
  /** Every topic whose partition count matters, the input included. */
  readonly topics: readonly string[];
  /** Ids of those topics that must be the ones the job began with, the commit log among them. */
  readonly topicIds: Readonly<Record<string, string>>;
  /** Partition counts that count, of topics that have grown since: the partitions behind them are not read. Absent: none. */
  readonly asBegan?: Readonly<Record<string, number>>;
  /** Tasks that write the exchange this task reads; 0 for a source. */
  readonly writers: number;
  /** With what the first entry of a new generation begins; absent: with nothing. */
  readonly origin?: TaskOrigin;
  /** Group under which consumed offsets are published, null: not published. */
  readonly offsetsGroup: string | null;
  /** Builds fresh operator objects for one attempt. */
  program(partitionCounts: Readonly<Record<string, number>>): StageProgram;
}

/** Answers whether this process still owns the task (ARCHITECTURE §3.6). */
export interface Ownership {
  /** True of a moment after the question was asked: an answer to an earlier question will not do. */
  owns(identity: TaskIdentity): Promise<boolean>;
}

export interface TaskEnvironment {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly log: LogClient;
  /** Shared by the tasks of a slot. */
  readonly reader: LogReader;
  readonly ownership: Ownership;
  /** Checkpoints of one task for one attempt. */
  checkpoints(identity: TaskIdentity, attempt: string): TaskCheckpoints;
  /** A fresh id for an attempt, unique over all processes and time. */
  attemptId(): string;
  /** Cap on the transactions of all tasks of the process; absent: none. */
  readonly pace?: CommitPace;
  /** Of staged batches, shared by the tasks of a slot; absent: new ones each time. */
  readonly buffers?: BufferPool;
  /** Lets other tasks and sockets run. */
  breathe(): Promise<void>;
}

export function transactionalId(identity: TaskIdentity): string {
  const { namespace, job, run, generation, stage, partition } = identity;
  return `${namespace}.${job}.${run}.${generation}.${stage}.${partition}`;
}

export function taskName(identity: TaskIdentity): string {
  return `${identity.job}/${identity.stage}/${identity.partition}`;
}

/** A stop or an abort found the task waiting. */
export function stoppedWhile(what: string): StreamError {
  return new StreamError(
    'log-unavailable',
    `stopped while ${what}`,
    'start it again: it goes on from its last checkpoint',
  );
}

export function superseded(identity: TaskIdentity): StreamError {
  return new StreamError(
    'superseded',
    `task ${taskName(identity)} belongs to a newer process`,
    'none needed: the newer process goes on; end this one if it does not end by itself',
  );
}
