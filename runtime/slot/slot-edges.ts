// Owns what a pool of slots is given: how threads are made, and who hears what becomes of tasks.

import type { Worker } from 'node:worker_threads';
import type { TaskAssignment } from '#runtime/slot/messages.ts';
import type { Clock } from '#runtime/std/clock.ts';
import type { Logger } from '#runtime/std/logger.ts';
import type { Failure } from '#runtime/task/task-supervisor.ts';

export interface SlotPoolParts {
  readonly slotCount: number;
  /** Spawns the worker thread of slot `index`. */
  readonly spawn: (index: number) => Worker;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether the task is still this process's, of a moment after the question. What it throws is that nobody knows. */
  readonly owns: (assignment: TaskAssignment) => Promise<boolean>;
  readonly taskFailed: (assignment: TaskAssignment, failure: Failure) => void;
  readonly taskStopped: (assignment: TaskAssignment) => void;
  /** It takes new input, for the first time or again. */
  readonly taskLive: (assignment: TaskAssignment) => void;
  /** A slot died of `cause` with these tasks, which come back in a while. */
  readonly slotDied: (tasks: readonly TaskAssignment[], cause: string) => void;
}
