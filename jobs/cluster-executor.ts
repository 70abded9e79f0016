// Owns what changes of jobs mean where several processes run them: the group is asked for another round, and is watched
// until tasks are where they are to be. Used by the process that has the control partition. Invariant: what a change waits
// for is a round that knew of it.

import type { Executor } from '#jobs/executor.ts';
import { JobRun, type RunProgress } from '#jobs/job-runs.ts';
import type { AskedParts, Peers } from '#jobs/peers.ts';
import type { JobAssignment } from '#jobs/process-settings.ts';
import type { JobState, RunningJob, RunningJobs } from '#jobs/running-jobs.ts';
import { taskOf } from '#jobs/task-key.ts';
import type { ControlAppender } from '#runtime/control/control-log.ts';
import { wantedJobs } from '#runtime/control/desired-state.ts';
import { jobRuns, type RunWord } from '#runtime/control/job-run.ts';
import type { MembershipView } from '#runtime/control/membership-view.ts';
import {
  assignmentKey,
  type SavepointReply,
  type SlotReport,
  type StateReply,
  type StopKind,
  type TaskAssignment,
} from '#runtime/slot/messages.ts';
import type { SlotCounts } from '#runtime/slot/slot.ts';
import type { MovedTask } from '#runtime/slot/slot-moves.ts';
import type { MoveProgress } from '#runtime/slot/slot-rescale.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';
import type { Failure } from '#runtime/task/task-supervisor.ts';

export interface ClusterExecutorParts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly jobs: RunningJobs;
  /** Of the process that has the control partition; null: this is not it. */
  readonly control: () => ControlAppender | null;
  readonly view: () => MembershipView;
  /** Asks for a round that knows every record written so far. */
  readonly rebalance: () => void;
  /** What the tasks of all processes say. */
  readonly status: () => Promise<readonly SlotReport[]>;
  readonly reports: () => Promise<readonly SlotReport[]>;
  readonly slots: () => SlotCounts;
  /** Told to all processes; one that does not hear it is told again, or waited for in vain. */
  readonly tell: (question: Parameters<Peers['tell']>[0]) => void;
  readonly askParts: (asked: AskedParts) => Promise<readonly SavepointReply[]>;
  /** In this process. */
  readonly once: (
    plan: JobAssignment,
    tasks: readonly TaskAssignment[],
    parallelism: number,
  ) => Promise<Failure | null>;
  readonly askState: (assignment: TaskAssignment, query: StateQuery) => Promise<StateReply>;
  /** What moved from slot to slot within processes since this was asked last; `anew`: each spreads what it has before. */
  readonly moved: (job: string, anew: boolean) => Promise<readonly MovedTask[]>;
  /** No task of a job runs any more, for whatever reason. */
  readonly jobEnded: () => void;
  readonly signal: AbortSignal;
}

/** How often processes are asked while something is waited for. */
const LOOK_MS = 250;

export class ClusterExecutor implements Executor {
  readonly #parts: ClusterExecutorParts;
  readonly #runs = new Map<string, JobRun>();
  /** Jobs whose tasks are to end. */
  readonly #ending = new Set<string>();
  /** The generation of the group that knows that they are to. */
  readonly #due = new Map<string, number>();
  #looking = false;

  constructor(parts: ClusterExecutorParts) {
    this.#parts = parts;
  }

  /** Takes over: what runs, runs on. */
  adopt(jobs: readonly RunningJob[]): void {
    this.#runs.clear();
    this.#ending.clear();
    for (const job of jobs) {
      if (job.prepared === null || job.state !== 'RUNNING') continue;
      this.#runs.set(job.name, new JobRun(job.prepared.tasks.length));
    }
    this.#look();
  }

  /** The control partition is another's: nobody here is to wait any more. */
  abandon(): void {
    for (const run of this.#runs.values()) run.abandoned();
    this.#runs.clear();
  }

  /** A round was settled. */
  viewed(view: MembershipView): void {
    for (const name of this.#ending) {
      const job = this.#parts.jobs.get(name);
      const run = this.#runs.get(name);
      if (run === undefined || !this.#knowsOf(view, name)) continue;
      for (const task of job?.prepared?.tasks ?? []) {
        const key = assignmentKey(task);
        if (!view.owners.has(key) && !view.moving.has(key)) run.ended(task);
      }
      if (!run.over) continue;
      this.#ending.delete(name);
      this.#due.delete(name);
      this.#parts.jobEnded();
    }
  }

  /** A task took input. */
  live(task: TaskAssignment): void {
    this.#runs.get(task.job)?.live(task);
  }

  async start(job: RunningJob): Promise<void> {
    const { name, prepared } = job;
    invariant(prepared !== null && this.isOver(job), `job ${name} is started although it runs, or is not prepared`);
    job.state = 'RUNNING';
    this.#runs.set(name, new JobRun(prepared.tasks.length));
    await this.#say(name, { run: 'go', failure: null });
    this.#parts.rebalance();
    this.#look();
  }

  isOver({ name }: RunningJob): boolean {
    return this.#runs.get(name)?.over ?? true;
  }

  #isOwned({ prepared }: RunningJob): boolean {
    const { moving, owners } = this.#parts.view();
    return (prepared?.tasks ?? []).some((task) => owners.has(assignmentKey(task)) || moving.has(assignmentKey(task)));
  }

  runOf({ name }: RunningJob): JobRun | null {
    return this.#runs.get(name) ?? null;
  }

  async untilLive(job: RunningJob): Promise<RunProgress> {
    return this.runOf(job)?.allLive ?? 'ended';
  }

  async untilOver(job: RunningJob): Promise<void> {
    await this.runOf(job)?.allEnded;
  }

  async stop(job: RunningJob, _how: StopKind, then: JobState): Promise<void> {
    if (!this.isOver(job) || this.#isOwned(job)) {
      if (job.state !== 'FAILED') job.state = 'STOPPING';
      await this.#end(job.name, 'hold', null);
      await this.untilOver(job);
      // Those that ended by themselves are still somebody's.
      while (this.#isOwned(job) && !this.#parts.signal.aborted)
        await this.#parts.clock.sleep(LOOK_MS, this.#parts.signal);
    }
    // A failure on the way stays to be seen, unless nobody wants the job any more.
    if (job.state !== 'FAILED' || then === 'CANCELED') job.state = then;
  }

  async rescale(job: RunningJob, _parallelism: number, progress: MoveProgress): Promise<readonly MovedTask[]> {
    const { clock, signal, view } = this.#parts;
    await this.#parts.moved(job.name, false);
    const before = await this.#places(job);
    const startMs = clock.monotonicMs();
    const asked = this.#askRound();
    const pauses = new Map<string, number>();
    for (;;) {
      await clock.sleep(LOOK_MS, signal);
      if (signal.aborted) return [];
      const now = await this.#places(job);
      for (const [key, { process, running }] of now) {
        if (!running || process === before.get(key)?.process || pauses.has(key)) continue;
        pauses.set(key, Math.max(0, clock.monotonicMs() - startMs));
      }
      if (view().generation < asked) this.#parts.rebalance();
      const settled = view().generation >= asked && ![...before.keys()].some((key) => view().moving.has(key));
      progress(pauses.size, before.size);
      const all = [...before.keys()].every((key) => now.get(key)?.running === true);
      if (settled && (all || job.state !== 'RUNNING')) {
        // Slots that stay as many may be busy in other ways than when tasks were spread.
        const within = await this.#parts.moved(job.name, true);
        const between = Array.from(pauses, ([key, pauseMs]): MovedTask => {
          const [from, to] = [before.get(key)?.slot ?? 0, now.get(key)?.slot ?? 0];
          return { assignment: taskOf(key), from, to, pauseMs };
        });
        return [...within.filter(({ assignment }) => !pauses.has(assignmentKey(assignment))), ...between];
      }
    }
  }

  drain(tasks: readonly TaskAssignment[]): void {
    this.#parts.tell({ kind: 'drain', tasks });
    void this.#lookDrained(tasks);
  }

  // Where a task runs now, it says that it stopped; one that moved stopped elsewhere.
  async #lookDrained(tasks: readonly TaskAssignment[]): Promise<void> {
    const keys = new Set(tasks.map(assignmentKey));
    for (const { assignment, process, status, word } of await this.#parts.reports()) {
      const key = assignmentKey(assignment);
      const here = keys.has(key) && process === this.#parts.view().owners.get(key);
      if (here && word === 'ended' && status?.phase === 'stopped') this.#runs.get(assignment.job)?.ended(assignment);
    }
  }

  checkpoint({ name }: RunningJob): void {
    this.#parts.tell({ kind: 'checkpoint', job: name });
  }

  askParts({ prepared }: RunningJob, savepoint: string, timeoutMs: number): Promise<readonly SavepointReply[]> {
    return this.#parts.askParts({ tasks: prepared?.tasks ?? [], savepoint, timeoutMs });
  }

  release({ name }: RunningJob, savepoint: string): void {
    this.#parts.tell({ kind: 'release', job: name, savepoint });
  }

  once(job: RunningJob, plan: JobAssignment, tasks: readonly TaskAssignment[]): Promise<Failure | null> {
    return this.#parts.once(plan, tasks, job.wanted.settings.parallelism);
  }

  failed(job: RunningJob, failure: Failure): void {
    if (job.failure === null) this.#parts.jobs.failed(job, failure);
    if (this.isOver(job)) this.#parts.jobEnded();
    void this.#end(job.name, 'failed', failure).catch((error: unknown) => {
      this.#parts.logger.warn({ job: job.name }, `that job ${job.name} failed could not be written down: ${error}`);
    });
  }

  status(): Promise<readonly SlotReport[]> {
    return this.#parts.status();
  }

  reports(): Promise<readonly SlotReport[]> {
    return this.#parts.reports();
  }

  get slots(): SlotCounts {
    return this.#parts.slots();
  }

  askState(assignment: TaskAssignment, query: StateQuery): Promise<StateReply> {
    return this.#parts.askState(assignment, query);
  }

  async #end(name: string, run: RunWord['run'], failure: Failure | null): Promise<void> {
    await this.#say(name, { run, failure });
    this.#ending.add(name);
    this.#askRound();
  }

  async #say(job: string, word: Pick<RunWord, 'run' | 'failure'>): Promise<void> {
    const control = this.#parts.control();
    if (control === null) throw notOwner();
    const last = jobRuns(control.records).get(job);
    const runs = wantedJobs(control.records).get(job)?.state === 'RUNNING' && (last?.run ?? 'go') === 'go';
    if (runs && word.run === 'go') return;
    await control.append({ kind: 'job-run', job, ...word, atMs: this.#parts.clock.nowMs() });
  }

  /** The generation that knew of everything written so far: one may be on its way that does not. */
  #askRound(): number {
    const generation = this.#parts.view().generation + 2;
    for (const name of this.#ending) if (!this.#due.has(name)) this.#due.set(name, generation);
    this.#parts.rebalance();
    return generation;
  }

  #knowsOf(view: MembershipView, name: string): boolean {
    if (view.generation < (this.#due.get(name) ?? 0)) {
      this.#parts.rebalance();
      return false;
    }
    return true;
  }

  async #places(
    job: RunningJob,
  ): Promise<
    ReadonlyMap<string, { readonly process: string | undefined; readonly slot: number; readonly running: boolean }>
  > {
    const reports = (await this.#parts.status()).filter(({ assignment }) => assignment.job === job.name);
    return new Map(
      reports.map(({ assignment, process, slot, status }) => {
        return [assignmentKey(assignment), { process, slot: slot ?? 0, running: status?.phase === 'running' }];
      }),
    );
  }

  /** Asks the processes until every task of every job that was started took input. */
  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    const { clock, signal } = this.#parts;
    const waiting = () => [...this.#runs].filter(([, run]) => run.liveCount < run.taskCount && !run.over);
    while (!signal.aborted && waiting().length > 0) {
      for (const { assignment, status } of await this.#parts.status()) {
        if (status?.phase === 'running') this.#runs.get(assignment.job)?.live(assignment);
      }
      await clock.sleep(LOOK_MS, signal);
    }
    this.#looking = false;
  }
}

function notOwner(): StreamError {
  return new StreamError(
    'superseded',
    'another process may change jobs now',
    'ask again: the request is passed on to that process',
  );
}
