// Owns what is noted of one task while a world runs: its plan, what its attempts did, the checkpoints that were published.

import type { TaskIdentity } from '#checkpoint/contract.ts';
import type { TaskPlan } from '#runtime/task/task-environment.ts';
import type { AttemptTrace, CapturedState } from '#test/simulation/attempt-trace.ts';

export interface TaskRecord {
  readonly plan: TaskPlan;
  readonly traces: AttemptTrace[];
  readonly published: CapturedState[];
}

export function nameOf(identity: Pick<TaskIdentity, 'stage' | 'partition'>): string {
  return `${identity.stage}/${identity.partition}`;
}
