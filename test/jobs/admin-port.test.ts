// A whole process tells about itself: what is shown is what its jobs do, whatever they do.

import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { adminPort } from '#jobs/admin-port.ts';
import type { MillraceProcess } from '#jobs/run-process.ts';
import { AdminWorld, until } from '#test/jobs/admin-world.ts';
import { DIED } from '#test/runtime/slot/minute-jobs.ts';
import { feedMinutes, PARTITIONS } from '#test/runtime/slot/minute-world.ts';

let world: AdminWorld;
let running: MillraceProcess | null = null;

beforeEach(async () => {
  world = await AdminWorld.create();
});

afterEach(async () => {
  await running?.stop();
  running = null;
  await world.remove();
});

async function started(jobs: readonly string[]): Promise<MillraceProcess> {
  running = await world.start(jobs);
  return running;
}

test('a job, its tasks and their state are shown as they are', async () => {
  const process = await started(['steady']);
  const port = adminPort(process);
  await feedMinutes(process.log, 666);
  await until('readiness', async () => (await port.readiness()).ready);
  expect(await port.overview()).toMatchObject({
    namespace: 'millrace',
    process: process.processId,
    installation: expect.any(String),
    log: 'embedded',
    slots: { total: 2, running: 2 },
    tasks: { total: PARTITIONS, running: PARTITIONS },
    jobs: { RUNNING: 1 },
  });
  const job = await port.job('steady');
  expect(job).toMatchObject({ name: 'steady', state: 'RUNNING', parallelism: 2, failure: null });
  expect(job?.stages).toEqual([
    { id: 'minute', parallelism: PARTITIONS, input: 'metrics.raw', operators: expect.arrayContaining(['minute']) },
  ]);
  expect(job?.taskList.map(({ partition, phase }) => [partition, phase])).toEqual(
    Array.from({ length: PARTITIONS }, (_, partition) => [partition, 'running']),
  );
  expect(new Set(job?.taskList.map(({ slot }) => slot))).toEqual(new Set([0, 1]));
  expect(await port.stateOperators('steady')).toEqual(['minute']);
  expect((await port.plan('steady'))?.text).toMatch(/^steady {2}commit every/);
  await until('the state of all samples', async () => {
    const keys = (await port.state('steady', 'minute', {}))?.keys ?? [];
    return keys.length === PARTITIONS && keys.every(({ eventTimersMs }) => eventTimersMs.length === 1);
  });
  const all = await port.state('steady', 'minute', {});
  expect(all?.readAt.map(({ partition }) => partition)).toEqual([0, 1, 2, 3]);
  expect(all?.keys.map(({ key, partition }) => [key, partition])).toEqual(
    Array.from({ length: PARTITIONS }, (_, partition) => [`cpu{host="h-${partition}"}`, partition]),
  );
}, 90_000);

test('pages of state hold every key once, and one key is found wherever it is', async () => {
  const process = await started(['steady']);
  const port = adminPort(process);
  await feedMinutes(process.log, 666);
  await until('readiness', async () => (await port.readiness()).ready);
  await until('all keys', async () => (await port.state('steady', 'minute', {}))?.keys.length === PARTITIONS);
  const seen: string[] = [];
  let after: string | null = null;
  do {
    const page = await port.state('steady', 'minute', { limit: 1, ...(after === null ? {} : { after }) });
    if (page === null) throw new Error('no such operator');
    expect(page.keys.length).toBeLessThanOrEqual(1);
    seen.push(...page.keys.map(({ key }) => key));
    after = page.next;
  } while (after !== null);
  expect(seen).toEqual(Array.from({ length: PARTITIONS }, (_, partition) => `cpu{host="h-${partition}"}`));
  const one = await port.state('steady', 'minute', { key: 'cpu{host="h-2"}' });
  expect(one?.keys.map(({ partition }) => partition)).toEqual([2]);
  expect((await port.state('steady', 'minute', { key: 'nothing' }))?.keys).toEqual([]);
  expect((await port.state('steady', 'minute', { prefix: 'cpu{host="h-3' }))?.keys).toHaveLength(1);
  await expect(port.state('steady', 'minute', { after: '9:0' })).rejects.toMatchObject({ code: 'request-invalid' });
}, 90_000);

test('behind an exchange the task that has a key is asked alone', async () => {
  const process = await started(['exchanged']);
  const port = adminPort(process);
  await feedMinutes(process.log, 1);
  await until('readiness', async () => (await port.readiness()).ready);
  const all = async () => (await port.state('exchanged', 'minute', {}))?.keys ?? [];
  await until('all keys', async () => (await all()).length === PARTITIONS);
  for (const { key, partition } of await all()) {
    const one = await port.state('exchanged', 'minute', { key });
    expect(one?.readAt.map((read) => read.partition)).toEqual([partition]);
    expect(one?.keys.map((found) => found.key)).toEqual([key]);
  }
}, 60_000);

test('what is not there is told from what is empty', async () => {
  const port = adminPort(await started(['steady']));
  for (const answer of [
    port.job('none'),
    port.plan('none'),
    port.checkpoints('none'),
    port.exceptions('none'),
    port.stateOperators('none'),
    port.state('none', 'minute', {}),
    port.state('steady', 'look', {}),
    port.state('steady', 'none', {}),
  ]) {
    expect(await answer).toBe(null);
  }
}, 60_000);

test('a job that throws tells what failed, where and how often, and its neighbour nothing', async () => {
  const process = await started(['steady', 'throwing']);
  const port = adminPort(process);
  await feedMinutes(process.log, 666);
  const exception = async () => (await port.exceptions('throwing'))?.exceptions[0];
  await until('the second failure', async () => ((await exception())?.count ?? 0) >= 2);
  expect(await exception()).toMatchObject({ stage: 'minute', partition: 1, code: 'operator-failed' });
  expect((await exception())?.message).toMatch(/no number for me/);
  await until('a pause between attempts', async () => (await port.job('throwing'))?.state === 'RESTARTING');
  expect((await port.exceptions('steady'))?.exceptions).toEqual([]);
  expect(await port.job('steady')).toMatchObject({ state: 'RUNNING', restarts: 0 });
}, 60_000);

test('a job that failed for good says why, and what its tasks said last stays to be seen', async () => {
  const process = await started(['steady', 'strict']);
  const port = adminPort(process);
  await feedMinutes(process.log, 1);
  await until('its end', async () => {
    const tasks = (await port.job('strict'))?.taskList ?? [];
    return tasks.every(({ phase }) => phase === 'failed' || phase === 'stopped');
  });
  const { ready, jobs } = await port.readiness();
  expect(ready).toBe(false);
  expect(jobs).toMatchObject([{ job: 'strict', state: 'FAILED', reason: expect.stringMatching(/cpu\{host=/) }]);
  expect(jobs[0].remedy).not.toBe('');
  const { failure, exceptions } = (await port.exceptions('strict')) ?? { failure: null, exceptions: [] };
  expect(failure).toMatchObject({ code: 'series-not-partitioned' });
  expect(exceptions[0]).toMatchObject({ code: 'series-not-partitioned', stage: 'minute', count: 1 });
  const job = await port.job('strict');
  expect(job).toMatchObject({ state: 'FAILED', tasks: { total: PARTITIONS, running: 0 } });
  expect(job?.taskList.map(({ slot }) => slot)).toEqual([null, null, null, null]);
  expect((await port.overview()).jobs).toEqual({ RUNNING: 1, FAILED: 1 });
  await expect(port.state('strict', 'minute', {})).rejects.toMatchObject({ code: 'state-unreadable' });
}, 60_000);

test('a slot that dies is told to its jobs, and the tasks that come back are counted', async () => {
  globalThis.process.env[DIED] = join(world.directory, 'died');
  const process = await started(['steady', 'deadly']);
  delete globalThis.process.env[DIED];
  const port = adminPort(process);
  await feedMinutes(process.log, 777);
  await until('a death', async () => {
    expect(await port.metrics(), 'whatever the slots do').toContain('millrace_slots_running');
    return ((await port.exceptions('deadly'))?.exceptions.length ?? 0) > 0;
  });
  expect((await port.exceptions('deadly'))?.exceptions).toMatchObject([
    { code: 'slot-died', stage: null, partition: null, message: expect.stringMatching(/exit code 7/), count: 1 },
  ]);
  await until('readiness', async () => (await port.readiness()).ready);
  for (const job of ['steady', 'deadly']) expect((await port.job(job))?.restarts).toBe(2);
}, 120_000);

test('checkpoints are shown as they are written', async () => {
  const process = await started(['steady']);
  const port = adminPort(process);
  // One is taken with the first entry that ends a second after the last.
  await until('checkpoints', async () => {
    await feedMinutes(process.log, 666);
    return ((await port.checkpoints('steady'))?.counts.completed ?? 0) >= PARTITIONS;
  });
  const view = await port.checkpoints('steady');
  expect(view?.counts.failed).toBe(0);
  expect(view?.history.length).toBe(view?.counts.completed);
  for (const { result, sizeBytes, createdMs, durationMs } of view?.history ?? []) {
    expect(result).toBe('completed');
    expect(sizeBytes).toBeGreaterThan(0);
    expect(createdMs).toBeGreaterThan(process.startedMs);
    expect(durationMs).toBeGreaterThan(0);
  }
  expect(view?.stateBytes).toBeGreaterThan(0);
  const job = await port.job('steady');
  expect(job?.lastCheckpoint?.createdMs).toBe(
    Math.min(...(job?.taskList ?? []).map((task) => task.lastCheckpoint?.createdMs ?? 0)),
  );
}, 90_000);

test('the configuration is shown without secrets', async () => {
  const process = await started(['steady']);
  const shown = (await adminPort(process).configuration()) as { log: unknown; jobs: unknown };
  expect(shown.log).toEqual(process.configuration.log);
  expect(shown.jobs).toEqual(process.configuration.jobs);
}, 60_000);
