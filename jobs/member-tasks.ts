// Owns the tasks that this process runs as a member of the group: starts what it is given, stops what it has to give up,
// ends everything when the group forgot it. Which tasks those are is not decided here. Invariant: a task runs only while it
// is this process's, and who waits for its end hears of it.

import type { Worker } from 'node:worker_threads';
import { OnceTasks, processEnds } from '#jobs/once-tasks.ts';
import type { AskedParts, Told } from '#jobs/peers.ts';
import type { JobAssignment } from '#jobs/process-settings.ts';
import { taskOf } from '#jobs/task-key.ts';
import type { MeantSlots } from '#jobs/wanted-tasks.ts';
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
import { SlotPool } from '#runtime/slot/slot-pool.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';
import { describe, type Failure } from '#runtime/task/task-supervisor.ts';

export interface MemberTasksParts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly slotCount: number;
  /** For keyed state of all slots together. */
  readonly stateMemoryBytes: number;
  /** Spawns the worker thread of slot `index`. */
  readonly spawn: (index: number) => Worker;
  /** Whether a task is still this process's, of a moment after the question. */
  readonly owns: (assignment: TaskAssignment) => Promise<boolean>;
  /** Over how many slots what runs here of a job is spread, when the group means so many for so many tasks. */
  readonly slotsHere: (job: string, has: { readonly tasks: number; readonly slots: number }) => MeantSlots;
  /** How a job is to be run here; its errors fail the job. */
  readonly plan: (job: string) => Promise<JobAssignment>;
  readonly taskLive: (assignment: TaskAssignment) => void;
  /** The job cannot go on, in no process. */
  readonly jobFailed: (job: string, failure: Failure) => void;
  /** A slot died with these tasks, which come back in a while. */
  readonly slotDied: (tasks: readonly TaskAssignment[], cause: string) => void;
}

/** A task that found out that it is somebody else's, and is not, is started again after this. */
const AGAIN_MS = 1_000;
const MEASURE_MS = 5_000;

export class MemberTasks {
  readonly #parts: MemberTasksParts;
  readonly #pool: SlotPool;
  readonly #once = new OnceTasks();
  readonly #closed = new AbortController();
  /** What this process is to run, with the slot that the group meant. */
  #mine: ReadonlyMap<string, number> = new Map();
  /** Given to the pool and not ended. */
  readonly #running = new Map<string, PromiseWithResolvers<void>>();
  /** Jobs that failed here: their tasks are not started again before the group takes them away. */
  readonly #failed = new Set<string>();
  /** Told to end by themselves. */
  readonly #drained = new Set<string>();
  readonly #slotsOf = new Map<string, MeantSlots>();
  readonly #moves = new Map<string, Promise<readonly MovedTask[]>>();
  readonly #weights = new Map<string, number>();
  readonly #busy = new Map<string, { readonly seconds: number; readonly atMs: number }>();

  constructor(parts: MemberTasksParts) {
    this.#parts = parts;
    this.#pool = new SlotPool({
      slotCount: parts.slotCount,
      spawn: parts.spawn,
      clock: parts.clock,
      logger: parts.logger,
      owns: async (assignment) => this.#once.has(assignment) || parts.owns(assignment),
      taskFailed: (assignment, failure) => this.#taskFailed(assignment, failure),
      taskStopped: (assignment) => this.#ended(assignment),
      taskLive: parts.taskLive,
      slotDied: parts.slotDied,
    });
    void this.#measure();
  }

  /** Starts the threads that jobs of these sizes need. Error: slot-not-started. */
  open(jobs: Parameters<SlotPool['open']>[0]): Promise<void> {
    return this.#pool.open(jobs);
  }

  /** From now on these tasks are to run here; those that do go on. */
  assigned(mine: ReadonlyMap<string, number>): void {
    this.#mine = mine;
    const jobs = new Set(Array.from(mine.keys(), (key) => taskOf(key).job));
    for (const key of this.#drained) if (!mine.has(key)) this.#drained.delete(key);
    for (const job of this.#failed) if (!jobs.has(job)) this.#failed.delete(job);
    for (const job of this.#slotsOf.keys()) if (!jobs.has(job)) this.#slotsOf.delete(job);
    for (const job of jobs) void this.#run(job);
  }

  /** Resolves when none of these tasks runs any more. */
  async revoke(tasks: readonly string[], how: (job: string) => StopKind): Promise<void> {
    const revoked = new Set(tasks);
    this.#mine = new Map([...this.#mine].filter(([key]) => !revoked.has(key)));
    for (const kind of ['stop', 'abort'] as const) {
      this.#pool.stopTasks((task) => revoked.has(assignmentKey(task)) && how(task.job) === kind, kind);
    }
    await Promise.all(tasks.map((key) => this.#running.get(key)?.promise));
  }

  /** Ends everything at once. */
  async lost(): Promise<void> {
    this.#mine = new Map();
    await this.revoke([...this.#running.keys()], () => 'abort');
  }

  /** Busy seconds per second, where it was measured. */
  weights(): ReadonlyMap<string, number> {
    return this.#weights;
  }

  /** What all processes are told of their tasks. */
  told(told: Told): void {
    if (told.kind === 'drain') this.#drain(told.tasks);
    else this.#pool.tellAll(told);
  }

  /** Those of the tasks that run here are drained, and not started again. */
  #drain(tasks: readonly TaskAssignment[]): void {
    const here = tasks.filter((task) => this.#running.has(assignmentKey(task)));
    for (const task of here) this.#drained.add(assignmentKey(task));
    this.#pool.tellAll({ kind: 'drain', tasks: here });
  }

  /** Parts of a savepoint. */
  askParts({ savepoint, tasks, timeoutMs }: AskedParts): Promise<readonly SavepointReply[]> {
    return this.#pool.askParts(tasks, savepoint, timeoutMs);
  }

  /** Runs tasks of a job that is held to their end; what the first of them failed of. */
  once(plan: JobAssignment, tasks: readonly TaskAssignment[], parallelism: number): Promise<Failure | null> {
    return this.#once.run(this.#pool, plan, tasks, Math.min(parallelism, this.#parts.slotCount));
  }

  isRunning(key: string): boolean {
    return this.#running.has(key);
  }

  status(): Promise<SlotReport[]> {
    return this.#pool.status();
  }

  reports(): Promise<SlotReport[]> {
    return this.#pool.reports();
  }

  get slots(): SlotCounts {
    return this.#pool.counts;
  }

  askState(assignment: TaskAssignment, query: StateQuery): Promise<StateReply> {
    return this.#pool.askState(assignment, query);
  }

  /** Clean stop of what still runs, and of the threads. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#pool.close();
    this.#endAll();
  }

  async terminate(): Promise<void> {
    this.#closed.abort();
    await this.#pool.terminate();
    this.#endAll();
  }

  #endAll(): void {
    this.#once.abandon(processEnds());
    for (const { resolve } of this.#running.values()) resolve();
    this.#running.clear();
  }

  async #run(job: string): Promise<void> {
    const isMissing = (key: string) => {
      return taskOf(key).job === job && !this.#running.has(key) && !this.#drained.has(key);
    };
    const missing = () => [...this.#mine.keys()].filter(isMissing);
    try {
      if (missing().length > 0 && !this.#failed.has(job)) {
        const plan = await this.#parts.plan(job);
        // Others may have been given, started or taken away meanwhile.
        this.#start(job, plan, missing());
      }
      await this.#spread(job);
    } catch (error) {
      if (this.#closed.signal.aborted) return;
      if (error instanceof StreamError && error.retryable) {
        const { code, message, remedy } = error;
        this.#parts.logger.warn({ job, code, remedy }, `tasks of job ${job} cannot be started yet: ${message}`);
        await this.#parts.clock.sleep(AGAIN_MS, this.#closed.signal);
        if (!this.#closed.signal.aborted) void this.#run(job);
      } else this.#fail(job, describe(error));
    }
  }

  #start(job: string, plan: JobAssignment, keys: readonly string[]): void {
    if (keys.length === 0 || this.#failed.has(job) || this.#closed.signal.aborted) return;
    for (const key of keys) this.#running.set(key, Promise.withResolvers());
    const meant = this.#slotsMeant(job);
    if (!this.#slotsOf.has(job)) this.#slotsOf.set(job, meant);
    this.#pool.tellAll({ kind: 'plan', job, plan });
    this.#pool.start(keys.map(taskOf), meant.slots);
    this.#shareMemory();
  }

  // A job may be told to use more slots than there were.
  #shareMemory(): void {
    const bytes = Math.floor(this.#parts.stateMemoryBytes / this.slots.total);
    this.#pool.tellAll({ kind: 'state-memory', bytes });
  }

  // The group says how many slots of this process a job is spread over; which of them, is settled here.
  async #spread(job: string, anew = false): Promise<void> {
    const meant = this.#slotsMeant(job);
    const { slots } = meant;
    const used = this.#slotsOf.get(job)?.slots;
    if (slots === 0 || (used === slots && !anew)) return;
    this.#slotsOf.set(job, meant);
    const before = this.#moves.get(job) ?? Promise.resolve([]);
    const moves = before.then(async (earlier) => [...earlier, ...(await this.#pool.rescale(job, slots))]);
    this.#moves.set(
      job,
      moves.catch(() => []),
    );
    await moves;
    this.#shareMemory();
  }

  /**
   * What moved from slot to slot here since this was asked last; resolves when none is on its way.
   * @param anew its tasks are spread by how busy they are now before
   */
  async moved(job: string, anew: boolean): Promise<readonly MovedTask[]> {
    // What does not start says so, and nothing has moved.
    if (anew) await this.#spread(job, true).catch(() => {});
    const moves = this.#moves.get(job);
    const moved = (await moves) ?? [];
    if (this.#moves.get(job) === moves) this.#moves.delete(job);
    return moved;
  }

  // To use fewer slots is no reason to stop a task: that is done when somebody says so.
  #slotsMeant(job: string): MeantSlots {
    const given = [...this.#mine].flatMap(([key, slot]) => (taskOf(key).job === job ? [slot] : []));
    const meant = this.#parts.slotsHere(job, { tasks: given.length, slots: new Set(given).size });
    const used = this.#slotsOf.get(job);
    if (given.length === 0 || used === undefined || used.parallelism !== meant.parallelism) return meant;
    return { ...meant, slots: Math.max(used.slots, meant.slots) };
  }

  #taskFailed(assignment: TaskAssignment, failure: Failure): void {
    if (this.#once.ended(assignment, failure)) return;
    this.#ended(assignment);
    if (failure.code !== 'superseded') this.#fail(assignment.job, failure);
    // The group knows better who owns it: when it is this process, then the answer was of a moment between two rounds.
    else if (this.#mine.has(assignmentKey(assignment))) void this.#again(assignment.job);
  }

  async #again(job: string): Promise<void> {
    await this.#parts.clock.sleep(AGAIN_MS, this.#closed.signal);
    if (!this.#closed.signal.aborted) await this.#run(job);
  }

  #fail(job: string, failure: Failure): void {
    if (this.#failed.has(job)) return;
    this.#failed.add(job);
    this.#pool.stopJob(job);
    this.#parts.jobFailed(job, failure);
  }

  #ended(assignment: TaskAssignment): void {
    if (this.#once.ended(assignment)) return;
    const key = assignmentKey(assignment);
    this.#running.get(key)?.resolve();
    this.#running.delete(key);
    this.#busy.delete(key);
    this.#weights.delete(key);
  }

  async #measure(): Promise<void> {
    const { clock } = this.#parts;
    const { signal } = this.#closed;
    for (;;) {
      await clock.sleep(MEASURE_MS, signal);
      if (signal.aborted) return;
      const nowMs = clock.monotonicMs();
      for (const { assignment, figures } of await this.#pool.status()) {
        const key = assignmentKey(assignment);
        if (figures === null || !this.#running.has(key)) continue;
        const before = this.#busy.get(key);
        this.#busy.set(key, { seconds: figures.busySeconds, atMs: nowMs });
        if (before === undefined || figures.busySeconds < before.seconds) continue;
        const now = (1_000 * (figures.busySeconds - before.seconds)) / Math.max(1, nowMs - before.atMs);
        this.#weights.set(key, (now + (this.#weights.get(key) ?? now)) / 2);
      }
    }
  }
}
