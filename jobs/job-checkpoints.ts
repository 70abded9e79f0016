// Owns checkpoints that somebody asks for: of every task of a job, and waiting until each has one. When checkpoints are
// due by themselves is the tasks' affair.

import type { Executor } from '#jobs/executor.ts';
import type { RunningJob } from '#jobs/running-jobs.ts';
import { assignmentKey, type SlotReport } from '#runtime/slot/messages.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface TakenCheckpoints {
  readonly count: number;
  /** Of all files of all of them. */
  readonly bytes: number;
}

/** What a task had when it was asked. */
interface Before {
  readonly entry: number;
  readonly failed: number;
}

const LOOK_MS = 100;

export class JobCheckpoints {
  readonly #executor: Executor;
  readonly #clock: Clock;

  constructor(executor: Executor, clock: Clock) {
    this.#executor = executor;
    this.#clock = clock;
  }

  /**
   * Resolves when every task has one at an entry that is no older than the question. Errors: what a task could not write;
   * state-unreadable when they do not come.
   */
  async take(
    job: RunningJob,
    signal: AbortSignal,
    timeoutMs: number,
    progress: (done: number, total: number) => void = () => {},
  ): Promise<TakenCheckpoints> {
    const before = new Map<string, Before>();
    for (const report of await this.#reports(job)) {
      before.set(assignmentKey(report.assignment), {
        entry: report.status?.entry ?? -1,
        failed: report.figures?.checkpointsFailed ?? 0,
      });
    }
    this.#executor.checkpoint(job);
    const untilMs = this.#clock.monotonicMs() + timeoutMs;
    for (;;) {
      const reports = await this.#reports(job);
      const done = reports.filter((report) => isDone(report, before.get(assignmentKey(report.assignment))));
      progress(done.length, reports.length);
      if (done.length === reports.length) {
        return { count: done.length, bytes: done.reduce((sum, { figures }) => sum + sizeOf(figures), 0) };
      }
      if (signal.aborted || this.#executor.isOver(job) || this.#clock.monotonicMs() >= untilMs) throw missing(job);
      await this.#clock.sleep(LOOK_MS, signal);
    }
  }

  async #reports(job: RunningJob): Promise<readonly SlotReport[]> {
    return (await this.#executor.status()).filter(({ assignment }) => assignment.job === job.name);
  }
}

// A task that was started anew counts from 0: what it failed at then is not told from what it failed at before.
function isDone({ figures }: SlotReport, before: Before | undefined): boolean {
  if (before === undefined || figures === null) return false;
  if (figures.checkpointsFailed > before.failed) {
    const failure = figures.checkpointHistory.find((record) => record.failure !== null)?.failure;
    if (failure) throw new StreamError('store-unavailable', failure.message, failure.remedy);
  }
  return (figures.lastCheckpoint?.entry ?? -1) >= before.entry;
}

function sizeOf(figures: SlotReport['figures']): number {
  return figures?.lastCheckpoint?.sizeBytes ?? 0;
}

function missing({ name }: RunningJob): StreamError {
  const remedy = 'look at what its tasks wait for (millrace job), and ask again';
  return new StreamError('state-unreadable', `not every task of job ${name} made a checkpoint`, remedy);
}
