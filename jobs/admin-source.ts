// Owns what the admin port asks of a process. The process implements it; tests may, too.

import type { CheckpointStore } from '#checkpoint/contract.ts';
import type { Cluster } from '#jobs/cluster.ts';
import type { Configuration } from '#jobs/configuration.ts';
import type { DeployDesk } from '#jobs/deploy-desk.ts';
import type { JobControl } from '#jobs/job-control.ts';
import type { RunningJob } from '#jobs/running-jobs.ts';
import type { SlotReport, StateReply, TaskAssignment } from '#runtime/slot/messages.ts';
import type { SlotCounts } from '#runtime/slot/slot.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';
import type { Failure } from '#runtime/task/task-supervisor.ts';

export interface AdminSource {
  readonly configuration: Configuration;
  readonly processId: string;
  readonly startedMs: number;
  /** Null until the installation is claimed. */
  readonly installationId: string | null;
  readonly store: CheckpointStore;
  readonly slots: SlotCounts;
  readonly jobs: readonly RunningJob[];
  /** Together with other processes; null: this one is alone. */
  readonly cluster: Cluster | null;
  /** Null until the installation is claimed. */
  readonly changes: JobControl | null;
  /** As `changes`. */
  readonly desk: DeployDesk | null;
  /** Why nothing goes on in this process although nothing failed; null when it does. */
  readonly paused: Failure | null;
  /** What every task said last; nothing of those that said nothing yet. */
  reports(): Promise<readonly SlotReport[]>;
  askState(assignment: TaskAssignment, query: StateQuery): Promise<StateReply>;
}
