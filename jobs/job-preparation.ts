// Owns what happens between a log that is open and tasks that start: looking at what is there without touching it,
// preparing jobs, taking the installation over. Invariant: who is refused before the take-over leaves no trace.

import { randomBytes } from 'node:crypto';
import { join, sep } from 'node:path';
import type { CheckpointStore } from '#checkpoint/contract.ts';
import { type Bundle, packBundle, unpackBundle } from '#jobs/bundle.ts';
import { findBundle, keepBundle } from '#jobs/bundle-store.ts';
import { checkpointStoreName, openCheckpointStore } from '#jobs/checkpoint-store.ts';
import type { Configuration } from '#jobs/configuration.ts';
import { type LoadedJob, loadJob } from '#jobs/load-job.ts';
import { patiently, startTimeoutMs } from '#jobs/log-patience.ts';
import { tryModule } from '#jobs/module-trial.ts';
import { type PreparedJob, prepareJob } from '#jobs/prepare-job.ts';
import type { RunningJob, RunningJobs } from '#jobs/running-jobs.ts';
import { moduleHash } from '#jobs/version.ts';
import {
  type ControlAppender,
  type ControlEdges,
  ControlLog,
  type ControlRecord,
  readControlLog,
} from '#runtime/control/control-log.ts';
import { changed, configured, type WantedJob, wantedJobs } from '#runtime/control/desired-state.ts';
import { checkInstallation, claimInstallation, type InstallationNames } from '#runtime/control/installation.ts';
import type { TopicDescription } from '#runtime/log/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';
import { ulid } from '#runtime/std/ulid.ts';
import { describe } from '#runtime/task/task-supervisor.ts';

export interface JobPreparationParts {
  readonly configuration: Configuration;
  /** Of the configuration file: modules from other processes are unpacked below it, beside its packages. */
  readonly directory: string;
  readonly processId: string;
  readonly edges: ControlEdges;
  readonly jobs: RunningJobs;
  readonly logger: Logger;
  /** Partitions to create a missing source topic with, when this process writes it; null: it must exist. */
  readonly createSource: number | null;
  /** Ends the waiting for a log. */
  readonly signal: AbortSignal;
}

export interface ClaimedInstallation {
  readonly control: ControlLog;
  readonly installationId: string;
}

export class JobPreparation {
  readonly #parts: JobPreparationParts;

  constructor(parts: JobPreparationParts) {
    this.#parts = parts;
  }

  get #names(): InstallationNames {
    const { namespace, checkpoints } = this.#parts.configuration;
    return { namespace, storeName: checkpointStoreName(checkpoints) };
  }

  get store(): CheckpointStore {
    return openCheckpointStore(this.#parts.configuration.checkpoints);
  }

  /** Only reads: whoever is refused here leaves the process that runs the jobs alone. */
  look(): Promise<readonly ControlRecord[]> {
    const { edges, processId } = this.#parts;
    const { store } = this;
    return this.patiently(async () => {
      const content = await readControlLog(edges);
      const records = content?.records ?? [];
      checkInstallation(records, await store.readInstallation(), this.#names);
      await store.requireWritable(processId);
      return records;
    });
  }

  /** Why this process cannot share the installation of this log; null when it can. */
  async stranger(records: readonly ControlRecord[]): Promise<StreamError | null> {
    try {
      checkInstallation(records, await this.store.readInstallation(), this.#names);
      return null;
    } catch (error) {
      if (error instanceof StreamError && !error.retryable) return error;
      throw error;
    }
  }

  /** Takes in the jobs of the configuration, each as it is told to be, and those that were deployed without it. */
  async add(loaded: readonly LoadedJob[], records: readonly ControlRecord[]): Promise<void> {
    const { configuration, edges, jobs } = this.#parts;
    for (const job of loaded) {
      const wanted = wantedOf(job, records, edges.clock.nowMs());
      const running = jobs.add(job, wanted);
      if (wanted.state !== 'CANCELED' && countsAsDeployed(running, wanted)) await this.#takeDeployed(running, wanted);
    }
    for (const [name, wanted] of wantedJobs(records)) {
      if (jobs.get(name) !== undefined || !wanted.deployed || wanted.configuredModule !== null) continue;
      if (configuration.only?.includes(name) ?? true) await this.#addDeployed(wanted);
    }
  }

  // The others are not to wait for one whose module is lost.
  async #addDeployed(wanted: WantedJob): Promise<void> {
    const { jobs, logger } = this.#parts;
    try {
      jobs.add(await this.fetch(wanted), wanted);
    } catch (error) {
      const { code, message, remedy } = describe(error);
      logger.error({ job: wanted.job, code, remedy }, `job ${wanted.job}, which was deployed, is left out: ${message}`);
    }
  }

  async #takeDeployed(job: RunningJob, wanted: WantedJob): Promise<void> {
    const { jobs } = this.#parts;
    try {
      jobs.loaded(job, await this.fetch(wanted));
    } catch (error) {
      jobs.failed(job, describe(error));
    }
  }

  /** What there is to do before its tasks start, all but writing it down. Errors: whatever the job is refused for. */
  prepared(
    loaded: LoadedJob,
    { generation, savepoint = null }: Pick<WantedJob, 'generation' | 'savepoint'>,
    records: readonly ControlRecord[],
    asBegan = false,
  ): Promise<PreparedJob> {
    const { configuration, createSource, edges } = this.#parts;
    const { namespace } = configuration;
    const { admin } = edges.log;
    return this.patiently(() => {
      const of = { namespace, admin, records, store: this.store, nowMs: edges.clock.nowMs(), createSource };
      return prepareJob(loaded, { ...of, generation, savepoint, asBegan });
    });
  }

  /** The sources of a job as they are now. Error: topic-unknown. */
  async describeSources({ compiled, configuration }: LoadedJob): Promise<readonly TopicDescription[]> {
    const { admin } = this.#parts.edges.log;
    const names = [...new Set(compiled.plan.sources.map(({ topic }) => topic))];
    const described = await this.patiently(() => admin.describeTopics(names));
    return names.map((name, at) => {
      const description = described[at];
      if (description !== null) return description;
      const message = `job ${configuration.name}: source topic '${name}' does not exist`;
      throw new StreamError('topic-unknown', message, 'create it with the partitions you need, or name another');
    });
  }

  /** A job that is refused has failed. */
  async prepare(job: RunningJob, records: readonly ControlRecord[], asBegan = false): Promise<void> {
    const { jobs, signal } = this.#parts;
    try {
      job.prepared = await this.prepared(job.loaded, job.wanted, records, asBegan);
    } catch (error) {
      if (signal.aborted) throw error;
      jobs.failed(job, describe(error));
    }
  }

  /**
   * Shuts out the process that ran the jobs. However long it takes: what was sent may be done, and then the other has
   * ended already. Null when no job is left that could be run.
   * @param sole no other process runs tasks: the versions that this one has are those that count
   */
  claim(sole = true): Promise<ClaimedInstallation | null> {
    const { edges, jobs, logger, processId } = this.#parts;
    const { store } = this;
    let before: ControlLog | null = null;
    return this.patiently(async () => {
      await before?.close();
      const control = await ControlLog.open(edges);
      before = control;
      const nowMs = edges.clock.nowMs();
      const freshId = ulid(nowMs, randomBytes(10));
      const installationId = await claimInstallation({ control, store, names: this.#names, nowMs, freshId });
      for (const job of jobs.all) await this.#catchUp(job, control.records, sole);
      for (const job of jobs.all) await this.#retell(job, control, sole);
      for (const job of jobs.in('CREATED')) await this.claimJob(job, control);
      if (jobs.all.every(({ state }) => state === 'FAILED')) {
        await control.close();
        return null;
      }
      await control.append({ kind: 'owner', processId, atMs: nowMs });
      logger.info({ installation: installationId, process: processId, log: edges.log.kind }, 'installation claimed');
      return { control, installationId };
    }, Number.POSITIVE_INFINITY);
  }

  // Another process may have deployed another version, or begun another generation, since it was prepared.
  async #catchUp(job: RunningJob, records: readonly ControlRecord[], sole: boolean): Promise<void> {
    const { jobs } = this.#parts;
    const wanted = wantedJobs(records).get(job.name);
    const known = job.prepared?.assignment;
    if (wanted?.bundle === undefined || known === undefined || wanted.version === null) return;
    const same = wanted.version === known.version && wanted.generation === known.generation;
    if (same || (sole && !countsAsDeployed(job, wanted))) return;
    jobs.told(job, wanted);
    await this.#takeDeployed(job, wanted);
    if (job.state !== 'FAILED') await this.prepare(job, records);
  }

  // Another process may have changed it since it was looked at.
  async #retell(job: RunningJob, control: ControlAppender, sole: boolean): Promise<void> {
    const { edges, jobs } = this.#parts;
    if (job.state === 'FAILED') return;
    const atMs = edges.clock.nowMs();
    const wanted = wantedOf(job.original, control.records, atMs);
    const told = await this.#withVersion(job, wanted, atMs, sole);
    jobs.told(job, told);
    if (job.state === 'CREATED' && told.state !== 'RUNNING') job.state = told.state;
    if (told !== wantedJobs(control.records).get(job.name)) await control.append(told);
  }

  // With it goes what other processes need to run the same.
  async #withVersion(job: RunningJob, wanted: WantedJob, atMs: number, sole: boolean): Promise<WantedJob> {
    const { prepared } = job;
    if (prepared === null) return wanted;
    const { version, configuration } = prepared.assignment;
    if (version === wanted.version && wanted.tasks !== undefined) return wanted;
    if (wanted.version !== null && version !== wanted.version && !sole) return wanted;
    const { options } = configuration;
    const { modulePath } = job.original.configuration;
    const bundle = await this.#keepBundle(job.name, configuration.modulePath);
    const tasks = taskCounts(prepared);
    const kept = { options: options ?? null, ...(bundle !== null && { bundle }) };
    const parts = prepared.assignment.versionParts;
    const deployed = wanted.deployed === true && countsAsDeployed(job, wanted);
    const configuredModule = deployed ? (wanted.configuredModule ?? null) : moduleOf(job.original);
    const change = { version, tasks, modulePath, parts, deployed, configuredModule, ...kept };
    return changed(wanted, change, { requestId: null, atMs });
  }

  /** Keeps a bundle for as long as a version of the job may need it, and gives its hash. */
  keep(job: string, bundle: Bundle): Promise<string> {
    return keepBundle(this.store, this.#parts.configuration.namespace, job, bundle);
  }

  async #keepBundle(job: string, modulePath: string): Promise<string | null> {
    const { configuration, logger } = this.#parts;
    try {
      return await keepBundle(this.store, configuration.namespace, job, packBundle(modulePath));
    } catch (error) {
      const { code, message, remedy } = describe(error);
      if (code !== 'job-invalid') throw error;
      logger.warn({ job, code, remedy }, `only processes that have the module of job ${job} can run it: ${message}`);
      return null;
    }
  }

  /** The job as the control log says, when its version or the whole job is not that of this process. */
  async fetch(wanted: WantedJob): Promise<LoadedJob> {
    const { configuration, directory } = this.#parts;
    const { bundle, job: name, options, settings } = wanted;
    if (bundle === undefined) {
      throw new StreamError(
        'job-unknown',
        `job ${name}, version ${wanted.version}, is not what this process has, and its module was not kept`,
        'start all processes with the same configuration and modules',
      );
    }
    const { namespace } = configuration;
    const modulePath = unpackBundle(
      await findBundle(this.store, namespace, name, bundle),
      join(directory, '.millrace', 'bundles'),
    );
    const known = configuration.jobs.find((job) => job.name === name);
    const own = { name, state: 'memory' as const, ...known };
    const job = { ...own, modulePath, options: options ?? null, settings: { ...known?.settings, ...settings } };
    return { configuration: job, compiled: await loadJob(job) };
  }

  /** A job as somebody sent it, with the settings that the configuration has for it. Errors: job-invalid, those of unpacking. */
  async load(bundle: Bundle, options: Readonly<Record<string, unknown>> | null): Promise<LoadedJob> {
    const { configuration, directory } = this.#parts;
    const modulePath = unpackBundle(bundle, join(directory, '.millrace', 'bundles'));
    const own = { name: '', state: 'memory' as const, settings: {}, modulePath, options };
    const name = await tryModule(own, this.#parts.edges.clock).catch((error: unknown) => {
      throw asSent(error, bundle, modulePath, directory);
    });
    const known = configuration.jobs.find((job) => job.name === name);
    const job = { ...own, ...known, name, modulePath, options };
    return { configuration: job, compiled: await loadJob(job) };
  }

  /** Writes down what a prepared job begins with; one that is refused has failed. */
  async claimJob(job: RunningJob, control: ControlAppender): Promise<void> {
    const { jobs, logger } = this.#parts;
    try {
      await job.prepared?.claim(control);
      for (const { code, message, remedy } of job.prepared?.losses ?? []) {
        logger.warn({ job: job.name, code, remedy }, message);
      }
    } catch (error) {
      if (error instanceof StreamError && error.retryable) throw error;
      jobs.failed(job, describe(error));
    }
  }

  patiently<T>(attempt: () => Promise<T>, timeoutMs = startTimeoutMs(this.#parts.configuration.log)): Promise<T> {
    const { configuration, edges, logger, signal } = this.#parts;
    return patiently({ log: configuration.log, clock: edges.clock, logger, signal }, timeoutMs, attempt);
  }
}

/** Whether a version that was deployed still counts: the configuration names the module that it named then. */
function countsAsDeployed({ original }: RunningJob, { configuredModule, deployed }: WantedJob): boolean {
  return deployed === true && (configuredModule === null || configuredModule === moduleOf(original));
}

/** Of what the configuration names. */
export function moduleOf({ configuration: { modulePath, options } }: LoadedJob): string {
  return moduleHash(modulePath, options);
}

/** Who sent a bundle knows its files by their names in the package, and installs packages beside the configuration. */
function asSent(error: unknown, { entry, shipped }: Bundle, modulePath: string, directory: string): unknown {
  if (!(error instanceof StreamError) || shipped) return error;
  const home = modulePath.slice(0, -entry.length - 1);
  const told = (text: string) => text.replaceAll(home + sep, '').replaceAll(home, directory);
  return new StreamError(error.code, told(error.message), told(error.remedy), { cause: error });
}

/** Tasks of each stage. */
export function taskCounts({ tasks }: Pick<PreparedJob, 'tasks'>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { stage } of tasks) counts[stage] = (counts[stage] ?? 0) + 1;
  return counts;
}

/** `loaded` is the job as the configuration has it. */
function wantedOf({ configuration, compiled }: LoadedJob, records: readonly ControlRecord[], atMs: number): WantedJob {
  const { name, modulePath } = configuration;
  const { parallelism, commitIntervalMs, checkpointIntervalMs } = compiled.settings;
  const settings = { parallelism, commitIntervalMs, checkpointIntervalMs };
  const known = wantedJobs(records).get(name);
  // It stands in no configuration file.
  if (known?.deployed && known.configuredModule === null) return known;
  return configured(known, { job: name, modulePath, settings, atMs });
}
