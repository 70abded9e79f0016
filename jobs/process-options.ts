// Owns what a process is started with, and what it tells of its jobs.

import type { AdminSource } from '#jobs/admin-source.ts';
import type { LoadedInstallation } from '#jobs/load-job.ts';
import type { JobState } from '#jobs/running-jobs.ts';
import type { SlotReport } from '#runtime/slot/messages.ts';
import type { Logger } from '#runtime/std/logger.ts';
import type { Failure } from '#runtime/task/task-supervisor.ts';

export interface ProcessOptions {
  readonly installation: LoadedInstallation;
  readonly logger: Logger;
  readonly logLevel: string;
  readonly pretty: boolean;
  /** Partitions to create a missing source topic with, when this process writes it; null: it must exist. */
  readonly createSource: number | null;
  /** Ends the waiting for a log at start; `start` throws then. */
  readonly signal: AbortSignal;
  /** Called when the log is open, before anything is read or claimed; what it throws ends the start. */
  readonly opened?: (source: AdminSource) => Promise<void>;
  /** Where other processes reach the admin API of this one, known when it was opened; empty: nowhere. */
  readonly address?: () => string;
}

export interface JobReport {
  readonly name: string;
  readonly state: JobState;
  readonly failure: Failure | null;
  readonly version: string | null;
  readonly tasks: readonly SlotReport[];
}
