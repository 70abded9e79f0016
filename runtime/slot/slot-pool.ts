// Owns the slots of a process as seen from the main thread: spawns worker threads, spreads tasks, brings a slot that
// died or stalled back with its tasks, finds the job that kills slots, and collects what they report. Touches no record.
// Invariant: a task is told to at most one living worker, and every task given to `start` is reported ended once,
// however its slot fares.

import type { Worker } from 'node:worker_threads';
import { LastWords } from '#runtime/slot/last-words.ts';
import {
  assignmentKey,
  type FromSlot,
  type SlotReport,
  type StateReply,
  stateUnreadable,
  type TaskAssignment,
  type ToSlot,
} from '#runtime/slot/messages.ts';
import { freshSlot, type Slot, type SlotCounts } from '#runtime/slot/slot.ts';
import { crashLoop, notStarted, recentDeaths, respawnPauseMs, verdict } from '#runtime/slot/slot-faults.ts';
import { SlotQuestions } from '#runtime/slot/slot-questions.ts';
import type { Clock } from '#runtime/std/clock.ts';
import type { Logger } from '#runtime/std/logger.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';
import { describe, type Failure } from '#runtime/task/task-supervisor.ts';

/** A slot that lived this long is started again without a longer pause. */
const HEALTHY_MS = 60_000;
const STATUS_TIMEOUT_MS = 2_000;
/** A task answers between two entries; one whose commit hangs does not. */
const STATE_TIMEOUT_MS = 10_000;
const STATE_QUESTIONS_MAX = 256;
/** How long the start of a process waits for a worker to hear. */
const OPEN_PATIENCE_MS = 60_000;
/** While the pool closes: so many looks in a row without an answer. */
const CLOSE_LOOK_MS = 1_000;
const CLOSE_LOOKS_MAX = 7;
const STALL_LOOK_MS = 10_000;
/** Looks in a row without an answer; several, because a process that was stopped for a while is late as a whole. */
const STALL_LOOKS_MAX = 6;

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
  /** A slot died of `cause` with these tasks, which come back in a while. */
  readonly slotDied: (tasks: readonly TaskAssignment[], cause: string) => void;
}

export class SlotPool {
  readonly #parts: SlotPoolParts;
  readonly #slots: Slot[] = [];
  readonly #questions: SlotQuestions;
  readonly #words = new LastWords();
  /** Jobs that were told to stop and not started since. */
  readonly #stopping = new Set<string>();
  readonly #closed = new AbortController();
  #stateQuestions = 0;

  constructor(parts: SlotPoolParts) {
    this.#parts = parts;
    this.#questions = new SlotQuestions(parts.clock);
    for (let index = 0; index < parts.slotCount; index++) this.#addSlot(null);
  }

  #addSlot(only: string | null): Slot {
    const slot = freshSlot(this.#slots.length, only);
    this.#slots.push(slot);
    return slot;
  }

  get #closing(): boolean {
    return this.#closed.signal.aborted;
  }

  /**
   * Starts the workers that jobs of these sizes will be spread over, and waits until they hear. Who takes work over from
   * another process asks for it before. Error: slot-not-started.
   */
  async open(jobs: readonly { readonly taskCount: number; readonly parallelism: number }[]): Promise<void> {
    const wanted = jobs.reduce((sum, { taskCount, parallelism }) => sum + Math.min(taskCount, parallelism), 0);
    await Promise.all(this.#slots.slice(0, wanted).map((slot) => this.#open(slot)));
  }

  async #open(slot: Slot): Promise<void> {
    let worker: Worker;
    try {
      worker = this.#spawn(slot);
    } catch (error) {
      throw notStarted(slot.index, (error as Error).message);
    }
    const done = new AbortController();
    const heard = new Promise<void>((resolve) => worker.once('message', () => resolve()));
    const signal = AbortSignal.any([done.signal, slot.gone.signal]);
    await Promise.race([heard, this.#parts.clock.sleep(OPEN_PATIENCE_MS, signal)]);
    done.abort();
    if (!slot.ready) throw notStarted(slot.index, slot.cause ?? `it said nothing for ${OPEN_PATIENCE_MS / 1_000}s`);
  }

  /** Gives tasks to the `parallelism` slots that have least to do, in turn. */
  start(tasks: readonly TaskAssignment[], parallelism: number): void {
    const shared = this.#slots.filter(({ only }) => only === null);
    const spread = Math.max(1, Math.min(parallelism, shared.length));
    const free = shared.sort((a, b) => a.tasks.size - b.tasks.size || a.index - b.index).slice(0, spread);
    const own: TaskAssignment[][] = free.map(() => []);
    for (const [index, task] of tasks.entries()) own[index % spread].push(task);
    for (const { job } of tasks) this.#stopping.delete(job);
    // All are noted before the first worker starts: whatever happens to it, stopJob finds the others.
    for (const [i, slot] of free.entries()) for (const task of own[i]) slot.tasks.set(assignmentKey(task), task);
    for (const [i, slot] of free.entries()) {
      if (own[i].length === 0) continue;
      if (slot.ready) this.#say(slot, { kind: 'start', tasks: own[i] });
      else if (slot.worker === null && !slot.respawning) this.#spawnOrPause(slot);
    }
  }

  /** Asks the job's tasks to stop. Those that no worker knows yet end here. */
  stopJob(job: string): void {
    this.#stopping.add(job);
    for (const slot of this.#slots) {
      if (slot.ready) this.#say(slot, { kind: 'stop', job });
      else this.#endStopping(slot);
    }
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
        this.#endSilent(slot, worker);
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
  async status(): Promise<SlotReport[]> {
    const answers = await Promise.all(this.#slots.map((slot) => this.#ask(slot, STATUS_TIMEOUT_MS)));
    return answers.flatMap((tasks) => tasks ?? []);
  }

  /** As `status`, and what those said last that do not answer, run nowhere now, or have ended. */
  async reports(): Promise<SlotReport[]> {
    const answered = new Set<Slot>();
    await Promise.all(
      this.#slots.map(async (slot) => {
        if ((await this.#ask(slot, STATUS_TIMEOUT_MS)) !== null) answered.add(slot);
      }),
    );
    return this.#words.all(this.#slots, answered);
  }

  get counts(): SlotCounts {
    const running = this.#slots.filter(({ ready }) => ready);
    const activity = running.map(({ index, worker }) => {
      const { active, idle } = worker?.performance.eventLoopUtilization() ?? { active: 0, idle: 0 };
      return { slot: index, activeSeconds: active / 1_000, idleSeconds: idle / 1_000 };
    });
    const total = this.#slots.filter(({ only }) => only === null).length;
    return { total, running: running.length, activity };
  }

  /**
   * Keyed state of a task behind one of its entries; null when its stage has no such operator. Errors: state-unreadable,
   * config-invalid, as failures.
   */
  async askState(assignment: TaskAssignment, query: StateQuery): Promise<StateReply> {
    const key = assignmentKey(assignment);
    const slot = this.#slots.find(({ tasks }) => tasks.has(key));
    if (slot === undefined || !slot.ready) return unanswered(assignment, 'does not run now');
    if (this.#stateQuestions >= STATE_QUESTIONS_MAX) return unanswered(assignment, 'is asked too much at once');
    this.#stateQuestions++;
    const answer = await this.#questions.ask(slot.gone.signal, STATE_TIMEOUT_MS, (request) =>
      this.#say(slot, { kind: 'state', request, assignment, query }),
    );
    this.#stateQuestions--;
    if (answer?.kind === 'state') return answer.reply;
    return unanswered(assignment, slot.gone.signal.aborted ? 'ended' : 'did not answer in time');
  }

  /** Null when the slot does not answer in time, or ends. */
  async #ask(slot: Slot, timeoutMs: number): Promise<readonly SlotReport[] | null> {
    if (!slot.ready) return null;
    const answer = await this.#questions.ask(slot.gone.signal, timeoutMs, (request) =>
      this.#say(slot, { kind: 'status', request }),
    );
    return answer?.kind === 'status' ? this.#words.heard(slot.index, answer.tasks) : null;
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
    if (this.#closing || slot.tasks.size === 0) return;
    const livedMs = this.#parts.clock.monotonicMs() - slot.spawnedMs;
    if (livedMs >= HEALTHY_MS) slot.failures = 0;
    for (const task of slot.tasks.values()) this.#words.lost(task);
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
    else if ('request' in message) this.#questions.answered(message);
    else {
      if (!slot.tasks.delete(assignmentKey(message.assignment))) return;
      this.#words.ended(message.last);
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
    this.#watch(slot, slot.worker);
  }

  // A worker that answers nothing for a minute is in an endless loop: only its end frees its tasks.
  async #watch(slot: Slot, worker: Worker | null): Promise<void> {
    if (!(await this.#silent(slot, STALL_LOOK_MS, STALL_LOOKS_MAX))) return;
    this.#parts.logger.error(
      {
        slot: slot.index,
        tasks: [...slot.tasks.keys()],
        remedy: 'look for an endless loop in the jobs of these tasks',
      },
      `slot ${slot.index} stalled: a function of one of its jobs does not return; the slot is ended`,
    );
    slot.cause = 'a function that does not return';
    await worker?.terminate();
  }

  // Such a worker does not hear either that it is to stop, and somebody waits for the end.
  async #endSilent(slot: Slot, worker: Worker): Promise<void> {
    if (!(await this.#silent(slot, CLOSE_LOOK_MS, CLOSE_LOOKS_MAX))) return;
    this.#parts.logger.warn(
      {
        slot: slot.index,
        tasks: [...slot.tasks.keys()],
        remedy: 'none needed: the next start replays what is missing',
      },
      `slot ${slot.index} does not hear that it is to stop, and is ended: its tasks have no checkpoint at their last entry`,
    );
    await worker.terminate();
  }

  /** True when so many looks in a row brought no answer, false when the worker is gone. */
  async #silent(slot: Slot, lookMs: number, looksMax: number): Promise<boolean> {
    const { signal } = slot.gone;
    for (let unanswered = 0; unanswered < looksMax; ) {
      const answer = await this.#ask(slot, lookMs);
      if (answer !== null || !slot.ready) await this.#parts.clock.sleep(lookMs, signal);
      if (signal.aborted) return false;
      unanswered = answer === null ? unanswered + 1 : 0;
    }
    return true;
  }

  // Tasks that are to stop and that no worker runs have ended.
  #endStopping(slot: Slot): void {
    for (const [key, task] of [...slot.tasks]) {
      if (!this.#closing && !this.#stopping.has(task.job)) continue;
      slot.tasks.delete(key);
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

function unanswered(assignment: TaskAssignment, why: string): StateReply {
  return { kind: 'failure', failure: describe(stateUnreadable(assignment, why)) };
}
