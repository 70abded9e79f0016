// Owns the changes of jobs in the process that may make them: takes each in once, writes down that it began and how it
// ended, goes on with what a process before left. Invariant: nothing is done that the control log does not say, and one
// job has one change at a time; another is refused, unless the first only waits.

import { judgeChange } from '#jobs/job-changes.ts';
import { interrupted, JobOperations, type JobOperationsParts, type OperationAtWork } from '#jobs/job-operations.ts';
import type { RunningJob } from '#jobs/running-jobs.ts';
import type { ControlRecord } from '#runtime/control/control-log.ts';
import { changed } from '#runtime/control/desired-state.ts';
import {
  ended,
  foldOperations,
  note,
  type Operation,
  type OperationKind,
  type OperationOutcome,
  type OperationParameters,
  operationOf,
  repeated,
  unfinished,
} from '#runtime/control/operations.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';
import { describe } from '#runtime/task/task-supervisor.ts';

export interface JobControlParts extends JobOperationsParts {
  readonly logger: Logger;
  readonly newId: () => string;
  /** A change has ended. */
  readonly changed: () => void;
  /** The process ends: what does not end is left for the next one. */
  readonly signal: AbortSignal;
  /** The control log cannot be written any more. */
  readonly failed: (fault: StreamError) => void;
}

export interface AskedChange {
  readonly operation: OperationKind;
  readonly parameters: OperationParameters;
  /** Chosen by who asks, so that asking again is safe; null: any. */
  readonly requestId: string | null;
  /** One of which the job must have; null: any. */
  readonly revisions: readonly number[] | null;
}

/** Those that end whatever only waits for tasks to run. */
const GO_BEFORE: readonly OperationKind[] = ['stop', 'pause', 'cancel'];

export class JobControl {
  readonly #parts: JobControlParts;
  readonly #operations: Map<string, Operation>;
  readonly #work = new Map<
    string,
    { readonly work: OperationAtWork; readonly stop: AbortController; over: Promise<void> }
  >();
  readonly #carry: JobOperations;
  /** Changes are taken in one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: JobControlParts) {
    this.#parts = parts;
    this.#operations = foldOperations(parts.control.records);
    this.#carry = new JobOperations(parts);
  }

  /** Goes on with what a process before left. Jobs that this process does not have are left alone. */
  resume(): void {
    for (const operation of unfinished(this.#operations)) {
      const job = this.#parts.jobs.get(operation.job);
      if (job === undefined) {
        // It was to make the job, and had not begun.
        if (operation.operation === 'deploy') void this.#forgetDeploy(operation);
        continue;
      }
      const { requestId } = operation;
      this.#parts.logger.info({ job: job.name, requestId }, `going on to ${operation.operation} job ${job.name}`);
      this.#begin(job, operation, true);
    }
  }

  async #forgetDeploy(operation: Operation): Promise<void> {
    const message = `the process ended before job ${operation.job} was there`;
    const fault = { code: 'request-interrupted', message, remedy: 'deploy it again' };
    await this.#end(ended(operation, 'undone', { message, fault }, this.#parts.clock.nowMs()), []).catch(() => {});
  }

  /** Null: never heard of, or long ago. */
  operation(requestId: string): Operation | null {
    return this.#operations.get(requestId) ?? null;
  }

  operationOf({ name }: RunningJob): Operation | null {
    return operationOf(this.#operations, name);
  }

  /** How far an operation is that this process carries out. */
  progressOf(requestId: string): { readonly done: number; readonly total: number } | null {
    const { progress = null } = this.#work.get(requestId)?.work ?? {};
    return progress === null ? null : { done: progress.done, total: progress.total };
  }

  /** Resolves when the change is written down. Errors: job-changed, job-busy, job-state-wrong, request-reused. */
  change(job: RunningJob, asked: AskedChange): Promise<Operation> {
    const taken = this.#last.then(() => this.#take(job, asked));
    this.#last = taken.catch(() => {});
    return taken;
  }

  async #take(job: RunningJob, asked: AskedChange): Promise<Operation> {
    const { clock, control, jobs, newId } = this.#parts;
    const { operation: kind, parameters, requestId, revisions } = asked;
    const wish = { requestId: requestId ?? newId(), job: job.name, operation: kind, parameters };
    const known = repeated(this.#operations, wish);
    if (known !== null) return known;
    if (revisions !== null && !revisions.includes(job.wanted.revision)) throw changedSince(job);
    await this.#makeWay(job, kind);
    const { already, wanted } = judgeChange(job, kind, parameters);
    const atMs = clock.nowMs();
    const begun: Operation = { kind: 'operation', ...wish, phase: 'running', acceptedMs: atMs, atMs, outcome: null };
    const operation = already === null ? begun : ended(begun, 'done', { message: `nothing to do: ${already}` }, atMs);
    const told = wanted === null ? job.wanted : changed(job.wanted, wanted, { requestId: wish.requestId, atMs });
    await control.append(...(wanted === null ? [operation] : [operation, told]));
    note(this.#operations, operation);
    const before = job.wanted;
    jobs.told(job, told);
    if (already === null) this.#begin(job, operation, false, before);
    return operation;
  }

  // What only waits for tasks to run is over when somebody wants them to end.
  async #makeWay(job: RunningJob, kind: OperationKind): Promise<void> {
    const current = this.operationOf(job);
    if (current === null) return;
    const at = this.#work.get(current.requestId);
    if (at?.work.waits && GO_BEFORE.includes(kind)) {
      at.stop.abort();
      await at.over;
      if (this.operationOf(job) === null) return;
    }
    const { operation, requestId } = current;
    const message = `job ${job.name} is being changed (${operation}, request ${requestId})`;
    throw new StreamError('job-busy', message, `wait for its end (GET /requests/${requestId}), and ask again`);
  }

  #begin(job: RunningJob, operation: Operation, resumed: boolean, before = job.wanted): void {
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, this.#parts.signal]);
    const work: OperationAtWork = {
      operation,
      job,
      resumed,
      signal,
      progress: null,
      waits: false,
      undone: false,
      note: async (notes) => {
        const { operation: known } = work;
        work.operation = { ...known, notes: { ...known.notes, ...notes }, atMs: this.#parts.clock.nowMs() };
        await this.#parts.control.append(work.operation);
        note(this.#operations, work.operation);
      },
    };
    const { logger } = this.#parts;
    const fields = { job: job.name, requestId: operation.requestId };
    logger.info(fields, `${operation.operation} of job ${job.name} begins`);
    const over = this.#run(work, before).catch((error: unknown) => {
      if (this.#parts.signal.aborted) return;
      const fault = error instanceof StreamError ? error : interrupted(String(error));
      this.#parts.failed(fault);
    });
    this.#work.set(operation.requestId, { work, stop, over });
    void over.then(() => this.#work.delete(operation.requestId));
  }

  async #run(work: OperationAtWork, before: RunningJob['wanted']): Promise<void> {
    const { clock, jobs, logger, signal } = this.#parts;
    const { job } = work;
    const { operation: kind, requestId } = work.operation;
    const fields = { job: job.name, requestId };
    try {
      const { outcome, records = [] } = await this.#carry.carryOut(work);
      if (signal.aborted) return;
      await this.#end(ended(work.operation, 'done', outcome, clock.nowMs()), records);
      logger.info(fields, `${kind} of job ${job.name}: ${outcome.message}`);
    } catch (error) {
      // The next process finds it, and goes on.
      if (signal.aborted) return;
      const { code, message, remedy } = describe(error);
      const outcome: OperationOutcome = { message, fault: { code, message, remedy } };
      logger.warn({ ...fields, code, remedy }, `${kind} of job ${job.name} did not succeed: ${message}`);
      // Nothing moved: what it is told to be is what it is.
      const undone = kind === 'rescale' && job.state === 'RUNNING' && job.failure === null;
      const back = undone
        ? [changed(job.wanted, { settings: before.settings }, { requestId, atMs: clock.nowMs() })]
        : [];
      for (const told of back) jobs.told(job, told);
      const stayed = code === 'request-interrupted' && kind !== 'deploy' && kind !== 'rollback';
      const phase = undone || work.undone || stayed ? 'undone' : 'failed';
      await this.#end(ended(work.operation, phase, outcome, clock.nowMs()), back);
    }
  }

  async #end(operation: Operation, records: readonly ControlRecord[]): Promise<void> {
    await this.#parts.control.append(...records, operation);
    note(this.#operations, operation);
    this.#parts.changed();
  }
}

function changedSince({ name, wanted }: RunningJob): StreamError {
  return new StreamError(
    'job-changed',
    `job ${name} was changed since: it has revision ${wanted.revision} now`,
    'look at it again, and send its ETag of now',
  );
}
