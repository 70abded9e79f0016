// Owns what is noted of one generation of the job while a world runs, and of one task of it: its plan, what its attempts
// did, the checkpoints that were published.

import type { TaskIdentity } from '#checkpoint/contract.ts';
import type { Savepoint } from '#checkpoint/savepoint.ts';
import type { GenerationPlan } from '#jobs/generations.ts';
import type { RunIdentity } from '#jobs/topics.ts';
import type { TaskPlan } from '#runtime/task/task-environment.ts';
import type { AttemptTrace, CapturedState } from '#test/simulation/attempt-trace.ts';

export interface TaskRecord {
  /** As the generation began. */
  readonly plan: TaskPlan;
  readonly traces: AttemptTrace[];
  readonly published: CapturedState[];
}

/** With what a generation began. */
export interface GenerationOrigin {
  readonly savepoint: Savepoint;
  readonly originOf: GenerationPlan['originOf'];
}

export class Generation {
  readonly run: RunIdentity;
  /** Null: with nothing. */
  readonly origin: GenerationOrigin | null;
  /** By task, `stage/partition`. */
  readonly tasks = new Map<string, TaskRecord>();
  /** Ids of the topics that it began with. */
  readonly topicIds: Record<string, string> = {};
  /** Entries of each task when the next generation began: there are no more ever. */
  readonly ended = new Map<string, number>();

  constructor(run: RunIdentity, origin: GenerationOrigin | null) {
    this.run = run;
    this.origin = origin;
  }

  note(plans: readonly TaskPlan[]): void {
    for (const plan of plans) this.tasks.set(nameOf(plan.identity), { plan, traces: [], published: [] });
  }
}

export function nameOf(identity: Pick<TaskIdentity, 'stage' | 'partition'>): string {
  return `${identity.stage}/${identity.partition}`;
}

/** Which of the workload's versions a version of the job is: `v7.2` is the third. */
export function codeOf(version: string): number {
  return Number(version.split('.')[1] ?? 0);
}

export function versionName(number: number, code: number): string {
  return code === 0 ? `v${number}` : `v${number}.${code}`;
}
