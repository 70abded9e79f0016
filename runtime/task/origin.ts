// Owns how a task of a new generation begins: with the parts of a savepoint that hold its keys, the input position and the
// time that follow from them. Its genesis entry names them, so that it can be done again.

import type { StateFit, TaskCheckpoints, TaskIdentity } from '#checkpoint/contract.ts';
import type { TopicDescription } from '#runtime/log/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { type TaskPlan, taskName } from '#runtime/task/task-environment.ts';
import type { SavepointPart } from '#runtime/task/task-savepoint.ts';

/** A task's part of the savepoint that a generation begins with. */
export type OriginPart = Pick<SavepointPart, 'identity' | 'checkpoint' | 'inputs' | 'watermarkMs' | 'clockMs'>;

export interface TaskOrigin {
  readonly savepoint: string;
  /** Parts of the stage that may hold keys of the task; none: what it reads was added, and is read from its start. */
  readonly parts: readonly OriginPart[];
  /** Null: all keys are the task's; else those whose hash is its partition of so many. */
  readonly partitions: number | null;
}

/** What the genesis entry says of it. */
export interface EntryOrigin {
  readonly savepoint: string;
  readonly partitions: number | null;
  readonly watermarkMs: number | null;
  readonly parts: readonly {
    readonly identity: TaskIdentity;
    readonly manifest: string;
    readonly chainHash: string;
    readonly digest: string;
  }[];
}

export function entryOrigin(origin: TaskOrigin): EntryOrigin {
  const { savepoint, partitions } = origin;
  const parts = origin.parts.map(({ identity, checkpoint }) => {
    const { name, chainHash, digest } = checkpoint;
    return { identity, manifest: name, chainHash, digest };
  });
  return { savepoint, partitions, watermarkMs: beganWatermark(origin), parts };
}

/**
 * The largest watermark of the parts, null when none has any. Keys of a part that is ahead have fired up to its watermark:
 * with a smaller one they would take late records for good ones and fire a second time, as if for the first.
 */
function beganWatermark({ parts }: TaskOrigin): number | null {
  const known = parts.flatMap(({ watermarkMs }) => watermarkMs ?? []);
  return known.length === 0 ? null : Math.max(...known);
}

/** The clock of entries never goes back, whoever carries on. */
export function beganClock({ parts }: TaskOrigin, nowMs: number): number {
  return Math.max(nowMs, ...parts.map(({ clockMs }) => clockMs));
}

/** Where a source task goes on; null: at the start of what it reads. Error topic-recreated. */
export function sourcePosition(plan: TaskPlan, { parts }: TaskOrigin, input: TopicDescription): bigint | null {
  const position = parts[0]?.inputs[0];
  if (position === undefined) return null;
  if (position.topicId === input.topicId) return BigInt(position.endOffset);
  throw new StreamError(
    'topic-recreated',
    `task ${taskName(plan.identity)}: topic '${position.topic}' was deleted and created again since the savepoint (id ${position.topicId}, now ${input.topicId})`,
    'offsets of the old topic mean nothing in the new one: to begin anew, give the job another name and other output topics',
  );
}

/** Fills the empty state. Errors: checkpoint-lost, version-mismatch, state-not-movable. */
export async function adoptOrigin(
  plan: TaskPlan,
  checkpoints: TaskCheckpoints,
  { savepoint, partitions, parts }: EntryOrigin,
  fit: StateFit,
): Promise<void> {
  const { partition } = plan.identity;
  const spread = partitions === null ? null : { partition, partitions };
  try {
    await checkpoints.adopt({ parts: parts.map((part) => ({ ...part, savepoint })), spread, fit });
  } catch (error) {
    if (!(error instanceof StreamError) || error.code !== 'checkpoint-corrupt') throw error;
    throw new StreamError(
      'checkpoint-lost',
      `task ${taskName(plan.identity)} begins with savepoint ${savepoint}, which is damaged or was deleted: ${error.message}`,
      'give the process the checkpoint store with the savepoint; or restore another savepoint',
      { cause: error },
    );
  }
}
