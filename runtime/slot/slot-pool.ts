// Owns the slots of a process as seen from the main thread: spawns worker threads, spreads tasks, brings a dead slot
// back with its tasks, and collects what they report. Touches no record.

import type { MessagePort, Worker } from 'node:worker_threads';
import {
  assignmentKey,
  type FromSlot,
  type TaskAssignment,
  type TaskReport,
  type ToSlot,
} from '#runtime/slot/messages.ts';
import type { Clock } from '#runtime/std/clock.ts';
import type { Logger } from '#runtime/std/logger.ts';
import type { Failure } from '#runtime/task/task-supervisor.ts';

const RESPAWN_PAUSE_MS = 100;
const STATUS_TIMEOUT_MS = 2_000;

export interface SlotPoolParts {
  readonly slotCount: number;
  /** Spawns the worker thread of slot `index`. */
  readonly spawn: (index: number) => Worker | Promise<Worker>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly taskFailed: (assignment: TaskAssignment, failure: Failure) => void;
  readonly taskStopped: (assignment: TaskAssignment) => void;
}

interface Slot {
  readonly index: number;
  worker: Worker | null;
  readonly tasks: Map<string, TaskAssignment>;
  deaths: number;
}

export class SlotPool {
  readonly #parts: SlotPoolParts;
  readonly #slots: Slot[] = [];
  readonly #requests = new Map<number, (tasks: readonly TaskReport[]) => void>();
  #nextRequest = 1;
  #closing = false;

  constructor(parts: SlotPoolParts) {
    this.#parts = parts;
    for (let index = 0; index < parts.slotCount; index++) {
      this.#slots.push({ index, worker: null, tasks: new Map(), deaths: 0 });
    }
  }

  /** Gives tasks to slots, `parallelism` of them, in turn. */
  async start(tasks: readonly TaskAssignment[], parallelism: number): Promise<void> {
    const spread = Math.max(1, Math.min(parallelism, this.#slots.length));
    const perSlot: TaskAssignment[][] = this.#slots.map(() => []);
    // Tasks of one partition share a slot only by chance: stages rotate, so that a job with an exchange uses all slots.
    for (const [index, task] of tasks.entries()) perSlot[index % spread].push(task);
    for (const slot of this.#slots) {
      const own = perSlot[slot.index];
      if (own.length === 0) continue;
      for (const task of own) slot.tasks.set(assignmentKey(task), task);
      if (slot.worker === null) await this.#spawn(slot);
      else this.#say(slot, { kind: 'start', tasks: own });
    }
  }

  stopJob(job: string): void {
    for (const slot of this.#slots) this.#say(slot, { kind: 'stop', job });
  }

  /** Clean stop of everything; resolves when all tasks ended or the slots are gone. */
  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all(
      this.#slots.map(async (slot) => {
        if (slot.worker === null) return;
        const exited = new Promise<void>((resolve) => slot.worker?.once('exit', () => resolve()));
        this.#say(slot, { kind: 'stop', job: null });
        this.#closeWhenEmpty(slot);
        await exited;
      }),
    );
  }

  /** Ends the slots at once, without checkpoints. */
  async terminate(): Promise<void> {
    this.#closing = true;
    await Promise.all(this.#slots.map((slot) => slot.worker?.terminate()));
  }

  /** What the tasks of all slots say about themselves; a slot that does not answer in time is left out. */
  async status(): Promise<TaskReport[]> {
    const answers = this.#slots.map(async (slot) => {
      if (slot.worker === null) return [];
      const request = this.#nextRequest++;
      const timer = new AbortController();
      const answer = new Promise<readonly TaskReport[]>((resolve) => this.#requests.set(request, resolve));
      const late = this.#parts.clock.sleep(STATUS_TIMEOUT_MS, timer.signal).then((): readonly TaskReport[] => []);
      this.#say(slot, { kind: 'status', request });
      const tasks = await Promise.race([answer, late]);
      timer.abort();
      this.#requests.delete(request);
      return tasks;
    });
    return (await Promise.all(answers)).flat();
  }

  async #spawn(slot: Slot): Promise<void> {
    const worker = await this.#parts.spawn(slot.index);
    slot.worker = worker;
    worker.on('message', (message: FromSlot) => this.#hear(slot, message));
    worker.on('error', (error: Error) => {
      this.#parts.logger.error({ slot: slot.index, stack: error.stack }, `slot ${slot.index} died: ${error.message}`);
    });
    worker.on('exit', () => this.#exited(slot));
  }

  #exited(slot: Slot): void {
    slot.worker = null;
    if (this.#closing || slot.tasks.size === 0) return;
    slot.deaths++;
    const pauseMs = Math.min(5_000, RESPAWN_PAUSE_MS * 2 ** Math.min(6, slot.deaths - 1));
    this.#parts.logger.warn(
      { slot: slot.index, tasks: slot.tasks.size, pauseMs },
      `slot ${slot.index} is started again`,
    );
    this.#parts.clock.sleep(pauseMs).then(() => {
      if (!this.#closing) return this.#spawn(slot);
    });
  }

  #hear(slot: Slot, message: FromSlot): void {
    if (message.kind === 'ready') this.#say(slot, { kind: 'start', tasks: [...slot.tasks.values()] });
    else if (message.kind === 'status') this.#requests.get(message.request)?.(message.tasks);
    else {
      slot.tasks.delete(assignmentKey(message.assignment));
      if (message.kind === 'task-failed') this.#parts.taskFailed(message.assignment, message.failure);
      else this.#parts.taskStopped(message.assignment);
      this.#closeWhenEmpty(slot);
    }
  }

  #closeWhenEmpty(slot: Slot): void {
    if (this.#closing && slot.tasks.size === 0) this.#post(slot.worker, 'close');
  }

  #say(slot: Slot, message: ToSlot): void {
    this.#post(slot.worker, message);
  }

  #post(worker: Worker | MessagePort | null, message: ToSlot | 'close'): void {
    worker?.postMessage(message);
  }
}
