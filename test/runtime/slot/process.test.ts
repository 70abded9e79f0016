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
import type { DataRecord } from '#test/integration/oracle/data-set.ts';
import { LogFeed, readTopic } from '#test/integration/oracle/log-port.ts';
import { DIED } from './minute-jobs.ts';

const MINUTE_MS = 60_000;
const MINUTES = 30;
const PARTITIONS = 4;
/** In the past, so that nothing is ahead of the clock. */
const START_MS = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 120 * MINUTE_MS;

let data: string;

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'millrace-slots-'));
  process.env[DIED] = join(data, 'died');
});

afterEach(async () => {
  delete process.env[DIED];
  await rm(data, { recursive: true, force: true });
});

/** Writes the modules that a configuration names: this tree has no default exports for tests. */
async function writeConfiguration(jobs: readonly string[]): Promise<void> {
  const url = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
  for (const job of jobs) {
    await writeFile(join(data, `${job}.ts`), `export { ${job} as default } from ${url('./minute-jobs.ts')};\n`);
  }
  const entry = (job: string) => `${job}: { module: './${job}.ts', parallelism: 2, checkpointInterval: '1s' }`;
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

async function startProcess(jobs: readonly string[]): Promise<MillraceProcess> {
  await writeConfiguration(jobs);
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

function sample(partition: number, minute: number, value: number): DataRecord {
  const labels = { host: `h-${partition}` };
  const body = { metric_name: 'cpu', timestamp: START_MS + minute * MINUTE_MS, value, labels };
  const intent = { finite: 1, notFinite: 0, bad: 0 };
  return { partition, key: null, value: Buffer.from(JSON.stringify(body)), headers: [], timestampMs: 0, intent };
}

/** A sample per partition and minute; `special` on partition 1 in the middle. */
async function feed(running: MillraceProcess, special: number): Promise<void> {
  const log = await LogFeed.open(running.log, 'metrics.raw', PARTITIONS);
  for (let minute = 0; minute < MINUTES; minute++) {
    const value = (partition: number) => (partition === 1 && minute === 10 ? special : 1);
    await log.write(Array.from({ length: PARTITIONS }, (_, partition) => sample(partition, minute, value(partition))));
  }
  await log.close();
}

/** `<host> <minute> <count> <sum>` of every row, sorted. */
async function rows(running: MillraceProcess, job: string): Promise<string[]> {
  const records = await readTopic(running.log, `${job}.1m`);
  return records
    .map(({ value }) => JSON.parse(String(value)))
    .map((row) => `${row.labels.host} ${(row.window_start - START_MS) / MINUTE_MS} ${row.count} ${row.sum}`)
    .sort();
}

function expected(special: number): string[] {
  const all: string[] = [];
  for (let partition = 0; partition < PARTITIONS; partition++) {
    // The last window stays open.
    for (let minute = 0; minute < MINUTES - 1; minute++) {
      all.push(`h-${partition} ${minute} 1 ${partition === 1 && minute === 10 ? special : 1}`);
    }
  }
  return all.sort();
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
    await feed(running, 666);
    const state = async (job: string) => (await running.status()).find(({ name }) => name === job);
    await until('failure', async () => (await state('throwing'))?.state === 'FAILED');
    const failed = await state('throwing');
    expect(failed?.failure).toMatchObject({ code: 'task-crash-loop' });
    expect(failed?.failure?.message).toMatch(/no number for me/);
    await until('rows', async () => (await rows(running, 'steady')).length === expected(666).length);
    expect(await rows(running, 'steady')).toEqual(expected(666));
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
    await feed(running, 777);
    for (const job of ['steady', 'deadly']) {
      await until(`rows of ${job}`, async () => (await rows(running, job)).length >= expected(777).length);
      expect(await rows(running, job)).toEqual(expected(777));
    }
    expect(existsSync(join(data, 'died')), 'the slot died').toBe(true);
    expect((await running.status()).map(({ state }) => state)).toEqual(['RUNNING', 'RUNNING']);
  } finally {
    await running.stop();
  }
  expect(running.failures).toEqual([]);
}, 90_000);

test('a process that is stopped right after its start ends', async () => {
  const running = await startProcess(['steady', 'throwing', 'deadly']);
  await running.stop();
  expect(await running.ended).toEqual([]);
}, 30_000);
