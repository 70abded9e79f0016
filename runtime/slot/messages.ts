// Owns what the main thread and a slot say to each other. Plain data; records never cross (ARCHITECTURE §7).

import { StreamError } from '#runtime/std/errors.ts';
import type { CountedFailure } from '#runtime/task/failure-book.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';
import type { StateAnswer } from '#runtime/task/state-questions.ts';
import type { TaskFigures } from '#runtime/task/task-meter.ts';
import type { SavepointOptions, SavepointPart } from '#runtime/task/task-savepoint.ts';
import type { TaskStatus } from '#runtime/task/task-status.ts';
import type { Failure } from '#runtime/task/task-supervisor.ts';

/** One task for a slot; the slot compiles the job itself. */
export interface TaskAssignment {
  readonly job: string;
  readonly run: string;
  readonly generation: number;
  readonly stage: string;
  readonly partition: number;
}

export type StopKind = 'stop' | 'abort';

export type ToSlot =
  | { readonly kind: 'start'; readonly tasks: readonly TaskAssignment[] }
  /** Clean stop of one job's tasks, or of all when `job` is null. */
  | { readonly kind: 'stop'; readonly job: string | null }
  /** Clean stop of these tasks, or their end at once, without a checkpoint. */
  | { readonly kind: 'stop-tasks'; readonly how: StopKind; readonly tasks: readonly TaskAssignment[] }
  /** A checkpoint of each task of one job, now. */
  | { readonly kind: 'checkpoint'; readonly job: string }
  /** Clean stop of these tasks, when what is in their input now is read and every timer has fired. */
  | { readonly kind: 'drain'; readonly tasks: readonly TaskAssignment[] }
  /** From now on the job is started as `plan` says, which is the slot's entry point's affair. */
  | { readonly kind: 'plan'; readonly job: string; readonly plan: unknown }
  /** What keyed state of all tasks of the slot may have in memory. */
  | { readonly kind: 'state-memory'; readonly bytes: number }
  /** Makes ready what every task of the job needs; answered by `prepared` with the same request. */
  | { readonly kind: 'prepare'; readonly request: number; readonly job: string }
  | { readonly kind: 'status'; readonly request: number }
  /** Keyed state of one task; answered by `state` with the same request. */
  | {
      readonly kind: 'state';
      readonly request: number;
      readonly assignment: TaskAssignment;
      readonly query: StateQuery;
    }
  /** Answers `owns`; null: it cannot be found out now. */
  | { readonly kind: 'owned'; readonly question: number; readonly owned: boolean | null }
  /** The part of one task, which may still be starting; answered by `savepoint` with the same request. It holds then. */
  | {
      readonly kind: 'savepoint';
      readonly request: number;
      readonly assignment: TaskAssignment;
      readonly savepoint: string;
      readonly options: SavepointOptions;
    }
  /** Done, or failed: the job's tasks go on. */
  | { readonly kind: 'release'; readonly job: string; readonly savepoint: string };

export interface TaskReport {
  readonly assignment: TaskAssignment;
  readonly status: TaskStatus | null;
  readonly restarts: number;
  readonly failures: readonly Failure[];
  /** Why attempts ended, the same ones counted; newest last. */
  readonly exceptions: readonly CountedFailure[];
  /** Over all attempts in this slot; null before the first. */
  readonly figures: TaskFigures | null;
  /** For how long nothing goes on. */
  readonly stuckMs: number;
}

/** What a task said, and where it runs. */
export interface SlotReport extends TaskReport {
  /** Id of the process; absent: this one. */
  readonly process?: string;
  /** Null: it ran there, and runs nowhere now. */
  readonly slot: number | null;
  /** `silent`: the slot did not answer in time, these are older words; `down`: it died, and comes back; `ended`: its last. */
  readonly word: 'fresh' | 'silent' | 'down' | 'ended';
}

/** Null: the stage of the task has no such operator. */
export type StateReply =
  | { readonly kind: 'answer'; readonly answer: StateAnswer | null }
  | { readonly kind: 'failure'; readonly failure: Failure };

export type SavepointReply =
  | { readonly kind: 'part'; readonly part: SavepointPart }
  | { readonly kind: 'failure'; readonly failure: Failure };

export type FromSlot =
  | { readonly kind: 'ready' }
  /** Whether the task is still this process's, of a moment after this question. */
  | { readonly kind: 'owns'; readonly question: number; readonly assignment: TaskAssignment }
  /** It takes new input. */
  | { readonly kind: 'task-live'; readonly assignment: TaskAssignment }
  | { readonly kind: 'task-stopped'; readonly assignment: TaskAssignment; readonly last: TaskReport }
  | {
      readonly kind: 'task-failed';
      readonly assignment: TaskAssignment;
      readonly failure: Failure;
      readonly last: TaskReport;
    }
  | { readonly kind: 'prepared'; readonly request: number }
  | { readonly kind: 'status'; readonly request: number; readonly tasks: readonly TaskReport[] }
  | { readonly kind: 'state'; readonly request: number; readonly reply: StateReply }
  | { readonly kind: 'savepoint'; readonly request: number; readonly reply: SavepointReply };

export function assignmentKey({ job, run, generation, stage, partition }: TaskAssignment): string {
  return `${job}.${run}.${generation}.${stage}.${partition}`;
}

export function stateUnreadable({ job, stage, partition }: TaskAssignment, why: string): StreamError {
  return new StreamError(
    'state-unreadable',
    `task ${job}/${stage}/${partition} ${why}`,
    'ask again when the task runs',
  );
}
