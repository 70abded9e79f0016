// Owns what changes jobs, put together for the process that may: the writer of the control log, the changes, and what
// carries them out.

import { randomBytes } from 'node:crypto';
import { DeployDesk } from '#jobs/deploy-desk.ts';
import { DeployTasks } from '#jobs/deploy-tasks.ts';
import type { Executor } from '#jobs/executor.ts';
import { JobCheckpoints } from '#jobs/job-checkpoints.ts';
import { JobControl } from '#jobs/job-control.ts';
import { JobDeploys } from '#jobs/job-deploys.ts';
import type { JobPreparation } from '#jobs/job-preparation.ts';
import { JobSavepoints } from '#jobs/job-savepoints.ts';
import { purgeJob } from '#jobs/purge-job.ts';
import type { RunningJobs } from '#jobs/running-jobs.ts';
import type { ControlAppender, ControlEdges, ControlLog } from '#runtime/control/control-log.ts';
import { ControlWriter } from '#runtime/control/control-writer.ts';
import type { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';
import { ulid } from '#runtime/std/ulid.ts';

/** The control log while this process has it. */
export interface HeldControl {
  readonly appender: ControlAppender;
  readonly changes: JobControl;
  readonly desk: DeployDesk;
  close(): Promise<void>;
}

export interface HeldControlParts {
  readonly edges: ControlEdges;
  readonly logger: Logger;
  readonly processId: string;
  readonly namespace: string;
  readonly control: ControlLog;
  readonly executor: Executor;
  readonly jobs: RunningJobs;
  readonly preparation: JobPreparation;
  /** A change has ended. */
  readonly changed: () => void;
  /** The process ends, or others may change jobs from then on. */
  readonly signal: AbortSignal;
  readonly failed: (fault: StreamError) => void;
}

export function holdControl(parts: HeldControlParts): HeldControl {
  const { changed, control, edges, executor, failed, jobs, logger, namespace, preparation, processId, signal } = parts;
  const { clock, log } = edges;
  const { store } = preparation;
  const newId = () => ulid(clock.nowMs(), randomBytes(10)).toLowerCase();
  const appender = new ControlWriter({ edges, processId, logger, signal }, control);
  const savepoints = new JobSavepoints({ clock, executor, store, namespace, newId });
  const shared = { ...edges, logger, jobs, executor, preparation, control: appender, savepoints, store, namespace };
  const deploys = new JobDeploys({ ...shared, signal }, new DeployTasks(shared));
  const changes = new JobControl({
    clock,
    logger,
    jobs,
    executor,
    preparation,
    control: appender,
    checkpoints: new JobCheckpoints(executor, clock),
    savepoints,
    deploys,
    changed,
    purge: (job) => purgeJob(job.name, namespace, log.admin, store),
    newId,
    signal,
    failed,
  });
  const desk = new DeployDesk({ ...shared, deploys, changes });
  return { appender, changes, desk, close: () => appender.close() };
}
