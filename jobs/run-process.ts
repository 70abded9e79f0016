// Owns one process: log, control log, installation, jobs, slots, and the orderly end. The main thread touches no
// record. One job that cannot run does not keep the others from running.

import { randomBytes } from 'node:crypto';
import type { CheckpointStore } from '#checkpoint/contract.ts';
import type { AdminSource } from '#jobs/admin-source.ts';
import { checkpointStoreName, openCheckpointStore } from '#jobs/checkpoint-store.ts';
import type { Configuration } from '#jobs/configuration.ts';
import { connectLog } from '#jobs/connect-log.ts';
import { JobExecutor } from '#jobs/job-executor.ts';
import { writersFirst } from '#jobs/job-order.ts';
import type { LoadedInstallation } from '#jobs/load-job.ts';
import { patiently, startTimeoutMs } from '#jobs/log-patience.ts';
import { retentionPolicy } from '#jobs/log-retention.ts';
import { endOpenTransactions } from '#jobs/open-transactions.ts';
import { prepareJob } from '#jobs/prepare-job.ts';
import { type JobState, logFull, type RunningJob, RunningJobs } from '#jobs/running-jobs.ts';
import { spawnSlot } from '#jobs/slot-threads.ts';
import { watch } from '#jobs/watch.ts';
import {
  type ControlEdges,
  ControlLog,
  type ControlRecord,
  isOwner,
  readControlLog,
} from '#runtime/control/control-log.ts';
import { checkInstallation, claimInstallation, type InstallationNames } from '#runtime/control/installation.ts';
import type { LogClient, LogReader } from '#runtime/log/contract.ts';
import { type EmbeddedLog, openEmbeddedLog } from '#runtime/log/embedded/embedded-log.ts';
import type { SlotReport, StateReply, TaskAssignment } from '#runtime/slot/messages.ts';
import type { SlotCounts } from '#runtime/slot/slot.ts';
import { atMost } from '#runtime/std/at-most.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';
import { sharedQuestion } from '#runtime/std/shared-question.ts';
import { ulid } from '#runtime/std/ulid.ts';
import { sharedPace } from '#runtime/task/commit-pace.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';
import { describe, type Failure } from '#runtime/task/task-supervisor.ts';

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
}

export interface JobReport {
  readonly name: string;
  readonly state: JobState;
  readonly failure: Failure | null;
  readonly version: string | null;
  readonly tasks: readonly SlotReport[];
}

/** Of all tasks together: a broker takes about 2,800. */
const TRANSACTIONS_PER_SECOND_MAX = 1_000;
/** How long the end of a process waits for connections: one that hangs has nothing more to say. */
const CLOSE_PATIENCE_MS = 500;

export class MillraceProcess implements AdminSource {
  readonly processId: string;
  /** Client of the main thread, for generators and reports. */
  readonly log: LogClient;
  /** Resolves when no job runs any more, with what failed. */
  readonly ended: Promise<readonly Failure[]>;
  readonly startedMs = systemClock.nowMs();
  /** Null until the installation is claimed. */
  installationId: string | null = null;
  readonly #options: ProcessOptions;
  /** Null on Kafka. */
  readonly embedded: EmbeddedLog | null;
  readonly #reader: LogReader;
  readonly #jobs: RunningJobs;
  readonly #executor: JobExecutor;
  readonly #closing = new AbortController();
  readonly #owns = sharedQuestion(() => isOwner(this.#edges, this.processId));
  readonly #pace = sharedPace(TRANSACTIONS_PER_SECOND_MAX);
  #control: ControlLog | null = null;
  #processFailure: Failure | null = null;
  #resolveEnded: (failures: readonly Failure[]) => void = () => {};

  private constructor(options: ProcessOptions, embedded: EmbeddedLog | null, log: LogClient) {
    this.#options = options;
    this.#jobs = new RunningJobs(options.logger);
    this.embedded = embedded;
    this.log = log;
    this.#reader = log.reader();
    this.processId = ulid(systemClock.nowMs(), randomBytes(10));
    this.#executor = this.#makeExecutor();
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  /** Connects, prepares the jobs, claims the installation and starts them. Throws what keeps the whole process from running. */
  static async start(options: ProcessOptions): Promise<MillraceProcess> {
    const { log, namespace } = options.installation.configuration;
    const embedded =
      log.kind === 'embedded'
        ? await openEmbeddedLog({ directory: log.directory, clock: systemClock, logger: options.logger })
        : null;
    const client = embedded?.client() ?? connectLog(log, null, `${namespace}-main`);
    const running = new MillraceProcess(options, embedded, client);
    try {
      await options.opened?.(running);
      await running.#prepareJobs(await running.#look());
      const prepared = running.#startable.flatMap((job) => job.prepared ?? []);
      embedded?.keep(retentionPolicy(running.configuration, prepared));
      // A process whose threads do not start takes nothing over.
      if (running.#startable.length > 0) await running.#patiently(() => running.#executor.open(running.#startable));
      if (running.#startable.length > 0) await running.#claim();
      if (running.#startable.length > 0) {
        running.#executor.start(running.#startable);
        running.#watch();
      }
      running.#checkEnded();
      embedded?.failure.then((fault) => running.#processFailed(describe(fault)));
    } catch (error) {
      await running.terminate();
      throw error;
    }
    return running;
  }

  #makeExecutor(): JobExecutor {
    const { logger, logLevel, pretty } = this.#options;
    const { configuration, embedded, log } = this;
    const { namespace } = configuration;
    return new JobExecutor({
      clock: systemClock,
      logger,
      jobs: this.#jobs,
      slotCount: configuration.slots,
      spawn: (index) => {
        const jobs = this.#jobs.all.flatMap((job) => job.prepared?.assignment ?? []);
        return spawnSlot(index, { configuration, embedded, jobs, pace: this.#pace, logLevel, pretty });
      },
      owns: this.#owns,
      diagnose: (job, failure) => this.#diagnose(job, failure),
      slotDied: (tasks) => endOpenTransactions({ log, namespace, tasks, owns: this.#owns }),
      processFailed: (failure) => this.#processFailed(failure),
      taskEnded: () => this.#checkEnded(),
    });
  }

  get configuration(): Configuration {
    return this.#options.installation.configuration;
  }

  get #edges(): ControlEdges {
    const { namespace } = this.configuration;
    return { log: this.log, reader: this.#reader, clock: systemClock, namespace };
  }

  get #names(): InstallationNames {
    const { namespace, checkpoints } = this.configuration;
    return { namespace, storeName: checkpointStoreName(checkpoints) };
  }

  #store(): CheckpointStore {
    return openCheckpointStore(this.configuration.checkpoints);
  }

  /** What ended the process, or each job that failed. */
  get failures(): readonly Failure[] {
    if (this.#processFailure !== null) return [this.#processFailure];
    return this.#jobs.failures;
  }

  /** Only reads: whoever is refused here leaves the process that runs the jobs alone. */
  #look(): Promise<readonly ControlRecord[]> {
    const store = this.#store();
    return this.#patiently(async () => {
      const content = await readControlLog(this.#edges);
      const records = content?.records ?? [];
      checkInstallation(records, await store.readInstallation(), this.#names);
      await store.requireWritable(this.processId);
      return records;
    });
  }

  /** Prepares the jobs; those that are refused have failed. */
  async #prepareJobs(records: readonly ControlRecord[]): Promise<void> {
    const { installation, createSource } = this.#options;
    const { namespace } = this.configuration;
    const { admin } = this.log;
    const jobs = writersFirst(installation.jobs).map((loaded) => this.#jobs.add(loaded));
    for (const job of jobs) {
      try {
        job.prepared = await this.#patiently(() => {
          const nowMs = systemClock.nowMs();
          return prepareJob(job.loaded, { namespace, admin, records, store: this.#store(), nowMs, createSource });
        });
      } catch (error) {
        if (this.#options.signal.aborted) throw error;
        this.#jobs.failed(job, describe(error));
      }
    }
  }

  /**
   * Shuts out the process that ran the jobs. However long it takes: what was sent may be done, and then the other has
   * ended already.
   */
  async #claim(): Promise<void> {
    const store = this.#store();
    await this.#patiently(async () => {
      await this.#control?.close();
      const control = await ControlLog.open(this.#edges);
      this.#control = control;
      const nowMs = systemClock.nowMs();
      const freshId = ulid(nowMs, randomBytes(10));
      const installation = await claimInstallation({ control, store, names: this.#names, nowMs, freshId });
      for (const job of this.#startable) await this.#claimJob(job, control);
      if (this.#startable.length === 0) return;
      await control.append({ kind: 'owner', processId: this.processId, atMs: nowMs });
      this.installationId = installation;
      this.#options.logger.info({ installation, process: this.processId, log: this.log.kind }, 'installation claimed');
    }, Number.POSITIVE_INFINITY);
  }

  async #claimJob(job: RunningJob, control: ControlLog): Promise<void> {
    try {
      await job.prepared?.claim(control);
      for (const { code, message, remedy } of job.prepared?.losses ?? []) {
        this.#options.logger.warn({ job: job.name, code, remedy }, message);
      }
    } catch (error) {
      if (error instanceof StreamError && error.retryable) throw error;
      this.#jobs.failed(job, describe(error));
    }
  }

  get #startable(): readonly RunningJob[] {
    return this.#jobs.in('CREATED');
  }

  #patiently<T>(attempt: () => Promise<T>, timeoutMs = startTimeoutMs(this.configuration.log)): Promise<T> {
    const { logger, signal } = this.#options;
    return patiently({ log: this.configuration.log, clock: systemClock, logger, signal }, timeoutMs, attempt);
  }

  async #superseded(): Promise<StreamError | null> {
    if (await this.#owns()) return null;
    const message = `a newer process of installation '${this.configuration.namespace}' took over`;
    return new StreamError('superseded', message, 'none needed: the newer process goes on');
  }

  // A task sees one topic; whether the job can go on with it, and how, is known here.
  async #diagnose(job: RunningJob, failure: Failure): Promise<Failure> {
    if (!failure.code.startsWith('topic-')) return failure;
    const fault = await job.prepared?.checkTopics(this.log.admin).catch(() => null);
    return fault ? describe(fault) : failure;
  }

  // Nothing here can go on: another process took over, or the log is broken.
  #processFailed(failure: Failure): void {
    if (this.#closing.signal.aborted) return;
    this.#options.logger.error({ code: failure.code, remedy: failure.remedy }, failure.message);
    this.#closing.abort();
    this.#processFailure = failure;
    this.#executor.terminate().then(() => this.#resolveEnded(this.failures));
  }

  #checkEnded(): void {
    if (this.#jobs.ended) this.#resolveEnded(this.failures);
  }

  #watch(): void {
    const running = () => this.#jobs.in('RUNNING');
    const { log } = this;
    void watch({
      admin: log.admin,
      clock: systemClock,
      logger: this.#options.logger,
      signal: this.#closing.signal,
      jobs: () => running().flatMap((job) => job.prepared ?? []),
      superseded: async () => ((await this.#control?.overtaken(log.admin)) ? this.#superseded() : null),
      // A topic that grows or is created again stops its job with the remedy, not a silent wrong key.
      jobFault: (prepared, fault) => {
        const job = running().find((candidate) => candidate.prepared === prepared);
        if (job === undefined) return;
        this.#executor.failed(job, describe(fault));
      },
      processFault: (fault) => this.#processFailed(describe(fault)),
    });
  }

  /** What runs and how; the tasks' own words are at most two seconds old. */
  async status(): Promise<JobReport[]> {
    const reports = await this.#executor.status();
    return this.#jobs.all.map((job) => ({
      name: job.name,
      state: job.state,
      failure: job.failure,
      version: job.prepared?.assignment.version ?? null,
      tasks: reports.filter((report) => report.assignment.job === job.name),
    }));
  }

  get jobs(): readonly RunningJob[] {
    return this.#jobs.all;
  }

  get slots(): SlotCounts {
    return this.#executor.slots;
  }

  /** What every task said last. */
  reports(): Promise<readonly SlotReport[]> {
    return this.#executor.reports();
  }

  get paused(): Failure | null {
    return logFull(this.configuration.log, this.embedded?.full ?? null);
  }

  askState(assignment: TaskAssignment, query: StateQuery): Promise<StateReply> {
    return this.#executor.askState(assignment, query);
  }

  /** Clean stop: every task ends with a checkpoint at its last entry. */
  async stop(): Promise<void> {
    this.#closing.abort();
    for (const job of this.#jobs.in('RUNNING')) job.state = 'STOPPING';
    await this.#executor.close();
    await this.#release();
  }

  /** Ends at once, without checkpoints; the next start replays. */
  async terminate(): Promise<void> {
    this.#closing.abort();
    await this.#executor.terminate();
    await this.#release();
  }

  async #release(): Promise<void> {
    const close = async () => {
      await this.#control?.close();
      await this.#reader.close();
      await this.log.close();
    };
    await atMost(systemClock, CLOSE_PATIENCE_MS, close());
    await this.embedded?.close();
  }
}
