// Owns what happens between a log that is open and tasks that start: looking at what is there without touching it,
// preparing jobs, taking the installation over. Invariant: who is refused before the take-over leaves no trace.

import { randomBytes } from 'node:crypto';
import type { CheckpointStore } from '#checkpoint/contract.ts';
import { checkpointStoreName, openCheckpointStore } from '#jobs/checkpoint-store.ts';
import type { Configuration } from '#jobs/configuration.ts';
import type { LoadedJob } from '#jobs/load-job.ts';
import { patiently, startTimeoutMs } from '#jobs/log-patience.ts';
import { prepareJob } from '#jobs/prepare-job.ts';
import type { RunningJob, RunningJobs } from '#jobs/running-jobs.ts';
import {
  type ControlAppender,
  type ControlEdges,
  ControlLog,
  type ControlRecord,
  readControlLog,
} from '#runtime/control/control-log.ts';
import { changed, configured, type WantedJob, wantedJobs } from '#runtime/control/desired-state.ts';
import { checkInstallation, claimInstallation, type InstallationNames } from '#runtime/control/installation.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';
import { ulid } from '#runtime/std/ulid.ts';
import { describe } from '#runtime/task/task-supervisor.ts';

export interface JobPreparationParts {
  readonly configuration: Configuration;
  readonly processId: string;
  readonly edges: ControlEdges;
  readonly jobs: RunningJobs;
  readonly logger: Logger;
  /** Partitions to create a missing source topic with, when this process writes it; null: it must exist. */
  readonly createSource: number | null;
  /** Ends the waiting for a log. */
  readonly signal: AbortSignal;
}

export interface ClaimedInstallation {
  readonly control: ControlLog;
  readonly installationId: string;
}

export class JobPreparation {
  readonly #parts: JobPreparationParts;

  constructor(parts: JobPreparationParts) {
    this.#parts = parts;
  }

  get #names(): InstallationNames {
    const { namespace, checkpoints } = this.#parts.configuration;
    return { namespace, storeName: checkpointStoreName(checkpoints) };
  }

  get store(): CheckpointStore {
    return openCheckpointStore(this.#parts.configuration.checkpoints);
  }

  /** Only reads: whoever is refused here leaves the process that runs the jobs alone. */
  look(): Promise<readonly ControlRecord[]> {
    const { edges, processId } = this.#parts;
    const { store } = this;
    return this.patiently(async () => {
      const content = await readControlLog(edges);
      const records = content?.records ?? [];
      checkInstallation(records, await store.readInstallation(), this.#names);
      await store.requireWritable(processId);
      return records;
    });
  }

  /** Takes in the jobs of the configuration, each as it is told to be. */
  add(loaded: readonly LoadedJob[], records: readonly ControlRecord[]): void {
    for (const job of loaded) this.#parts.jobs.add(job, wantedOf(job, records, this.#parts.edges.clock.nowMs()));
  }

  /** A job that is refused has failed. */
  async prepare(job: RunningJob, records: readonly ControlRecord[]): Promise<void> {
    const { configuration, createSource, edges, jobs, signal } = this.#parts;
    const { namespace } = configuration;
    const { admin } = edges.log;
    try {
      job.prepared = await this.patiently(() => {
        const nowMs = edges.clock.nowMs();
        return prepareJob(job.loaded, { namespace, admin, records, store: this.store, nowMs, createSource });
      });
    } catch (error) {
      if (signal.aborted) throw error;
      jobs.failed(job, describe(error));
    }
  }

  /**
   * Shuts out the process that ran the jobs. However long it takes: what was sent may be done, and then the other has
   * ended already. Null when no job is left that could be run.
   */
  claim(): Promise<ClaimedInstallation | null> {
    const { edges, jobs, logger, processId } = this.#parts;
    const { store } = this;
    let before: ControlLog | null = null;
    return this.patiently(async () => {
      await before?.close();
      const control = await ControlLog.open(edges);
      before = control;
      const nowMs = edges.clock.nowMs();
      const freshId = ulid(nowMs, randomBytes(10));
      const installationId = await claimInstallation({ control, store, names: this.#names, nowMs, freshId });
      for (const job of jobs.all) await this.#retell(job, control);
      for (const job of jobs.in('CREATED')) await this.claimJob(job, control);
      if (jobs.all.every(({ state }) => state === 'FAILED')) {
        await control.close();
        return null;
      }
      await control.append({ kind: 'owner', processId, atMs: nowMs });
      // The tasks ask who the owner is.
      await control.untilVisible(edges.log.admin);
      logger.info({ installation: installationId, process: processId, log: edges.log.kind }, 'installation claimed');
      return { control, installationId };
    }, Number.POSITIVE_INFINITY);
  }

  // Another process may have changed it since it was looked at.
  async #retell(job: RunningJob, control: ControlAppender): Promise<void> {
    const { edges, jobs } = this.#parts;
    if (job.state === 'FAILED') return;
    const atMs = edges.clock.nowMs();
    const wanted = wantedOf(job.original, control.records, atMs);
    const version = job.prepared?.assignment.version ?? wanted.version;
    const told = version === wanted.version ? wanted : changed(wanted, { version }, { requestId: null, atMs });
    jobs.told(job, told);
    if (job.state === 'CREATED' && told.state !== 'RUNNING') job.state = told.state;
    if (told !== wantedJobs(control.records).get(job.name)) await control.append(told);
  }

  /** Writes down what a prepared job begins with; one that is refused has failed. */
  async claimJob(job: RunningJob, control: ControlAppender): Promise<void> {
    const { jobs, logger } = this.#parts;
    try {
      await job.prepared?.claim(control);
      for (const { code, message, remedy } of job.prepared?.losses ?? []) {
        logger.warn({ job: job.name, code, remedy }, message);
      }
    } catch (error) {
      if (error instanceof StreamError && error.retryable) throw error;
      jobs.failed(job, describe(error));
    }
  }

  patiently<T>(attempt: () => Promise<T>, timeoutMs = startTimeoutMs(this.#parts.configuration.log)): Promise<T> {
    const { configuration, edges, logger, signal } = this.#parts;
    return patiently({ log: configuration.log, clock: edges.clock, logger, signal }, timeoutMs, attempt);
  }
}

/** `loaded` is the job as the configuration has it. */
function wantedOf({ configuration, compiled }: LoadedJob, records: readonly ControlRecord[], atMs: number): WantedJob {
  const { name, modulePath } = configuration;
  const { parallelism, commitIntervalMs, checkpointIntervalMs } = compiled.settings;
  const settings = { parallelism, commitIntervalMs, checkpointIntervalMs };
  return configured(wantedJobs(records).get(name), { job: name, modulePath, settings, atMs });
}
