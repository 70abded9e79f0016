// Owns how a process that is given tasks of a job comes to run that very version of it: its own module where it is the
// same, else the one that was kept in the checkpoint store. Invariant: no task runs another version than the control log
// names.

import type { JobPreparation } from '#jobs/job-preparation.ts';
import { versionOf } from '#jobs/prepare-job.ts';
import type { JobAssignment } from '#jobs/process-settings.ts';
import type { RunningJob, RunningJobs } from '#jobs/running-jobs.ts';
import type { ControlFollower } from '#runtime/control/control-follower.ts';
import type { ControlRecord } from '#runtime/control/control-log.ts';
import { wantedJobs } from '#runtime/control/desired-state.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Failure } from '#runtime/task/task-supervisor.ts';

export interface MemberPlanParts {
  readonly jobs: RunningJobs;
  readonly preparation: JobPreparation;
  readonly follower: ControlFollower;
  /** This process changes jobs: what it knows of them counts. */
  readonly leads: boolean;
  /** It is about to. */
  readonly willLead: boolean;
  /** This process does not belong to the installation. */
  readonly refused: (fault: StreamError) => void;
}

/** Errors: not-ready while it is not known yet; version-mismatch; those of loading and preparing it. */
export async function planJob(name: string, parts: MemberPlanParts): Promise<JobAssignment> {
  const { follower, jobs, leads, preparation } = parts;
  await follower.caughtUp();
  const { records } = follower;
  const fault = leads ? null : await preparation.stranger(records);
  if (fault !== null) {
    parts.refused(fault);
    throw notReady(fault.message);
  }
  const wanted = wantedJobs(records).get(name);
  if (wanted === undefined) throw notReady(`job ${name} is not known yet`);
  const job = jobs.get(name) ?? jobs.add(await preparation.fetch(wanted), wanted);
  if (!leads) {
    jobs.told(job, wanted);
    // What was deployed is not what this process has under that name.
    const other = wanted.deployed && versionOf(job.loaded).version !== wanted.version;
    if (other) jobs.loaded(job, await preparation.fetch(wanted));
    await prepare(job, records, parts);
    // What it has may be another version in other ways, too, or be refused here.
    if (job.failure !== null || job.prepared?.assignment.version !== wanted.version) {
      jobs.loaded(job, await preparation.fetch(wanted));
      await prepare(job, records, parts);
    }
    if (job.failure !== null) throw failureError(job.failure);
    job.state = 'RUNNING';
  }
  const { prepared } = job;
  if (prepared === null) throw notReady(`job ${name} is not prepared yet`);
  const { version } = prepared.assignment;
  if (wanted.version === null || wanted.version === version) return prepared.assignment;
  throw new StreamError(
    'version-mismatch',
    `job ${name} is version ${version} in this process, and the installation runs version ${wanted.version}`,
    'run the same version of Millrace and Node in all processes',
  );
}

async function prepare(
  job: RunningJob,
  records: readonly ControlRecord[],
  { jobs, preparation, willLead }: MemberPlanParts,
): Promise<void> {
  jobs.created(job);
  // That a source has grown is for the process to say that changes jobs: it may want a savepoint before.
  await preparation.prepare(job, records, !willLead);
}

function failureError({ code, message, remedy }: Failure): StreamError {
  return new StreamError(code as ConstructorParameters<typeof StreamError>[0], message, remedy);
}

function notReady(message: string): StreamError {
  return new StreamError('not-ready', message, 'none needed: it is looked at again');
}
