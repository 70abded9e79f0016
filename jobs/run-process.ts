// Owns one process: log, control log, installation, jobs, slots, and the orderly end. The main thread touches no
// record. One job that cannot run does not keep the others from running.

import { randomBytes } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { CheckpointStore } from '#checkpoint/contract.ts';
import { DirectoryStore } from '#checkpoint/directory-store.ts';
import type { Configuration } from '#jobs/configuration.ts';
import { connectLog } from '#jobs/connect-log.ts';
import type { LoadedInstallation } from '#jobs/load-job.ts';
import { type PreparedJob, prepareJob } from '#jobs/prepare-job.ts';
import type { SlotSettings } from '#jobs/process-settings.ts';
import { ControlLog, readControlLog } from '#runtime/control/control-log.ts';
import { checkInstallation, claimInstallation } from '#runtime/control/installation.ts';
import type { LogClient, LogReader } from '#runtime/log/contract.ts';
import { type EmbeddedLog, openEmbeddedLog } from '#runtime/log/embedded/embedded-log.ts';
import type { TaskAssignment, TaskReport } from '#runtime/slot/messages.ts';
import { SlotPool } from '#runtime/slot/slot-pool.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { nodeDisk } from '#runtime/std/disk.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';
import { ulid } from '#runtime/std/ulid.ts';
import { describe, type Failure } from '#runtime/task/task-supervisor.ts';

export interface ProcessOptions {
  readonly installation: LoadedInstallation;
  readonly logger: Logger;
  readonly logLevel: string;
  readonly pretty: boolean;
  /** Partitions to create a missing source topic with, when this process writes it; null: it must exist. */
  readonly createSource: number | null;
}

export type JobState = 'CREATED' | 'RUNNING' | 'STOPPING' | 'STOPPED' | 'FAILED';

export interface JobReport {
  readonly name: string;
  readonly state: JobState;
  readonly failure: Failure | null;
  readonly version: string | null;
  readonly tasks: readonly TaskReport[];
}

interface RunningJob {
  readonly name: string;
  state: JobState;
  failure: Failure | null;
  prepared: PreparedJob | null;
  tasksLeft: number;
}

/** How long a log that does not answer is waited for at start. */
const START_PATIENCE_MS = 60_000;
const TOPIC_CHECK_INTERVAL_MS = 30_000;

export class MillraceProcess {
  readonly processId: string;
  /** Client of the main thread, for generators and reports. */
  readonly log: LogClient;
  /** Resolves when no job runs any more; with the failure that ended the whole process, if one did. */
  readonly ended: Promise<Failure | null>;
  readonly #options: ProcessOptions;
  readonly #embedded: EmbeddedLog | null;
  readonly #reader: LogReader;
  readonly #jobs = new Map<string, RunningJob>();
  readonly #closing = new AbortController();
  #control: ControlLog | null = null;
  #pool: SlotPool | null = null;
  #resolveEnded: (failure: Failure | null) => void = () => {};

  private constructor(options: ProcessOptions, embedded: EmbeddedLog | null, log: LogClient) {
    this.#options = options;
    this.#embedded = embedded;
    this.log = log;
    this.#reader = log.reader();
    this.processId = ulid(systemClock.nowMs(), randomBytes(10));
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  /** Connects, claims the installation and starts the jobs. Throws what keeps the whole process from running. */
  static async start(options: ProcessOptions): Promise<MillraceProcess> {
    const { log, namespace } = options.installation.configuration;
    const embedded =
      log.kind === 'embedded'
        ? await openEmbeddedLog({ directory: log.directory, clock: systemClock, logger: options.logger })
        : null;
    const client = embedded?.client() ?? connectLog(log, null, `${namespace}-main`);
    const running = new MillraceProcess(options, embedded, client);
    try {
      await running.#claim();
      await running.#startJobs();
      embedded?.failure.then((fault) => running.#processFailed(describe(fault)));
    } catch (error) {
      await running.#release();
      throw error;
    }
    return running;
  }

  get #configuration(): Configuration {
    return this.#options.installation.configuration;
  }

  #store(): CheckpointStore {
    return new DirectoryStore({ disk: nodeDisk, root: this.#configuration.checkpoints.directory });
  }

  async #claim(): Promise<void> {
    const { logger } = this.#options;
    const { namespace } = this.#configuration;
    const deadlineMs = systemClock.monotonicMs() + START_PATIENCE_MS;
    const store = this.#store();
    for (;;) {
      try {
        const before = await readControlLog(this.log, this.#reader, namespace);
        checkInstallation(before?.records ?? [], await store.readInstallation(), namespace);
        const control = await ControlLog.open(this.log, this.#reader, namespace, systemClock);
        this.#control = control;
        const nowMs = systemClock.nowMs();
        const freshId = ulid(nowMs, randomBytes(10));
        const installation = await claimInstallation({ control, store, namespace, nowMs, freshId });
        await control.append({ kind: 'owner', processId: this.processId, atMs: nowMs });
        logger.info({ installation, process: this.processId, log: this.log.kind }, 'installation claimed');
        return;
      } catch (error) {
        const passing = error instanceof StreamError && error.retryable;
        if (!passing || systemClock.monotonicMs() > deadlineMs) throw error;
        logger.warn({ code: error.code }, `the log cannot be used yet, trying again: ${error.message}`);
        await this.#control?.close();
        this.#control = null;
        await systemClock.sleep(1_000);
      }
    }
  }

  async #startJobs(): Promise<void> {
    const { installation, createSource, logger } = this.#options;
    const { namespace, slots } = this.#configuration;
    const store = this.#store();
    for (const loaded of installation.jobs) {
      const { name } = loaded.configuration;
      const job: RunningJob = { name, state: 'CREATED', failure: null, prepared: null, tasksLeft: 0 };
      this.#jobs.set(job.name, job);
      try {
        job.prepared = await prepareJob(loaded, {
          namespace,
          admin: this.log.admin,
          control: this.#control as ControlLog,
          store,
          nowMs: systemClock.nowMs(),
          createSource,
        });
        job.state = 'RUNNING';
        job.tasksLeft = job.prepared.tasks.length;
      } catch (error) {
        this.#jobFailed(job, describe(error));
      }
    }
    const ready = [...this.#jobs.values()].filter((job) => job.prepared !== null);
    this.#pool = new SlotPool({
      slotCount: slots,
      spawn: (index) => this.#spawnSlot(index),
      clock: systemClock,
      logger,
      taskFailed: (assignment, failure) => this.#taskFailed(assignment, failure),
      taskStopped: (assignment) => this.#taskEnded(assignment),
    });
    for (const { prepared } of ready) {
      if (prepared !== null) await this.#pool.start(prepared.tasks, prepared.parallelism);
    }
    this.#checkEnded();
    this.#watchTopics();
  }

  #spawnSlot(index: number): Worker {
    const { logLevel, pretty } = this.#options;
    const { namespace, log, checkpoints } = this.#configuration;
    const port = this.#embedded?.port() ?? null;
    const settings: SlotSettings = {
      index,
      namespace,
      processId: this.processId,
      log,
      port,
      checkpointsDirectory: checkpoints.directory,
      jobs: [...this.#jobs.values()].flatMap((job) => (job.prepared === null ? [] : [job.prepared.assignment])),
      logLevel,
      pretty,
    };
    return new Worker(new URL('./slot-main.ts', import.meta.url), {
      workerData: settings,
      transferList: port === null ? [] : [port],
      name: `slot-${index}`,
    });
  }

  #taskFailed(assignment: TaskAssignment, failure: Failure): void {
    if (failure.code === 'superseded') {
      this.#processFailed(failure);
      return;
    }
    const job = this.#jobs.get(assignment.job);
    if (job !== undefined) this.#jobFailed(job, failure);
    this.#pool?.stopJob(assignment.job);
    this.#taskEnded(assignment);
  }

  // Nothing here can go on: another process took over, or the log is broken.
  #processFailed(failure: Failure): void {
    if (this.#closing.signal.aborted) return;
    this.#options.logger.error({ code: failure.code, remedy: failure.remedy }, failure.message);
    this.#closing.abort();
    this.#pool?.terminate().then(() => this.#resolveEnded(failure));
  }

  #jobFailed(job: RunningJob, failure: Failure): void {
    if (job.state === 'FAILED') return;
    job.state = 'FAILED';
    job.failure = failure;
    const { code, remedy } = failure;
    this.#options.logger.error({ job: job.name, code, remedy }, `job ${job.name} failed: ${failure.message}`);
  }

  #taskEnded(assignment: TaskAssignment): void {
    const job = this.#jobs.get(assignment.job);
    if (job === undefined) return;
    job.tasksLeft--;
    if (job.tasksLeft === 0 && job.state !== 'FAILED') job.state = 'STOPPED';
    this.#checkEnded();
  }

  #checkEnded(): void {
    const jobs = [...this.#jobs.values()];
    if (jobs.every((job) => job.tasksLeft <= 0))
      this.#resolveEnded(jobs.find((job) => job.failure !== null)?.failure ?? null);
  }

  // A source that grows or is created again stops its job with the remedy, not a silent wrong key.
  async #watchTopics(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await systemClock.sleep(TOPIC_CHECK_INTERVAL_MS, signal);
      if (signal.aborted) return;
      for (const job of this.#jobs.values()) {
        if (job.prepared === null || job.state !== 'RUNNING') continue;
        const fault = await job.prepared.checkSource(this.log.admin).catch(() => null);
        if (fault === null) continue;
        this.#jobFailed(job, describe(fault));
        this.#pool?.stopJob(job.name);
      }
    }
  }

  /** What runs and how; the tasks' own words are at most two seconds old. */
  async status(): Promise<JobReport[]> {
    const reports = (await this.#pool?.status()) ?? [];
    return Array.from(this.#jobs.values(), (job) => ({
      name: job.name,
      state: job.state,
      failure: job.failure,
      version: job.prepared?.assignment.version ?? null,
      tasks: reports.filter((report) => report.assignment.job === job.name),
    }));
  }

  /** Clean stop: every task ends with a checkpoint at its last entry. */
  async stop(): Promise<void> {
    this.#closing.abort();
    for (const job of this.#jobs.values()) if (job.state === 'RUNNING') job.state = 'STOPPING';
    await this.#pool?.close();
    await this.#release();
  }

  /** Ends at once, without checkpoints; the next start replays. */
  async terminate(): Promise<void> {
    this.#closing.abort();
    await this.#pool?.terminate();
    await this.#release();
  }

  async #release(): Promise<void> {
    await this.#control?.close();
    await this.#reader.close();
    await this.log.close();
    await this.#embedded?.close();
  }
}
