// Owns what the admin port asks of a process. The process implements it; tests may, too.

import type { Configuration } from '#jobs/configuration.ts';
import type { RunningJob } from '#jobs/running-jobs.ts';
import type { SlotReport, StateReply, TaskAssignment } from '#runtime/slot/messages.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';

export interface AdminSource {
  readonly configuration: Configuration;
  readonly processId: string;
  readonly startedMs: number;
  /** Null until the installation is claimed. */
  readonly installationId: string | null;
  readonly slots: { readonly total: number; readonly running: number };
  readonly jobs: readonly RunningJob[];
  /** What the tasks say about themselves; those of a slot that does not answer in time are left out. */
  reports(): Promise<readonly SlotReport[]>;
  askState(assignment: TaskAssignment, query: StateQuery): Promise<StateReply>;
}
