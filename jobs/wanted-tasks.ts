// Owns which tasks there are in an installation, as the control log says. Pure.

import type { ControlRecord } from '#runtime/control/control-log.ts';
import { wantedJobs } from '#runtime/control/desired-state.ts';
import { runningJobs } from '#runtime/control/job-run.ts';
import type { TaskLoad } from '#runtime/control/round-plan.ts';
import { assignmentKey } from '#runtime/slot/messages.ts';

/** Of one process, however many a job asks for. */
const SLOTS_MAX = 256;

/** Every task of every job that is to run; jobs that were not prepared yet have none. */
export function wantedTasks(records: readonly ControlRecord[]): readonly TaskLoad[] {
  const wanted = wantedJobs(records);
  const loads: TaskLoad[] = [];
  for (const job of runningJobs(records)) {
    const { generation, settings, tasks = {} } = wanted.get(job)!;
    for (const [stage, count] of Object.entries(tasks)) {
      for (let partition = 0; partition < count; partition++) {
        const task = assignmentKey({ job, run: 'live', generation, stage, partition });
        loads.push({ task, job, parallelism: settings.parallelism });
      }
    }
  }
  return loads;
}

export interface MeantSlots {
  readonly slots: number;
  /** What the job is told, of all processes together. */
  readonly parallelism: number;
}

/**
 * Over how many of its slots a process spreads what it has of a job. The group says so, as far as there are slots; when the
 * job asks for more than all processes have, each starts its part of them.
 */
export function slotsHere(
  records: readonly ControlRecord[],
  members: readonly { readonly slots: number }[],
  job: string,
  has: { readonly tasks: number; readonly slots: number },
): MeantSlots {
  const wanted = wantedJobs(records).get(job);
  const parallelism = wanted?.settings.parallelism ?? 0;
  if (parallelism <= members.reduce((sum, { slots }) => sum + slots, 0)) return { slots: has.slots, parallelism };
  const taskCount = Object.values(wanted?.tasks ?? {}).reduce((sum, count) => sum + count, 0);
  const part = Math.ceil((parallelism * has.tasks) / Math.max(1, taskCount));
  return { slots: Math.max(has.slots, Math.min(part, has.tasks, SLOTS_MAX)), parallelism };
}
