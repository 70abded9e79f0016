// Owns that jobs run in the slots of this process: starts their tasks, notes what becomes of them, stops them. Which jobs
// ought to run is not decided here. Invariant: a job is STOPPED or FAILED for good only when none of its tasks runs.

import type { Worker } from 'node:worker_threads';
import type { RunningJob, RunningJobs } from '#jobs/running-jobs.ts';
import { type SlotReport, type StateReply, stateUnreadable, type TaskAssignment } from '#runtime/slot/messages.ts';
import type { SlotCounts } from '#runtime/slot/slot.ts';
import { SlotPool } from '#runtime/slot/slot-pool.ts';
import type { Clock } from '#runtime/std/clock.ts';
import type { Logger } from '#runtime/std/logger.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';
import { describe, type Failure } from '#runtime/task/task-supervisor.ts';

export interface JobExecutorParts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly jobs: RunningJobs;
  readonly slotCount: number;
  /** Spawns the worker thread of slot `index`. */
  readonly spawn: (index: number) => Worker;
  /** Whether a task is still this process's, of a moment after the question. */
  readonly owns: (assignment: TaskAssignment) => Promise<boolean>;
  /** What is behind a failure that a task could only see a part of. */
  readonly diagnose: (job: RunningJob, failure: Failure) => Promise<Failure>;
  /** A slot died with these tasks, which come back in a while. */
  readonly slotDied: (tasks: readonly TaskAssignment[]) => void;
  /** Nothing here can go on. */
  readonly processFailed: (failure: Failure) => void;
  /** A task of a job has ended, for whatever reason. */
  readonly taskEnded: () => void;
}

export class JobExecutor {
  readonly #parts: JobExecutorParts;
  /** Null while no job was to run. */
  #pool: SlotPool | null = null;

  constructor(parts: JobExecutorParts) {
    this.#parts = parts;
  }

  /** Starts the threads that the jobs need. Error: slot-not-started. */
  async open(jobs: readonly RunningJob[]): Promise<void> {
    const pool = new SlotPool({
      slotCount: this.#parts.slotCount,
      spawn: this.#parts.spawn,
      clock: this.#parts.clock,
      logger: this.#parts.logger,
      owns: this.#parts.owns,
      taskFailed: (assignment, failure) => this.#taskFailed(assignment, failure),
      taskStopped: (assignment) => this.#taskEnded(assignment),
      taskLive: () => {},
      slotDied: (tasks, cause) => {
        this.#parts.jobs.slotDied(tasks, cause, this.#parts.clock.nowMs());
        this.#parts.slotDied(tasks);
      },
    });
    this.#pool = pool;
    const prepared = jobs.flatMap((job) => job.prepared ?? []);
    await pool.open(prepared.map(({ parallelism, tasks }) => ({ parallelism, taskCount: tasks.length })));
  }

  start(jobs: readonly RunningJob[]): void {
    for (const job of jobs) this.#parts.jobs.began(job);
    for (const { prepared } of jobs) if (prepared !== null) this.#pool?.start(prepared.tasks, prepared.parallelism);
  }

  /** Ends the tasks of a job that cannot go on. */
  failed(job: RunningJob, failure: Failure): void {
    this.#parts.jobs.failed(job, failure);
    this.#pool?.stopJob(job.name);
  }

  async #taskFailed(assignment: TaskAssignment, failure: Failure): Promise<void> {
    if (failure.code === 'superseded') {
      this.#parts.processFailed(failure);
      return;
    }
    const job = this.#parts.jobs.get(assignment.job);
    this.#pool?.stopJob(assignment.job);
    if (job !== undefined && job.failure === null) {
      this.#parts.jobs.failed(job, await this.#parts.diagnose(job, failure));
    }
    this.#taskEnded(assignment);
  }

  #taskEnded(assignment: TaskAssignment): void {
    this.#parts.jobs.taskEnded(assignment.job);
    this.#parts.taskEnded();
  }

  /** What the tasks say now; those that do not answer are left out. */
  async status(): Promise<readonly SlotReport[]> {
    return (await this.#pool?.status()) ?? [];
  }

  /** What every task said last. */
  async reports(): Promise<readonly SlotReport[]> {
    return (await this.#pool?.reports()) ?? [];
  }

  get slots(): SlotCounts {
    return this.#pool?.counts ?? { total: this.#parts.slotCount, running: 0, activity: [] };
  }

  /** Keyed state of a task behind one of its entries. */
  async askState(assignment: TaskAssignment, query: StateQuery): Promise<StateReply> {
    const nobody = () => describe(stateUnreadable(assignment, 'does not run now'));
    return (await this.#pool?.askState(assignment, query)) ?? { kind: 'failure', failure: nobody() };
  }

  /** Clean stop of all: every task ends with a checkpoint at its last entry. */
  async close(): Promise<void> {
    await this.#pool?.close();
  }

  /** Ends at once, without checkpoints. */
  async terminate(): Promise<void> {
    await this.#pool?.terminate();
  }
}
