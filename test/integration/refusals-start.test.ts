// What a person gets wrong before anything runs: usage, configuration, job module, directories, a topic that is not
// there. One line of what, one of remedy, no stack, the exit code of CONTRACT, and nothing started.

import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Installation, Product } from './process-harness.ts';
import { refusalOf, USER_VIEW } from './refusal.ts';
import { feed, OPTIONS, smallScript } from './refusals-embedded-world.ts';
import { withLog } from './rollups-embedded-log.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const CONFIG_MODULE = pathToFileURL(join(ROOT, 'jobs/config.ts')).href;
const ROLLUPS = join(ROOT, 'jobs/rollups.ts');
/** Root may write everywhere; the product runs as nobody then. */
const AS_NOBODY =
  'data:text/javascript,if (process.getuid() === 0) { process.setgroups([]); process.setgid(65534); process.setuid(65534); }';

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-refusals-'));
  await writeFile(join(directory, 'a-file'), 'not a directory');
});
afterAll(() => rm(directory, { recursive: true, force: true }));

interface Case {
  readonly what: string;
  /** Body of the configuration; without it there is no file. */
  readonly config?: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly code?: number;
  readonly says: RegExp;
  readonly remedy: RegExp;
}

const LOG = "log: embedded({ directory: './data/log' })";
const STORE = "checkpoints: directory('./data/checkpoints')";
const JOBS = `jobs: { rollups: { module: ${JSON.stringify(ROLLUPS)} } }`;
const GOOD = [LOG, STORE, JOBS].join(', ');

const CASES: readonly Case[] = [
  {
    what: 'an option that does not exist',
    args: ['up', '--slot', '3'],
    code: 2,
    says: /^--slot is no option; did you mean --slots\?$/,
    remedy: /^see millrace (up )?--help$/,
  },
  {
    what: 'a command that does not exist',
    args: ['upp'],
    code: 2,
    says: /^'upp' is no command; did you mean 'up'\?$/,
    remedy: /^see millrace (up )?--help$/,
  },
  {
    what: 'a configuration that is not there',
    says: /^configuration \S+jobs\.config\.ts does not exist$/,
    remedy: /^create it, or name another with --config$/,
  },
  {
    what: 'a configuration that is no TypeScript',
    config: `${GOOD} }); } const (`,
    says: /^configuration \S+ cannot be loaded: /,
    remedy: /^mend the module$/,
  },
  {
    what: 'a log level that does not exist',
    config: GOOD,
    env: { LOG_LEVEL: 'loud' },
    says: /^LOG_LEVEL 'loud' is not possible$/,
    remedy: /^choose one of debug, info, warn, error, silent$/,
  },
  {
    what: 'a job module that is not there',
    config: `${LOG}, ${STORE}, jobs: { rollups: { module: './nowhere.ts' } }`,
    says: /^configuration \S+ has 1 fault:\njobs\.rollups\.module: job module \S+nowhere\.ts does not exist\nremedy: correct/,
    remedy: /^mend what is listed; nothing was started$/,
  },
  {
    what: 'a job module that throws',
    config: `${LOG}, ${STORE}, jobs: { rollups: { module: './throws.ts' } }`,
    files: { 'throws.ts': "throw new Error('the author forgot something');" },
    says: /jobs\.rollups\.module: job module \S+throws\.ts cannot be loaded: the author forgot something\nremedy: mend/,
    remedy: /^mend what is listed; nothing was started$/,
  },
  {
    what: 'a job module that waits for what never comes',
    config: `${LOG}, ${STORE}, jobs: { rollups: { module: './waits.ts' } }`,
    files: { 'waits.ts': 'await new Promise(() => {});' },
    says: /jobs\.rollups\.module: job module \S+waits\.ts cannot be loaded: it awaits what never comes, .*\nremedy: await nothing/,
    remedy: /^mend what is listed; nothing was started$/,
  },
  {
    what: 'a job module that leaves a promise behind which fails',
    config: `${LOG}, ${STORE}, jobs: { rollups: { module: './leaves.ts' } }`,
    files: {
      'leaves.ts': "Promise.reject(new Error('nobody hears'));\nawait new Promise((done) => setTimeout(done, 5_000));",
    },
    says: /^something nobody waited for failed: nobody hears \(at \S+leaves\.ts:1:16\)$/,
    remedy: /^look there: a module of a job or a configuration must leave no timer and no promise behind/,
  },
  {
    what: 'the log below a regular file',
    config: `log: embedded({ directory: '../a-file/log' }), ${STORE}, ${JOBS}`,
    says: /^directory \S+a-file\/log cannot be written: ENOTDIR/,
    remedy: /^give this user write access to it, or name another directory$/,
  },
  {
    what: 'the checkpoints below a regular file',
    config: `${LOG}, checkpoints: directory('../a-file/checkpoints'), ${JOBS}`,
    says: /^checkpoint directory '\S+a-file\/checkpoints': cannot \w+ .* \(ENOTDIR\)$/,
    remedy: /^let the user Millrace runs as write to '\S+', or name another directory for checkpoints$/,
  },
  {
    what: 'a source topic that is not there',
    config: GOOD,
    says: /^job rollups: source topic 'metrics\.raw' does not exist$/,
    remedy: /^create it with the partitions you need, or name another in source\.topic of \S+rollups\.ts$/,
  },
];

test.each(CASES)('$what is refused', async ({ what, config, files = {}, args, env = {}, code = 1, says, remedy }) => {
  const own = join(directory, what.replaceAll(' ', '-'));
  await mkdir(own);
  await writeFiles(own, config, files);
  const command = args ?? ['up', '--config', join(own, 'jobs.config.ts')];
  const refusal = await refusalOf(new Product(['jobs/main.ts', ...command], { ...USER_VIEW, ...env }));
  expect(refusal).toMatchObject({ code, stack: [], what: [expect.stringMatching(says)] });
  expect(refusal.remedies).toEqual([expect.stringMatching(remedy)]);
});

test('a wrong configuration tells all its faults at once and starts nothing', async () => {
  const own = join(directory, 'all-faults');
  await mkdir(own);
  const jobs = [
    "'Not An Id': { modul: './a.ts' }",
    `rollups: { module: ${JSON.stringify(ROLLUPS)}, commitInterval: 'soon', checkpointInterval: '1ms', parallelism: 0, options: { outOfOrdernes: '5s' } }`,
  ].join(', ');
  const config = [
    "namespace: 'Not An Id'",
    'slots: 1.5',
    "http: { host: '0.0.0.0', port: 99999 }",
    "log: kafka({ brokers: 'localhost', replication: 0, startTimeout: '0s' })",
    'checkpoints: { kind: "directory" }',
    `jobs: { ${jobs} }`,
    'extra: true',
  ].join(', ');
  await writeFiles(own, config, {});
  const args = ['jobs/main.ts', 'up', '--config', join(own, 'jobs.config.ts')];
  const env = { ...USER_VIEW, KAFKA_SASL_USERNAME: 'somebody', MILLRACE_PORT: 'http' };
  const refusal = await refusalOf(new Product(args, env));
  expect(refusal).toMatchObject({ code: 1, stack: [], remedies: ['mend what is listed; nothing was started'] });
  const lines = refusal.what.join('\n').split('\n');
  const faults = lines.slice(1).filter((line) => !line.startsWith('remedy: '));
  const paths = faults.map((line) => /^(jobs\.rollups\.module: \S+|jobs\.Not An Id\S*|\S+):/.exec(line)?.[1]);
  expect(paths.toSorted()).toEqual([
    'KAFKA_SASL_USERNAME',
    'MILLRACE_PORT',
    'checkpoints',
    'extra',
    'http.host',
    'http.port',
    'jobs.Not An Id',
    'jobs.Not An Id.modul',
    'jobs.Not An Id.module',
    'jobs.rollups.checkpointInterval',
    'jobs.rollups.commitInterval',
    'jobs.rollups.module: options.outOfOrdernes',
    'jobs.rollups.parallelism',
    'log.brokers',
    'log.replication',
    'log.startTimeout',
    'namespace',
    'slots',
  ]);
  expect(lines.filter((line) => line.startsWith('remedy: '))).toHaveLength(faults.length);
  expect(await readdir(own)).toEqual(['jobs.config.ts']);
});

test('directories that this user cannot write are refused, before anything is written', async ({ skip }) => {
  const installation = await Installation.create(OPTIONS);
  try {
    await withLog(installation, (client) => feed(client, smallScript(2), 10));
    const first = installation.start();
    await first.waitForLine(/installation claimed/, 120_000);
    expect((await first.stop()).code).toBe(0);
    const hidden = process.getuid?.() === 0 && !(await reachable(ROOT));
    skip(hidden, 'root may write everywhere, and nobody else can read the program here');
    await chmod(installation.directory, 0o755);
    await chmodAll(join(installation.directory, 'data'), 0o555, 0o444);
    const start = () => {
      const config = join(installation.directory, 'jobs.config.ts');
      return new Product(['--import', AS_NOBODY, 'jobs/main.ts', 'up', '--config', config], USER_VIEW);
    };
    const log = await refusalOf(start());
    expect(log).toMatchObject({ code: 1, stack: [] });
    expect(log.what).toEqual([expect.stringMatching(/^directory \S+\/data\/log cannot be written: /)]);
    expect(log.remedies).toEqual([expect.stringMatching(/^give this user write access to it/)]);
    await chmodAll(installation.logDirectory, 0o777, 0o666);
    const checkpoints = await refusalOf(start());
    expect(checkpoints).toMatchObject({ code: 1, stack: [] });
    expect(checkpoints.what).toEqual([
      expect.stringMatching(/^checkpoint directory '\S+\/data\/checkpoints': cannot write '\S*probe-\S+' \(EACCES\)$/),
    ]);
    expect(checkpoints.remedies).toEqual([expect.stringMatching(/^let the user Millrace runs as write to/)]);
  } finally {
    await installation.remove();
  }
});

test('a log that another process holds is refused by name, and that process goes on', async () => {
  const installation = await Installation.create(OPTIONS);
  try {
    await withLog(installation, (client) => feed(client, smallScript(2), 10));
    const holder = installation.start();
    await holder.waitForLine(/installation claimed/, 120_000);
    const refusal = await refusalOf(installation.start());
    expect(refusal).toMatchObject({ code: 1, stack: [] });
    const held = new RegExp(`^the log's directory \\S+/data/log is in use by process ${holder.pid} on host \\S+$`);
    expect(refusal.what).toEqual([expect.stringMatching(held)]);
    expect(refusal.remedies).toEqual(['stop that process, or name another directory']);
    expect(await holder.stop()).toEqual({ code: 0, signal: null });
  } finally {
    await installation.remove();
  }
});

async function writeFiles(
  own: string,
  config: string | undefined,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  for (const [name, text] of Object.entries(files)) await writeFile(join(own, name), text);
  if (config === undefined) return;
  const words = `import { defineConfig, directory, embedded, kafka } from ${JSON.stringify(CONFIG_MODULE)};`;
  await writeFile(
    join(own, 'jobs.config.ts'),
    `${words}\nvoid [directory, embedded, kafka];\nexport default defineConfig({ ${config} });\n`,
  );
}

async function chmodAll(directory: string, directoryMode: number, fileMode: number): Promise<void> {
  await chmod(directory, directoryMode);
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    await chmod(join(entry.parentPath, entry.name), entry.isDirectory() ? directoryMode : fileMode);
  }
}

/** Whether everybody may enter this directory. */
async function reachable(path: string): Promise<boolean> {
  if (((await stat(path)).mode & 0o5) !== 0o5) return false;
  return dirname(path) === path || reachable(dirname(path));
}
