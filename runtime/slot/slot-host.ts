// Owns the tasks inside one slot (worker thread): starts their supervisors, stops them, reports on them. Knows the
// main thread only as a function to say things to. Invariant: at most one supervisor per task, and a task that was told
// to stop before it ran never runs.

import {
  assignmentKey,
  type FromSlot,
  type SavepointReply,
  type StateReply,
  stateUnreadable,
  type TaskAssignment,
  type TaskReport,
  type ToSlot,
} from '#runtime/slot/messages.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';
import type { TaskEnvironment, TaskOptions, TaskPlan } from '#runtime/task/task-environment.ts';
import { TaskSavepoint } from '#runtime/task/task-savepoint.ts';
import { describe, type Failure, TaskSupervisor } from '#runtime/task/task-supervisor.ts';

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

interface HostedTask {
  readonly assignment: TaskAssignment;
  /** Null while the job is being compiled. */
  supervisor: TaskSupervisor | null;
  readonly savepoint: TaskSavepoint;
  stopping: boolean;
  draining: boolean;
  ended: Promise<void>;
}

export class SlotHost {
  readonly #parts: SlotHostParts;
  readonly #tasks = new Map<string, HostedTask>();

  constructor(parts: SlotHostParts) {
    this.#parts = parts;
  }

  hear(message: Exclude<ToSlot, { readonly kind: 'owned' | 'plan' | 'prepare' | 'state-memory' }>): void {
    switch (message.kind) {
      case 'start':
        for (const assignment of message.tasks) this.#start(assignment);
        break;
      case 'stop':
        for (const task of this.#of(message.job)) stop(task);
        break;
      case 'stop-tasks':
        for (const assignment of message.tasks) {
          const task = this.#tasks.get(assignmentKey(assignment));
          if (task !== undefined) (message.how === 'stop' ? stop : abort)(task);
        }
        break;
      case 'release':
        for (const { savepoint } of this.#of(message.job)) savepoint.release(message.savepoint);
        break;
      case 'savepoint':
        this.#tellPart(message);
        break;
      case 'drain':
        for (const assignment of message.tasks) drain(this.#tasks.get(assignmentKey(assignment)));
        break;
      case 'checkpoint':
        for (const { supervisor } of this.#of(message.job)) supervisor?.checkpoint();
        break;
      case 'state':
        this.#tellState(message.request, message.assignment, message.query);
        break;
      case 'status':
        this.#parts.say({ kind: 'status', request: message.request, tasks: this.#report() });
        break;
    }
  }

  // The task is known at once: the next message may start it again or stop it while its job is still being compiled.
  #start(assignment: TaskAssignment): void {
    const key = assignmentKey(assignment);
    if (this.#tasks.has(key)) return;
    const { job, stage, partition } = assignment;
    const savepoint = new TaskSavepoint(`${job}/${stage}/${partition}`, this.#parts.environment.clock);
    const task: HostedTask = {
      assignment,
      supervisor: null,
      savepoint,
      stopping: false,
      draining: false,
      ended: Promise.resolve(),
    };
    this.#tasks.set(key, task);
    task.ended = this.#run(task).then((last) => {
      task.savepoint.end();
      this.#tasks.delete(key);
      this.#parts.say(last);
    });
  }

  /** What there is to say when the task has ended; never rejects. */
  async #run(task: HostedTask): Promise<FromSlot> {
    const { environment, planTask } = this.#parts;
    const { assignment } = task;
    const stopped = (): FromSlot => ({ kind: 'task-stopped', assignment, last: report(task) });
    const failed = (failure: Failure): FromSlot => ({ kind: 'task-failed', assignment, failure, last: report(task) });
    try {
      const { plan, options } = await planTask(assignment);
      if (task.stopping) return stopped();
      const live = () => this.#parts.say({ kind: 'task-live', assignment });
      task.supervisor = new TaskSupervisor(plan, options, environment, live, task.savepoint);
      if (task.draining) task.supervisor.drain();
      const outcome = await task.supervisor.run();
      return outcome.kind === 'failed' ? failed(outcome.failure) : stopped();
    } catch (error) {
      return failed(describe(error));
    }
  }

  /** Null: all. */
  #of(job: string | null): readonly HostedTask[] {
    return [...this.#tasks.values()].filter(({ assignment }) => job === null || assignment.job === job);
  }

  async #tellPart(asked: Extract<ToSlot, { readonly kind: 'savepoint' }>): Promise<void> {
    this.#parts.say({ kind: 'savepoint', request: asked.request, reply: await this.#part(asked) });
  }

  async #part({
    assignment,
    savepoint: id,
    options,
  }: Extract<ToSlot, { readonly kind: 'savepoint' }>): Promise<SavepointReply> {
    try {
      const task = this.#tasks.get(assignmentKey(assignment));
      if (task === undefined) throw notHere(assignment, id);
      return { kind: 'part', part: await task.savepoint.ask(id, options) };
    } catch (error) {
      return { kind: 'failure', failure: describe(error) };
    }
  }

  // What a function of the job keeps may be something that cannot be sent: that is told, too.
  async #tellState(request: number, assignment: TaskAssignment, query: StateQuery): Promise<void> {
    const reply = await this.#readState(assignment, query);
    try {
      this.#parts.say({ kind: 'state', request, reply });
    } catch (error) {
      const fault = new StreamError(
        'state-unreadable',
        `state of '${query.operator}' cannot be shown: ${(error as Error).message}`,
        'keep plain data in the state: texts, numbers, booleans, lists, objects',
      );
      this.#parts.say({ kind: 'state', request, reply: { kind: 'failure', failure: describe(fault) } });
    }
  }

  async #readState(assignment: TaskAssignment, query: StateQuery): Promise<StateReply> {
    try {
      const supervisor = this.#tasks.get(assignmentKey(assignment))?.supervisor ?? null;
      if (supervisor === null) throw stateUnreadable(assignment, 'does not run now');
      return { kind: 'answer', answer: await supervisor.readState(query) };
    } catch (error) {
      return { kind: 'failure', failure: describe(error) };
    }
  }

  #report(): TaskReport[] {
    return Array.from(this.#tasks.values(), report);
  }

  /** Resolves when every task ended. */
  async ended(): Promise<void> {
    await Promise.all(Array.from(this.#tasks.values(), (task) => task.ended));
  }
}

function stop(task: HostedTask): void {
  task.stopping = true;
  task.supervisor?.stop();
}

function drain(task: HostedTask | undefined): void {
  if (task === undefined) return;
  task.draining = true;
  task.supervisor?.drain();
}

function abort(task: HostedTask): void {
  task.stopping = true;
  task.supervisor?.abort();
}

function notHere({ job, stage, partition }: TaskAssignment, id: string): StreamError {
  return new StreamError(
    'savepoint-failed',
    `savepoint ${id}: task ${job}/${stage}/${partition} does not run now`,
    'take another one when the task runs',
  );
}

function report({ assignment, supervisor }: HostedTask): TaskReport {
  return {
    assignment,
    status: supervisor?.status() ?? null,
    restarts: supervisor?.restarts ?? 0,
    failures: supervisor?.failures ?? [],
    exceptions: supervisor?.exceptions ?? [],
    figures: supervisor?.figures() ?? null,
    stuckMs: supervisor?.stuckMs() ?? 0,
  };
}
