// Owns the slots of a process as seen from the main thread: spawns worker threads, spreads tasks, brings a slot that
// died or stalled back with its tasks, finds the job that kills slots, and collects what they report. Touches no record.
// Invariant: a task is told to at most one living worker, and every task given to `start` is reported ended once,
// however its slot fares.

import type { Worker } from 'node:worker_threads';
import {
  assignmentKey,
  type FromSlot,
  type SavepointReply,
  type SlotReport,
  type StateReply,
  type StopKind,
  type TaskAssignment,
  type ToSlot,
} from '#runtime/slot/messages.ts';
import { freeIndex, freshSlot, type Slot, type SlotCounts } from '#runtime/slot/slot.ts';
import type { SlotPoolParts } from '#runtime/slot/slot-edges.ts';
import { crashLoop, recentDeaths, respawnPauseMs, verdict } from '#runtime/slot/slot-faults.ts';
import { type MovedTask, SlotMoves } from '#runtime/slot/slot-moves.ts';
import { openSlot } from '#runtime/slot/slot-opening.ts';
import { SlotReports } from '#runtime/slot/slot-reports.ts';
import { type MoveProgress, rescaleJob } from '#runtime/slot/slot-rescale.ts';
import { endSilent, endStalled, type StallParts } from '#runtime/slot/slot-stall.ts';
import { dealTasks } from '#runtime/slot/task-dealing.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';

type ToldToAll = 'plan' | 'checkpoint' | 'drain' | 'state-memory' | 'release';

/** A slot that lived this long is started again without a longer pause. */
const HEALTHY_MS = 60_000;

export class SlotPool {
  readonly #parts: SlotPoolParts;
  readonly #slots: Slot[] = [];
  readonly #reports: SlotReports;
  readonly #moves: SlotMoves;
  readonly #stallParts: StallParts;
  /** Jobs that were told to stop and not started since. */
  readonly #stopping = new Set<string>();
  readonly #closed = new AbortController();

  constructor(parts: SlotPoolParts) {
    this.#parts = parts;
    const { clock, logger } = parts;
    this.#reports = new SlotReports(clock, this.#slots);
    this.#moves = new SlotMoves(clock);
    this.#stallParts = { clock, logger, ask: (slot, timeoutMs) => this.#reports.ask(slot, timeoutMs) };
    for (let index = 0; index < parts.slotCount; index++) this.#addSlot(null);
  }

  #addSlot(only: string | null): Slot {
    const slot = freshSlot(freeIndex(this.#slots), only);
    this.#slots.push(slot);
    return slot;
  }

  get #shared(): readonly Slot[] {
    return this.#slots.filter(({ only, retiring }) => only === null && !retiring);
  }

  /** As many slots as a job of this size needs; threads start when they get work. */
  #grow(taskCount: number, parallelism: number): void {
    for (let missing = Math.min(taskCount, parallelism) - this.#shared.length; missing > 0; missing--) {
      this.#addSlot(null);
    }
  }

  get #closing(): boolean {
    return this.#closed.signal.aborted;
  }

  /**
   * Starts the workers that jobs of these sizes will be spread over, and waits until they hear. Who takes work over from
   * another process asks for it before. Error: slot-not-started.
   */
  async open(jobs: readonly { readonly taskCount: number; readonly parallelism: number }[]): Promise<void> {
    for (const { taskCount, parallelism } of jobs) this.#grow(taskCount, parallelism);
    const wanted = jobs.reduce((sum, { taskCount, parallelism }) => sum + Math.min(taskCount, parallelism), 0);
    await Promise.all(this.#slots.slice(0, wanted).map((slot) => this.#open(slot)));
  }

  #open(slot: Slot): Promise<void> {
    return openSlot(slot, (one) => this.#spawn(one), this.#parts.clock);
  }

  /** Gives tasks to the `parallelism` slots that have least to do, in turn. */
  start(tasks: readonly TaskAssignment[], parallelism: number): void {
    this.#grow(tasks.length, parallelism);
    for (const task of tasks) this.#stopping.delete(assignmentKey(task));
    const dealt = dealTasks(tasks, this.#shared, parallelism);
    // All are noted before the first worker starts: whatever happens to it, stopJob finds the others.
    for (const [slot, own] of dealt) for (const task of own) slot.tasks.set(assignmentKey(task), task);
    for (const [slot, own] of dealt) this.#begin(slot, own);
  }

  /** Of tasks that are noted at the slot already. */
  #begin(slot: Slot, tasks: readonly TaskAssignment[]): void {
    if (slot.ready) this.#say(slot, { kind: 'start', tasks });
    else if (slot.worker === null && !slot.respawning) this.#spawnOrPause(slot);
  }

  /**
   * Spreads the tasks of a job over so many slots, each of those that move stopped cleanly in its own before it starts
   * in another. Resolves when all run again, or have ended. Error: slot-not-started, and nothing has moved.
   */
  async rescale(job: string, parallelism: number, progress: MoveProgress = () => {}): Promise<readonly MovedTask[]> {
    // What they say of how busy they are decides.
    const reports = await this.#reports.status();
    this.#grow(reports.filter(({ assignment }) => assignment.job === job).length, parallelism);
    const moved = await rescaleJob({
      job,
      parallelism,
      slots: this.#slots,
      shared: this.#shared,
      busy: (task) => this.#reports.words.busy(task),
      open: async (slot) => {
        if (slot.worker === null && !slot.respawning) await this.#open(slot);
        await this.#reports.prepare(slot, job);
      },
      moved: progress,
      move: (task, to) => this.#move(task, to),
    });
    this.#retire();
    return moved;
  }

  async #move(task: TaskAssignment, to: number): Promise<MovedTask | null> {
    const slot = this.#slots.find(({ tasks }) => tasks.has(assignmentKey(task)));
    if (slot === undefined || slot.index === to || this.#isStopping(task)) return null;
    const done = this.#moves.begin(task, slot.index, to);
    // What no worker runs needs no stop.
    if (slot.ready) this.#say(slot, { kind: 'stop-tasks', how: 'stop', tasks: [task] });
    else this.#arrive(slot, task);
    return done;
  }

  /** The task has left its slot; false: it goes nowhere else. */
  #arrive(from: Slot, task: TaskAssignment): boolean {
    const index = this.#moves.targetOf(task);
    const target = this.#slots.find((slot) => slot.index === index && !slot.retiring);
    if (target === undefined || this.#isStopping(task)) return false;
    this.#moves.arrived(task);
    from.tasks.delete(assignmentKey(task));
    target.tasks.set(assignmentKey(task), task);
    this.#begin(target, [task]);
    return true;
  }

  /** Threads beyond those configured end when nothing is left for them. */
  #retire(): void {
    for (const slot of this.#shared.slice(this.#parts.slotCount)) {
      if (slot.tasks.size > 0 || slot.respawning) continue;
      slot.retiring = true;
      if (slot.worker === null) this.#remove(slot);
      else slot.worker.postMessage('close');
    }
  }

  #remove(slot: Slot): void {
    this.#slots.splice(this.#slots.indexOf(slot), 1);
  }

  /** Tells every slot: how a job is started from now on, which slots that are made later know; what tasks are to do. */
  tellAll(message: Extract<ToSlot, { readonly kind: ToldToAll }>): void {
    for (const slot of this.#slots) this.#say(slot, message);
  }

  /** Stops the tasks of a job. */
  stopJob(job: string, how: StopKind = 'stop'): void {
    this.stopTasks((task) => task.job === job, how);
  }

  /** Asks these tasks to stop, or ends them at once without checkpoints. Those that no worker knows yet end here. */
  stopTasks(which: (task: TaskAssignment) => boolean, how: StopKind): void {
    for (const slot of this.#slots) {
      const tasks = [...slot.tasks.values()].filter(which);
      for (const task of tasks) this.#stopping.add(assignmentKey(task));
      if (!slot.ready) this.#endStopping(slot);
      else if (tasks.length > 0) this.#say(slot, { kind: 'stop-tasks', how, tasks });
    }
  }

  #isStopping(task: TaskAssignment): boolean {
    return this.#closing || this.#stopping.has(assignmentKey(task));
  }

  /** Clean stop of everything; resolves when all tasks ended or the slots are gone. */
  async close(): Promise<void> {
    this.#closed.abort();
    await Promise.all(
      this.#slots.map(async (slot) => {
        const { worker } = slot;
        if (worker === null) {
          this.#endStopping(slot);
          return;
        }
        const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
        void endSilent(slot, worker, this.#stallParts);
        if (slot.ready) this.#say(slot, { kind: 'stop', job: null });
        else this.#endStopping(slot);
        this.#closeWhenEmpty(slot);
        await exited;
      }),
    );
  }

  /** Ends the slots at once, without checkpoints. */
  async terminate(): Promise<void> {
    this.#closed.abort();
    await Promise.all(this.#slots.map((slot) => slot.worker?.terminate()));
  }

  /** What the tasks of all slots say about themselves; a slot that does not answer in time is left out. */
  status(): Promise<SlotReport[]> {
    return this.#reports.status();
  }

  /** As `status`, and what those said last that do not answer, run nowhere now, or have ended. */
  reports(): Promise<SlotReport[]> {
    return this.#reports.all();
  }

  get counts(): SlotCounts {
    return this.#reports.counts;
  }

  /**
   * Keyed state of a task behind one of its entries; null when its stage has no such operator. Errors: state-unreadable,
   * config-invalid, as failures.
   */
  askState(assignment: TaskAssignment, query: StateQuery): Promise<StateReply> {
    return this.#reports.askState(assignment, query);
  }

  /** Their parts of a savepoint, or why it came to nothing. They hold then, until they are told `release`. */
  askParts(tasks: readonly TaskAssignment[], savepoint: string, timeoutMs: number): Promise<SavepointReply[]> {
    return this.#reports.askParts(tasks, savepoint, timeoutMs);
  }

  #spawn(slot: Slot): Worker {
    const { clock, logger, spawn } = this.#parts;
    const worker = spawn(slot.index);
    slot.worker = worker;
    slot.gone = new AbortController();
    slot.cause = null;
    slot.spawnedMs = clock.monotonicMs();
    worker.on('message', (message: FromSlot) => {
      if (slot.worker === worker) this.#hear(slot, message);
    });
    worker.on('error', (error: Error) => {
      slot.cause = error.message;
      // Who opens it is told, and says so.
      if (!slot.ready && slot.tasks.size === 0) return;
      logger.error({ slot: slot.index, stack: error.stack }, `slot ${slot.index} died: ${error.message}`);
    });
    worker.on('exit', (code) => this.#exited(slot, code));
    return worker;
  }

  #spawnOrPause(slot: Slot): void {
    try {
      this.#spawn(slot);
    } catch (error) {
      slot.cause = (error as Error).message;
      this.#parts.logger.error({ slot: slot.index }, `slot ${slot.index} cannot be started: ${slot.cause}`);
      this.#respawn(slot);
    }
  }

  #exited(slot: Slot, code: number): void {
    const { ready } = slot;
    slot.cause ??= `exit code ${code}`;
    slot.worker = null;
    slot.ready = false;
    slot.gone.abort();
    this.#endStopping(slot);
    for (const task of [...slot.tasks.values()]) this.#arrive(slot, task);
    if (slot.retiring) this.#remove(slot);
    if (this.#closing || slot.tasks.size === 0) return;
    const livedMs = this.#parts.clock.monotonicMs() - slot.spawnedMs;
    if (livedMs >= HEALTHY_MS) slot.failures = 0;
    for (const task of slot.tasks.values()) this.#reports.words.lost(task);
    this.#parts.slotDied([...slot.tasks.values()], slot.cause);
    // Before it was ready no task ran that could be to blame.
    if (ready) this.#blame(slot);
    if (slot.tasks.size > 0) this.#respawn(slot);
  }

  // Which of its tasks kills a slot is not known: its jobs are taken apart until the one that goes on doing it is alone.
  #blame(slot: Slot): void {
    const nowMs = this.#parts.clock.monotonicMs();
    slot.deathsMs = recentDeaths(slot.deathsMs, nowMs);
    const jobs = [...new Set(Array.from(slot.tasks.values(), ({ job }) => job))];
    const follows = verdict(slot.deathsMs.length, jobs.length);
    if (follows === 'fail') this.#failJob(slot, jobs[0]);
    else if (follows === 'take-apart') this.#takeApart(slot, jobs);
  }

  #takeApart(slot: Slot, jobs: readonly string[]): void {
    const { logger } = this.#parts;
    const what = `slot ${slot.index} died ${slot.deathsMs.length} times, the last time of: ${slot.cause}`;
    logger.warn(
      { slot: slot.index, jobs },
      `${what}; each of its jobs gets a thread of its own, to find the one to blame`,
    );
    for (const job of jobs) {
      const own = this.#addSlot(job);
      for (const [key, task] of [...slot.tasks]) {
        if (task.job !== job) continue;
        slot.tasks.delete(key);
        own.tasks.set(key, task);
      }
      this.#respawn(own);
    }
    slot.deathsMs = [];
  }

  #failJob(slot: Slot, job: string): void {
    const [[key, task]] = slot.tasks;
    slot.tasks.delete(key);
    this.#moves.ended(task);
    this.#parts.taskFailed(task, crashLoop(job, slot.deathsMs.length, slot.cause));
    this.stopJob(job);
  }

  #respawn(slot: Slot): void {
    const { clock, logger } = this.#parts;
    slot.failures++;
    const pauseMs = respawnPauseMs(slot.failures);
    const fields = {
      slot: slot.index,
      tasks: slot.tasks.size,
      deaths: slot.deathsMs.length,
      cause: slot.cause,
      pauseMs,
    };
    logger.warn(fields, `slot ${slot.index} is started again`);
    slot.respawning = true;
    clock.sleep(pauseMs, this.#closed.signal).then(() => {
      slot.respawning = false;
      if (this.#closing || slot.tasks.size === 0) return;
      this.#spawnOrPause(slot);
    });
  }

  #hear(slot: Slot, message: FromSlot): void {
    if (message.kind === 'ready') this.#becameReady(slot);
    else if (message.kind === 'owns') void this.#tellOwned(slot, message.question, message.assignment);
    else if ('request' in message) this.#reports.answered(message);
    else if (message.kind === 'task-live') {
      this.#moves.live(message.assignment);
      this.#parts.taskLive(message.assignment);
    } else {
      const { assignment } = message;
      if (!slot.tasks.has(assignmentKey(assignment))) return;
      if (message.kind === 'task-stopped' && this.#arrive(slot, assignment)) {
        this.#reports.words.moved(message.last);
        return;
      }
      slot.tasks.delete(assignmentKey(assignment));
      this.#stopping.delete(assignmentKey(assignment));
      this.#moves.ended(assignment);
      this.#reports.words.ended(message.last);
      if (message.kind === 'task-failed') this.#parts.taskFailed(message.assignment, message.failure);
      else this.#parts.taskStopped(message.assignment);
      this.#closeWhenEmpty(slot);
    }
  }

  async #tellOwned(slot: Slot, question: number, assignment: TaskAssignment): Promise<void> {
    const owned = await this.#parts.owns(assignment).catch(() => null);
    this.#say(slot, { kind: 'owned', question, owned });
  }

  #becameReady(slot: Slot): void {
    slot.ready = true;
    if (!this.#closing && slot.tasks.size > 0) this.#say(slot, { kind: 'start', tasks: [...slot.tasks.values()] });
    void endStalled(slot, slot.worker, this.#stallParts);
  }

  // Tasks that are to stop and that no worker runs have ended.
  #endStopping(slot: Slot): void {
    for (const [key, task] of [...slot.tasks]) {
      if (!this.#isStopping(task)) continue;
      slot.tasks.delete(key);
      this.#moves.ended(task);
      this.#parts.taskStopped(task);
    }
  }

  #closeWhenEmpty(slot: Slot): void {
    if (this.#closing && slot.tasks.size === 0) slot.worker?.postMessage('close');
  }

  #say(slot: Slot, message: ToSlot): void {
    slot.worker?.postMessage(message);
  }
}
