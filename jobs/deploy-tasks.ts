// Owns what tasks do between two versions of their job, none of them running: the version that crashed is replayed to its
// last entry, from the bundle that was kept; the next one tries whether it could go on. Invariant: nothing new is read, and
// a trial leaves no trace.

import type { Executor } from '#jobs/executor.ts';
import type { JobPreparation } from '#jobs/job-preparation.ts';
import { jobVersions } from '#jobs/job-versions.ts';
import type { LoadedJob } from '#jobs/load-job.ts';
import { type PreparedJob, versionOf } from '#jobs/prepare-job.ts';
import { type RunningJob, settled } from '#jobs/running-jobs.ts';
import { type TaskEnd, type TaskEndsParts, taskEnds } from '#jobs/task-ends.ts';
import { engineVersion } from '#jobs/version.ts';
import type { ControlAppender } from '#runtime/control/control-log.ts';
import type { TaskAssignment } from '#runtime/slot/messages.ts';
import { ERROR_CODES, type ErrorCode, StreamError } from '#runtime/std/errors.ts';
import type { Failure } from '#runtime/task/task-supervisor.ts';

export interface DeployTasksParts extends TaskEndsParts {
  readonly executor: Executor;
  readonly preparation: JobPreparation;
  readonly control: ControlAppender;
}

export class DeployTasks {
  readonly #parts: DeployTasksParts;

  constructor(parts: DeployTasksParts) {
    this.#parts = parts;
  }

  ends(tasks: readonly TaskAssignment[], signal: AbortSignal): Promise<readonly TaskEnd[]> {
    return taskEnds(this.#parts, tasks, signal);
  }

  /**
   * Every task has a checkpoint at its last entry then; says how many had to be replayed. Error: version-mismatch when the
   * version that wrote entries cannot be run here.
   */
  async settle(job: RunningJob, signal: AbortSignal): Promise<number> {
    const { control, preparation } = this.#parts;
    const { wanted } = job;
    const prepared = await preparation.prepared(job.loaded, wanted, control.records, true);
    const open = (await this.ends(prepared.tasks, signal)).filter(({ clean }) => !clean);
    for (const [version, ends] of Map.groupBy(open, ({ last }) => last?.version ?? '')) {
      const loaded = await this.#loadedOf(job, version, ends[0]);
      const of = await preparation.prepared(loaded, wanted, control.records, true);
      const failure = await this.#once(
        job,
        of,
        ends.map(({ task }) => task),
        { replayOnly: true },
      );
      if (failure !== null) throw faultOf(failure);
    }
    return open.length;
  }

  /** Whether the tasks could go on as `prepared`. Errors: whatever keeps one of them. */
  async tryOut(job: RunningJob, prepared: PreparedJob): Promise<void> {
    const failure = await this.#once(job, prepared, prepared.tasks, { trial: true });
    if (failure !== null) throw faultOf(failure);
  }

  // A thread that dies meanwhile is made again with what the job says of itself.
  async #once(
    job: RunningJob,
    prepared: PreparedJob,
    tasks: readonly TaskAssignment[],
    how: { readonly replayOnly?: true; readonly trial?: true },
  ): Promise<Failure | null> {
    const { assignment } = prepared;
    const { configuration } = assignment;
    const settings = { ...configuration.settings, ...how };
    const plan = { ...assignment, configuration: { ...configuration, settings } };
    job.prepared = { ...prepared, assignment: plan, tasks };
    try {
      return await this.#parts.executor.once(job, plan, tasks);
    } finally {
      job.prepared = prepared;
    }
  }

  /** A version that ran before, as it was. */
  async #loadedOf(job: RunningJob, version: string, { last, task }: TaskEnd): Promise<LoadedJob> {
    for (const loaded of [job.loaded, job.original]) if (versionOf(loaded).version === version) return loaded;
    const { control, preparation } = this.#parts;
    const known = jobVersions(control.records, job.name).find((one) => one.version === version)?.wanted;
    const loaded = known?.bundle === undefined ? null : await preparation.fetch(known);
    if (loaded !== null && versionOf(loaded).version === version) return settled(loaded, job.wanted);
    const [engine, node] = [engineVersion(), Number(process.versions.node.split('.')[0])];
    const by = known?.parts ?? last?.parts;
    const others = by !== undefined && (by.engine !== engine || by.node !== node);
    const what = others ? ` (by Millrace ${by.engine} on Node ${by.node}, this is ${engine} on ${node})` : '';
    const remedy = others
      ? `start once with Millrace ${by.engine} on Node ${by.node}, stop the job cleanly, and deploy then`
      : 'start once with the module as it was, stop the job cleanly, and deploy then';
    throw new StreamError(
      'version-mismatch',
      `task ${task.job}/${task.stage}/${task.partition} crashed: its last entries were written by version ${version}${what}, and only that one can replay them`,
      `${remedy}; or begin with a savepoint: --from-savepoint`,
    );
  }
}

export function faultOf({ code, message, remedy }: Omit<Failure, 'stack'>): StreamError {
  const known = Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : 'operator-failed';
  return new StreamError(known, message, remedy || 'correct the job and deploy it again');
}
