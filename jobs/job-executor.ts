// Owns that jobs run in the slots of this process: starts their tasks, notes what becomes of them, moves and stops them.
// Which jobs ought to run is not decided here. Invariant: a job is started only when none of its tasks runs.

import type { Worker } from 'node:worker_threads';
import type { Executor } from '#jobs/executor.ts';
import { JobRun, type RunProgress } from '#jobs/job-runs.ts';
import { OnceTasks, processEnds } from '#jobs/once-tasks.ts';
import type { JobAssignment } from '#jobs/process-settings.ts';
import type { JobState, RunningJob, RunningJobs } from '#jobs/running-jobs.ts';
import {
  type SavepointReply,
  type SlotReport,
  type StateReply,
  stateUnreadable,
  type TaskAssignment,
} from '#runtime/slot/messages.ts';
import type { SlotCounts } from '#runtime/slot/slot.ts';
import type { MovedTask } from '#runtime/slot/slot-moves.ts';
import { SlotPool } from '#runtime/slot/slot-pool.ts';
import type { MoveProgress } from '#runtime/slot/slot-rescale.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { invariant } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';
import { describe, type Failure } from '#runtime/task/task-supervisor.ts';

export interface JobExecutorParts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly jobs: RunningJobs;
  readonly slotCount: number;
  /** For keyed state that may leave memory, all slots together. */
  readonly stateMemoryBytes: number;
  /** Spawns the worker thread of slot `index`. */
  readonly spawn: (index: number) => Worker;
  /** Whether a task is still this process's, of a moment after the question. */
  readonly owns: (assignment: TaskAssignment) => Promise<boolean>;
  /** What is behind a failure that a task could only see a part of. */
  readonly diagnose: (job: RunningJob, failure: Failure) => Promise<Failure>;
  /** Nothing here can go on. */
  readonly processFailed: (failure: Failure) => void;
  /** No task of this job runs any more, for whatever reason. */
  readonly jobEnded: (job: RunningJob) => void;
}

export class JobExecutor implements Executor {
  readonly #parts: JobExecutorParts;
  readonly #pool: SlotPool;
  readonly #runs = new Map<string, JobRun>();
  readonly #once = new OnceTasks();

  constructor(parts: JobExecutorParts) {
    this.#parts = parts;
    this.#pool = new SlotPool({
      slotCount: parts.slotCount,
      spawn: parts.spawn,
      clock: parts.clock,
      logger: parts.logger,
      owns: parts.owns,
      taskFailed: (assignment, failure) => this.#taskFailed(assignment, failure),
      taskStopped: (assignment) => this.#taskEnded(assignment),
      taskLive: (assignment) => this.#runs.get(assignment.job)?.live(assignment),
      slotDied: (tasks, cause) => parts.jobs.slotDied(tasks, cause, parts.clock.nowMs()),
    });
  }

  /** Starts the threads that the jobs need. Error: slot-not-started. */
  async open(jobs: readonly RunningJob[]): Promise<void> {
    const sizes = jobs.map(({ prepared, wanted }) => ({
      parallelism: wanted.settings.parallelism,
      taskCount: prepared?.tasks.length ?? 0,
    }));
    await this.#pool.open(sizes);
  }

  /** Starts the tasks of a prepared job; its threads start when they are missing. */
  async start(job: RunningJob): Promise<void> {
    const { name, prepared, wanted } = job;
    invariant(prepared !== null && this.isOver(job), `job ${name} is started although it runs, or is not prepared`);
    job.state = 'RUNNING';
    this.#runs.set(name, new JobRun(prepared.tasks.length));
    this.#pool.tellAll({ kind: 'plan', job: name, plan: prepared.assignment });
    this.#pool.start(prepared.tasks, wanted.settings.parallelism);
    this.#shareMemory();
  }

  /** Whether none of its tasks runs. */
  isOver({ name }: RunningJob): boolean {
    return this.#runs.get(name)?.over ?? true;
  }

  /** Null before it was started. */
  runOf({ name }: RunningJob): JobRun | null {
    return this.#runs.get(name) ?? null;
  }

  /** When every task took input since the last start, or one of them has ended. */
  async untilLive(job: RunningJob): Promise<RunProgress> {
    return this.runOf(job)?.allLive ?? 'ended';
  }

  async untilOver(job: RunningJob): Promise<void> {
    await this.runOf(job)?.allEnded;
  }

  /** Stops its tasks cleanly, or ends them without checkpoints, and waits until none runs. It is `then` from then on. */
  async stop(job: RunningJob, how: 'stop' | 'abort', then: JobState): Promise<void> {
    if (!this.isOver(job)) {
      if (job.state !== 'FAILED') job.state = 'STOPPING';
      this.#pool.stopJob(job.name, how);
      await this.untilOver(job);
    }
    // A failure on the way stays to be seen, unless nobody wants the job any more.
    if (job.state !== 'FAILED' || then === 'CANCELED') job.state = then;
  }

  /** Asks tasks to read what is there, to fire every timer and to stop then; asked twice it is the same. */
  drain(tasks: readonly TaskAssignment[]): void {
    this.#pool.tellAll({ kind: 'drain', tasks });
  }

  /** Spreads a running job over so many slots, and says how many moved so far. Error: slot-not-started, and none has. */
  async rescale(job: RunningJob, parallelism: number, moved: MoveProgress): Promise<readonly MovedTask[]> {
    try {
      return await this.#pool.rescale(job.name, parallelism, moved);
    } finally {
      this.#shareMemory();
    }
  }

  // There may be more threads than before, or fewer.
  #shareMemory(): void {
    const bytes = Math.floor(this.#parts.stateMemoryBytes / this.slots.total);
    this.#pool.tellAll({ kind: 'state-memory', bytes });
  }

  /** Asks every task of it for a checkpoint now. */
  checkpoint({ name }: RunningJob): void {
    this.#pool.tellAll({ kind: 'checkpoint', job: name });
  }

  /** At once when one of them has no part. */
  askParts({ prepared }: RunningJob, savepoint: string, timeoutMs: number): Promise<readonly SavepointReply[]> {
    return this.#pool.askParts(prepared?.tasks ?? [], savepoint, timeoutMs);
  }

  /** The savepoint is done, or has failed: its tasks go on. */
  release({ name }: RunningJob, savepoint: string): void {
    this.#pool.tellAll({ kind: 'release', job: name, savepoint });
  }

  once({ wanted }: RunningJob, plan: JobAssignment, tasks: readonly TaskAssignment[]): Promise<Failure | null> {
    return this.#once.run(this.#pool, plan, tasks, wanted.settings.parallelism);
  }

  /** Ends the tasks of a job that cannot go on. */
  failed(job: RunningJob, failure: Failure): void {
    this.#parts.jobs.failed(job, failure);
    this.#pool.stopJob(job.name);
  }

  async #taskFailed(assignment: TaskAssignment, failure: Failure): Promise<void> {
    if (failure.code === 'superseded') {
      this.#parts.processFailed(failure);
      return;
    }
    if (this.#once.ended(assignment, failure)) return;
    const job = this.#parts.jobs.get(assignment.job);
    this.#pool.stopJob(assignment.job);
    if (job !== undefined && job.failure === null) {
      this.#parts.jobs.failed(job, await this.#parts.diagnose(job, failure));
    }
    this.#taskEnded(assignment);
  }

  #taskEnded(assignment: TaskAssignment): void {
    if (this.#once.ended(assignment)) return;
    const job = this.#parts.jobs.get(assignment.job);
    const run = this.#runs.get(assignment.job);
    if (job === undefined || run === undefined) return;
    run.ended(assignment);
    if (!run.over) return;
    if (job.state === 'RUNNING') job.state = 'STOPPED';
    this.#parts.jobEnded(job);
  }

  /** What the tasks say now; those that do not answer are left out. */
  status(): Promise<readonly SlotReport[]> {
    return this.#pool.status();
  }

  /** What every task said last. */
  reports(): Promise<readonly SlotReport[]> {
    return this.#pool.reports();
  }

  get slots(): SlotCounts {
    return this.#pool.counts;
  }

  /** Keyed state of a task behind one of its entries. */
  async askState(assignment: TaskAssignment, query: StateQuery): Promise<StateReply> {
    if (this.#runs.has(assignment.job)) return this.#pool.askState(assignment, query);
    return { kind: 'failure', failure: describe(stateUnreadable(assignment, 'does not run now')) };
  }

  /** Clean stop of all: every task ends with a checkpoint at its last entry. */
  async close(): Promise<void> {
    this.#once.abandon(processEnds());
    await this.#pool.close();
    for (const run of this.#runs.values()) run.abandoned();
  }

  /** Ends at once, without checkpoints. */
  async terminate(): Promise<void> {
    this.#once.abandon(processEnds());
    await this.#pool.terminate();
    for (const run of this.#runs.values()) run.abandoned();
  }
}
