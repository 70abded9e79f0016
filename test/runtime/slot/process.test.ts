// A whole process on the embedded log with jobs that misbehave: each takes only itself down, and a slot that dies comes
// back with its tasks and loses and doubles nothing.

import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadInstallation } from '#jobs/load-job.ts';
import { MillraceProcess } from '#jobs/run-process.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import { DIED } from './minute-jobs.ts';
import { expected, feedMinutes, feedOne, PARTITIONS, rowsOf, writeJobModules } from './minute-world.ts';

let data: string;

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'millrace-slots-'));
  process.env[DIED] = join(data, 'died');
});

afterEach(async () => {
  delete process.env[DIED];
  await rm(data, { recursive: true, force: true });
});

async function writeConfiguration(jobs: readonly string[], checkpointInterval: string): Promise<void> {
  const url = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
  await writeJobModules(data, jobs);
  const entry = (job: string) =>
    `${job}: { module: './${job}.ts', parallelism: 2, checkpointInterval: '${checkpointInterval}' }`;
  const config = `import { defineConfig, directory, embedded } from ${url('../../../jobs/config.ts')};
export default defineConfig({
  log: embedded({ directory: 'log' }),
  checkpoints: directory('checkpoints'),
  slots: 2,
  jobs: { ${jobs.map(entry).join(', ')} },
});
`;
  await writeFile(join(data, 'config.ts'), config);
}

async function startProcess(jobs: readonly string[], checkpointInterval = '1s'): Promise<MillraceProcess> {
  await writeConfiguration(jobs, checkpointInterval);
  const installation = await loadInstallation({
    configPath: 'config.ts',
    workingDirectory: data,
    environment: {},
    flags: {},
  });
  return MillraceProcess.start({
    installation,
    logger: silentLogger,
    logLevel: 'silent',
    pretty: false,
    createSource: PARTITIONS,
    signal: new AbortController().signal,
  });
}

async function until(what: string, done: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (await done()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no ${what} within a minute`);
}

test('a job in a crash loop fails alone, and its neighbours in the same slots run on', async () => {
  const running = await startProcess(['steady', 'throwing']);
  try {
    await feedMinutes(running.log, 666);
    const state = async (job: string) => (await running.status()).find(({ name }) => name === job);
    await until('failure', async () => (await state('throwing'))?.state === 'FAILED');
    const failed = await state('throwing');
    expect(failed?.failure).toMatchObject({ code: 'task-crash-loop' });
    expect(failed?.failure?.message).toMatch(/no number for me/);
    await until('rows', async () => (await rowsOf(running.log, 'steady')).length === expected(666).length);
    expect(await rowsOf(running.log, 'steady')).toEqual(expected(666));
    await until('end of its other tasks', async () => ((await state('throwing'))?.tasks.length ?? 1) === 0);
    expect((await state('steady'))?.state).toBe('RUNNING');
    expect((await state('steady'))?.tasks).toHaveLength(PARTITIONS);
  } finally {
    await running.stop();
  }
  expect(running.failures.map(({ code }) => code)).toEqual(['task-crash-loop']);
}, 90_000);

test('a slot that dies comes back with the tasks of all its jobs, and every row is there once', async () => {
  const running = await startProcess(['steady', 'deadly']);
  try {
    await feedMinutes(running.log, 777);
    for (const job of ['steady', 'deadly']) {
      await until(`rows of ${job}`, async () => (await rowsOf(running.log, job)).length >= expected(777).length);
      expect(await rowsOf(running.log, job)).toEqual(expected(777));
    }
    expect(existsSync(join(data, 'died')), 'the slot died').toBe(true);
    expect((await running.status()).map(({ state }) => state)).toEqual(['RUNNING', 'RUNNING']);
  } finally {
    await running.stop();
  }
  expect(running.failures).toEqual([]);
}, 90_000);

test('a job that ends its thread again and again fails alone, and its neighbours in the same slots run on', async () => {
  const running = await startProcess(['steady', 'exiting']);
  try {
    await feedMinutes(running.log, 888);
    const state = async (job: string) => (await running.status()).find(({ name }) => name === job);
    await until('failure', async () => (await state('exiting'))?.state === 'FAILED');
    const failed = await state('exiting');
    expect(failed?.failure).toMatchObject({ code: 'task-crash-loop', message: expect.stringContaining('exit code 8') });
    expect(failed?.failure?.remedy).not.toBe('');
    await until('rows', async () => (await rowsOf(running.log, 'steady')).length === expected(888).length);
    expect(await rowsOf(running.log, 'steady')).toEqual(expected(888));
    await until('end of its other tasks', async () => ((await state('exiting'))?.tasks.length ?? 1) === 0);
    await until('all of the other', async () => (await state('steady'))?.tasks.length === PARTITIONS);
    expect((await state('steady'))?.state).toBe('RUNNING');
  } finally {
    await running.stop();
  }
  expect(running.failures.map(({ code }) => code)).toEqual(['task-crash-loop']);
}, 90_000);

test('a commit log created again while its slot is dead stops the job, and nothing is published again', async () => {
  const running = await startProcess(['deadly'], '1h');
  try {
    await feedMinutes(running.log, 1);
    await until('rows', async () => (await rowsOf(running.log, 'deadly')).length === expected(1).length);
    const internal = (await running.log.admin.listTopics()).filter((topic) => topic.includes('.deadly.'));
    for (const topic of internal) {
      await running.log.admin.deleteTopics([topic]);
      await running.log.admin.createTopics([{ topic, partitionCount: PARTITIONS }]);
    }
    await feedOne(running.log, 777);
    const job = async () => (await running.status())[0];
    await until('failure', async () => (await job()).state === 'FAILED');
    expect(existsSync(join(data, 'died')), 'the slot died').toBe(true);
    expect((await job()).failure).toMatchObject({ code: 'commit-log-lost' });
    await until('end of its tasks', async () => (await job()).tasks.length === 0);
    expect(await rowsOf(running.log, 'deadly')).toEqual(expected(1));
  } finally {
    await running.stop();
  }
}, 90_000);

test('a process that is stopped right after its start ends', async () => {
  const running = await startProcess(['steady', 'throwing', 'deadly']);
  await running.stop();
  expect(await running.ended).toEqual([]);
}, 30_000);
