// A whole process tells about itself: what is shown is what its jobs do, whatever they do.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { adminPort } from '#jobs/admin-port.ts';
import type { MillraceProcess } from '#jobs/run-process.ts';
import { AdminWorld, until } from '#test/jobs/admin-world.ts';
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
