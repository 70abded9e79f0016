// Slots as real worker threads that die, stall and are late, under a clock that is moved by hand.

import { afterEach, expect, test } from 'vitest';
import { type HandClock, scene, task, terminateAll, until } from '#test/runtime/slot/slot-scene.ts';

afterEach(terminateAll);

test('tasks are spread over as many slots as the parallelism says, the least loaded first', async () => {
  const { pool, running, workers } = scene(3);
  pool.start([task('a', 0), task('a', 1)], 1);
  pool.start([task('b', 0), task('b', 1)], 2);
  await until(async () => (await running()).length === 4);
  expect(workers.map(({ index }) => index)).toEqual([0, 1, 2]);
});

test('a slot that dies comes back with its tasks, and only with its own', async () => {
  const { pool, running, workers, clock, ended, died } = scene(2);
  pool.start([task('a', 0), task('a', 1)], 2);
  await until(async () => (await running()).length === 2);
  await workers[0].worker.terminate();
  await until(async () => (await running()).length === 1);
  expect(died, 'told at once').toEqual([['a.live.0.works.0']]);
  clock.advance(100);
  await until(async () => (await running()).length === 2);
  expect(workers.map(({ index }) => index)).toEqual([0, 1, 0]);
  expect(ended).toEqual([]);
});

test('a slot that dies again and again is started at growing distances, and its neighbours run on', async () => {
  const { pool, running, workers, clock, warned } = scene(2);
  pool.start([task('a', 0, 'dies'), task('b', 0)], 2);
  await until(async () => (await running()).length === 1);
  for (const [deaths, pauseMs] of [100, 200, 400].entries()) {
    await until(() => warned.length === deaths + 1);
    const spawned = workers.length;
    clock.advance(pauseMs - 1);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(workers.length, 'not before its time').toBe(spawned);
    clock.advance(1);
    await until(() => workers.length === spawned + 1);
  }
  expect(await running()).toEqual(['b.live.0.works.0']);
});

test('tasks that are given to a slot while it pauses after a death do not start a second worker', async () => {
  const { pool, running, workers, clock } = scene(1);
  pool.start([task('a', 0)], 1);
  await until(async () => (await running()).length === 1);
  await workers[0].worker.terminate();
  pool.start([task('b', 0)], 1);
  clock.advance(100);
  await until(async () => (await running()).length === 2);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(workers).toHaveLength(2);
});

test('a slot that answers nothing is ended and its tasks come back', async () => {
  const { pool, workers, clock, ended } = scene(1);
  pool.start([task('a', 0, 'never-returns')], 1);
  await until(() => workers[0].worker.threadId > 0);
  await new Promise((resolve) => setTimeout(resolve, 300));
  let gone = false;
  workers[0].worker.once('exit', () => {
    gone = true;
  });
  await until(() => {
    clock.advance(10_000);
    return gone;
  });
  await until(() => {
    clock.advance(100);
    return workers.length === 2;
  });
  expect(ended).toEqual([]);
});

/** Moves the clock in small steps until something happened; bounded. */
async function pass(clock: HandClock, done: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 2_000; i++) {
    if (await done()) return;
    clock.advance(100);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error('did not happen');
}

test('the job that kills a slot is found among its neighbours and fails alone', async () => {
  const { pool, running, clock, ended, warned } = scene(2);
  pool.start([task('a', 0), task('a', 1)], 2);
  pool.start([task('b', 0, 'dies'), task('b', 1)], 2);
  pool.start([task('c', 0), task('c', 1)], 2);
  await pass(clock, () => ended.length === 2);
  expect(ended.sort()).toEqual(['failed b.live.0.dies.0 task-crash-loop', 'stopped b.live.0.works.1']);
  expect(warned.filter((message) => message.includes('to find the one to blame'))).toHaveLength(1);
  await pass(clock, async () => (await running()).length === 4);
  expect(await running()).toEqual(['a.live.0.works.0', 'a.live.0.works.1', 'c.live.0.works.0', 'c.live.0.works.1']);
  await pool.close();
  expect(ended).toHaveLength(6);
});

test('a job whose function never returns fails alone too', async () => {
  const { pool, running, clock, ended } = scene(1);
  pool.start([task('a', 0), task('b', 0, 'never-returns')], 1);
  for (let i = 0; i < 3_000 && ended.length === 0; i++) {
    clock.advance(5_000);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(ended).toEqual(['failed b.live.0.never-returns.0 task-crash-loop']);
  await pass(clock, async () => (await running()).length === 1);
  expect(await running()).toEqual(['a.live.0.works.0']);
});

test('deaths that are far apart blame nobody', async () => {
  const { pool, running, workers, clock, ended } = scene(1);
  pool.start([task('a', 0), task('b', 0)], 1);
  for (let death = 0; death < 8; death++) {
    await pass(clock, async () => (await running()).length === 2);
    await workers[death].worker.terminate();
    clock.advance(600_000);
  }
  expect(ended).toEqual([]);
  expect(new Set(workers.map(({ index }) => index))).toEqual(new Set([0]));
});

test('a slot that dies before it is ready blames no job', async () => {
  const { pool, workers, clock, ended } = scene(1, true);
  pool.start([task('a', 0)], 1);
  for (let death = 0; death < 8; death++) {
    await pass(clock, () => workers.length === death + 1);
    await workers[death].worker.terminate();
  }
  expect(ended).toEqual([]);
});

test('a job that fails takes its own tasks with it and no others', async () => {
  const { pool, running, ended } = scene(2);
  pool.start([task('a', 0), task('a', 1), task('b', 0)], 2);
  await until(async () => (await running()).length === 3);
  pool.start([task('a', 2, 'fails')], 1);
  await until(() => ended.length === 3);
  expect(ended.sort()).toEqual([
    'failed a.live.0.fails.2 bad-record',
    'stopped a.live.0.works.0',
    'stopped a.live.0.works.1',
  ]);
  expect(await running()).toEqual(['b.live.0.works.0']);
});

test('a job stopped before its slots are ready never runs, and all of it is reported', async () => {
  const { pool, running, ended, workers } = scene(2, true);
  pool.start([task('a', 0), task('a', 1), task('b', 0)], 2);
  pool.stopJob('a');
  expect(ended.sort()).toEqual(['stopped a.live.0.works.0', 'stopped a.live.0.works.1']);
  for (const { worker } of workers) worker.postMessage('ready');
  await until(async () => (await running()).length === 1);
  expect(await running()).toEqual(['b.live.0.works.0']);
});

test('a job stopped while its slot is dead does not come back with it', async () => {
  const { pool, running, ended, workers, clock } = scene(1);
  pool.start([task('a', 0), task('b', 0)], 1);
  await until(async () => (await running()).length === 2);
  await workers[0].worker.terminate();
  pool.stopJob('a');
  clock.advance(100);
  await until(async () => (await running()).length === 1);
  expect(await running()).toEqual(['b.live.0.works.0']);
  expect(ended).toEqual(['stopped a.live.0.works.0']);
});

test('closing before the slots are ready ends, and no task runs', async () => {
  const { pool, ended } = scene(2, true);
  pool.start([task('a', 0), task('a', 1)], 2);
  await pool.close();
  expect(ended.sort()).toEqual(['stopped a.live.0.works.0', 'stopped a.live.0.works.1']);
});

test('closing while a dead slot pauses ends, and it is not started again', async () => {
  const { pool, running, ended, workers, clock } = scene(1);
  pool.start([task('a', 0)], 1);
  await until(async () => (await running()).length === 1);
  await workers[0].worker.terminate();
  await pool.close();
  clock.advance(60_000);
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(workers).toHaveLength(1);
  expect(ended).toEqual(['stopped a.live.0.works.0']);
});

test('closing waits for the tasks of ready slots', async () => {
  const { pool, running, ended } = scene(2);
  pool.start([task('a', 0), task('a', 1), task('b', 0)], 2);
  await until(async () => (await running()).length === 3);
  await pool.close();
  expect(ended).toHaveLength(3);
});

test('closing ends a slot that does not hear it, and says whose work has no checkpoint', async () => {
  const { pool, clock, ended, warned, workers } = scene(1);
  pool.start([task('a', 0), task('b', 0, 'never-returns')], 1);
  await new Promise((resolve) => workers[0].worker.once('message', resolve));
  let closed = false;
  pool.close().then(() => {
    closed = true;
  });
  const startMs = clock.ms;
  await pass(clock, () => closed);
  expect(clock.ms - startMs).toBeLessThanOrEqual(10_000);
  expect(warned).toEqual([expect.stringMatching(/slot 0 does not hear .* no checkpoint at their last entry/)]);
  expect(ended.sort()).toEqual(['stopped a.live.0.works.0', 'stopped b.live.0.never-returns.0']);
});

test('slots that were opened before hear the tasks they get, and no more are started', async () => {
  const { pool, running, workers } = scene(4);
  await pool.open([
    { taskCount: 4, parallelism: 2 },
    { taskCount: 1, parallelism: 4 },
  ]);
  expect(workers.map(({ index }) => index)).toEqual([0, 1, 2]);
  pool.start([task('a', 0), task('a', 1), task('a', 2), task('a', 3)], 2);
  pool.start([task('b', 0)], 4);
  await until(async () => (await running()).length === 5);
  expect(workers).toHaveLength(3);
});

test('opening fails when a slot dies before it hears, says nothing for a minute, or cannot be made', async () => {
  const sizes = [{ taskCount: 2, parallelism: 2 }];
  const dying = scene(2, true);
  const died = expect(dying.pool.open(sizes)).rejects.toMatchObject({
    code: 'slot-not-started',
    message: expect.stringMatching(/slot 1 cannot be started: exit code \d/),
  });
  await dying.workers[1].worker.terminate();
  await died;

  const silent = scene(2, true);
  let failed = false;
  const said = silent.pool.open(sizes).catch((error: unknown) => {
    failed = true;
    return error;
  });
  silent.clock.advance(59_999);
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(failed, 'not before its time').toBe(false);
  silent.clock.advance(1);
  expect(await said).toMatchObject({ code: 'slot-not-started' });

  const full = scene(2, false, (index) => {
    if (index === 1) throw new Error('no more threads');
  });
  await expect(full.pool.open(sizes)).rejects.toThrow(/slot 1 cannot be started: no more threads/);
});

test('a slot that cannot be made later is tried again, and its tasks run then', async () => {
  let refused = 0;
  const { pool, running, clock } = scene(1, false, () => {
    if (++refused === 1) throw new Error('no more threads');
  });
  pool.start([task('a', 0)], 1);
  expect(await running()).toEqual([]);
  clock.advance(100);
  await until(async () => (await running()).length === 1);
});

test("a task that asks whether it is still this process's is told, also that nobody knows", async () => {
  const { pool, ended } = scene(1);
  pool.start([task('a', 0, 'asks'), task('b', 1, 'asks'), task('c', 2, 'asks')], 1);
  await until(() => ended.length === 3);
  expect(ended.sort()).toEqual([
    'failed a.live.0.asks.0 owned-true',
    'failed b.live.0.asks.1 owned-false',
    'failed c.live.0.asks.2 owned-null',
  ]);
});
