// Owns what deploys are given of the process that carries them out.

import type { CheckpointStore } from '#checkpoint/contract.ts';
import type { Executor } from '#jobs/executor.ts';
import type { JobPreparation } from '#jobs/job-preparation.ts';
import type { JobSavepoints } from '#jobs/job-savepoints.ts';
import type { RunningJobs } from '#jobs/running-jobs.ts';
import type { ControlAppender } from '#runtime/control/control-log.ts';
import type { LogClient, LogReader } from '#runtime/log/contract.ts';
import type { Clock } from '#runtime/std/clock.ts';
import type { Logger } from '#runtime/std/logger.ts';

export interface JobDeploysParts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly jobs: RunningJobs;
  readonly executor: Executor;
  readonly preparation: JobPreparation;
  readonly control: ControlAppender;
  readonly savepoints: JobSavepoints;
  readonly log: LogClient;
  readonly reader: LogReader;
  readonly store: CheckpointStore;
  readonly namespace: string;
  /** The process ends, or others may change jobs now: what does not end is left for the next one. */
  readonly signal: AbortSignal;
}
