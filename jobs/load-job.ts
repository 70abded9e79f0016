// Owns loading what people wrote: job modules and configuration files. Faults are collected or thrown as StreamError;
// a module is imported once per process, its default export is all that is looked at.

import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { checkJob, compileJob, isJobDefinition } from '#jobs/compile.ts';
import type { Config } from '#jobs/config.ts';
import {
  type Configuration,
  type ConfigurationFlags,
  type JobConfiguration,
  resolveConfig,
} from '#jobs/configuration.ts';
import type { JobDefinition } from '#jobs/define-job.ts';
import { type Fault, FaultsError, faultsError } from '#jobs/faults.ts';
import { readTls } from '#jobs/http-configuration.ts';
import { moduleRemedy } from '#jobs/module-remedy.ts';
import { isPlainObject, show } from '#jobs/option-reader.ts';
import type { CompiledJob } from '#jobs/plan.ts';
import { thrownPlace } from '#jobs/thrown-place.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface LoadedJob {
  readonly configuration: JobConfiguration;
  readonly compiled: CompiledJob;
}

export interface LoadedInstallation {
  readonly configuration: Configuration;
  /** Of the configuration file. */
  readonly directory: string;
  readonly jobs: readonly LoadedJob[];
}

export interface LoadOptions {
  /** Path of the configuration file. */
  readonly configPath: string;
  readonly workingDirectory: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly flags: ConfigurationFlags;
  /** For every job: go on after a crash of another version. @default false */
  readonly acceptDivergentReplay?: boolean;
}

/** Loads configuration and job modules. Error: config-invalid, with the faults of all of them. */
export async function loadInstallation(options: LoadOptions): Promise<LoadedInstallation> {
  const configPath = resolve(options.workingDirectory, options.configPath);
  const config = await loadConfig(configPath);
  const faults: Fault[] = [];
  const configuration = resolveConfig(config, { ...options, baseDirectory: dirname(configPath) }, faults);
  const tls = configuration.http?.tls ?? null;
  if (tls !== null && !faults.some(({ path }) => path.startsWith('http.tls'))) readTls(tls, faults);
  const jobs: LoadedJob[] = [];
  const more = options.acceptDivergentReplay ? { acceptDivergentReplay: true } : {};
  for (const configured of configuration.jobs) {
    const job = { ...configured, settings: { ...configured.settings, ...more } };
    const compiled = await checkConfiguredJob(job, faults);
    if (compiled !== null) jobs.push({ configuration: job, compiled });
  }
  if (faults.length > 0) throw faultsError('config-invalid', `configuration ${options.configPath}`, faults);
  return { configuration, directory: dirname(configPath), jobs };
}

/** Loads and compiles one job as configured, as every slot does. Error: job-invalid. */
export async function loadJob(job: JobConfiguration): Promise<CompiledJob> {
  return compileJob(await loadDefinition(job.modulePath, job.options), job.settings);
}

async function checkConfiguredJob(job: JobConfiguration, faults: Fault[]): Promise<CompiledJob | null> {
  const path = `jobs.${job.name}.module`;
  // Without a module there is nothing to load, and that was said already.
  if (faults.some((fault) => fault.path === path)) return null;
  let definition: JobDefinition;
  try {
    definition = await loadDefinition(job.modulePath, job.options);
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    const listed = error instanceof FaultsError ? error.faults : null;
    for (const fault of listed ?? []) faults.push({ ...fault, path: `${path}: ${fault.path}` });
    if (listed === null) faults.push({ path, message: error.message, remedy: error.remedy });
    return null;
  }
  const own: Fault[] = [];
  const compiled = checkJob(definition, job.settings, own);
  if (compiled !== null && compiled.plan.job !== job.name) {
    const remedy = 'give the job and its entry in the configuration one name';
    own.push({ path: 'name', message: `the module defines job '${compiled.plan.job}'`, remedy });
  }
  for (const fault of own) faults.push({ ...fault, path: `${path}: ${fault.path}` });
  return own.length === 0 ? compiled : null;
}

/** The job a module exports; `options` are for modules that export a function. Error: job-invalid. */
export async function loadDefinition(modulePath: string, options: unknown): Promise<JobDefinition> {
  const exported = await importDefault(modulePath, 'job module', 'job-invalid');
  if (isJobDefinition(exported)) {
    if (options === null || options === undefined) return exported;
    throw new StreamError('job-invalid', `${modulePath} takes no options`, 'remove them, or export a function of them');
  }
  if (typeof exported !== 'function') {
    throw new StreamError(
      'job-invalid',
      `${modulePath} exports no job as its default, but ${show(exported)}`,
      'end the module with export default defineJob({ … })',
    );
  }
  const made: unknown = callFactory(exported as (options: unknown) => unknown, options, modulePath);
  if (isJobDefinition(made)) return made;
  throw new StreamError('job-invalid', `the function of ${modulePath} returns no job`, 'return defineJob({ … }) in it');
}

function callFactory(factory: (options: unknown) => unknown, options: unknown, modulePath: string): unknown {
  try {
    return factory(options ?? {});
  } catch (cause) {
    if (cause instanceof StreamError) throw cause;
    const what = cause instanceof Error ? cause.message : show(cause);
    const message = `the function of ${modulePath} threw: ${what}${thrownPlace(cause)}`;
    throw new StreamError('job-invalid', message, 'correct its options or the function', { cause });
  }
}

async function loadConfig(path: string): Promise<Config> {
  const exported = await importDefault(path, 'configuration', 'config-invalid');
  if (isPlainObject(exported) && exported['kind'] === 'millrace-config') return exported['config'] as Config;
  throw new StreamError(
    'config-invalid',
    `${path} exports no configuration as its default`,
    'end it with export default defineConfig({ … })',
  );
}

async function importDefault(path: string, what: string, code: 'job-invalid' | 'config-invalid'): Promise<unknown> {
  if (!existsSync(path)) {
    const remedy =
      code === 'job-invalid' ? 'correct the path of the module' : 'create it, or name another with --config';
    throw new StreamError(code, `${what} ${path} does not exist`, remedy);
  }
  const waits = new StreamError(
    code,
    `${what} ${path} cannot be loaded: it awaits what never comes, and nothing else is left to do`,
    'await nothing at the top of a module, or only what settles',
  );
  const { promise: left, reject: leave } = Promise.withResolvers<never>();
  const nothingLeft = () => leave(waits);
  process.once('beforeExit', nothingLeft);
  try {
    const module: Readonly<Record<string, unknown>> = await Promise.race([import(pathToFileURL(path).href), left]);
    return module['default'];
  } catch (cause) {
    if (cause === waits) throw cause;
    const message = cause instanceof Error ? cause.message : show(cause);
    throw new StreamError(code, `${what} ${path} cannot be loaded: ${message}`, moduleRemedy(path, cause), { cause });
  } finally {
    process.off('beforeExit', nothingLeft);
  }
}
