// Owns one process: log, control log, installation, jobs, slots, and the orderly end. The main thread touches no
// record. One job that cannot run does not keep the others from running.

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import type { AdminSource } from '#jobs/admin-source.ts';
import { Cluster } from '#jobs/cluster.ts';
import type { Configuration } from '#jobs/configuration.ts';
import { connectLog } from '#jobs/connect-log.ts';
import type { DeployDesk } from '#jobs/deploy-desk.ts';
import type { Executor } from '#jobs/executor.ts';
import { type HeldControl, holdControl } from '#jobs/held-control.ts';
import type { JobControl } from '#jobs/job-control.ts';
import { JobExecutor } from '#jobs/job-executor.ts';
import { writersFirst } from '#jobs/job-order.ts';
import { type ClaimedInstallation, JobPreparation } from '#jobs/job-preparation.ts';
import { retained, retentionPolicy } from '#jobs/log-retention.ts';
import { endOpenTransactions } from '#jobs/open-transactions.ts';
import type { JobReport, ProcessOptions } from '#jobs/process-options.ts';
import { type JobState, logFull, type RunningJob, RunningJobs } from '#jobs/running-jobs.ts';
import { spawnSlot } from '#jobs/slot-threads.ts';
import { engineVersion } from '#jobs/version.ts';
import { watch } from '#jobs/watch.ts';
import type { ControlEdges } from '#runtime/control/control-log.ts';
import type { LogClient, LogReader } from '#runtime/log/contract.ts';
import { type EmbeddedLog, openEmbeddedLog } from '#runtime/log/embedded/embedded-log.ts';
import type { SlotReport, StateReply, TaskAssignment } from '#runtime/slot/messages.ts';
import type { SlotCounts } from '#runtime/slot/slot.ts';
import { atMost } from '#runtime/std/at-most.ts';
import { systemClock } from '#runtime/std/clock.ts';
import type { StreamError } from '#runtime/std/errors.ts';
import { ulid } from '#runtime/std/ulid.ts';
import { sharedPace } from '#runtime/task/commit-pace.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';
import { describe, type Failure } from '#runtime/task/task-supervisor.ts';

/** Of all tasks together: a broker takes about 2,800. */
const TRANSACTIONS_PER_SECOND_MAX = 1_000;
/** A job that fails so soon after the start of the process is a fault of the start. */
const EARLY_MS = 60_000;
/** Told to be so, and not started with the process. */
const HELD: readonly JobState[] = ['PAUSED', 'STOPPED', 'CANCELED'];
/** How long the end of a process waits for connections: one that hangs has nothing more to say. */
const CLOSE_PATIENCE_MS = 500;

export class MillraceProcess implements AdminSource {
  readonly processId: string;
  /** Client of the main thread, for generators and reports. */
  readonly log: LogClient;
  /** Resolves when there is nothing to wait for: it was stopped, cannot go on, or all its jobs failed at the start. */
  readonly ended: Promise<readonly Failure[]>;
  readonly startedMs = systemClock.nowMs();
  readonly #options: ProcessOptions;
  /** Null on Kafka. */
  readonly embedded: EmbeddedLog | null;
  readonly #reader: LogReader;
  readonly #jobs: RunningJobs;
  /** On the embedded log, which one process has for itself. */
  readonly #alone: JobExecutor | null;
  /** On Kafka, which processes share. */
  readonly cluster: Cluster | null;
  readonly #closing = new AbortController();
  readonly #pace = sharedPace(TRANSACTIONS_PER_SECOND_MAX);
  readonly #preparation: JobPreparation;
  /** When its jobs were started. */
  #beganMs = Number.POSITIVE_INFINITY;
  /** Null until the installation is claimed. */
  #control: HeldControl | null = null;
  #installationId: string | null = null;
  #processFailure: Failure | null = null;
  #resolveEnded: (failures: readonly Failure[]) => void = () => {};

  private constructor(options: ProcessOptions, embedded: EmbeddedLog | null, log: LogClient) {
    this.#options = options;
    this.#jobs = new RunningJobs(options.logger);
    this.embedded = embedded;
    this.log = log;
    this.#reader = log.reader();
    this.processId = ulid(systemClock.nowMs(), randomBytes(10));
    const { installation, createSource, logger, signal } = options;
    const { configuration, directory } = installation;
    const { processId } = this;
    const edges = this.#edges;
    this.#preparation = new JobPreparation({
      configuration,
      directory,
      processId,
      edges,
      jobs: this.#jobs,
      logger,
      createSource,
      signal,
    });
    this.#alone = embedded === null ? null : this.#makeExecutor();
    this.cluster = embedded === null ? this.#makeCluster() : null;
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
    await preparation.add(writersFirst(installation.jobs), records);
    const starting = () => this.#jobs.in('CREATED');
    for (const job of starting()) await preparation.prepare(job, records);
    this.#keepUnread();
    if (starting().length > 0) await preparation.patiently(() => this.#open(starting()));
    if (this.#jobs.all.every(({ state }) => state === 'FAILED')) {
      this.#resolveEnded(this.failures);
      return;
    }
    this.#beganMs = systemClock.monotonicMs();
    await (this.cluster?.start() ?? this.#beginAlone());
    for (const { name, state } of this.#jobs.all) if (HELD.includes(state)) this.#tellHeld(name, state);
    this.#watch();
  }

  async #beginAlone(): Promise<void> {
    const claimed = await this.#preparation.claim();
    if (claimed === null) {
      this.#resolveEnded(this.failures);
      return;
    }
    this.#installationId = claimed.installationId;
    const alone = this.#alone as JobExecutor;
    this.#control = this.#makeControl(claimed, alone, this.#closing.signal);
    for (const job of this.#jobs.in('CREATED')) await alone.start(job);
    this.#control.changes.resume();
  }

  #keepUnread(): void {
    this.embedded?.keep(retentionPolicy(this.configuration, retained(this.#jobs.all)));
  }

  #open(jobs: readonly RunningJob[]): Promise<void> {
    return this.#alone?.open(jobs) ?? (this.cluster as Cluster).open(jobs);
  }

  #makeControl({ control }: ClaimedInstallation, executor: Executor, signal: AbortSignal): HeldControl {
    const { logger } = this.#options;
    const { namespace } = this.configuration;
    return holdControl({
      edges: this.#edges,
      logger,
      processId: this.processId,
      namespace,
      control,
      executor,
      jobs: this.#jobs,
      preparation: this.#preparation,
      changed: () => this.#keepUnread(),
      signal,
      failed: (fault) => this.#controlFailed(fault, signal),
    });
  }

  // Where several processes share the work, the next one goes on when this one cannot.
  #controlFailed(fault: StreamError, signal: AbortSignal): void {
    if (this.cluster === null) this.#processFailed(describe(fault));
    else if (!signal.aborted) this.cluster.renounce(fault);
  }

  #tellHeld(job: string, state: JobState): void {
    const remedy = `start it: millrace start ${job}`;
    this.#options.logger.info({ job, state, remedy }, `job ${job} is ${state}, as it was told, and is not started`);
  }

  readonly #spawn = (index: number): Worker => {
    const { logLevel, pretty } = this.#options;
    const { configuration, embedded } = this;
    const jobs = this.#jobs.all.flatMap((job) => job.prepared?.assignment ?? []);
    const slotCount = this.#executor.slots.total;
    return spawnSlot(index, { configuration, embedded, jobs, slotCount, pace: this.#pace, logLevel, pretty });
  };

  #makeExecutor(): JobExecutor {
    return new JobExecutor({
      clock: systemClock,
      logger: this.#options.logger,
      jobs: this.#jobs,
      slotCount: this.configuration.slots,
      stateMemoryBytes: this.configuration.state.memoryBytes,
      spawn: this.#spawn,
      // The directory of the log has one process.
      owns: async () => true,
      diagnose: (job, failure) => this.#diagnose(job, failure),
      processFailed: (failure) => this.#processFailed(failure),
      jobEnded: () => this.#checkEnded(),
    });
  }

  #makeCluster(): Cluster {
    const { configuration, log } = this;
    const { namespace, slots, state } = configuration;
    return new Cluster({
      processId: this.processId,
      engineVersion: `${engineVersion()} on Node ${process.versions.node.split('.')[0]}`,
      slots,
      stateMemoryBytes: state.memoryBytes,
      address: () => this.#options.address?.() ?? '',
      edges: this.#edges,
      logger: this.#options.logger,
      jobs: this.#jobs,
      preparation: this.#preparation,
      placesDirectory: join(state.directory, 'members'),
      spawn: this.#spawn,
      slotDied: (tasks, cause, owns) => {
        this.#jobs.slotDied(tasks, cause, systemClock.nowMs());
        void endOpenTransactions({ log, namespace, tasks, owns });
      },
      diagnose: async (name, failure) => {
        const job = this.#jobs.get(name);
        return job === undefined ? failure : this.#diagnose(job, failure);
      },
      takeControl: (claimed, executor, signal) => this.#makeControl(claimed, executor, signal),
      useless: () => this.#resolveEnded(this.failures),
      jobEnded: () => this.#checkEnded(),
      failed: (fault) => this.#processFailed(describe(fault)),
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
    this.#host.terminate().then(() => this.#resolveEnded(this.failures));
  }

  // Jobs that failed as soon as they were started end the process, as a wrong configuration does; whoever let it run for
  // a while, or told a job to stop, finds it here.
  #checkEnded(): void {
    const { http } = this.configuration;
    const early = ({ failedMs }: RunningJob) => (failedMs ?? 0) - this.#beganMs < EARLY_MS;
    if (this.cluster !== null && this.cluster.view.members.length > 1) return;
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
      // In a cluster the process that may change jobs looks after all of them.
      jobs: () => (this.changes === null ? [] : running().flatMap((job) => job.prepared ?? [])),
      // A topic that grows or is created again stops its job with the remedy, not a silent wrong key.
      jobFault: (prepared, fault) => {
        const job = running().find((candidate) => candidate.prepared === prepared);
        if (job === undefined) return;
        this.#executor.failed(job, describe(fault));
      },
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

  /** Null until the installation is claimed. */
  get installationId(): string | null {
    return this.cluster?.installationId ?? this.#installationId;
  }

  get changes(): JobControl | null {
    return (this.cluster?.control ?? this.#control)?.changes ?? null;
  }

  get store() {
    return this.#preparation.store;
  }

  get desk(): DeployDesk | null {
    return (this.cluster?.control ?? this.#control)?.desk ?? null;
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
    for (const job of this.#jobs.in('RUNNING')) job.state = 'STOPPING';
    await this.#host.close();
    this.#closing.abort();
    for (const job of this.#jobs.in('STOPPING')) job.state = 'STOPPED';
    this.#resolveEnded(this.failures);
    await this.#release();
  }

  /** Ends at once, without checkpoints; the next start replays. */
  async terminate(): Promise<void> {
    this.#closing.abort();
    await this.#host.terminate();
    await this.#release();
  }

  get #executor(): Executor {
    return this.#alone ?? (this.cluster as Cluster).executor;
  }

  get #host(): { close(): Promise<void>; terminate(): Promise<void> } {
    return this.#alone ?? (this.cluster as Cluster);
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
