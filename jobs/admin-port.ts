// Owns what a process answers about itself: puts together what the process knows and what its tasks say. Asks and shows;
// hands changes on.

import { Savepoints } from '#checkpoint/savepoint.ts';
import { type ReadChange, readPatch, requestView } from '#jobs/admin-changes.ts';
import { hideSecrets } from '#jobs/admin-configuration.ts';
import { checkpointsView, exceptionsView } from '#jobs/admin-history.ts';
import {
  faultView,
  isRunning,
  jobDetailView,
  jobState,
  jobView,
  type KnownJob,
  type ShownProcess,
  tasksOf,
} from '#jobs/admin-jobs.ts';
import { metricsText } from '#jobs/admin-metrics.ts';
import { readinessView } from '#jobs/admin-readiness.ts';
import { listSavepoints, savepointDetailView, savepointView } from '#jobs/admin-savepoints.ts';
import type { AdminSource } from '#jobs/admin-source.ts';
import { readableOperators, readStatePage } from '#jobs/admin-state.ts';
import type { DeployDesk } from '#jobs/deploy-desk.ts';
import { explain } from '#jobs/explain.ts';
import type { CompiledJob, StagePlan } from '#jobs/plan.ts';
import type { RunningJob } from '#jobs/running-jobs.ts';
import { engineVersion } from '#jobs/version.ts';
import type {
  AdminPort,
  ChangeTerms,
  CheckpointsView,
  ExceptionsView,
  JobDetailView,
  JobPatchView,
  JobStateName,
  JobView,
  OverviewView,
  PlanView,
  ReadinessView,
  RequestView,
  StateQueryView,
  StateView,
} from '#runtime/http/contract.ts';
import type {
  DeployAskedView,
  DeployedView,
  JobVersionView,
  RollbackAskedView,
  SavepointDetailView,
  SavepointView,
} from '#runtime/http/deploy-contract.ts';
import type { SlotReport } from '#runtime/slot/messages.ts';
import { type Clock, systemClock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { sharedQuestion } from '#runtime/std/shared-question.ts';

/** What the process answers; asks it anew each time. */
export function adminPort(source: AdminSource, clock: Clock = systemClock): AdminPort {
  return new ProcessAdmin(source, clock);
}

class ProcessAdmin implements AdminPort {
  readonly #source: AdminSource;
  readonly #clock: Clock;
  /** However many ask: the slots are asked by one at a time. */
  readonly #reports: () => Promise<readonly SlotReport[]>;
  readonly #readable = new Map<CompiledJob, ReadonlyMap<string, StagePlan>>();

  constructor(source: AdminSource, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
    this.#reports = sharedQuestion(() => source.reports());
  }

  async overview(): Promise<OverviewView> {
    const { configuration, installationId, processId, slots, startedMs } = this.#source;
    const jobs = await this.#known();
    const states: Partial<Record<JobStateName, number>> = {};
    for (const known of jobs) states[jobState(known)] = (states[jobState(known)] ?? 0) + 1;
    const tasks = jobs.flatMap((known) => known.tasks);
    return {
      version: engineVersion(),
      namespace: configuration.namespace,
      process: processId,
      installation: installationId,
      log: configuration.log.kind,
      startedMs,
      slots: { total: slots.total, running: slots.running },
      tasks: { total: tasks.length, running: tasks.filter(isRunning).length },
      jobs: states,
    };
  }

  async configuration(): Promise<Readonly<Record<string, unknown>>> {
    return hideSecrets(this.#source.configuration) as Readonly<Record<string, unknown>>;
  }

  async jobs(): Promise<readonly JobView[]> {
    return (await this.#known()).map((known) => jobView(known, this.#shown));
  }

  job(name: string): Promise<JobDetailView | null> {
    return this.#ofJob(name, (known) => jobDetailView(known, this.#shown));
  }

  async plan(name: string): Promise<PlanView | null> {
    const job = this.#find(name);
    if (job === null) return null;
    const { plan, settings } = job.loaded.compiled;
    return { plan: { plan, settings }, text: explain(plan, settings) };
  }

  checkpoints(name: string): Promise<CheckpointsView | null> {
    return this.#ofJob(name, checkpointsView);
  }

  exceptions(name: string): Promise<ExceptionsView | null> {
    return this.#ofJob(name, exceptionsView);
  }

  async stateOperators(name: string): Promise<readonly string[] | null> {
    const job = this.#find(name);
    return job === null ? null : [...this.#readableOf(job).keys()];
  }

  async state(name: string, operator: string, query: StateQueryView): Promise<StateView | null> {
    const job = this.#find(name);
    const stage = job === null ? undefined : this.#readableOf(job).get(operator);
    if (job === null || stage === undefined) return null;
    const { prepared, loaded } = job;
    if (prepared === null) {
      throw new StreamError('state-unreadable', `job ${name} does not run`, job.failure?.remedy ?? 'start it');
    }
    return readStatePage({
      job: loaded.compiled,
      prepared,
      stage,
      operator,
      query,
      ask: (assignment, asked) => this.#source.askState(assignment, asked),
      clock: this.#clock,
    });
  }

  async patchJob(name: string, patch: JobPatchView, terms: ChangeTerms): Promise<RequestView | null> {
    return this.#change(name, () => readPatch(patch), terms);
  }

  cancelJob(name: string, purge: boolean, terms: ChangeTerms): Promise<RequestView | null> {
    return this.#change(name, () => ({ operation: 'cancel', parameters: purge ? { purge } : {} }), terms);
  }

  checkpointJob(name: string, terms: ChangeTerms): Promise<RequestView | null> {
    return this.#change(name, () => ({ operation: 'checkpoint', parameters: {} }), terms);
  }

  async savepoints(name: string): Promise<readonly SavepointView[] | null> {
    if (this.#find(name) === null) return null;
    return (await listSavepoints(this.#savepointsOf(name))).map(savepointView);
  }

  async savepoint(name: string, id: string): Promise<SavepointDetailView | null> {
    return this.#find(name) === null ? null : savepointDetailView(await this.#savepointsOf(name).read(id));
  }

  savepointJob(name: string, terms: ChangeTerms): Promise<RequestView | null> {
    return this.#change(name, () => ({ operation: 'savepoint', parameters: {} }), terms);
  }

  async deleteSavepoint(name: string, id: string, terms: ChangeTerms): Promise<RequestView | null> {
    return this.#change(name, () => ({ operation: 'delete-savepoint', parameters: { savepoint: id } }), terms);
  }

  #savepointsOf(job: string): Savepoints {
    const { configuration, store } = this.#source;
    return new Savepoints(store, { namespace: configuration.namespace, job });
  }

  deployJob(asked: DeployAskedView, terms: ChangeTerms): Promise<DeployedView> {
    return this.#desk.deploy(asked, terms);
  }

  rollbackJob(name: string, asked: RollbackAskedView, terms: ChangeTerms): Promise<DeployedView | null> {
    return this.#desk.rollback(name, asked, terms);
  }

  versions(name: string): Promise<readonly JobVersionView[] | null> {
    return this.#desk.versions(name);
  }

  get #desk(): DeployDesk {
    const { desk } = this.#source;
    if (desk === null) throw starting();
    return desk;
  }

  async request(requestId: string): Promise<RequestView | null> {
    const { changes } = this.#source;
    const operation = changes?.operation(requestId) ?? null;
    return operation === null ? null : requestView(operation, changes?.progressOf(requestId) ?? null);
  }

  async #change(name: string, read: () => ReadChange, terms: ChangeTerms): Promise<RequestView | null> {
    const job = this.#find(name);
    if (job === null) return null;
    const change = read();
    const { changes } = this.#source;
    if (changes === null) throw starting();
    return requestView(await changes.change(job, { ...change, ...terms }), null);
  }

  async readiness(): Promise<ReadinessView> {
    return readinessView(await this.#known());
  }

  async metrics(): Promise<string> {
    const { slots, startedMs } = this.#source;
    return metricsText({ jobs: await this.#known(), slots, startedMs, nowMs: this.#clock.nowMs() });
  }

  get #shown(): ShownProcess {
    const { configuration, processId } = this.#source;
    return { namespace: configuration.namespace, processId, nowMs: this.#clock.nowMs() };
  }

  #find(name: string): RunningJob | null {
    return this.#source.jobs.find((job) => job.name === name) ?? null;
  }

  async #known(): Promise<readonly KnownJob[]> {
    const reports = await this.#reports();
    const paused = faultView(this.#source.paused);
    const { changes } = this.#source;
    return this.#source.jobs.map((job) => {
      const request = changes?.operationOf(job)?.requestId ?? null;
      return { job, tasks: tasksOf(job, reports), paused, request };
    });
  }

  async #ofJob<T>(name: string, show: (known: KnownJob) => T): Promise<T | null> {
    if (this.#find(name) === null) return null;
    const known = (await this.#known()).find(({ job }) => job.name === name);
    return known === undefined ? null : show(known);
  }

  #readableOf({ loaded: { compiled } }: RunningJob): ReadonlyMap<string, StagePlan> {
    const known = this.#readable.get(compiled) ?? readableOperators(compiled);
    this.#readable.set(compiled, known);
    return known;
  }
}

function starting(): StreamError {
  return new StreamError('not-ready', 'the process is starting, and changes nothing yet', 'ask again in a while');
}
