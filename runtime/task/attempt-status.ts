// Owns putting together what an attempt tells about itself, whatever of it there is yet. Reads; changes nothing.

import type { TaskCheckpoints, TaskIdentity } from '#checkpoint/contract.ts';
import type { PartitionReader, TopicPartition } from '#runtime/log/contract.ts';
import type { Checkpointing } from '#runtime/task/checkpointing.ts';
import type { Committer } from '#runtime/task/committer.ts';
import type { StageRunner } from '#runtime/task/stage-runner.ts';
import type { TaskInputStatus, TaskStatus } from '#runtime/task/task-status.ts';

/** Parts that are null are not made yet. */
export interface AttemptParts {
  readonly identity: TaskIdentity;
  readonly input: TopicPartition;
  readonly phase: string;
  readonly attempt: string;
  readonly entry: number;
  readonly replayedEntries: number;
  readonly counters: ReadonlyMap<string, number>;
  readonly nowMs: number;
  readonly runner: StageRunner | null;
  readonly reader: PartitionReader | null;
  readonly committer: Committer | null;
  /** The savepoint that it holds for. */
  readonly holdsFor: string | null;
  readonly checkpointing: Checkpointing | null;
  readonly checkpoints: TaskCheckpoints | null;
}

export function attemptStatus(parts: AttemptParts): TaskStatus {
  const { runner, committer, checkpointing, checkpoints } = parts;
  const reader = parts.reader?.status() ?? null;
  const input = inputStatus(parts);
  return {
    identity: parts.identity,
    phase: parts.phase,
    attempt: parts.attempt,
    entry: parts.entry,
    inputOffset: input.offset,
    lagRecords: input.lagRecords,
    inputs: [input],
    watermarkMs: finite(runner?.watermark.valueMs),
    watermarkHeldBy: runner?.watermark.holders() ?? [],
    clockMs: finite(runner?.clockMs),
    waitingFor: committer?.waitingFor ?? holding(parts) ?? outsideWaitsFor(runner) ?? reader?.fault ?? null,
    transactionsFailed: committer?.transactionsFailed ?? 0,
    replayedEntries: parts.replayedEntries,
    checkpointEntry: checkpointing?.lastEntry ?? null,
    checkpointInProgress: checkpointing?.inProgress ?? false,
    stateBytes: checkpoints?.sizeBytes ?? 0,
    ...keyCounts(runner),
    stateMemory: checkpoints?.memory() ?? null,
    counters: Object.fromEntries(parts.counters),
  };
}

function inputStatus({ input, runner, reader, nowMs }: AttemptParts): TaskInputStatus {
  const { topic, partition } = input;
  const offset = String(runner?.inputOffset ?? -1n);
  const status = reader?.status() ?? null;
  if (runner === null || status === null || status.highWatermark < 0n) {
    return { topic, partition, offset, lagRecords: null, lagMs: null };
  }
  // What is in hand is not read yet; without a batch everything up to the position is.
  const next = runner.hasBatch ? runner.inputOffset : status.position;
  const lagRecords = Math.max(0, Number(status.highWatermark - next));
  const { inputTimestampMs } = runner;
  const lagMs = lagRecords === 0 ? 0 : inputTimestampMs > 0 ? Math.max(0, nowMs - inputTimestampMs) : null;
  return { topic, partition, offset, lagRecords, lagMs };
}

function holding({ holdsFor }: AttemptParts): string | null {
  return holdsFor === null ? null : `the other tasks of savepoint ${holdsFor}`;
}

function outsideWaitsFor(runner: StageRunner | null): string | null {
  const effect = runner?.effects.find(({ waitingFor }) => waitingFor !== null);
  return effect?.waitingFor ?? runner?.schemas?.waitsFor ?? null;
}

/** Several operators may have their keys in one table. */
function keyCounts(runner: StageRunner | null): Pick<TaskStatus, 'stateKeys' | 'seriesInterned'> {
  const keyed = new Set(runner?.program.keys?.values() ?? []);
  const all = new Set([...keyed, ...(runner?.program.tables ?? [])]);
  const count = (tables: Iterable<{ readonly size: number }>) =>
    Array.from(tables).reduce((sum, { size }) => sum + size, 0);
  return { stateKeys: count(keyed), seriesInterned: count(all) };
}

function finite(value: number | undefined): number | null {
  return value !== undefined && Number.isFinite(value) ? value : null;
}
