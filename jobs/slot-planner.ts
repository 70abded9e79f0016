// Owns what a slot knows of the jobs it may get tasks of: each as it was told last, compiled once until it is told anew.

import { taskOrigins } from '#jobs/generations.ts';
import { loadJob } from '#jobs/load-job.ts';
import type { CompiledJob } from '#jobs/plan.ts';
import type { JobAssignment } from '#jobs/process-settings.ts';
import { taskPlan } from '#jobs/task-plans.ts';
import type { TaskAssignment } from '#runtime/slot/messages.ts';
import type { PlannedTask } from '#runtime/slot/slot-host.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';

export class SlotPlanner {
  readonly #namespace: string;
  readonly #jobs = new Map<string, JobAssignment>();
  readonly #compiled = new Map<string, Promise<CompiledJob>>();

  constructor(namespace: string, jobs: readonly JobAssignment[]) {
    this.#namespace = namespace;
    for (const job of jobs) this.tell(job);
  }

  /** From now on its tasks are started like this. */
  tell(job: JobAssignment): void {
    const { name } = job.configuration;
    this.#jobs.set(name, job);
    this.#compiled.delete(name);
  }

  get(name: string): JobAssignment | null {
    return this.#jobs.get(name) ?? null;
  }

  /** The version was computed by the main thread from the same module. Errors: job-invalid and those of loading. */
  load(name: string): Promise<CompiledJob> {
    const job = this.#jobs.get(name);
    invariant(job !== undefined, `the slot does not know job ${name}`);
    const known = this.#compiled.get(name);
    if (known !== undefined) return known;
    const loading = loadJob(job.configuration);
    this.#compiled.set(name, loading);
    return loading;
  }

  async plan({ generation, job: name, partition, run, stage: stageId }: TaskAssignment): Promise<PlannedTask> {
    const loaded = await this.load(name);
    const { asBegan, origin, sources, topicIds, version, versionParts } = this.#jobs.get(name) as JobAssignment;
    const stage = loaded.plan.stages.find((candidate) => candidate.id === stageId);
    if (stage === undefined) {
      throw new StreamError(
        'version-mismatch',
        `job ${name}: its module no longer has stage '${stageId}'`,
        'the module was changed while the process started: start again',
      );
    }
    const identity = { namespace: this.#namespace, job: name, run, generation };
    const originOf =
      origin === null ? undefined : taskOrigins({ savepoint: origin, job: loaded, run: identity, sources });
    const known = { ...(originOf && { originOf }), ...(asBegan && { asBegan }) };
    const job = { job: loaded, version, versionParts, run: identity, sources, topicIds, ...known };
    return { plan: taskPlan(job, stage, partition), options: loaded.settings };
  }
}
