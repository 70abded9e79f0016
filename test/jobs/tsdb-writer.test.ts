// The writer as it is configured: its plan, its tasks, what it refuses, and that no credential shows anywhere.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { compileJob } from '#jobs/compile.ts';
import { defineJob } from '#jobs/define-job.ts';
import { samples, series, stats, topic, tumbling } from '#jobs/descriptions.ts';
import { explain } from '#jobs/explain.ts';
import { loadDefinition } from '#jobs/load-job.ts';
import { taskPlans } from '#jobs/task-plans.ts';
import { describeTopics } from '#jobs/topics.ts';
import { type RemoteWriteOptions, remoteWrite, rows } from '#jobs/tsdb-words.ts';
import tsdbWriter, { type TsdbWriterOptions } from '#jobs/tsdb-writer.ts';
import { StreamError } from '#runtime/std/errors.ts';

const URL = 'http://127.0.0.1:9090/api/v1/write';
const PROMETHEUS = { name: 'prometheus', url: URL, mode: 'final', lateness: '1m' } as const;
const VICTORIA = { name: 'vm', url: 'http://127.0.0.1:8428/api/v1/write', mode: 'replaceable' } as const;
const SECRET = 'xyzzy-123';

function faultsOf(make: () => unknown): string[] {
  try {
    make();
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    expect(inspect(error, { depth: null })).not.toContain(SECRET);
    return error.message
      .split('\n')
      .slice(1)
      .filter((_, at) => at % 2 === 0)
      .map((line) => line.trim());
  }
  return [];
}

function faultsOfTarget(change: object): string[] {
  const target = { ...PROMETHEUS, ...change } as RemoteWriteOptions;
  const all = faultsOf(() => compileJob(tsdbWriter({ targets: [target], rollups: ['r'] })));
  return all.map((fault) => fault.replace(/^target '\w+'/, 'target'));
}

function tasksOf(options: TsdbWriterOptions) {
  const job = compileJob(tsdbWriter(options));
  const run = { namespace: 'n', job: job.plan.job, run: 'live', generation: 0 };
  const known = { partitionCount: 2, maxMessageBytes: 1_000_000 };
  const sources = Object.fromEntries(job.plan.sources.map((source) => [source.topic, known]));
  const tasks = taskPlans({ job, version: 'v', run, sources });
  return { job, tasks, needs: describeTopics(job.plan, run, sources) };
}

test('the plan of the writer', async () => {
  const { plan, settings } = compileJob(tsdbWriter({ targets: [PROMETHEUS, VICTORIA], raw: true }));
  await expect(explain(plan, settings)).toMatchFileSnapshot('../golden/plans/tsdb-writer.txt');
});

test('each topic is read once for each target, by tasks of their own', () => {
  const { tasks, needs } = tasksOf({ targets: [PROMETHEUS, VICTORIA], rollups: ['a.1m', 'b'], raw: 'raw' });
  expect(
    tasks
      .filter(({ identity }) => identity.partition === 0)
      .map(({ identity, input }) => [identity.stage, input.topic]),
  ).toEqual([
    ['prometheus-a-1m', 'a.1m'],
    ['prometheus-b', 'b'],
    ['prometheus-raw', 'raw'],
    ['vm-a-1m', 'a.1m'],
    ['vm-b', 'b'],
    ['vm-raw', 'raw'],
  ]);
  expect(tasks.map((task) => task.program({}).effects?.length)).toEqual(Array(12).fill(1));
  const made = needs.filter(({ use }) => use === 'late' || use === 'dead-letter').map((need) => need.topic);
  expect(made.sort()).toEqual(['a.1m.dead-letter', 'b.dead-letter', 'raw.dead-letter', 'raw.late.prometheus']);
});

test('offsets are published under the group of the writers, with several targets under one for each', () => {
  const groups = (targets: TsdbWriterOptions['targets'], group?: string) =>
    new Set(tasksOf({ targets, group, raw: true }).tasks.map(({ offsetsGroup }) => offsetsGroup));
  expect(groups([VICTORIA])).toEqual(new Set(['tsdb-writers']));
  expect(groups([VICTORIA, PROMETHEUS], 'g')).toEqual(new Set(['g.vm', 'g.prometheus']));
});

test('rows wait for corrections, samples do not', () => {
  const holds = (target: object) => {
    const { stages } = compileJob(
      tsdbWriter({ targets: [{ ...PROMETHEUS, ...target }], rollups: ['r'], raw: true }),
    ).plan;
    return stages.flatMap(({ steps }) => steps.map((step) => (step.kind === 'remote-write' ? step.hold : null)));
  };
  const atOnce = { latenessMs: 0, corrections: 'wait' };
  expect(holds({})).toEqual([{ latenessMs: 60_000, corrections: 'wait' }, atOnce]);
  expect(holds({ lateness: undefined, corrections: 'drop' })).toEqual([{ latenessMs: 0, corrections: 'drop' }, atOnce]);
});

test('raw samples are read as their own options say', () => {
  const sourceOf = (raw: TsdbWriterOptions['raw']) =>
    compileJob(tsdbWriter({ targets: [PROMETHEUS], rollups: false, raw, rawOutOfOrderness: '1s' })).plan.sources[0];
  expect(sourceOf('r')).toMatchObject({ topic: 'r', outOfOrdernessMs: 1_000, consumerGroup: 'tsdb-writers' });
  expect(sourceOf({ topic: 'r', outOfOrderness: '9s', lateTopic: 'l', badRecords: 'skip' })).toMatchObject({
    ...{ topic: 'r', outOfOrdernessMs: 9_000, lateTopic: 'l', badRecords: 'skip' },
    consumerGroup: 'tsdb-writers',
  });
});

test('addresses and credentials stand in no plan and in no version; what decides output does', () => {
  const plain = compileJob(tsdbWriter({ targets: [PROMETHEUS] }));
  const moved = compileJob(
    tsdbWriter({
      targets: [
        { ...PROMETHEUS, url: 'https://elsewhere/write', bearerToken: SECRET, requestSamplesMax: 7, timeout: '1s' },
      ],
    }),
  );
  expect(moved.plan).toEqual(plain.plan);
  expect(moved.optionsInPlan).toBe(true);
  for (const change of [
    { lateness: '2m' },
    { mode: 'replaceable', lateness: undefined },
    { names: 'any' },
    { name: 'p' },
  ]) {
    const other = compileJob(tsdbWriter({ targets: [{ ...PROMETHEUS, ...change } as RemoteWriteOptions] }));
    expect(other.plan, JSON.stringify(change)).not.toEqual(plain.plan);
  }
});

test('credentials become the header of each request', () => {
  const headersOf = (change: object) => {
    const { targets } = compileJob(tsdbWriter({ targets: [{ ...PROMETHEUS, ...change }], rollups: ['r'] }));
    return [...targets.values()][0].headers;
  };
  expect(headersOf({ bearerToken: SECRET })).toEqual({ authorization: `Bearer ${SECRET}` });
  expect(headersOf({ basicAuth: { user: 'u', password: 'p:ß' } })).toEqual({ authorization: 'Basic dTpwOsOf' });
  expect(headersOf({ headers: { 'X-Scope-OrgID': 'a' } })).toEqual({ 'x-scope-orgid': 'a' });
});

test.each<[object, string]>([
  [{ url: undefined }, 'target.url: is missing'],
  [{ url: 'prometheus:9090' }, "target.url: 'prometheus:9090' is no http or https address"],
  [{ url: `http://u:${SECRET}@host/` }, 'target.url: holds a user or password'],
  [{ mode: undefined }, 'target.mode: is missing'],
  [{ mode: 'once' }, "target.mode: 'once' is not possible"],
  [{ mode: 'replaceable' }, 'target.lateness: is of final targets only'],
  [{ corrections: 'drop' }, 'target.lateness: waits for corrections that are dropped'],
  [{ bearerToken: undefined }, 'target.bearerToken: is not set'],
  [{ bearerToken: `${SECRET}\n` }, 'target.bearerToken: is no token'],
  [{ bearerToken: { SECRET } }, 'target.bearerToken: is no token'],
  [{ bearerToken: 'a', basicAuth: { user: 'u', password: SECRET } }, 'target.bearerToken: stands beside basicAuth'],
  [{ basicAuth: { user: 'u', password: undefined } }, 'target.basicAuth.password: is not set'],
  [{ basicAuth: { user: 'a:b', password: SECRET } }, 'target.basicAuth.user: holds a colon'],
  [{ basicAuth: { user: 'u', password: SECRET, pass: SECRET } }, 'target.basicAuth.pass: is not an option here'],
  [{ headers: { authorization: SECRET } }, 'target.headers.authorization: is set by the writer'],
  [{ headers: { 'X-A': undefined } }, 'target.headers.X-A: is not set'],
  [{ headers: { 'X-A': `${SECRET}\r\nX-B: 1` } }, 'target.headers.X-A: has no text'],
  [{ headers: { 'bad name': '1' } }, 'target.headers.bad name: is no name of a header'],
  [{ tls: { ca: '/nowhere/ca.pem' } }, "target.tls.ca: '/nowhere/ca.pem' cannot be read"],
  [{ tls: { ca: 'package.json' } }, "target.tls.ca: 'package.json' is no PEM file"],
  [{ tls: { key: undefined } }, 'target.tls.key: is not set'],
  [
    { tls: { ca: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----' } },
    'target.tls.ca: holds no certificates that can be read',
  ],
  [{ tls: { key: '-----BEGIN PRIVATE KEY-----' } }, 'target.tls.certificate: is missing beside key'],
  [{ tls: { certificate: '-----BEGIN CERTIFICATE-----' } }, 'target.tls.key: is missing beside certificate'],
  [
    { tls: { certificate: '-----BEGIN CERTIFICATE-----', key: `-----BEGIN ${SECRET}` } },
    'target.tls.key: is not that of the certificate, or one of them cannot be read',
  ],
  [{ headers: { 'Transfer-Encoding': 'chunked' } }, 'target.headers.Transfer-Encoding: is set by the writer'],
  [{ headers: { Expect: '100-continue' } }, 'target.headers.Expect: is set by the writer'],
  [{ requestBytesMax: '1TiB' }, 'target.requestBytesMax: 1TiB is out of range'],
  [{ names: 'all' }, "target.names: 'all' is not possible"],
  [{ batch: 1 }, 'target.batch: is not an option here'],
])('a target with %j is refused', (change, fault) => {
  expect(faultsOfTarget(change)).toContain(fault);
});

test('certificates and keys that belong together are taken, as texts or files', () => {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-pem-'));
  try {
    const pair = (name: string) => {
      const [key, certificate] = [join(directory, `${name}.key`), join(directory, `${name}.pem`)];
      const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
      const files = ['-keyout', key, '-out', certificate];
      execFileSync('openssl', ['req', '-x509', ...curve, '-subj', '/CN=a', ...files], { stdio: 'ignore' });
      return { certificate, key };
    };
    const [one, two] = [pair('one'), pair('two')];
    const ca = `# ours\n${readFileSync(one.certificate, 'utf8')}${readFileSync(two.certificate, 'utf8')}`;
    const inside = join(directory, 'ca.pem');
    writeFileSync(inside, ca);
    expect(faultsOfTarget({ tls: { ca: inside, ...one } })).toEqual([]);
    expect(faultsOfTarget({ tls: { ...one, key: readFileSync(one.key, 'utf8') } })).toEqual([]);
    expect(faultsOfTarget({ tls: { ...one, key: two.key } })).toEqual([
      'target.tls.key: is not that of the certificate, or one of them cannot be read',
    ]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test('options that are wrong are told all at once', () => {
  const options = { targets: [PROMETHEUS, PROMETHEUS, 7], rollups: 5, raw: 3, topics: 1 };
  expect(faultsOf(() => tsdbWriter(options as unknown as TsdbWriterOptions))).toEqual([
    'options.topics: is not an option here',
    "options.targets[1].name: 'prometheus' stands twice",
    'options.targets[2]: is no object',
    'options.rollups: 5 are no topics',
    'options.raw: 3 is no topic',
  ]);
  expect(faultsOf(() => tsdbWriter({ targets: [PROMETHEUS], rollups: false }))).toEqual([
    'options.raw: is off beside rollups: nothing is read',
  ]);
  expect(faultsOf(() => tsdbWriter({} as TsdbWriterOptions))).toEqual(['options.targets: names no target']);
});

test('the module is loaded as any other', async () => {
  const path = new globalThis.URL('../../jobs/tsdb-writer.ts', import.meta.url).pathname;
  const job = compileJob(await loadDefinition(path, { targets: [VICTORIA], name: 'mine', commitInterval: '2s' }));
  expect(job.plan.job).toBe('mine');
  expect(job.settings.commitIntervalMs).toBe(2_000);
});

const raw = samples({ topic: 'raw' });

test('own jobs send samples and rows of topics, alone from their source', () => {
  const job = defineJob({
    name: 'own',
    sources: { raw, minutes: rows({ topic: 'r.1m', id: 'm' }) },
    build: (streams) => {
      streams.raw
        .filter('production', ({ labels }) => labels['env'] === 'production')
        .map('shorter', ({ labels, ...sample }) => ({ ...sample, labels: { host: labels['host'] } }))
        .to(remoteWrite(PROMETHEUS));
      streams.minutes.to(remoteWrite({ ...VICTORIA, id: 'to-vm' }));
    },
  });
  const { stages } = compileJob(job).plan;
  expect(stages.map(({ id, steps }) => [id, ...steps.map((step) => step.id)])).toEqual([
    ['raw', 'production', 'shorter', 'shorter-to-prometheus'],
    ['m', 'to-vm'],
  ]);
});

test.each<[string, (stream: never) => void, string]>([
  [
    'rows of windows',
    (stream: {
      keyBy: (key: unknown) => {
        window: (...of: unknown[]) => { aggregate: (of: unknown) => { to: (of: unknown) => void } };
      };
    }) => stream.keyBy(series).window('1m', tumbling('1m')).aggregate(stats()).to(remoteWrite(PROMETHEUS)),
    "target 'prometheus': is fed rows",
  ],
  [
    'samples beside an exchange',
    (stream: {
      to: (of: unknown) => void;
      keyBy: (key: unknown) => {
        window: (...of: unknown[]) => { aggregate: (of: unknown) => { to: (of: unknown) => void } };
      };
    }) => {
      stream.to(remoteWrite(PROMETHEUS));
      stream.keyBy(series).window('1m', tumbling('1m')).aggregate(stats()).to(topic('out'));
    },
    "target 'prometheus': shares its source with keyBy 'key-by-series', which would wait for it",
  ],
  [
    'one source for two targets',
    (stream: { to: (of: unknown) => void }) => {
      stream.to(remoteWrite(PROMETHEUS));
      stream.to(remoteWrite(VICTORIA));
    },
    "target 'vm': shares its source with remote-write 'samples-to-prometheus', which would wait for it",
  ],
  [
    'corrections of samples',
    (stream: { to: (of: unknown) => void }) => stream.to(remoteWrite({ ...PROMETHEUS, corrections: 'wait' })),
    "target 'prometheus'.corrections: is of rows only: samples are not corrected",
  ],
])('%s cannot go to a receiver', (_, build, fault) => {
  expect(faultsOf(() => compileJob(defineJob({ name: 'own', source: raw, build: build as never })))).toContain(fault);
});
