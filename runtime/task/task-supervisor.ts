// Owns the attempts of one task: restart with backoff, and the decision that it is over (ARCHITECTURE §7). A task that
// crash-loops fails alone; a fault of the world that may pass is waited out, however long.

import { StreamError } from '#runtime/std/errors.ts';
import { type CountedFailure, FailureBook } from '#runtime/task/failure-book.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';
import { type StateAnswer, StateQuestions } from '#runtime/task/state-questions.ts';
import { TaskAttempt } from '#runtime/task/task-attempt.ts';
import { type TaskEnvironment, type TaskOptions, type TaskPlan, taskName } from '#runtime/task/task-environment.ts';
import { type TaskFigures, TaskMeter } from '#runtime/task/task-meter.ts';
import { type SavepointOptions, type SavepointPart, TaskSavepoint } from '#runtime/task/task-savepoint.ts';
import type { TaskStatus } from '#runtime/task/task-status.ts';

const BACKOFF_FIRST_MS = 100;
const BACKOFF_LAST_MS = 10_000;
/** Failures of the job's or our own making, none of them after a healthy attempt. */
const CRASHES_MAX = 8;
/**
 * An attempt that took new input for this long ended for a reason of its own. A committed entry alone proves nothing,
 * because a task may commit and crash again and again, nor does a long replay.
 */
const HEALTHY_MS = 60_000;
const FAILURES_MAX = 20;

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
  readonly stack: string;
}

export type TaskOutcome = { readonly kind: 'stopped' } | { readonly kind: 'failed'; readonly failure: Failure };

export class TaskSupervisor {
  /** Why the last attempts ended, newest last. */
  readonly failures: Failure[] = [];
  restarts = 0;
  readonly #meter: TaskMeter;
  readonly #book = new FailureBook();
  /** Since when nothing goes on, as far as it was looked. */
  #stuckSinceMs: number;
  /** What the pause before the next attempt comes of. */
  #pausedBy: Failure | null = null;
  readonly #plan: TaskPlan;
  readonly #options: TaskOptions;
  readonly #environment: TaskEnvironment;
  readonly #stopping = new AbortController();
  readonly #savepoint: TaskSavepoint;
  #attempt: TaskAttempt | null = null;
  #outcome: TaskOutcome | null = null;
  #draining = false;
  #crashes = 0;
  /** Failures of any kind since an attempt was healthy. */
  #inARow = 0;

  /**
   * @param live called whenever an attempt begins to take new input
   * @param savepoint what was asked before the task was there
   */
  constructor(
    plan: TaskPlan,
    options: TaskOptions,
    environment: TaskEnvironment,
    live: () => void = () => {},
    savepoint = new TaskSavepoint(taskName(plan.identity), environment.clock),
  ) {
    this.#savepoint = savepoint;
    this.#plan = plan;
    this.#options = options;
    this.#environment = environment;
    this.#meter = new TaskMeter(environment.clock, live);
    this.#stuckSinceMs = environment.clock.monotonicMs();
  }

  /** Runs attempts until stopped or failed for good; never rejects. */
  async run(): Promise<TaskOutcome> {
    const outcome = await this.#run();
    this.#savepoint.end();
    return outcome;
  }

  async #run(): Promise<TaskOutcome> {
    while (!this.#stopping.signal.aborted) {
      const attempt = new TaskAttempt(this.#plan, this.#options, this.#environment, this.#meter, this.#savepoint);
      this.#attempt = attempt;
      if (this.#draining) attempt.drain();
      try {
        await attempt.run();
        break;
      } catch (error) {
        if (this.#stopping.signal.aborted && isPassing(error)) {
          this.#endedEarly(error);
          break;
        }
        const final = await this.#judge(error, attempt);
        if (final !== null) {
          this.#outcome = { kind: 'failed', failure: final };
          return this.#outcome;
        }
      }
    }
    this.#outcome = { kind: 'stopped' };
    return this.#outcome;
  }

  stop(): void {
    this.#stopping.abort();
    this.#attempt?.stop();
  }

  /** Stops it when what is in its input now is read and every timer has fired, in whatever attempt. */
  drain(): void {
    this.#draining = true;
    this.#attempt?.drain();
  }

  /** Asks for a checkpoint now; a task that takes no input makes none. */
  checkpoint(): void {
    this.#attempt?.checkpoint();
  }

  /** Ends without a checkpoint, as a kill would. */
  abort(): void {
    this.#stopping.abort();
    this.#attempt?.abort();
  }

  status(): TaskStatus | null {
    const status = this.#attempt?.status() ?? null;
    if (status === null || this.#pausedBy === null) return status;
    return { ...status, phase: 'restarting', waitingFor: this.#pausedBy.message };
  }

  /** What it did in all its attempts. */
  figures(): TaskFigures {
    return this.#meter.read();
  }

  /** Why attempts ended, the same ones counted; newest last. */
  get exceptions(): readonly CountedFailure[] {
    return this.#book.list();
  }

  /** For how long nothing goes on: no attempt runs, or it waits. Seen by those who look. */
  stuckMs(): number {
    const status = this.status();
    const nowMs = this.#environment.clock.monotonicMs();
    if (status?.phase === 'running' && status.waitingFor === null) this.#stuckSinceMs = Number.POSITIVE_INFINITY;
    else if (this.#stuckSinceMs > nowMs) this.#stuckSinceMs = nowMs;
    return Math.max(0, nowMs - this.#stuckSinceMs);
  }

  /** Keyed state behind an entry; null when the stage has no such operator. Errors: state-unreadable, config-invalid. */
  readState(query: StateQuery): Promise<StateAnswer | null> {
    const questions = this.#attempt?.questions ?? new StateQuestions(taskName(this.#plan.identity));
    return questions.ask(query);
  }

  /**
   * The task's part of a savepoint: a source's at once, behind an exchange when every writer has sent its marker. The task
   * then holds, over restarts too, until `release`; time limits are the caller's, who asks all tasks of a job and, when one
   * of them does not answer, releases all. Ids are used once. Error savepoint-failed.
   */
  savepoint(id: string, options: SavepointOptions = {}): Promise<SavepointPart> {
    return this.#savepoint.ask(id, options);
  }

  /** The savepoint is done, or has failed. */
  release(id: string): void {
    this.#savepoint.release(id);
  }

  // Told to stop while the log was away: the next start replays instead of going on from a checkpoint.
  #endedEarly({ code, message, remedy }: StreamError): void {
    const task = taskName(this.#plan.identity);
    this.#environment.logger.warn(
      { task, code, remedy },
      `task ended without a checkpoint at its last entry: ${message}`,
    );
  }

  // The failure that ends the task, or null after the pause before the next attempt.
  async #judge(error: unknown, attempt: TaskAttempt): Promise<Failure | null> {
    const failure = describe(error);
    this.failures.push(failure);
    this.#book.note(failure, this.#environment.clock.nowMs());
    if (this.failures.length > FAILURES_MAX) this.failures.shift();
    const { logger, clock } = this.#environment;
    const task = taskName(this.#plan.identity);
    const { liveSinceMs } = attempt;
    const healthy = liveSinceMs !== null && clock.monotonicMs() - liveSinceMs >= HEALTHY_MS;
    if (error instanceof StreamError && !error.retryable) {
      logger.error({ task, code: failure.code, remedy: failure.remedy }, failure.message);
      return failure;
    }
    this.#inARow = healthy ? 1 : this.#inARow + 1;
    if (healthy) this.#crashes = 0;
    const ownFault = !isPassing(error);
    if (ownFault) this.#crashes++;
    if (this.#crashes >= CRASHES_MAX) return this.#crashLoop(failure);
    if (ownFault && this.#stopping.signal.aborted) {
      logger.error({ task, code: failure.code, stack: failure.stack }, `task failed at its end: ${failure.message}`);
      return failure;
    }
    this.restarts++;
    const pauseMs = Math.min(BACKOFF_LAST_MS, BACKOFF_FIRST_MS * 2 ** Math.min(10, this.#inARow));
    logger.warn(
      { task, code: failure.code, pauseMs, remedy: failure.remedy, stack: ownFault ? failure.stack : undefined },
      `task failed, restarting: ${failure.message}${replayAhead(attempt.status())}`,
    );
    this.#pausedBy = failure;
    await clock.sleep(pauseMs, this.#stopping.signal);
    this.#pausedBy = null;
    return null;
  }

  #crashLoop(failure: Failure): Failure {
    const task = taskName(this.#plan.identity);
    const remedy =
      failure.remedy || 'correct the job and deploy it again; the failing entry is replayed at its next start';
    const message = `task ${task} failed ${this.#crashes} times in a row: ${failure.message}`;
    this.#environment.logger.error({ task, code: 'task-crash-loop', remedy, stack: failure.stack }, message);
    return { ...failure, code: 'task-crash-loop', message, remedy };
  }
}

/** What the next attempt does before it takes new input; empty when nothing. */
function replayAhead({ entry, checkpointEntry }: TaskStatus): string {
  const entries = entry - (checkpointEntry ?? 0);
  if (entries <= 0) return '';
  return `; replaying ${entries} entries${checkpointEntry === null ? ', because no checkpoint was written yet' : ''}`;
}

/** A fault of the world that may be gone at the next start. */
function isPassing(error: unknown): error is StreamError {
  return error instanceof StreamError && error.retryable && error.code !== 'operator-failed';
}

export function describe(error: unknown): Failure {
  if (error instanceof StreamError) {
    return { code: error.code, message: error.message, remedy: error.remedy, stack: error.stack ?? '' };
  }
  const cause = error instanceof Error ? error : new Error(String(error));
  return {
    code: cause.name === 'InvariantError' ? 'invariant' : 'operator-failed',
    message: cause.message,
    remedy: '',
    stack: cause.stack ?? '',
  };
}
