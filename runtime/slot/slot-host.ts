// Owns the tasks inside one slot (worker thread): starts their supervisors, stops them, reports on them. Knows the
// main thread only as a function to say things to.

import {
  assignmentKey,
  type FromSlot,
  type TaskAssignment,
  type TaskReport,
  type ToSlot,
} from '#runtime/slot/messages.ts';
import type { TaskEnvironment, TaskOptions, TaskPlan } from '#runtime/task/task-environment.ts';
import { describe, TaskSupervisor } from '#runtime/task/task-supervisor.ts';

export interface PlannedTask {
  readonly plan: TaskPlan;
  readonly options: TaskOptions;
}

export interface SlotHostParts {
  readonly environment: TaskEnvironment;
  /** Compiles the job of an assignment; its errors fail the task. */
  readonly planTask: (assignment: TaskAssignment) => Promise<PlannedTask>;
  readonly say: (message: FromSlot) => void;
}

interface RunningTask {
  readonly assignment: TaskAssignment;
  readonly supervisor: TaskSupervisor;
  readonly ended: Promise<void>;
}

export class SlotHost {
  readonly #parts: SlotHostParts;
  readonly #tasks = new Map<string, RunningTask>();

  constructor(parts: SlotHostParts) {
    this.#parts = parts;
  }

  async hear(message: ToSlot): Promise<void> {
    if (message.kind === 'start') for (const task of message.tasks) await this.#start(task);
    else if (message.kind === 'stop') this.#stop(message.job);
    else this.#parts.say({ kind: 'status', request: message.request, tasks: this.#report() });
  }

  async #start(assignment: TaskAssignment): Promise<void> {
    const { environment, planTask, say } = this.#parts;
    const key = assignmentKey(assignment);
    if (this.#tasks.has(key)) return;
    let planned: PlannedTask;
    try {
      planned = await planTask(assignment);
    } catch (error) {
      say({ kind: 'task-failed', assignment, failure: describe(error) });
      return;
    }
    const supervisor = new TaskSupervisor(planned.plan, planned.options, environment);
    const ended = supervisor.run().then((outcome) => {
      this.#tasks.delete(key);
      if (outcome.kind === 'failed') say({ kind: 'task-failed', assignment, failure: outcome.failure });
      else say({ kind: 'task-stopped', assignment });
    });
    this.#tasks.set(key, { assignment, supervisor, ended });
  }

  #stop(job: string | null): void {
    for (const { assignment, supervisor } of this.#tasks.values()) {
      if (job === null || assignment.job === job) supervisor.stop();
    }
  }

  #report(): TaskReport[] {
    return Array.from(this.#tasks.values(), ({ assignment, supervisor }) => ({
      assignment,
      status: supervisor.status(),
      restarts: supervisor.restarts,
      failures: supervisor.failures,
    }));
  }

  /** Resolves when every task ended. */
  async ended(): Promise<void> {
    await Promise.all(Array.from(this.#tasks.values(), (task) => task.ended));
  }
}
