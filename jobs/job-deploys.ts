// Owns carrying out deploys and rollbacks: from what runs, over the moment at which the new version counts, to tasks that
// take input. Invariant: before that moment everything can be taken back, and is; the control log says on which side of it
// a deploy is.

import type { Savepoint } from '#checkpoint/savepoint.ts';
import { dropBundles, keptBundles } from '#jobs/bundle-store.ts';
import { type DeployPlan, planDeploy } from '#jobs/deploy-plan.ts';
import { type DeployTasks, faultOf } from '#jobs/deploy-tasks.ts';
import { dropGeneration, nextGeneration, shutOut } from '#jobs/generation-topics.ts';
import { planGeneration } from '#jobs/generations.ts';
import type { JobDeploysParts } from '#jobs/job-deploys-parts.ts';
import type { OperationAtWork, OperationResult } from '#jobs/job-operations.ts';
import { moduleOf, taskCounts } from '#jobs/job-preparation.ts';
import { jobVersions } from '#jobs/job-versions.ts';
import type { LoadedJob } from '#jobs/load-job.ts';
import { LIVE, type PreparedJob, versionOf } from '#jobs/prepare-job.ts';
import { type RunningJob, settled } from '#jobs/running-jobs.ts';
import type { SourceTopics } from '#jobs/topics.ts';
import { changed, type WantedChange, type WantedJob } from '#runtime/control/desired-state.ts';
import { beganSources, jobBegan } from '#runtime/control/internal-topics.ts';
import type { OperationParameters } from '#runtime/control/operations.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { describe } from '#runtime/task/task-supervisor.ts';

/** How tasks of a job are started and waited for. */
export interface StartEdges {
  start(work: OperationAtWork): Promise<string>;
  untilLive(work: OperationAtWork): Promise<string>;
}

/** What is ready to count. */
interface Ready {
  readonly prepared: PreparedJob;
  readonly change: Pick<WantedChange, 'generation' | 'savepoint'>;
  readonly how: string;
}

/** How long a new version has to run without a failure of its own before the old one is given up. */
const PROOF_MS = 3_000;
const LOOK_MS = 250;
/** Whose modules are kept, to go back to. */
const VERSIONS_KEPT = 20;
const OWN_FAILURES: readonly string[] = ['operator-failed', 'invariant', 'task-crash-loop'];

export class JobDeploys {
  readonly #parts: JobDeploysParts;
  readonly #tasks: DeployTasks;

  constructor(parts: JobDeploysParts, tasks: DeployTasks) {
    this.#parts = parts;
    this.#tasks = tasks;
  }

  /** What a deploy would do; its fault says why it is refused. Errors: those of reading what there is. */
  async plan(job: RunningJob, loaded: LoadedJob, parameters: OperationParameters): Promise<DeployPlan> {
    const { control, namespace, preparation, savepoints } = this.#parts;
    const { records } = control;
    const run = { namespace, job: job.name, run: LIVE, generation: job.wanted.generation };
    const began = jobBegan(records, run);
    const savepoint =
      parameters.savepoint === undefined ? null : await savepoints.of(job.name).read(parameters.savepoint);
    const before = began === null ? null : await this.#loadedOf(job, job.wanted).catch(() => job.loaded);
    const was =
      before === null || began === null
        ? null
        : { job: before.compiled, version: versionOf(before).version, sources: countsOf(beganSources(began)) };
    const sources = countsOf(await preparation.describeSources(loaded));
    const now = { job: loaded.compiled, version: versionOf(loaded).version, sources };
    const plan = planDeploy({ was, now, run, savepoint, allowDroppedState: parameters.allowDroppedState === true });
    // One that failed may have found entries of a version before it, which has to be replayed.
    return plan.way === 'none' && job.failure !== null ? { ...plan, way: 'handover' } : plan;
  }

  /** Errors: whatever the new version was refused for, or failed of; request-interrupted. */
  async carryOut(work: OperationAtWork, edges: StartEdges): Promise<OperationResult> {
    const { job, operation } = work;
    if (job.wanted.requestId === operation.requestId) return this.#finish(work, edges, 'counted when a process ended');
    await this.#tidy(work);
    const { bundle = '', options = null } = operation.parameters;
    const fetched = settled(await this.#parts.preparation.fetch({ ...job.wanted, bundle, options }), job.wanted);
    const plan = await this.plan(job, fetched, operation.parameters);
    if (plan.fault !== null) throw plan.fault;
    const loaded = allowing(fetched, job.wanted, operation.parameters, plan);
    if (plan.way === 'none') return { outcome: { message: 'nothing to do: this version runs' } };
    const startMs = this.#parts.clock.monotonicMs();
    const { failure, state } = job;
    let ready: Ready;
    try {
      ready = await this.#ready(work, edges, loaded, plan);
    } catch (error) {
      if (this.#parts.signal.aborted) throw error;
      await this.#back(work, edges, { failure, state }, error);
      throw error;
    }
    await this.#count(work, loaded, ready);
    const { outcome, records = [] } = await this.#finish(work, edges, ready.how);
    const tookMs = this.#parts.clock.monotonicMs() - startMs;
    return { outcome: { ...outcome, message: `${outcome.message}, ${(tookMs / 1_000).toFixed(1)}s in all` }, records };
  }

  async #ready(work: OperationAtWork, edges: StartEdges, loaded: LoadedJob, plan: DeployPlan): Promise<Ready> {
    const { job } = work;
    const { control, executor, preparation } = this.#parts;
    if (plan.way === 'generation') return this.#readyGeneration(work, edges, loaded);
    if (!executor.isOver(job)) await executor.stop(job, 'stop', 'CREATED');
    if (plan.way === 'new') {
      return { prepared: await preparation.prepared(loaded, job.wanted, control.records), change: {}, how: 'began' };
    }
    const replayed = await this.#tasks.settle(job, work.signal);
    const prepared = await preparation.prepared(loaded, job.wanted, control.records);
    await this.#tasks.tryOut(job, prepared);
    const how = replayed === 0 ? 'took over' : `took over, after ${replayed} tasks that had crashed were replayed`;
    return { prepared, change: {}, how };
  }

  async #readyGeneration(work: OperationAtWork, edges: StartEdges, loaded: LoadedJob): Promise<Ready> {
    const { job, operation } = work;
    const { control, executor, namespace, preparation, savepoints } = this.#parts;
    const named = operation.parameters.savepoint;
    const savepoint = named === undefined ? await this.#taken(work, edges) : await savepoints.of(job.name).read(named);
    if (!executor.isOver(job)) await executor.stop(job, 'stop', 'CREATED');
    if (named === undefined) await this.#checkCut(job, savepoint, work.signal);
    const generation = await nextGeneration(this.#parts, job.name, job.wanted.generation);
    await work.note({ generation });
    await shutOut(this.#parts, job.name, control.records);
    const began = { generation, savepoint: savepoint.id };
    const run = { namespace, job: job.name, run: LIVE, generation };
    const sources = countsOf(await preparation.describeSources(loaded));
    const { fault } = planGeneration({ savepoint, job: loaded.compiled, run, sources, allowed: allowedBy(work) });
    if (fault !== null) throw fault;
    const prepared = await preparation.prepared(loaded, began, control.records);
    await this.#tasks.tryOut(job, prepared);
    return { prepared, change: began, how: `began generation ${generation} with savepoint ${savepoint.id}` };
  }

  // Sources that have grown ended the job: it runs once more as it was, to give its savepoint.
  async #taken(work: OperationAtWork, edges: StartEdges): Promise<Savepoint> {
    const { job } = work;
    const { control, executor, jobs, preparation, savepoints } = this.#parts;
    if (job.failure !== null) await executor.stop(job, 'stop', 'CREATED');
    if (executor.isOver(job)) {
      await this.#tasks.settle(job, work.signal);
      jobs.created(job);
      job.prepared = await preparation.prepared(job.loaded, job.wanted, control.records, true);
      await job.prepared.claim(control);
      await executor.start(job);
    }
    return savepoints.take(work, () => edges.untilLive(work));
  }

  /** Nothing came behind the cut. */
  async #checkCut({ name, prepared }: RunningJob, savepoint: Savepoint, signal: AbortSignal): Promise<void> {
    const cut = new Map(savepoint.tasks.map((task) => [`${task.stage}/${task.partition}`, task.entry]));
    for (const { last, task } of await this.#tasks.ends(prepared?.tasks ?? [], signal)) {
      if (last?.number === cut.get(`${task.stage}/${task.partition}`)) continue;
      const message = `task ${name}/${task.stage}/${task.partition} went on behind savepoint ${savepoint.id}`;
      throw new StreamError('savepoint-failed', message, 'deploy again');
    }
  }

  /** From here on the new version is the one that counts. */
  async #count(work: OperationAtWork, loaded: LoadedJob, { change, prepared }: Ready): Promise<void> {
    const { job, operation } = work;
    const { clock, control, jobs } = this.#parts;
    const { bundle = '', module, options = null } = operation.parameters;
    await work.note({ before: job.wanted });
    const { version, versionParts } = prepared.assignment;
    const first = job.wanted.revision === 0;
    const { configuredModule } = job.wanted;
    const known = configuredModule === undefined ? moduleOf(job.original) : configuredModule;
    const wanted = changed(
      job.wanted,
      {
        ...{ version, bundle, options, parts: versionParts, tasks: taskCounts(prepared), deployed: true, ...change },
        allowDroppedState: loaded.compiled.settings.allowDroppedState === true,
        configuredModule: first ? null : known,
        ...(module !== undefined && { module }),
        ...(first && { state: 'RUNNING' as const }),
      },
      { requestId: operation.requestId, atMs: clock.nowMs() },
    );
    await control.append(wanted);
    jobs.told(job, wanted);
    jobs.loaded(job, loaded);
  }

  async #finish(work: OperationAtWork, edges: StartEdges, how: string): Promise<OperationResult> {
    const { job } = work;
    const { version } = job.wanted;
    if (job.wanted.state !== 'RUNNING') {
      job.state = job.wanted.state;
      return {
        outcome: { message: `version ${version} ${how}; it is what the job, which is ${job.state}, starts with` },
      };
    }
    try {
      const text = this.#parts.executor.isOver(job) ? await edges.start(work) : await edges.untilLive(work);
      await this.#prove(work);
      await this.#clean(work);
      return { outcome: { message: `version ${version} ${how}; ${text}` } };
    } catch (error) {
      if (this.#parts.signal.aborted || work.signal.aborted) throw error;
      const { before = null } = work.operation.notes ?? {};
      if (before !== null) await this.#takeBack(work, edges, before, error);
      throw error;
    }
  }

  /** Error: what a task of the new version failed of, in its first seconds. */
  async #prove({ job, signal }: OperationAtWork): Promise<void> {
    const { clock, executor } = this.#parts;
    const untilMs = clock.monotonicMs() + PROOF_MS;
    while (clock.monotonicMs() < untilMs && !signal.aborted) {
      if (job.failure !== null) throw faultOf(job.failure);
      const reports = (await executor.status()).filter(({ assignment }) => assignment.job === job.name);
      const own = reports.flatMap(({ exceptions }) => exceptions.find(({ code }) => OWN_FAILURES.includes(code)) ?? []);
      if (own.length > 0) throw faultOf(own[0]);
      await clock.sleep(LOOK_MS, signal);
    }
  }

  /** Topics and checkpoints of the generation before; what is left over takes room, and no more. */
  async #clean({ job, operation }: OperationAtWork): Promise<void> {
    await this.#dropOldBundles(job.name).catch(() => {});
    const before = operation.notes?.before ?? null;
    if (before === null || before.generation === job.wanted.generation || before.revision === 0) return;
    const { logger } = this.#parts;
    await dropGeneration(this.#parts, job.name, before.generation).catch((error: unknown) => {
      const { message } = describe(error);
      logger.warn({ job: job.name }, `what generation ${before.generation} left is not deleted: ${message}`);
    });
  }

  /** A module that nobody goes back to takes room, and no more. */
  async #dropOldBundles(job: string): Promise<void> {
    const { control, namespace, store } = this.#parts;
    const recent = jobVersions(control.records, job).slice(0, VERSIONS_KEPT);
    const needed = new Set(recent.map(({ wanted }) => wanted.bundle));
    const old = (await keptBundles(store, namespace, job)).filter((bundle) => !needed.has(bundle));
    await dropBundles(store, namespace, job, old);
  }

  // Before the new version counted: what ran runs again.
  async #back(
    work: OperationAtWork,
    edges: StartEdges,
    { failure, state }: Pick<RunningJob, 'failure' | 'state'>,
    cause: unknown,
  ): Promise<void> {
    const { job } = work;
    const { executor, logger } = this.#parts;
    const { message } = describe(cause);
    logger.warn({ job: job.name }, `job ${job.name} goes back to the version that it had: ${message}`);
    for (const id of work.operation.notes?.savepoints ?? []) executor.release(job, id);
    await this.#tidy(work).catch(() => {});
    work.undone = true;
    if (state !== 'RUNNING' && state !== 'CREATED') {
      if (!executor.isOver(job)) await executor.stop(job, 'stop', 'CREATED');
      job.state = state;
      job.failure = failure;
      return;
    }
    try {
      if (executor.isOver(job)) await edges.start(work);
    } catch (error) {
      work.undone = false;
      const { message: why, remedy } = describe(error);
      const both =
        why === message
          ? `the version before does not run: ${why}`
          : `${message}; and the version before does not run: ${why}`;
      throw new StreamError('request-interrupted', both, remedy);
    }
  }

  // It counted, and does not run: the version before goes on, where nothing is lost or published twice by that.
  async #takeBack(work: OperationAtWork, edges: StartEdges, before: WantedJob, cause: unknown): Promise<void> {
    const { job } = work;
    const { clock, control, executor, jobs } = this.#parts;
    if (before.revision === 0) return;
    const { message, remedy } = describe(cause);
    if (!executor.isOver(job)) await executor.stop(job, 'stop', 'CREATED');
    const loaded = await this.#loadedOf(job, before);
    if (!(await this.#maySwapBack(job, before, loaded, work.signal))) {
      const told = `${remedy}; or deploy a correct version with the same stages and partitions, which goes on from here`;
      const fault = new StreamError('version-mismatch', `version ${job.wanted.version} does not run: ${message}`, told);
      // Nothing of it runs: who looks is told why, and who starts it is heard.
      jobs.failed(job, describe(fault));
      throw fault;
    }
    jobs.created(job);
    const { allowDroppedState = false, bundle, configuredModule, deployed = false, module, options, parts } = before;
    const { generation, savepoint = null, tasks, version } = before;
    const wanted = changed(
      job.wanted,
      {
        ...{ version, options: options ?? null, deployed, generation, savepoint, allowDroppedState },
        ...(bundle !== undefined && { bundle }),
        ...(parts !== undefined && { parts }),
        ...(tasks !== undefined && { tasks }),
        ...(module !== undefined && { module }),
        ...(configuredModule !== undefined && { configuredModule }),
      },
      { requestId: null, atMs: clock.nowMs() },
    );
    await control.append(wanted);
    jobs.told(job, wanted);
    jobs.loaded(job, loaded);
    work.undone = true;
    await edges.start(work);
  }

  async #maySwapBack(job: RunningJob, before: WantedJob, loaded: LoadedJob, signal: AbortSignal): Promise<boolean> {
    const { prepared, wanted } = job;
    if (before.generation !== wanted.generation) {
      const ends = await this.#tasks.ends(prepared?.tasks ?? [], signal);
      if (ends.some(({ last }) => last !== null && last.kind !== 'genesis')) return false;
      await shutOut(this.#parts, job.name, this.#parts.control.records);
      await dropGeneration(this.#parts, job.name, wanted.generation);
      return true;
    }
    const { differences } = await this.#planBack(job, loaded);
    if (differences.dropped.length > 0 || differences.changed.length > 0 || differences.added.length > 0) return false;
    await this.#tasks.settle(job, signal);
    return true;
  }

  #planBack(job: RunningJob, loaded: LoadedJob): Promise<DeployPlan> {
    return this.plan(job, loaded, { allowDroppedState: true });
  }

  /** What an attempt at it left behind, in this process or another one. */
  async #tidy(work: OperationAtWork): Promise<void> {
    const { job, operation } = work;
    const { generation } = operation.notes ?? {};
    await this.#parts.savepoints.drop(work);
    if (generation !== undefined && generation !== job.wanted.generation) {
      await dropGeneration(this.#parts, job.name, generation);
    }
  }

  /** A version as it was told to be. Errors: those of loading it. */
  async #loadedOf(job: RunningJob, wanted: WantedJob): Promise<LoadedJob> {
    for (const loaded of [job.loaded, job.original]) {
      if (wanted.version === null || versionOf(loaded).version === wanted.version) return settled(loaded, wanted);
    }
    return settled(await this.#parts.preparation.fetch(wanted), wanted);
  }
}

/** What tasks may leave behind: that which was allowed, and what the plan found to be no loss. */
function allowing(
  loaded: LoadedJob,
  wanted: WantedJob,
  { allowDroppedState }: OperationParameters,
  { differences: { library } }: DeployPlan,
): LoadedJob {
  return settled(loaded, { ...wanted, allowDroppedState: allowDroppedState === true || library.length > 0 });
}

function allowedBy({ operation }: OperationAtWork) {
  return { droppedState: operation.parameters.allowDroppedState === true };
}

function countsOf(topics: readonly { readonly topic: string; readonly partitionCount: number }[]): SourceTopics {
  return Object.fromEntries(topics.map(({ partitionCount, topic }) => [topic, { partitionCount, maxMessageBytes: 0 }]));
}
