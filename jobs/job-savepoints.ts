// Owns savepoints of whole jobs: asking all tasks for their parts, keeping the record that makes a savepoint of them, and
// deleting what was kept for one that came to nothing, by whichever process. Invariant: who takes one releases the tasks,
// unless it came to nothing; then they are released here.

import type { CheckpointStore, TaskIdentity } from '#checkpoint/contract.ts';
import { type Savepoint, Savepoints } from '#checkpoint/savepoint.ts';
import type { Executor } from '#jobs/executor.ts';
import { savepointRecord } from '#jobs/generations.ts';
import { interrupted, type OperationAtWork } from '#jobs/job-operations.ts';
import { haveAllBegun, type PreparedJob } from '#jobs/prepare-job.ts';
import type { RunningJob } from '#jobs/running-jobs.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { ERROR_CODES, type ErrorCode, StreamError } from '#runtime/std/errors.ts';
import type { SavepointPart } from '#runtime/task/task-savepoint.ts';

export interface JobSavepointsParts {
  readonly clock: Clock;
  readonly executor: Executor;
  readonly store: CheckpointStore;
  readonly namespace: string;
  readonly newId: () => string;
}

/** How long all tasks together may need to come to their parts. */
const PARTS_MS = 120_000;
/** A task that moved or restarted meanwhile ends one: it is asked for again. */
const TRIES_MAX = 3;
const AGAIN_MS = 500;

export class JobSavepoints {
  readonly #parts: JobSavepointsParts;

  constructor(parts: JobSavepointsParts) {
    this.#parts = parts;
  }

  of(job: string): Savepoints {
    const { namespace, store } = this.#parts;
    return new Savepoints(store, { namespace, job });
  }

  /**
   * A savepoint of all tasks, which hold until they are released. Whoever goes on with the operation knows of it before the
   * first task does. Errors: savepoint-failed, and why it came to nothing; request-interrupted.
   */
  async take(work: OperationAtWork, untilLive: () => Promise<unknown>): Promise<Savepoint> {
    for (let tries = 1; ; tries++) {
      await untilLive();
      try {
        return await this.#take(work);
      } catch (error) {
        const again = error instanceof StreamError && error.code === 'savepoint-failed' && tries < TRIES_MAX;
        if (!again || work.signal.aborted) throw error;
        await this.#parts.clock.sleep(AGAIN_MS * tries, work.signal);
      }
    }
  }

  async #take(work: OperationAtWork): Promise<Savepoint> {
    const { clock, executor, newId } = this.#parts;
    const { job, signal } = work;
    const { prepared } = job;
    if (prepared === null) throw interrupted(`job ${job.name} ended before its savepoint`);
    const id = newId();
    await work.note({ savepoints: [...(work.operation.notes?.savepoints ?? []), id] });
    work.waits = true;
    const overtaken = Promise.withResolvers<'overtaken'>();
    const overtake = () => overtaken.resolve('overtaken');
    signal.addEventListener('abort', overtake, { once: true });
    if (signal.aborted) overtake();
    try {
      const replies = await Promise.race([executor.askParts(job, id, PARTS_MS), overtaken.promise]);
      if (replies === 'overtaken') throw interrupted(`job ${job.name} was changed before its savepoint was taken`);
      work.waits = false;
      const parts: SavepointPart[] = [];
      for (const reply of replies) {
        if (reply.kind === 'failure') throw faultOf(reply.failure);
        parts.push(reply.part);
      }
      const { assignment, plan } = prepared;
      const record = savepointRecord(id, plan, parts, { version: assignment.version, createdMs: clock.nowMs() });
      await this.of(job.name).write(record);
      return record;
    } catch (error) {
      await this.#undo(job, id, prepared).catch(() => {});
      throw error;
    } finally {
      work.waits = false;
      signal.removeEventListener('abort', overtake);
    }
  }

  /** The savepoint that the operation took before another process went on with it; null: none, and nothing is left of it. */
  async left({ job, operation }: OperationAtWork): Promise<Savepoint | null> {
    const noted = operation.notes?.savepoints ?? [];
    const whole = noted.length === 0 ? [] : await this.of(job.name).list();
    for (const id of noted) if (!whole.includes(id)) await this.#undo(job, id, job.prepared);
    const last = noted.findLast((id) => whole.includes(id));
    return last === undefined ? null : this.of(job.name).read(last);
  }

  /** Those that the operation asked for, whole or not, are deleted; its tasks go on. */
  async drop(work: OperationAtWork): Promise<void> {
    const left = await this.left(work);
    if (left !== null) await this.delete(work.job, left.id, true);
  }

  async #undo(job: RunningJob, id: string, prepared: PreparedJob | null): Promise<void> {
    this.#parts.executor.release(job, id);
    if (prepared !== null) await this.of(job.name).discard(id, this.#identities(prepared));
  }

  #identities({ tasks }: PreparedJob): readonly TaskIdentity[] {
    return tasks.map((task) => ({ namespace: this.#parts.namespace, ...task }));
  }

  /**
   * Errors: savepoint-unknown, unless it was being deleted before; job-state-wrong while tasks begin with it that have no
   * checkpoint of their own.
   */
  async delete(job: RunningJob, id: string, again: boolean): Promise<void> {
    const { namespace, store } = this.#parts;
    const { prepared, wanted } = job;
    if (wanted.savepoint === id && prepared !== null && !(await haveAllBegun(store, namespace, prepared.tasks))) {
      const message = `job ${job.name} began with savepoint ${id}, and not every task of it has a checkpoint yet`;
      throw new StreamError('job-state-wrong', message, 'ask again when all have one (millrace job)');
    }
    try {
      await this.of(job.name).delete(id);
    } catch (error) {
      if (again && error instanceof StreamError && error.code === 'savepoint-unknown') return;
      throw error;
    }
  }
}

function faultOf({
  code,
  message,
  remedy,
}: {
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
}) {
  const known = Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : 'savepoint-failed';
  return new StreamError(known, message, remedy);
}
