// Owns what the main thread and a slot say to each other. Plain data; records never cross (ARCHITECTURE §7).

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

export type ToSlot =
  | { readonly kind: 'start'; readonly tasks: readonly TaskAssignment[] }
  /** Clean stop of one job's tasks, or of all when `job` is null. */
  | { readonly kind: 'stop'; readonly job: string | null }
  | { readonly kind: 'status'; readonly request: number };

export interface TaskReport {
  readonly assignment: TaskAssignment;
  readonly status: TaskStatus | null;
  readonly restarts: number;
  readonly failures: readonly Failure[];
}

export type FromSlot =
  | { readonly kind: 'ready' }
  | { readonly kind: 'task-stopped'; readonly assignment: TaskAssignment }
  | { readonly kind: 'task-failed'; readonly assignment: TaskAssignment; readonly failure: Failure }
  | { readonly kind: 'status'; readonly request: number; readonly tasks: readonly TaskReport[] };

export function assignmentKey({ job, run, generation, stage, partition }: TaskAssignment): string {
  return `${job}.${run}.${generation}.${stage}.${partition}`;
}
