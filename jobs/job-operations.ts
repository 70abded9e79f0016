// Owns carrying out changes of jobs: what is stopped, prepared, started and moved for each, and what there is to say of it
// then. Whether a change is allowed, and that it is written down, is job-control.ts's affair. Invariant: each can be
// carried out again from the beginning, wherever it was left.

import { humanSize } from '#jobs/commands/human-text.ts';
import type { Executor } from '#jobs/executor.ts';
import type { JobCheckpoints } from '#jobs/job-checkpoints.ts';
import type { JobDeploys } from '#jobs/job-deploys.ts';
import type { JobPreparation } from '#jobs/job-preparation.ts';
import type { JobSavepoints } from '#jobs/job-savepoints.ts';
import type { RunningJob, RunningJobs } from '#jobs/running-jobs.ts';
import type { ControlAppender, ControlRecord } from '#runtime/control/control-log.ts';
import type { Operation, OperationNotes, OperationOutcome, TaskPause } from '#runtime/control/operations.ts';
import { assignmentKey } from '#runtime/slot/messages.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { ERROR_CODES, type ErrorCode, StreamError } from '#runtime/std/errors.ts';
import type { Failure } from '#runtime/task/task-supervisor.ts';

export interface JobOperationsParts {
  readonly clock: Clock;
  readonly jobs: RunningJobs;
  readonly executor: Executor;
  readonly preparation: JobPreparation;
  readonly control: ControlAppender;
  readonly checkpoints: JobCheckpoints;
  readonly savepoints: JobSavepoints;
  readonly deploys: JobDeploys;
  /** Deletes what a job has beside its output; none of its tasks runs. */
  readonly purge: (job: RunningJob) => Promise<void>;
}

/** How long a change waits for checkpoints that only make it shorter. */
const PREPARING_MS = 10_000;
const CHECKPOINT_MS = 600_000;

const DRAIN_LOOK_MS = 250;

/** One operation at work. */
export interface OperationAtWork {
  operation: Operation;
  readonly job: RunningJob;
  /** It was found in the log, left by a process that ended. */
  readonly resumed: boolean;
  /** Another operation goes before. */
  readonly signal: AbortSignal;
  /** How far it is; null: that cannot be said in numbers. */
  progress: { done: number; readonly total: number } | null;
  /** It only waits: another may go before. */
  waits: boolean;
  /** It did not succeed, and all is as it was before. */
  undone: boolean;
  /** Writes down what whoever goes on with it has to know; what was noted before stays. */
  note(notes: OperationNotes): Promise<void>;
}

export interface OperationResult {
  readonly outcome: OperationOutcome;
  /** Written together with the end of the operation. */
  readonly records?: readonly ControlRecord[];
}

export class JobOperations {
  readonly #parts: JobOperationsParts;

  constructor(parts: JobOperationsParts) {
    this.#parts = parts;
  }

  /** Errors: request-interrupted, and what the job failed with. */
  async carryOut(work: OperationAtWork): Promise<OperationResult> {
    const { job, operation, resumed } = work;
    switch (operation.operation) {
      case 'start':
        return { outcome: { message: await this.#start(work) } };
      case 'pause':
        return { outcome: { message: `paused; ${await this.#stop(work, 'PAUSED')}` } };
      case 'stop':
        return { outcome: { message: `stopped; ${await this.#stop(work, 'STOPPED')}` } };
      case 'cancel':
        return this.#cancel(work);
      case 'rescale':
        return { outcome: resumed ? { message: await this.#untilLive(work) } : await this.#rescale(work) };
      case 'configure':
        return { outcome: { message: resumed ? await this.#configured(work) : await this.#configure(work) } };
      case 'checkpoint':
        if (resumed) throw interrupted(`the process ended before all tasks of job ${job.name} had a checkpoint`);
        return { outcome: { message: await this.#checkpoint(work) } };
      case 'savepoint':
        return { outcome: await this.#savepoint(work) };
      case 'deploy':
      case 'rollback':
        return this.#parts.deploys.carryOut(work, {
          start: (at) => this.#start(at),
          untilLive: (at) => this.#untilLive(at),
        });
      case 'delete-savepoint':
        return { outcome: { message: await this.#deleteSavepoint(work) } };
    }
  }

  async #start(work: OperationAtWork): Promise<string> {
    const { job } = work;
    const { control, executor, jobs, preparation } = this.#parts;
    // The process that found the operation has started the job already.
    if (!executor.isOver(job) && job.state === 'RUNNING') return this.#untilLive(work);
    await executor.untilOver(job);
    jobs.created(job);
    await preparation.prepare(job, control.records);
    if (job.failure === null) await preparation.claimJob(job, control);
    if (job.failure !== null) throw faultOf(job.failure);
    if (work.signal.aborted) throw interrupted(`the process ends before job ${job.name} is started`);
    await executor.start(job);
    return this.#untilLive(work);
  }

  async #untilLive(work: OperationAtWork): Promise<string> {
    const { job, signal } = work;
    const { executor } = this.#parts;
    if (job.failure !== null) throw faultOf(job.failure);
    const run = executor.runOf(job);
    if (run === null) return 'counts from its next start on';
    work.progress = {
      get done() {
        return run.liveCount;
      },
      total: run.taskCount,
    };
    work.waits = true;
    const overtaken = new Promise<'overtaken'>((resolve) =>
      signal.addEventListener('abort', () => resolve('overtaken'), { once: true }),
    );
    const reached = signal.aborted ? 'overtaken' : await Promise.race([executor.untilLive(job), overtaken]);
    work.waits = false;
    if (reached === 'overtaken') throw interrupted(`job ${job.name} was changed again before all of its tasks ran`);
    if (job.failure !== null) throw faultOf(job.failure);
    if (reached === 'ended') throw interrupted(`tasks of job ${job.name} ended before all of them ran`);
    return `${run.taskCount} tasks run`;
  }

  async #stop(work: OperationAtWork, then: 'PAUSED' | 'STOPPED'): Promise<string> {
    const { job, resumed } = work;
    const { executor, jobs } = this.#parts;
    // Whether the process that ended came as far as the last checkpoint is not known: the tasks do it again.
    if (resumed && executor.isOver(job)) await this.#start(work);
    const run = executor.runOf(job);
    if (run !== null) {
      work.progress = {
        get done() {
          return run.endedCount;
        },
        total: run.taskCount,
      };
    }
    if (work.operation.parameters.drain) await this.#drain(work);
    const hadFailed = job.state === 'FAILED';
    await executor.stop(job, 'stop', then);
    if (job.state === 'FAILED' && !hadFailed && job.failure !== null) throw faultOf(job.failure);
    jobs.created(job);
    job.state = then;
    return run === null ? 'no task of it ran' : this.#checkpointsText(job);
  }

  // A stage ends behind those that write its input: what they had open comes out into it.
  async #drain({ job, signal }: OperationAtWork): Promise<void> {
    const { clock, executor } = this.#parts;
    const run = executor.runOf(job);
    if (job.state === 'RUNNING') job.state = 'STOPPING';
    for (const stage of job.loaded.compiled.plan.stages) {
      const tasks = job.prepared?.tasks.filter((task) => task.stage === stage.id) ?? [];
      for (;;) {
        const left = tasks.filter((task) => run !== null && !run.hasEnded(task));
        if (left.length === 0 || run?.over || signal.aborted) break;
        // Again and again: a slot that dies is made again, and does not know.
        executor.drain(left);
        await clock.sleep(DRAIN_LOOK_MS, signal);
      }
    }
  }

  async #checkpointsText(job: RunningJob): Promise<string> {
    const tasks = new Set(job.prepared?.tasks.map(assignmentKey));
    const reports = (await this.#parts.executor.reports()).filter(({ assignment }) =>
      tasks.has(assignmentKey(assignment)),
    );
    const behind = reports.filter(({ figures, status }) => (figures?.lastCheckpoint?.entry ?? -1) !== status?.entry);
    if (behind.length === 0) return `each of its ${tasks.size} tasks has a checkpoint at its last entry`;
    return `${behind.length} of its ${tasks.size} tasks ended without a checkpoint at their last entry: the next start replays what is missing`;
  }

  async #cancel({ job, operation }: OperationAtWork): Promise<OperationResult> {
    const { clock, executor, jobs, purge } = this.#parts;
    await executor.stop(job, 'abort', 'CANCELED');
    jobs.created(job);
    job.state = 'CANCELED';
    if (!operation.parameters.purge) return { outcome: { message: 'canceled, without a checkpoint' } };
    await purge(job);
    job.prepared = null;
    const records: ControlRecord[] = [{ kind: 'job-purged', job: job.name, atMs: clock.nowMs() }];
    return { outcome: { message: 'canceled; its internal topics and checkpoints are deleted' }, records };
  }

  async #rescale(work: OperationAtWork): Promise<OperationOutcome> {
    const { job, operation } = work;
    const { executor } = this.#parts;
    const parallelism = operation.parameters.parallelism ?? job.wanted.settings.parallelism;
    if (executor.isOver(job) || job.state !== 'RUNNING') return { message: 'counts from its next start on' };
    // What is written now need not be written while a task is on its way.
    await this.#parts.checkpoints.take(job, work.signal, PREPARING_MS).catch(() => {});
    const moved = await executor.rescale(job, parallelism, (done, total) => {
      work.progress = { done, total };
    });
    if (job.failure !== null) throw faultOf(job.failure);
    const pauses = moved.map(
      ({ assignment: { stage, partition }, from, to, pauseMs }): TaskPause => ({
        stage,
        partition,
        fromSlot: from,
        toSlot: to,
        pauseMs: pauseMs === null ? null : Math.round(pauseMs),
      }),
    );
    return { message: movedText(pauses, parallelism), pauses };
  }

  async #checkpoint(work: OperationAtWork): Promise<string> {
    const { job, signal } = work;
    const { count, bytes } = await this.#parts.checkpoints.take(job, signal, CHECKPOINT_MS, (done, total) => {
      work.progress = { done, total };
    });
    return `each of its ${count} tasks has a checkpoint, ${humanSize(bytes)} in all`;
  }

  async #savepoint(work: OperationAtWork): Promise<OperationOutcome> {
    const { job } = work;
    const { executor, savepoints } = this.#parts;
    // The one before may have come to its end and not have said so.
    const taken = (await savepoints.left(work)) ?? (await savepoints.take(work, () => this.#untilLive(work)));
    executor.release(job, taken.id);
    const bytes = taken.tasks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const message = `savepoint ${taken.id} of ${taken.tasks.length} tasks, ${humanSize(bytes)}`;
    return { message, savepoint: taken.id };
  }

  async #deleteSavepoint({ job, operation, resumed }: OperationAtWork): Promise<string> {
    const id = operation.parameters.savepoint ?? '';
    await this.#parts.savepoints.delete(job, id, resumed);
    return `savepoint ${id} is deleted`;
  }

  // The process that ended may have stopped its tasks, and not started them again.
  #configured(work: OperationAtWork): Promise<string> {
    return work.job.wanted.state === 'RUNNING' ? this.#start(work) : this.#untilLive(work);
  }

  async #configure(work: OperationAtWork): Promise<string> {
    const { job } = work;
    const { clock, executor } = this.#parts;
    if (executor.isOver(job) || job.state !== 'RUNNING') return 'counts from its next start on';
    const startMs = clock.monotonicMs();
    await executor.stop(job, 'stop', 'CREATED');
    if (job.failure !== null) throw faultOf(job.failure);
    const text = await this.#start(work);
    return `${text}, after a pause of ${((clock.monotonicMs() - startMs) / 1_000).toFixed(1)}s`;
  }
}

function movedText(pauses: readonly TaskPause[], parallelism: number): string {
  const spread = `over ${parallelism} ${parallelism === 1 ? 'slot' : 'slots'}`;
  if (pauses.length === 0) return `spread ${spread}; no task had to move`;
  const known = pauses.flatMap(({ pauseMs }) => pauseMs ?? []);
  const longest = (Math.max(0, ...known) / 1_000).toFixed(1);
  const ended = pauses.length === known.length ? '' : `, ${pauses.length - known.length} of them ended on the way`;
  return `spread ${spread}; ${pauses.length} ${pauses.length === 1 ? 'task' : 'tasks'} moved${ended}, the longest pause took ${longest}s`;
}

export function interrupted(message: string): StreamError {
  return new StreamError('request-interrupted', message, 'look at the job (millrace job), and ask again');
}

function faultOf({ code, message, remedy }: Failure): StreamError {
  const known = Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : 'operator-failed';
  return new StreamError(known, message, remedy || 'correct the job and start it again');
}
