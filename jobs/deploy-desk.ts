// Owns taking in deploys and rollbacks: what was sent is unpacked and looked at, what it would do is told, and only what can
// be done is kept and begun. Carries out nothing. Invariant: what is refused here leaves the job as it is.

import { requestView } from '#jobs/admin-changes.ts';
import { type Bundle, bundleHash, readBundle } from '#jobs/bundle.ts';
import { keptBundles } from '#jobs/bundle-store.ts';
import type { DeployPlan } from '#jobs/deploy-plan.ts';
import type { JobControl } from '#jobs/job-control.ts';
import type { JobDeploys } from '#jobs/job-deploys.ts';
import type { JobPreparation } from '#jobs/job-preparation.ts';
import { jobVersions, versionNamed } from '#jobs/job-versions.ts';
import type { LoadedJob } from '#jobs/load-job.ts';
import { versionOf } from '#jobs/prepare-job.ts';
import { type RunningJob, type RunningJobs, runningJob, settled } from '#jobs/running-jobs.ts';
import type { ControlAppender } from '#runtime/control/control-log.ts';
import { configured } from '#runtime/control/desired-state.ts';
import type { OperationKind, OperationParameters } from '#runtime/control/operations.ts';
import type { ChangeTerms } from '#runtime/http/contract.ts';
import type {
  DeployAskedView,
  DeployedView,
  DeployPlanView,
  JobVersionView,
  RollbackAskedView,
  StateChangeView,
} from '#runtime/http/deploy-contract.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface DeployDeskParts {
  readonly clock: Clock;
  readonly jobs: RunningJobs;
  readonly control: ControlAppender;
  readonly preparation: JobPreparation;
  readonly deploys: JobDeploys;
  readonly changes: JobControl;
  readonly namespace: string;
}

interface Asked {
  readonly operation: OperationKind;
  readonly parameters: OperationParameters;
  readonly dryRun: boolean;
  readonly publishAgain: boolean;
}

export class DeployDesk {
  readonly #parts: DeployDeskParts;

  constructor(parts: DeployDeskParts) {
    this.#parts = parts;
  }

  /** Errors: job-invalid, version-mismatch, savepoint-unknown, request-invalid; those of a change. */
  async deploy(asked: DeployAskedView, terms: ChangeTerms): Promise<DeployedView> {
    const { preparation } = this.#parts;
    const bundle = readBundle(asked.bundle);
    const options = asked.options ?? null;
    const loaded = await preparation.load(bundle, options);
    const parameters = {
      ...{ bundle: bundleHash(bundle), options, module: asked.module ?? bundle.entry },
      ...common(asked),
    };
    return this.#take(loaded, bundle, { operation: 'deploy', parameters, ...how(asked) }, terms);
  }

  /** As `deploy`; version-unknown. Null: there is no such job. */
  async rollback(name: string, asked: RollbackAskedView, terms: ChangeTerms): Promise<DeployedView | null> {
    const { control, jobs, preparation } = this.#parts;
    const job = jobs.get(name);
    if (job === undefined) return null;
    const { version, wanted } = versionNamed(jobVersions(control.records, name), name, asked.version);
    const { bundle, module, modulePath, options = null } = wanted;
    if (bundle === undefined) throw notKept(name, version);
    const loaded = await preparation.fetch({ ...job.wanted, bundle, options });
    const parameters = { ...{ version, bundle, options, module: module ?? modulePath }, ...common(asked) };
    return this.#take(loaded, null, { operation: 'rollback', parameters, ...how(asked) }, terms);
  }

  async versions(name: string): Promise<readonly JobVersionView[] | null> {
    const { control, jobs, namespace, preparation } = this.#parts;
    if (jobs.get(name) === undefined) return null;
    const kept = new Set(await keptBundles(preparation.store, namespace, name));
    return jobVersions(control.records, name).map(({ atMs, version, wanted }, at) => ({
      version,
      current: at === 0,
      sinceMs: atMs,
      module: wanted.module ?? wanted.modulePath,
      deployed: wanted.deployed === true,
      generation: wanted.generation,
      engine: wanted.parts?.engine ?? null,
      node: wanted.parts?.node ?? null,
      kept: wanted.bundle !== undefined && kept.has(wanted.bundle),
    }));
  }

  async #take(loaded: LoadedJob, bundle: Bundle | null, asked: Asked, terms: ChangeTerms): Promise<DeployedView> {
    const { changes, deploys, jobs, preparation } = this.#parts;
    const { operation, parameters } = asked;
    const { name } = loaded.configuration;
    const known = jobs.get(name);
    const job = known ?? this.#newJob(loaded);
    const plan = await deploys.plan(job, settled(loaded, job.wanted), parameters);
    const view = planView(job, loaded, plan, parameters);
    const before = terms.requestId === null ? null : changes.operation(terms.requestId);
    if (asked.dryRun) return { requestId: null, plan: view, request: null };
    if (before === null) {
      if (plan.fault !== null) throw plan.fault;
      if (view.publishesAgain && !asked.publishAgain) throw publishesAgain(view);
    }
    if (bundle !== null) await preparation.keep(name, bundle);
    if (known === undefined) jobs.take(job);
    const request = requestView(await changes.change(job, { operation, parameters, ...terms }), null);
    return { requestId: request.requestId, plan: view, request };
  }

  #newJob(loaded: LoadedJob): RunningJob {
    const { modulePath, name } = loaded.configuration;
    const { checkpointIntervalMs, commitIntervalMs, parallelism } = loaded.compiled.settings;
    const settings = { checkpointIntervalMs, commitIntervalMs, parallelism };
    const first = configured(undefined, { job: name, modulePath, settings, atMs: this.#parts.clock.nowMs() });
    return runningJob(loaded, { ...first, state: 'STOPPED', revision: 0, configuredModule: null });
  }
}

function common({
  allowDroppedState,
  fromSavepoint,
}: Pick<DeployAskedView, 'allowDroppedState' | 'fromSavepoint'>): Partial<OperationParameters> {
  return {
    ...(allowDroppedState && { allowDroppedState }),
    ...(fromSavepoint !== undefined && { savepoint: fromSavepoint }),
  };
}

function how({ dryRun, publishAgain }: Pick<DeployAskedView, 'dryRun' | 'publishAgain'>) {
  return { dryRun: dryRun === true, publishAgain: publishAgain === true };
}

function planView(
  job: RunningJob,
  loaded: LoadedJob,
  { differences, fault, reasons, way }: DeployPlan,
  parameters: OperationParameters,
): DeployPlanView {
  const savepoint = parameters.savepoint ?? null;
  const states: StateChangeView[] = [
    ...differences.added.map((one) => ({ ...one, change: 'added' as const, from: null, to: null })),
    ...differences.dropped.map((one) => ({ ...one, change: 'dropped' as const, from: null, to: null })),
    ...differences.changed.map(({ migrates, ...one }) => ({
      ...one,
      change: migrates ? ('migrated' as const) : ('unreadable' as const),
    })),
    ...differences.rekeyed.map((one) => ({ ...one, change: 'rekeyed' as const, from: null, to: null })),
  ];
  return {
    job: job.name,
    revision: job.wanted.revision,
    from: job.wanted.version,
    version: versionOf(loaded).version,
    way,
    reasons,
    savepoint,
    publishesAgain: savepoint !== null,
    states: states.map(({ change, from, operator, stage, stateId, to }) => ({
      ...{ stage, operator, stateId, change, from, to },
    })),
    failure: fault === null ? null : { code: fault.code, message: fault.message, remedy: fault.remedy },
  };
}

function publishesAgain({ job, savepoint }: DeployPlanView): StreamError {
  return new StreamError(
    'request-invalid',
    `what job ${job} published behind savepoint ${savepoint} is published a second time`,
    'say that it is meant: "publishAgain": true, or millrace deploy with --yes',
  );
}

function notKept(job: string, version: string): StreamError {
  const remedy = 'deploy its module instead: millrace deploy MODULE';
  return new StreamError('version-unknown', `the module of version ${version} of job ${job} was not kept`, remedy);
}
