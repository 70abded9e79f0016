// Owns what changes of jobs ask of whoever runs their tasks: one process on its own, or several together.

import type { JobRun, RunProgress } from '#jobs/job-runs.ts';
import type { JobAssignment } from '#jobs/process-settings.ts';
import type { JobState, RunningJob } from '#jobs/running-jobs.ts';
import type { SavepointReply, SlotReport, StateReply, StopKind, TaskAssignment } from '#runtime/slot/messages.ts';
import type { SlotCounts } from '#runtime/slot/slot.ts';
import type { MovedTask } from '#runtime/slot/slot-moves.ts';
import type { MoveProgress } from '#runtime/slot/slot-rescale.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';
import type { Failure } from '#runtime/task/task-supervisor.ts';

/** Invariant: a job is started only when none of its tasks runs. */
export interface Executor {
  /** Starts the tasks of a prepared job. */
  start(job: RunningJob): Promise<void>;
  /** Whether none of its tasks runs. */
  isOver(job: RunningJob): boolean;
  /** Null before it was started. */
  runOf(job: RunningJob): JobRun | null;
  /** When every task took input since the last start, or one of them has ended. */
  untilLive(job: RunningJob): Promise<RunProgress>;
  untilOver(job: RunningJob): Promise<void>;
  /** Stops its tasks cleanly, or ends them without checkpoints, and waits until none runs. It is `then` from then on. */
  stop(job: RunningJob, how: StopKind, then: JobState): Promise<void>;
  /** Spreads a running job over so many slots, and says how many moved so far. Error: slot-not-started, and none has. */
  rescale(job: RunningJob, parallelism: number, moved: MoveProgress): Promise<readonly MovedTask[]>;
  /** Asks tasks to read what is there, to fire every timer and to stop then; asked twice it is the same. */
  drain(tasks: readonly TaskAssignment[]): void;
  /** Asks every task of it for a checkpoint now. */
  checkpoint(job: RunningJob): void;
  /**
   * Asks every task of it for its part of a savepoint. They hold then, whatever was answered, until `release`.
   * At once when one of them has none.
   */
  askParts(job: RunningJob, savepoint: string, timeoutMs: number): Promise<readonly SavepointReply[]>;
  /** The savepoint is done, or has failed. */
  release(job: RunningJob, savepoint: string): void;
  /**
   * Runs tasks of a job that is held, here and until they end by themselves. What the first of them failed of; null: none
   * did.
   */
  once(job: RunningJob, plan: JobAssignment, tasks: readonly TaskAssignment[]): Promise<Failure | null>;
  /** Ends the tasks of a job that cannot go on. */
  failed(job: RunningJob, failure: Failure): void;
  /** What the tasks say now; those that do not answer are left out. */
  status(): Promise<readonly SlotReport[]>;
  /** What every task said last. */
  reports(): Promise<readonly SlotReport[]>;
  readonly slots: SlotCounts;
  /** Keyed state of a task behind one of its entries. */
  askState(assignment: TaskAssignment, query: StateQuery): Promise<StateReply>;
}
