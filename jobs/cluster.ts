// Owns this process as one of several that run an installation on Kafka: its membership, what it follows of the control
// log, and the control partition while it has it. Invariant: jobs are changed only by the process that has the control
// partition, and every process acts on what the control log says.

import { ClusterControl, memberBug } from '#jobs/cluster-control.ts';
import { ClusterExecutor } from '#jobs/cluster-executor.ts';
import type { HeldControl } from '#jobs/held-control.ts';
import type { ClaimedInstallation, JobPreparation } from '#jobs/job-preparation.ts';
import { planJob } from '#jobs/member-plan.ts';
import { MemberTasks, type MemberTasksParts } from '#jobs/member-tasks.ts';
import { openPlace } from '#jobs/open-place.ts';
import { peerTokenOf } from '#jobs/peer-token.ts';
import { currentReports, Peers } from '#jobs/peers.ts';
import { RoundNews } from '#jobs/round-news.ts';
import type { RunningJob, RunningJobs } from '#jobs/running-jobs.ts';
import { slotsHere, wantedTasks } from '#jobs/wanted-tasks.ts';
import { ControlFollower } from '#runtime/control/control-follower.ts';
import type { ControlEdges, ControlRecord } from '#runtime/control/control-log.ts';
import { wantedJobs } from '#runtime/control/desired-state.ts';
import { jobRuns } from '#runtime/control/job-run.ts';
import type { MemberPlace } from '#runtime/control/member-place.ts';
import { Membership } from '#runtime/control/membership.ts';
import { type MembershipView, NO_VIEW } from '#runtime/control/membership-view.ts';
import { CONTROL_TASK, type TaskLoad } from '#runtime/control/round-plan.ts';
import type { AdminPort } from '#runtime/http/contract.ts';
import { peerClient } from '#runtime/http/peer-client.ts';
import type { GroupSession } from '#runtime/log/contract.ts';
import { assignmentKey, type SlotReport, type StateReply, type TaskAssignment } from '#runtime/slot/messages.ts';
import { atMost } from '#runtime/std/at-most.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';
import { describe, type Failure } from '#runtime/task/task-supervisor.ts';

export interface ClusterParts {
  readonly processId: string;
  readonly engineVersion: string;
  readonly slots: number;
  /** For keyed state of all slots together. */
  readonly stateMemoryBytes: number;
  /** Where other processes reach the admin API of this one; empty: nowhere. */
  readonly address: () => string;
  readonly edges: ControlEdges;
  readonly logger: Logger;
  readonly jobs: RunningJobs;
  readonly preparation: JobPreparation;
  /** Where what dies leaves word of its membership; null: nowhere. */
  readonly placesDirectory: string | null;
  readonly spawn: MemberTasksParts['spawn'];
  /** A slot died with these tasks; `owns`: whether they still are this process's. */
  readonly slotDied: (tasks: readonly TaskAssignment[], cause: string, owns: () => Promise<boolean>) => void;
  readonly diagnose: (job: string, failure: Failure) => Promise<Failure>;
  /** Makes what changes jobs, when the control partition is this process's. `signal` ends with that. */
  readonly takeControl: (claimed: ClaimedInstallation, executor: ClusterExecutor, signal: AbortSignal) => HeldControl;
  /** Every job that this process has was refused: it is of no use. */
  readonly useless: () => void;
  /** No task of a job runs any more, in no process. Told where jobs are changed. */
  readonly jobEnded: () => void;
  /** This process cannot go on. */
  readonly failed: (fault: StreamError) => void;
}

const AGAIN_MS = 1_000;
/** A broker that hangs keeps no process from ending. */
const LEAVE_MS = 1_500;

export class Cluster {
  readonly executor: ClusterExecutor;
  readonly tasks: MemberTasks;
  readonly peers: Peers;
  readonly #parts: ClusterParts;
  /** Null before the start: what it says of this process is known then. */
  #membership: Membership | null = null;
  readonly #session: GroupSession;
  readonly #follower: ControlFollower;
  readonly #closed = new AbortController();
  readonly #settled = Promise.withResolvers<void>();
  #place: MemberPlace | null = null;
  readonly #control: ClusterControl;
  readonly #news: RoundNews;
  /** There was another process beside this one, or this one has begun: until then words are of those that ended. */
  #beside = false;

  constructor(parts: ClusterParts) {
    this.#parts = parts;
    const { clock, log, namespace } = parts.edges;
    const { logger } = parts;
    this.#news = new RoundNews(parts.engineVersion, logger);
    this.#follower = new ControlFollower({
      ...parts.edges,
      logger,
      heard: (records) => this.#heard(records),
      failed: parts.failed,
    });
    this.tasks = new MemberTasks({
      clock,
      logger,
      slotCount: parts.slots,
      stateMemoryBytes: parts.stateMemoryBytes,
      spawn: parts.spawn,
      slotsHere: (job, has) => slotsHere(this.#follower.records, this.view.members, job, has),
      owns: async (assignment) => (await this.#membership?.owns(assignmentKey(assignment))) ?? false,
      plan: (job) =>
        planJob(job, {
          jobs: parts.jobs,
          preparation: parts.preparation,
          follower: this.#follower,
          leads: this.mayChange,
          willLead: this.view.ownsControl && !this.mayChange,
          refused: parts.failed,
        }),
      taskLive: (assignment) => this.executor.live(assignment),
      jobFailed: (job, failure) => void this.#jobFailed(job, failure),
      slotDied: (tasks, cause) => {
        const owned = () => Promise.all(tasks.map((task) => this.#membership?.owns(assignmentKey(task)) ?? false));
        parts.slotDied(tasks, cause, async () => (await owned()).every((one) => one));
      },
    });
    this.#control = this.#makeControl();
    this.#session = log.group({ group: `${namespace}.members` });
    const view = () => this.view;
    this.peers = new Peers(
      peerClient(() => this.peerToken),
      view,
    );
    this.executor = new ClusterExecutor({
      clock,
      logger,
      jobs: parts.jobs,
      control: () => this.#control.held?.appender ?? null,
      view,
      rebalance: () => this.#membership?.rebalance(),
      status: () => this.#reports('status'),
      reports: () => this.#reports('reports'),
      slots: () => this.tasks.slots,
      moved: async (job, anew) =>
        (await Promise.all([this.tasks.moved(job, anew), this.peers.moved(job, anew)])).flat(),
      tell: (question) => {
        this.tasks.told(question);
        this.peers.tell(question);
      },
      once: (...asked) => this.tasks.once(...asked),
      askParts: (asked) => this.peers.askParts(asked, (own) => this.tasks.askParts(own)),
      askState: (assignment, query) => this.askState(assignment, query),
      jobEnded: parts.jobEnded,
      signal: this.#closed.signal,
    });
  }

  #makeControl(): ClusterControl {
    const { edges, failed, jobs, logger, preparation, takeControl, useless } = this.#parts;
    return new ClusterControl({
      edges,
      logger,
      jobs,
      preparation,
      takeControl: (claimed, signal) => takeControl(claimed, this.executor, signal),
      view: () => this.view,
      isFirst: () => !this.#beside,
      taken: () => {
        this.#beside = true;
        this.executor.adopt(jobs.all);
        this.#membership?.rebalance();
      },
      left: () => this.executor.abandon(),
      useless,
      failed,
      ended: this.#closed.signal,
    });
  }

  /** Joins; resolves when the first round is settled and the control partition, if it is this process's, is taken. */
  async start(): Promise<void> {
    const { edges, logger, placesDirectory } = this.#parts;
    this.#follower.start();
    if (placesDirectory !== null) this.#place = await openPlace(placesDirectory, edges.log, logger);
    this.#membership = this.#join();
    this.#membership.run().catch((error: unknown) => {
      this.#parts.failed(error instanceof StreamError ? error : memberBug(error));
    });
    await this.#settled.promise;
    await this.#control.settled;
  }

  #join(): Membership {
    const { address, edges, engineVersion, logger, processId, slots } = this.#parts;
    return new Membership(
      {
        processId,
        address: address(),
        slots,
        engineVersion,
        session: this.#session,
        clock: edges.clock,
        logger,
      },
      {
        wanted: () => this.#wanted(),
        weights: () => this.tasks.weights(),
        assigned: (view) => this.#assigned(view),
        revoke: (tasks) => this.#revoke(tasks),
        lost: () => this.#lost(),
      },
    );
  }

  /** Starts the threads for jobs. Error: slot-not-started. */
  open(jobs: readonly RunningJob[]): Promise<void> {
    const { slots } = this.#parts;
    return this.tasks.open(
      jobs.map(({ prepared, wanted }) => ({
        parallelism: Math.min(slots, wanted.settings.parallelism),
        taskCount: prepared?.tasks.length ?? 0,
      })),
    );
  }

  get view(): MembershipView {
    return this.#membership?.view ?? NO_VIEW;
  }

  /** The control log is another's by now, though the group says otherwise: it is taken anew. */
  renounce(fault: StreamError): void {
    const { code, message, remedy } = fault;
    this.#parts.logger.warn({ code, remedy }, `the control log is taken anew: ${message}`);
    void this.#control.leave().then(() => this.#membership?.rebalance());
  }

  /** Whether this process has the control partition. */
  get mayChange(): boolean {
    return this.#control.held !== null;
  }

  /** While this process has the control partition. */
  get control(): HeldControl | null {
    return this.#control.held;
  }

  get installationId(): string | null {
    const record = this.#follower.records.find((one) => one.kind === 'installation');
    return record?.kind === 'installation' ? record.installationId : null;
  }

  /** By which processes of the installation know each other; null while it is not known. */
  get peerToken(): string | null {
    return peerTokenOf(this.#follower.records);
  }

  async askState(assignment: TaskAssignment, query: StateQuery): Promise<StateReply> {
    const key = assignmentKey(assignment);
    if (this.tasks.isRunning(key)) return this.tasks.askState(assignment, query);
    return this.peers.askState(key, assignment, query);
  }

  /** What the tasks of all processes say; of one that moved, what it says where it is now. */
  async #reports(kind: 'status' | 'reports'): Promise<readonly SlotReport[]> {
    const { processId } = this.#parts;
    const [own, others] = await Promise.all([this.tasks[kind](), this.peers.reports(kind)]);
    return currentReports([...own.map((report) => ({ process: processId, ...report })), ...others], this.view.owners);
  }

  /** Error: not-ready when another process has the control partition. */
  async failJob(name: string, failure: Failure): Promise<void> {
    const job = this.#parts.jobs.get(name);
    const { held } = this.#control;
    if (held === null) throw notHere();
    const isWritten = jobRuns(held.appender.records).get(name)?.run === 'failed';
    if (job !== undefined && !isWritten) this.executor.failed(job, failure);
  }

  close(): Promise<void> {
    return this.#leave(() => this.tasks.close());
  }

  terminate(): Promise<void> {
    return this.#leave(() => this.tasks.terminate());
  }

  // Others wait for what is on its way from here, until they are told that nothing is, or do not hear of it any more.
  async #leave(stop: () => Promise<void>): Promise<void> {
    this.#closed.abort();
    this.#settled.resolve();
    await stop();
    this.executor.abandon();
    await atMost(this.#parts.edges.clock, LEAVE_MS, this.#depart());
  }

  async #depart(): Promise<void> {
    await this.#membership?.close();
    await this.#control.leave();
    await this.#follower.close();
    this.#place?.note(null);
    this.#place?.release();
  }

  async #wanted(): Promise<readonly TaskLoad[]> {
    try {
      await this.#follower.caughtUp();
    } catch (error) {
      // Before the first process took the control partition there is no control log, and no task.
      if (error instanceof StreamError && error.code === 'topic-unknown') return [];
      throw error;
    }
    return wantedTasks(this.#follower.records);
  }

  #assigned(view: MembershipView): void {
    const { memberId } = this.#session;
    const { namespace } = this.#parts.edges;
    this.#place?.note(memberId === null ? null : { group: `${namespace}.members`, memberId });
    if (!this.#beside && view.controlOwner !== null && !view.ownsControl) {
      this.#beside = true;
      this.#heard(this.#follower.records);
    }
    this.tasks.assigned(view.mine);
    this.executor.viewed(view);
    this.#news.tell(view);
    if (view.ownsControl) this.#control.take();
    this.#settled.resolve();
  }

  async #revoke(tasks: readonly string[]): Promise<void> {
    const others = tasks.filter((task) => task !== CONTROL_TASK);
    const wanted = wantedJobs(this.#follower.records);
    const how = (job: string) => (wanted.get(job)?.state === 'CANCELED' ? 'abort' : 'stop');
    await Promise.all([this.tasks.revoke(others, how), tasks.includes(CONTROL_TASK) ? this.#control.leave() : null]);
  }

  async #lost(): Promise<void> {
    await Promise.all([this.tasks.lost(), this.#control.leave()]);
  }

  // What the process with the control partition did itself it knows already.
  #heard(records: readonly ControlRecord[]): void {
    if (this.#control.isOwnWord || !this.#beside) return;
    const { failed, jobs, preparation } = this.#parts;
    for (const record of records) {
      if (record.kind === 'installation')
        void preparation.stranger([record]).then((fault) => fault && failed(fault), failed);
      const job = 'job' in record ? jobs.get(record.job) : undefined;
      if (job === undefined) continue;
      if (record.kind === 'job-wanted') jobs.told(job, record);
      if (record.kind === 'job-wanted') job.state = record.state;
      if (record.kind === 'job-run' && record.failure !== null) jobs.failed(job, { stack: '', ...record.failure });
      if (record.kind === 'job-run' && record.run === 'go') jobs.created(job);
    }
  }

  async #jobFailed(name: string, failure: Failure): Promise<void> {
    const { edges, logger } = this.#parts;
    const { signal } = this.#closed;
    const told = await this.#parts.diagnose(name, failure);
    while (!signal.aborted && (jobRuns(this.#follower.records).get(name)?.run ?? 'go') !== 'failed') {
      try {
        if (this.mayChange) await this.failJob(name, told);
        else await this.peers.tellFailed(name, told);
        return;
      } catch (error) {
        const { code, message } = describe(error);
        const level = code === 'not-ready' ? 'debug' : 'warn';
        logger[level]({ job: name, code }, `that job ${name} failed cannot be told yet: ${message}`);
        await edges.clock.sleep(AGAIN_MS, signal);
      }
    }
  }

  answerAdmin(port: AdminPort, method: keyof AdminPort, args: readonly unknown[]): Promise<unknown> {
    if (!this.mayChange) throw notHere();
    return (port[method] as (...args: unknown[]) => Promise<unknown>)(...args);
  }
}

function notHere(): StreamError {
  return new StreamError('not-ready', 'another process may change jobs now', 'ask again in a few seconds');
}
