// Configurations: what they mean, what wins over what, and that a wrong one tells all its faults.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Config, defineConfig, directory, embedded, kafka, s3 } from '#jobs/config.ts';
import { type ConfigurationFlags, resolveConfig } from '#jobs/configuration.ts';
import type { Fault } from '#jobs/faults.ts';
import { loadDefinition, loadInstallation, loadJob } from '#jobs/load-job.ts';
import { StreamError } from '#runtime/std/errors.ts';

const ROLLUPS = new URL('../../jobs/rollups.ts', import.meta.url).pathname;

const HOUR_MS = 3_600_000;
const KEPT = { sourceMs: 24 * HOUR_MS, outputMs: 168 * HOUR_MS, bytes: 10 * 2 ** 30 };

const GOOD: Config = {
  log: embedded({ directory: './data/log' }),
  checkpoints: directory('./data/checkpoints'),
  jobs: { rollups: { module: './jobs/rollups.ts' } },
};

function resolved(config: unknown, environment: Record<string, string> = {}, flags: ConfigurationFlags = {}) {
  const faults: Fault[] = [];
  const options = { baseDirectory: '/install', workingDirectory: '/here', environment, flags };
  return { configuration: resolveConfig(config as Config, options, faults), faults };
}

function pathsOf(config: unknown, environment: Record<string, string> = {}, flags: ConfigurationFlags = {}): string[] {
  const { faults } = resolved(config, environment, flags);
  for (const fault of faults) expect(fault.remedy.length, fault.path).toBeGreaterThan(5);
  return faults.map((fault) => fault.path);
}

describe('a good configuration', () => {
  test('gets defaults, and paths relative to its file', () => {
    const { configuration, faults } = resolved(GOOD);
    expect(faults).toEqual([]);
    expect(configuration).toEqual({
      namespace: 'millrace',
      log: { kind: 'embedded', directory: '/install/data/log', retention: KEPT },
      checkpoints: { kind: 'directory', directory: '/install/data/checkpoints' },
      http: { host: '127.0.0.1', port: 8081, advertise: null, tls: null, token: null },
      slots: 2,
      state: { directory: '/install/data/state', memoryBytes: 268_435_456 },
      jobs: [{ name: 'rollups', modulePath: '/install/jobs/rollups.ts', options: null, settings: {}, state: 'memory' }],
    });
  });

  test('reads durations and sizes of a job, and only those that are set', () => {
    const rollups = {
      module: 'a.ts',
      parallelism: 3,
      commitInterval: '1s',
      checkpointInterval: '5m',
      commitBytesMax: '1MiB',
      replayBudget: '10s',
      snapshotBytesMax: '32MiB',
      options: { topic: 'raw' },
    };
    const { configuration, faults } = resolved({ ...GOOD, jobs: { rollups } });
    expect(faults).toEqual([]);
    expect(configuration.jobs[0]).toMatchObject({
      options: { topic: 'raw' },
      settings: {
        parallelism: 3,
        commitIntervalMs: 1_000,
        checkpointIntervalMs: 300_000,
        commitBytesMax: 1_048_576,
        replayBudgetMs: 10_000,
        snapshotBytesMax: 33_554_432,
      },
    });
  });

  test('says which bucket checkpoints lie in, with credentials of its own or of the environment', () => {
    const secrets = { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret', MILLRACE_DATA: '/mine' };
    const short = resolved({ ...GOOD, checkpoints: s3({ bucket: 'my-checkpoints' }) }, secrets);
    expect(short.faults).toEqual([]);
    expect(short.configuration.checkpoints).toEqual({
      kind: 's3',
      bucket: 'my-checkpoints',
      endpoint: null,
      region: 'us-east-1',
      prefix: '',
      credentials: { accessKeyId: 'id', secretAccessKey: 'secret', sessionToken: null },
    });
    const credentials = { accessKeyId: 'own', secretAccessKey: 'own secret', sessionToken: 'token' };
    const given = { bucket: 'b.1', endpoint: 'http://127.0.0.1:9000', region: 'local', prefix: 'a/b/', credentials };
    const long = resolved({ ...GOOD, checkpoints: s3(given) }, secrets);
    expect(long.faults).toEqual([]);
    expect(long.configuration.checkpoints).toEqual({ kind: 's3', ...given });
  });

  test('says where keyed state lives and how much memory it has', () => {
    const jobs = { rollups: { module: 'a.ts', state: 'leveldb' } };
    const given = { ...GOOD, stateMemory: '2GiB', stateDirectory: '/fast/state', jobs };
    const { configuration, faults } = resolved(given);
    expect(faults).toEqual([]);
    expect(configuration.state).toEqual({ directory: '/fast/state', memoryBytes: 2 ** 31 });
    expect(configuration.jobs[0].state).toBe('leveldb');
    expect(resolved(given, { MILLRACE_DATA: '/mine' }).configuration.state.directory).toBe('/mine/state');
  });

  test('the command line wins over the environment, which wins over the file', () => {
    const config = { ...GOOD, namespace: 'file', http: { port: 1 } };
    const environment = { MILLRACE_NAMESPACE: 'environment', MILLRACE_PORT: '2', MILLRACE_DATA: 'mine' };
    const fromEnvironment = resolved(config, environment).configuration;
    expect(fromEnvironment.namespace).toBe('environment');
    expect(fromEnvironment.http?.port).toBe(2);
    expect(fromEnvironment.log).toEqual({ kind: 'embedded', directory: '/here/mine/log', retention: KEPT });
    expect(fromEnvironment.checkpoints).toEqual({ kind: 'directory', directory: '/here/mine/checkpoints' });
    const flags = { port: 3, data: '/other', slots: 7, jobs: ['rollups'] };
    const fromFlags = resolved(config, environment, flags).configuration;
    expect(fromFlags.http?.port).toBe(3);
    expect(fromFlags.slots).toBe(7);
    expect(fromFlags.checkpoints).toEqual({ kind: 'directory', directory: '/other/checkpoints' });
  });

  test('names Kafka brokers in either form', () => {
    const twice = ['a:9092', '[::1]:9093'];
    for (const brokers of ['a:9092, [::1]:9093', twice]) {
      const { configuration, faults } = resolved({ ...GOOD, log: kafka({ brokers, replication: 3 }) });
      expect(faults).toEqual([]);
      expect(configuration.log).toEqual({ kind: 'kafka', brokers: twice, replication: 3, startTimeoutMs: 60_000 });
    }
  });

  test('runs only the jobs that were asked for', () => {
    const jobs = { a: { module: 'a.ts' }, b: { module: 'b.ts' } };
    expect(resolved({ ...GOOD, jobs }, {}, { jobs: ['b'] }).configuration.jobs.map((job) => job.name)).toEqual(['b']);
  });
});

describe('a wrong configuration', () => {
  test('tells all faults at once', () => {
    const config = {
      namespace: 'Mine!',
      log: kafka({ brokers: 'localhost', replication: 0 }),
      checkpoints: './data',
      http: { host: '0.0.0.0', prot: 1 },
      slots: 0,
      job: {},
      jobs: {
        'Roll Ups': { modul: 'x.ts', parallelism: 1.5, commitInterval: '5', commitBytesMax: '1MB', options: 3 },
      },
    };
    expect(pathsOf(config)).toEqual([
      'job',
      'log.brokers',
      'log.replication',
      'checkpoints',
      'http.prot',
      'http.host',
      'namespace',
      'slots',
      'jobs.Roll Ups',
      'jobs.Roll Ups.modul',
      'jobs.Roll Ups.module',
      'jobs.Roll Ups.options',
      'jobs.Roll Ups.parallelism',
      'jobs.Roll Ups.commitInterval',
      'jobs.Roll Ups.commitBytesMax',
    ]);
  });

  test.each<[string, unknown, string[]]>([
    ['nothing', {}, ['log', 'checkpoints', 'jobs']],
    ['brokers that are not set', { ...GOOD, log: kafka({ brokers: undefined }) }, ['log.brokers']],
    ['a broker with port 0', { ...GOOD, log: kafka({ brokers: 'a:0' }) }, ['log.brokers']],
    ['checkpoints inside the log', { ...GOOD, checkpoints: directory('./data/log/checkpoints') }, ['checkpoints']],
    [
      'a bucket that is none',
      { ...GOOD, checkpoints: s3({ bucket: 'B', endpoint: 'minio:9000', prefix: '/a', region: '' }) },
      ['bucket', 'endpoint', 'region', 'prefix', 'credentials.accessKeyId', 'credentials.secretAccessKey'].map(
        (option) => `checkpoints.${option}`,
      ),
    ],
    [
      'state outside memory among the checkpoints',
      { ...GOOD, stateDirectory: './data/checkpoints', jobs: { a: { module: 'a.ts', state: 'leveldb' } } },
      ['stateDirectory'],
    ],
    [
      'an unknown place for state',
      { ...GOOD, stateMemory: '1MiB', jobs: { a: { module: 'a.ts', state: 'rocksdb' } } },
      ['stateMemory', 'jobs.a.state'],
    ],
    [
      'an embedded log that keeps nothing',
      { ...GOOD, log: { kind: 'embedded', options: { directory: 'a', retention: '1s', retentionSize: 5 } } },
      ['log.retention', 'log.retentionSize'],
    ],
    ['log inside the checkpoints', { ...GOOD, checkpoints: directory('./data') }, ['checkpoints']],
    ['functions as options', { ...GOOD, jobs: { a: { module: 'a', options: { f() {} } } } }, ['jobs.a.options']],
    ['an embedded log without directory', { ...GOOD, log: { kind: 'embedded', options: {} } }, ['log.directory']],
  ])('%s is refused', (_, config, paths) => {
    expect(pathsOf(config)).toEqual(paths);
  });

  test('variables of the environment are checked too', () => {
    const environment = {
      MILLRACE_PORT: 'http',
      MILLRACE_NAMESPACE: 'A',
      KAFKA_SASL_USERNAME: 'me',
      KAFKA_SSL_CA: 'x',
    };
    expect(pathsOf(GOOD, environment)).toEqual(['MILLRACE_PORT', 'MILLRACE_NAMESPACE']);
    expect(pathsOf({ ...GOOD, log: kafka({ brokers: 'a:1' }) }, environment)).toEqual([
      'KAFKA_SASL_USERNAME',
      'KAFKA_SSL_CA',
      'MILLRACE_PORT',
      'MILLRACE_NAMESPACE',
    ]);
  });

  test.each(['http', '0x50', '8e3', '-1', '8081 ', '65536'])('the port %j is refused as it was written', (port) => {
    const { faults } = resolved(GOOD, { MILLRACE_PORT: port });
    expect(faults).toMatchObject([{ path: 'MILLRACE_PORT', message: expect.stringContaining(port) }]);
  });

  test('a job that is asked for and not there is named with those that are', () => {
    const { faults } = resolved(GOOD, {}, { jobs: ['rolups'] });
    expect(faults).toEqual([
      {
        path: '--jobs',
        message: "there is no job 'rolups' in the configuration",
        remedy: 'choose from: rollups',
      },
    ]);
  });
});

describe('loading', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'millrace-config-'));
    mkdirSync(join(folder, 'jobs'));
  });

  afterEach(() => rmSync(folder, { recursive: true }));

  function write(name: string, text: string): string {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  }

  function writeConfig(jobs: object): string {
    const config = defineConfig({ ...GOOD, jobs: jobs as Config['jobs'] });
    return write('jobs.config.ts', `export default ${JSON.stringify(config)};`);
  }

  function load(configPath: string) {
    return loadInstallation({ configPath, workingDirectory: folder, environment: {}, flags: {} });
  }

  test('options of the configuration reach the module', async () => {
    const options = { topic: 'raw', partitionedBy: 'series' };
    const configPath = writeConfig({ rollups: { module: ROLLUPS, parallelism: 2, options } });
    const { jobs } = await load(configPath);
    expect(jobs[0].compiled.plan.sources[0]).toMatchObject(options);
    expect(jobs[0].compiled.settings).toMatchObject({ parallelism: 2, commitIntervalMs: 200 });
  });

  test('faults of configuration and modules stand in one error', async () => {
    const configPath = writeConfig({
      rollups: { module: ROLLUPS, options: { outOfOrderness: '5x' }, parallelism: 0 },
      gone: { module: './jobs/gone.ts' },
      other: { module: ROLLUPS },
    });
    const error: unknown = await load(configPath).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(StreamError);
    const { code, message } = error as StreamError;
    expect(code).toBe('config-invalid');
    expect(message.split('\n').filter((line) => /^ {2}\S/.test(line))).toEqual([
      '  jobs.rollups.parallelism: 0 is not possible',
      "  jobs.rollups.module: source.outOfOrderness: '5x' is no duration",
      `  jobs.gone.module: job module ${join(folder, 'jobs/gone.ts')} does not exist`,
      "  jobs.other.module: name: the module defines job 'rollups'",
    ]);
  });

  test.each<[string, string, string]>([
    ['no default', 'export const job = 1;', 'exports no job as its default, but undefined'],
    ['another default', 'export default 5;', 'exports no job as its default, but 5'],
    ['a function of nothing', 'export default () => 5;', 'returns no job'],
    ['a throwing function', "export default () => { throw new Error('not today'); };", 'threw: not today'],
    ['a throwing module', "throw new Error('not today');", 'cannot be loaded: not today'],
  ])('a module with %s is refused', async (name, text, message) => {
    const path = write(`${name.replaceAll(' ', '-')}.ts`, text);
    await expect(loadDefinition(path, null)).rejects.toThrow(message);
  });

  test('an option that rollups does not know is answered with the one that was meant', async () => {
    const options = { alowedLateness: '1m' };
    const job = { name: 'rollups', modulePath: ROLLUPS, options, settings: {}, state: 'memory' } as const;
    await expect(loadJob(job)).rejects.toThrow("did you mean 'allowedLateness'?");
  });

  test('options for a module that takes none are refused', async () => {
    const path = write('plain.ts', "export default { kind: 'millrace-job', spec: {} };");
    await expect(loadDefinition(path, { a: 1 })).rejects.toThrow('takes no options');
  });

  test('a configuration that is not there is said so', async () => {
    await expect(load('none.ts')).rejects.toMatchObject({ code: 'config-invalid', remedy: /--config/ });
  });
});
