// Owns a checked configuration: paths absolute, durations in milliseconds, defaults and the environment applied. Plain
// data, so it can be sent to slots. Invariant: it comes only from a definition without a fault.

import { isAbsolute, relative, resolve } from 'node:path';
import { CHECKPOINT_INTERVAL, COMMIT_INTERVAL, DEFAULT_SETTINGS } from '#jobs/compile.ts';
import type { Config } from '#jobs/config.ts';
import type { Fault } from '#jobs/faults.ts';
import { type HttpConfiguration, resolveHttp } from '#jobs/http-configuration.ts';
import { ID_PATTERN, isPlainObject, OptionReader, show } from '#jobs/option-reader.ts';
import type { JobSettings } from '#jobs/plan.ts';

export type LogConfiguration =
  | {
      readonly kind: 'kafka';
      /** `host:port` */
      readonly brokers: readonly string[];
      /** Of topics that are created; -1: the broker's default. */
      readonly replication: number;
      readonly startTimeoutMs: number;
    }
  | { readonly kind: 'embedded'; readonly directory: string; readonly retention: LogRetention };

/** What the embedded log keeps of the topics of its users. */
export interface LogRetention {
  /** Of topics that no job writes. */
  readonly sourceMs: number;
  readonly outputMs: number;
  readonly bytes: number;
}

export type StoreConfiguration =
  | { readonly kind: 'directory'; readonly directory: string }
  | {
      readonly kind: 's3';
      readonly bucket: string;
      readonly endpoint: string | null;
      readonly region: string;
      /** Empty, or with a `/` at its end. */
      readonly prefix: string;
      readonly credentials: {
        readonly accessKeyId: string;
        readonly secretAccessKey: string;
        readonly sessionToken: string | null;
      };
    };

export interface JobConfiguration {
  readonly name: string;
  /** Absolute path. */
  readonly modulePath: string;
  readonly options: Readonly<Record<string, unknown>> | null;
  /** What the configuration sets; the rest is the job module's or the default. */
  readonly settings: Partial<JobSettings>;
  readonly state: StateBackend;
}

/** Decides where keyed state lies, never what is in it: a job may change it between starts. */
export type StateBackend = 'memory' | 'leveldb';

export interface Configuration {
  readonly namespace: string;
  readonly log: LogConfiguration;
  readonly checkpoints: StoreConfiguration;
  /** Null: no admin API. */
  readonly http: HttpConfiguration | null;
  readonly slots: number;
  /** For jobs whose keyed state is not all in memory; bytes are for all slots together. */
  readonly state: { readonly directory: string; readonly memoryBytes: number };
  readonly jobs: readonly JobConfiguration[];
  /** Names of the jobs to run, when the command line says so. */
  readonly only?: readonly string[];
}

/** What the command line says; it wins over the environment, which wins over the file. */
export interface ConfigurationFlags {
  readonly slots?: number;
  readonly data?: string;
  readonly port?: number;
  /** Names of the jobs to run; without it all. */
  readonly jobs?: readonly string[];
}

export interface ResolveOptions {
  /** Relative paths of the file begin here. */
  readonly baseDirectory: string;
  /** Relative paths of flags and environment begin here. */
  readonly workingDirectory: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly flags: ConfigurationFlags;
}

const CONFIG_OPTIONS = ['namespace', 'log', 'checkpoints', 'http', 'slots', 'stateMemory', 'stateDirectory', 'jobs'];
const JOB_ENTRY_OPTIONS = [
  'module',
  'parallelism',
  'commitInterval',
  'checkpointInterval',
  'commitBytesMax',
  'replayBudget',
  'snapshotBytesMax',
  'state',
  'options',
];
const S3_OPTIONS = ['bucket', 'endpoint', 'region', 'prefix', 'credentials'];
const S3_CREDENTIALS = ['accessKeyId', 'secretAccessKey', 'sessionToken'];
const STATE_BACKENDS: readonly StateBackend[] = ['memory', 'leveldb'];
/** What an entry of the configuration may set. */
type NumberSetting = Exclude<keyof JobSettings, 'acceptDivergentReplay' | 'replayOnly' | 'trial' | 'allowDroppedState'>;

const SLOTS = { min: 1, max: 256 };
const PORT = { min: 0, max: 65_535 };
const MIB = 2 ** 20;
const EMBEDDED_OPTIONS = ['directory', 'retention', 'outputRetention', 'retentionSize'];
const HOUR_MS = 3_600_000;
const KEPT: LogRetention = { sourceMs: 24 * HOUR_MS, outputMs: 7 * 24 * HOUR_MS, bytes: 10 * 1024 * MIB };
const KEPT_TIME = { min: HOUR_MS / 12, max: 3650 * 24 * HOUR_MS };
const KEPT_SIZE = { min: 256 * MIB, max: 2 ** 20 * 1024 * MIB };
const STATE_MEMORY = { min: 16 * MIB, max: 2 ** 20 * MIB };

/** Checks a configuration; what it returns is whole only when no fault was added. */
export function resolveConfig(config: Config, options: ResolveOptions, faults: Fault[]): Configuration {
  const { environment, flags } = options;
  const reader = new OptionReader(faults, '', config, CONFIG_OPTIONS);
  const fromEnvironment = new OptionReader(
    faults,
    '',
    {
      MILLRACE_NAMESPACE: environment['MILLRACE_NAMESPACE'] || undefined,
      MILLRACE_PORT: wholeNumberOrText(environment['MILLRACE_PORT']),
    },
    ['MILLRACE_NAMESPACE', 'MILLRACE_PORT'],
  );
  const data = flags.data ?? (environment['MILLRACE_DATA'] || undefined);
  const dataDirectory = data === undefined ? null : resolve(options.workingDirectory, data);
  const faultsBefore = faults.length;
  const log = resolveLog(config?.log, options, dataDirectory, faults);
  const checkpoints = resolveStore(config?.checkpoints, options, dataDirectory, faults);
  const others = log.kind === 'embedded' ? [log.directory] : [];
  if (checkpoints.kind === 'directory') {
    if (faults.length === faultsBefore) checkApart('checkpoints', checkpoints.directory, others, faults);
    others.push(checkpoints.directory);
  }
  const placesFaulty = faults.length > faultsBefore;
  const port = fromEnvironment.integer('MILLRACE_PORT', undefined, PORT);
  const { baseDirectory } = options;
  const edges = { baseDirectory, port: flags.port ?? port, token: environment['MILLRACE_TOKEN'] };
  const http = resolveHttp(config?.http, edges, faults);
  if (http === null && flags.port !== undefined) {
    const remedy = 'leave --port out, or remove http: false from the configuration';
    faults.push({ path: '--port', message: 'is the port of the admin API, which is off', remedy });
  }
  const configuration: Configuration = {
    namespace: fromEnvironment.id('MILLRACE_NAMESPACE', reader.id('namespace', 'millrace')),
    log,
    checkpoints,
    http,
    slots: flags.slots ?? reader.integer('slots', 2, SLOTS),
    state: resolveState(reader, options, dataDirectory),
    jobs: resolveJobs(config?.jobs, options, faults),
    ...(options.flags.jobs !== undefined && { only: options.flags.jobs }),
  };
  const swapping = configuration.jobs.some((job) => job.state === 'leveldb');
  if (swapping && !placesFaulty) {
    checkApart('stateDirectory', configuration.state.directory, others, faults);
  }
  return configuration;
}

function resolveLog(
  log: unknown,
  options: ResolveOptions,
  dataDirectory: string | null,
  faults: Fault[],
): LogConfiguration {
  if (isPlainObject(log) && log['kind'] === 'embedded') {
    const reader = new OptionReader(faults, 'log', log['options'], EMBEDDED_OPTIONS);
    const retention = resolveRetention(reader);
    if (dataDirectory !== null) return { kind: 'embedded', directory: resolve(dataDirectory, 'log'), retention };
    reader.required('directory', "say where the log lies: embedded({ directory: './data/log' })");
    return { kind: 'embedded', directory: resolve(options.baseDirectory, reader.text('directory', '.')), retention };
  }
  if (isPlainObject(log) && log['kind'] === 'kafka') return resolveKafka(log['options'], options, faults);
  const remedy = "give log: kafka({ brokers: 'host:9092' }) or log: embedded({ directory: './data/log' })";
  faults.push({ path: 'log', message: log === undefined ? 'is missing' : `${show(log)} is no log`, remedy });
  return { kind: 'embedded', directory: options.baseDirectory, retention: KEPT };
}

function resolveRetention(reader: OptionReader): LogRetention {
  return {
    sourceMs: reader.duration('retention', KEPT.sourceMs, KEPT_TIME),
    outputMs: reader.duration('outputRetention', KEPT.outputMs, KEPT_TIME),
    bytes: reader.size('retentionSize', KEPT.bytes, KEPT_SIZE),
  };
}

function resolveKafka(given: unknown, options: ResolveOptions, faults: Fault[]): LogConfiguration {
  const reader = new OptionReader(faults, 'log', given, ['brokers', 'replication', 'startTimeout']);
  const raw = reader.raw('brokers') ?? '';
  const brokers = (Array.isArray(raw) ? raw.map(String) : String(raw).split(',')).map((broker) => broker.trim());
  for (const broker of brokers) {
    const port = /^(?:[A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})$/.exec(broker)?.[1];
    if (port !== undefined && Number(port) >= 1 && Number(port) <= 65_535) continue;
    reader.fault('brokers', `${show(broker)} is no broker`, "name brokers as 'host:9092', several with commas between");
  }
  for (const name of Object.keys(options.environment).sort()) {
    if (!/^KAFKA_(SASL|SSL)_/.test(name) || !options.environment[name]) continue;
    const remedy = 'unset it and use a plaintext listener, or wait for the version that brings TLS and SASL';
    faults.push({ path: name, message: 'asks for TLS or SASL, which this version does not have', remedy });
  }
  const replication = reader.integer('replication', -1, { min: -1, max: 100 });
  if (replication === 0) reader.fault('replication', '0 is not possible', 'give 1 or more, or -1 for the default');
  const startTimeoutMs = reader.duration('startTimeout', 60_000, { min: 1_000, max: 86_400_000 });
  return { kind: 'kafka', brokers, replication, startTimeoutMs };
}

function resolveStore(
  store: unknown,
  options: ResolveOptions,
  dataDirectory: string | null,
  faults: Fault[],
): StoreConfiguration {
  if (isPlainObject(store) && store['kind'] === 's3') return resolveS3(store['options'], options, faults);
  const path = isPlainObject(store) && store['kind'] === 'directory' ? store['path'] : undefined;
  if (typeof path !== 'string' || path === '') {
    const message = store === undefined ? 'is missing' : `${show(path ?? store)} is no checkpoint store`;
    faults.push({ path: 'checkpoints', message, remedy: "give checkpoints: directory('./data/checkpoints')" });
    return { kind: 'directory', directory: options.baseDirectory };
  }
  const own = resolve(options.baseDirectory, path);
  return { kind: 'directory', directory: dataDirectory === null ? own : resolve(dataDirectory, 'checkpoints') };
}

function resolveS3(given: unknown, { environment }: ResolveOptions, faults: Fault[]): StoreConfiguration {
  const reader = new OptionReader(faults, 'checkpoints', given, S3_OPTIONS);
  reader.required('bucket', "name the bucket: s3({ bucket: 'my-checkpoints' })");
  const bucket = reader.text('bucket', '');
  if (bucket !== '' && !/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) {
    reader.fault('bucket', `'${bucket}' is no name of a bucket`, 'use 3 to 63 of a-z, 0-9, - and .');
  }
  const endpoint = reader.text('endpoint', null);
  if (endpoint !== null && !/^https?:\/\/[^/?#@]+\/?$/.test(endpoint)) {
    reader.fault('endpoint', `'${endpoint}' is no endpoint`, "write it as 'https://host:port', without bucket");
  }
  const region = reader.text('region', 'us-east-1');
  const prefix = reader.text('prefix', '').replace(/\/+$/, '');
  if (!/^$|^[0-9A-Za-z._-]+(\/[0-9A-Za-z._-]+)*$/.test(prefix)) {
    reader.fault('prefix', `'${prefix}' is no prefix`, "use letters, digits, . _ and -, with / between: 'a/b'");
  }
  const credentials = reader.raw('credentials') ?? {
    accessKeyId: environment['AWS_ACCESS_KEY_ID'] || undefined,
    secretAccessKey: environment['AWS_SECRET_ACCESS_KEY'] || undefined,
    sessionToken: environment['AWS_SESSION_TOKEN'] || undefined,
  };
  const secrets = new OptionReader(faults, 'checkpoints.credentials', credentials, S3_CREDENTIALS);
  const remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give credentials: { accessKeyId: env('…'), … }";
  secrets.required('accessKeyId', remedy);
  secrets.required('secretAccessKey', remedy);
  return {
    kind: 's3',
    bucket,
    endpoint,
    region,
    prefix: prefix === '' ? '' : `${prefix}/`,
    credentials: {
      accessKeyId: secrets.text('accessKeyId', ''),
      secretAccessKey: secrets.text('secretAccessKey', ''),
      sessionToken: secrets.text('sessionToken', null),
    },
  };
}

function resolveState(reader: OptionReader, options: ResolveOptions, data: string | null): Configuration['state'] {
  const path = reader.text('stateDirectory', './data/state');
  return {
    directory: data === null ? resolve(options.baseDirectory, path) : resolve(data, 'state'),
    memoryBytes: reader.size('stateMemory', 256 * MIB, STATE_MEMORY),
  };
}

/** Log, checkpoints and state outside memory each own their directory. */
function checkApart(path: string, own: string, others: readonly string[], faults: Fault[]): void {
  const other = others.find((candidate) => contains(candidate, own) || contains(own, candidate));
  if (other === undefined) return;
  const message = `${own} and ${other} are in each other`;
  faults.push({ path, message, remedy: 'give log, checkpoints and state directories side by side' });
}

function contains(outer: string, inner: string): boolean {
  const way = relative(outer, inner);
  return !way.startsWith('..') && !isAbsolute(way);
}

function resolveJobs(given: unknown, options: ResolveOptions, faults: Fault[]): JobConfiguration[] {
  const entries = isPlainObject(given) ? Object.entries(given) : [];
  if (entries.length === 0) {
    const remedy = "give jobs: { rollups: { module: './jobs/rollups.ts' } }";
    faults.push({ path: 'jobs', message: 'names no job', remedy });
  }
  const wanted = options.flags.jobs;
  for (const name of wanted ?? []) {
    if (entries.some(([known]) => known === name)) continue;
    const remedy = `choose from: ${entries.map(([known]) => known).join(', ')}`;
    faults.push({ path: '--jobs', message: `there is no job '${name}' in the configuration`, remedy });
  }
  const jobs = entries.map(([name, entry]) => resolveJob(name, entry, options.baseDirectory, faults));
  return wanted === undefined ? jobs : jobs.filter((job) => wanted.includes(job.name));
}

function resolveJob(name: string, entry: unknown, baseDirectory: string, faults: Fault[]): JobConfiguration {
  const path = `jobs.${name}`;
  if (!ID_PATTERN.test(name)) {
    faults.push({ path, message: `${show(name)} is no id`, remedy: 'use 1 to 64 of a-z, 0-9 and -' });
  }
  const reader = new OptionReader(faults, path, entry, JOB_ENTRY_OPTIONS);
  reader.required('module', "name the job module: module: './jobs/rollups.ts'");
  const options = reader.raw('options') ?? null;
  if (options !== null && !isPlainObject(options)) {
    reader.fault('options', `${show(options)} is no object`, 'give what the module is called with: { … }');
  } else if (!isPlainData(options)) {
    reader.fault('options', 'holds more than plain data', 'use texts, numbers, booleans, lists and objects only');
  }
  const settings: Partial<Record<NumberSetting, number>> = {};
  const set = (key: NumberSetting, value: number, option: string) => {
    if (reader.has(option)) settings[key] = value;
  };
  const { parallelism, commitIntervalMs, checkpointIntervalMs, ...rest } = DEFAULT_SETTINGS;
  set('parallelism', reader.integer('parallelism', parallelism, SLOTS), 'parallelism');
  const commitMs = reader.duration('commitInterval', commitIntervalMs, COMMIT_INTERVAL);
  set('commitIntervalMs', commitMs, 'commitInterval');
  const checkpointMs = reader.duration('checkpointInterval', checkpointIntervalMs, CHECKPOINT_INTERVAL);
  set('checkpointIntervalMs', checkpointMs, 'checkpointInterval');
  const commitBytes = reader.size('commitBytesMax', rest.commitBytesMax, { min: 64 * 1024, max: 256 * MIB });
  set('commitBytesMax', commitBytes, 'commitBytesMax');
  const replayMs = reader.duration('replayBudget', rest.replayBudgetMs, { min: 100, max: 3_600_000 });
  set('replayBudgetMs', replayMs, 'replayBudget');
  const snapshotBytes = reader.size('snapshotBytesMax', rest.snapshotBytesMax, { min: MIB, max: 65_536 * MIB });
  set('snapshotBytesMax', snapshotBytes, 'snapshotBytesMax');
  return {
    name,
    modulePath: resolve(baseDirectory, reader.text('module', '.')),
    options: isPlainObject(options) ? options : null,
    settings,
    state: reader.oneOf('state', STATE_BACKENDS, 'memory'),
  };
}

/** What is no number is a fault as it was written. */
function wholeNumberOrText(set: string | undefined): number | string | undefined {
  return set !== undefined && /^\d{1,9}$/.test(set) ? Number(set) : set || undefined;
}

/** Options go to worker threads and into the job's version. */
function isPlainData(value: unknown): boolean {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return true;
  if (typeof value === 'number') return Number.isFinite(value);
  if (Array.isArray(value)) return value.every(isPlainData);
  return isPlainObject(value) && Object.values(value).every((inner) => inner === undefined || isPlainData(inner));
}
