// Owns one process: log, control log, installation, jobs, slots, and the orderly end. The main thread touches no
// record. One job that cannot run does not keep the others from running.

import { randomBytes } from 'node:crypto';
import type { AdminSource } from '#jobs/admin-source.ts';
import type { Configuration } from '#jobs/configuration.ts';
import { connectLog } from '#jobs/connect-log.ts';
import { JobCheckpoints } from '#jobs/job-checkpoints.ts';
import { JobControl } from '#jobs/job-control.ts';
import { JobExecutor } from '#jobs/job-executor.ts';
import { writersFirst } from '#jobs/job-order.ts';
import { JobPreparation } from '#jobs/job-preparation.ts';
import type { LoadedInstallation } from '#jobs/load-job.ts';
import { retained, retentionPolicy } from '#jobs/log-retention.ts';
import { endOpenTransactions } from '#jobs/open-transactions.ts';
import { purgeJob } from '#jobs/purge-job.ts';
import { type JobState, logFull, type RunningJob, RunningJobs } from '#jobs/running-jobs.ts';
import { spawnSlot } from '#jobs/slot-threads.ts';
import { watch } from '#jobs/watch.ts';
import { type ControlEdges, type ControlLog, isOwner } from '#runtime/control/control-log.ts';
import { ControlWriter } from '#runtime/control/control-writer.ts';
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
/** A job that fails so soon after the start of the process is a fault of the start. */
const EARLY_MS = 60_000;
/** Told to be so, and not started with the process. */
const HELD: readonly JobState[] = ['PAUSED', 'STOPPED', 'CANCELED'];
/** How long the end of a process waits for connections: one that hangs has nothing more to say. */
const CLOSE_PATIENCE_MS = 500;

interface ProcessControl {
  readonly writer: ControlWriter;
  readonly changes: JobControl;
}

export class MillraceProcess implements AdminSource {
  readonly processId: string;
  /** Client of the main thread, for generators and reports. */
  readonly log: LogClient;
  /** Resolves when there is nothing to wait for: it was stopped, cannot go on, or all its jobs failed at the start. */
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
  readonly #preparation: JobPreparation;
  /** When its jobs were started. */
  #beganMs = Number.POSITIVE_INFINITY;
  /** Null until the installation is claimed. */
  #control: ProcessControl | null = null;
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
    const { installation, createSource, logger, signal } = options;
    const { configuration } = installation;
    const { processId } = this;
    const edges = this.#edges;
    this.#preparation = new JobPreparation({
      configuration,
      processId,
      edges,
      jobs: this.#jobs,
      logger,
      createSource,
      signal,
    });
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
      await running.#begin();
      embedded?.failure.then((fault) => running.#processFailed(describe(fault)));
    } catch (error) {
      await running.terminate();
      throw error;
    }
    return running;
  }

  // A process whose threads do not start, or whose jobs are all refused, takes nothing over.
  async #begin(): Promise<void> {
    const { installation } = this.#options;
    const preparation = this.#preparation;
    const records = await preparation.look();
    preparation.add(writersFirst(installation.jobs), records);
    const starting = () => this.#jobs.in('CREATED');
    for (const job of starting()) await preparation.prepare(job, records);
    this.#keepUnread();
    if (starting().length > 0) await preparation.patiently(() => this.#executor.open(starting()));
    const allFailed = this.#jobs.all.every(({ state }) => state === 'FAILED');
    const claimed = allFailed ? null : await preparation.claim();
    if (claimed === null) {
      this.#resolveEnded(this.failures);
      return;
    }
    const { control, installationId } = claimed;
    this.installationId = installationId;
    this.#control = this.#makeControl(control);
    this.#beganMs = systemClock.monotonicMs();
    for (const job of starting()) this.#executor.start(job);
    for (const { name, state } of this.#jobs.all) if (HELD.includes(state)) this.#tellHeld(name, state);
    this.#watch();
    this.#control.changes.resume();
  }

  #keepUnread(): void {
    this.embedded?.keep(retentionPolicy(this.configuration, retained(this.#jobs.all)));
  }

  #makeControl(log: ControlLog): ProcessControl {
    const { logger } = this.#options;
    const { signal } = this.#closing;
    const writer = new ControlWriter({ edges: this.#edges, processId: this.processId, logger, signal }, log);
    const changes = new JobControl({
      clock: systemClock,
      logger,
      jobs: this.#jobs,
      executor: this.#executor,
      preparation: this.#preparation,
      control: writer,
      checkpoints: new JobCheckpoints(this.#executor, systemClock),
      changed: () => this.#keepUnread(),
      purge: (job) => purgeJob(job.name, this.configuration.namespace, this.log.admin, this.#preparation.store),
      newId: () => ulid(systemClock.nowMs(), randomBytes(10)).toLowerCase(),
      signal,
      failed: (fault) => this.#processFailed(describe(fault)),
    });
    return { writer, changes };
  }

  #tellHeld(job: string, state: JobState): void {
    const remedy = `start it: millrace start ${job}`;
    this.#options.logger.info({ job, state, remedy }, `job ${job} is ${state}, as it was told, and is not started`);
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
      stateMemoryBytes: configuration.state.memoryBytes,
      spawn: (index) => {
        const jobs = this.#jobs.all.flatMap((job) => job.prepared?.assignment ?? []);
        const slotCount = this.#executor.slots.total;
        return spawnSlot(index, { configuration, embedded, jobs, slotCount, pace: this.#pace, logLevel, pretty });
      },
      owns: this.#owns,
      diagnose: (job, failure) => this.#diagnose(job, failure),
      slotDied: (tasks) => endOpenTransactions({ log, namespace, tasks, owns: this.#owns }),
      processFailed: (failure) => this.#processFailed(failure),
      jobEnded: () => this.#checkEnded(),
    });
  }

  get configuration(): Configuration {
    return this.#options.installation.configuration;
  }

  get #edges(): ControlEdges {
    const { namespace } = this.configuration;
    return { log: this.log, reader: this.#reader, clock: systemClock, namespace };
  }

  /** What ended the process, or each job that failed. */
  get failures(): readonly Failure[] {
    if (this.#processFailure !== null) return [this.#processFailure];
    return this.#jobs.failures;
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

  // Jobs that failed as soon as they were started end the process, as a wrong configuration does; whoever let it run for
  // a while, or told a job to stop, finds it here.
  #checkEnded(): void {
    const { http } = this.configuration;
    const early = ({ failedMs }: RunningJob) => (failedMs ?? 0) - this.#beganMs < EARLY_MS;
    const over = this.#jobs.all.every((job) => this.#executor.isOver(job));
    const failed = this.#jobs.all.every((job) => job.state === 'FAILED' && (http === null || early(job)));
    if (over && failed) this.#resolveEnded(this.failures);
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
      superseded: async () => ((await this.#control?.writer.overtaken(log.admin)) ? this.#superseded() : null),
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

  get changes(): JobControl | null {
    return this.#control?.changes ?? null;
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
    for (const job of this.#jobs.in('STOPPING')) job.state = 'STOPPED';
    this.#resolveEnded(this.failures);
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
      await this.#control?.writer.close();
      await this.#reader.close();
      await this.log.close();
    };
    await atMost(systemClock, CLOSE_PATIENCE_MS, close());
    await this.embedded?.close();
  }
}
