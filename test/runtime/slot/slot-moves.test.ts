// Tasks that move between slots while they run, over real threads: only those that must, each once at a time, and nobody
// waits for ever.

import { afterEach, expect, test } from 'vitest';
import type { ToSlot } from '#runtime/slot/messages.ts';
import { scene, task, terminateAll, until } from './slot-scene.ts';

afterEach(terminateAll);

const EIGHT = Array.from({ length: 8 }, (_, partition) => task('a', partition));
const keys = (count: number) => Array.from({ length: count }, (_, at) => `a.live.0.works.${at}`);

test('a job goes from one slot to eight and to three: threads are made and end, every task runs once', async () => {
  const { pool, running, ended, workers } = scene(1);
  pool.start(EIGHT, 1);
  await until(async () => (await running()).length === 8);
  const wider = await pool.rescale('a', 8);
  expect(wider.map(({ from, pauseMs }) => [from, pauseMs])).toEqual(Array(7).fill([0, 0]));
  expect(new Set(wider.map(({ to }) => to))).toEqual(new Set([1, 2, 3, 4, 5, 6, 7]));
  expect(await running()).toEqual(keys(8));
  expect(pool.counts).toMatchObject({ total: 8, running: 8 });
  const narrower = await pool.rescale('a', 3);
  expect(narrower).toHaveLength(5);
  expect(await running()).toEqual(keys(8));
  await until(() => pool.counts.running === 3);
  expect(pool.counts.total).toBe(3);
  expect(workers).toHaveLength(8);
  expect(ended).toEqual([]);
  await pool.rescale('a', 5);
  expect(await running()).toEqual(keys(8));
});

test('the tasks of other jobs stay where they are', async () => {
  const { pool, running } = scene(2);
  pool.start([task('b', 0), task('b', 1)], 2);
  pool.start(EIGHT, 2);
  await until(async () => (await running()).length === 10);
  const where = async () => {
    const reports = await pool.reports();
    return reports.filter(({ assignment }) => assignment.job === 'b').map(({ slot }) => slot);
  };
  const before = await where();
  await pool.rescale('a', 4);
  expect(await where()).toEqual(before);
});

test('a slot that dies while its tasks are told to leave sends them on, and they run once', async () => {
  const { pool, running, workers, clock } = scene(1);
  pool.start([task('a', 0, 'stays'), task('a', 1, 'stays'), task('a', 2, 'stays')], 1);
  await until(async () => (await running()).length === 3);
  const { worker } = workers[0];
  const told: string[] = [];
  const post = worker.postMessage.bind(worker);
  worker.postMessage = (message: ToSlot) => {
    told.push(message.kind);
    post(message);
  };
  const moving = pool.rescale('a', 3);
  // Two leave; they do not stop by themselves.
  await until(() => told.filter((kind) => kind === 'stop-tasks').length === 2);
  await worker.terminate();
  await until(async () => {
    clock.advance(1_000);
    return (await running()).length === 3;
  });
  expect((await moving).map(({ pauseMs }) => pauseMs !== null)).toEqual([true, true]);
  expect(await running()).toEqual(['a.live.0.stays.0', 'a.live.0.stays.1', 'a.live.0.stays.2']);
});

test('a job that is stopped while it moves ends as a whole, each task once', async () => {
  const { pool, running, ended } = scene(1);
  pool.start(EIGHT, 1);
  await until(async () => (await running()).length === 8);
  const moving = pool.rescale('a', 8);
  pool.stopJob('a');
  await moving;
  await until(() => ended.length === 8);
  expect(ended.sort()).toEqual(keys(8).map((key) => `stopped ${key}`));
  expect(await running()).toEqual([]);
});

test('a thread that cannot be made leaves everything where it was', async () => {
  const { pool, running } = scene(1, false, (index) => {
    if (index > 0) throw new Error('no more threads');
  });
  pool.start(EIGHT, 1);
  await until(async () => (await running()).length === 8);
  await expect(pool.rescale('a', 4)).rejects.toMatchObject({ code: 'slot-not-started' });
  expect(await running()).toEqual(keys(8));
  expect((await pool.reports()).map(({ slot }) => slot)).toEqual(Array(8).fill(0));
});
