// What slots are asked and what they said: nobody waits for ever, and last words are kept.

import { afterEach, expect, test } from 'vitest';
import type { TaskAssignment } from '#runtime/slot/messages.ts';
import { scene, task, terminateAll, until } from '#test/runtime/slot/slot-scene.ts';

afterEach(terminateAll);

test('a question about state is answered by the slot that runs the task', async () => {
  const { pool, running } = scene(2);
  pool.start([task('a', 0), task('a', 1)], 2);
  await until(async () => (await running()).length === 2);
  expect(await pool.askState(task('a', 1), { operator: 'x' })).toEqual({ kind: 'answer', answer: null });
  expect(await pool.askState(task('b', 0), { operator: 'x' })).toMatchObject({
    kind: 'failure',
    failure: { code: 'state-unreadable', message: 'task b/works/0 does not run now' },
  });
});

test('nobody is left without an answer: by a slot that says nothing, one that dies, one that is asked too much', async () => {
  const { pool, running, clock } = scene(2);
  pool.start([task('a', 0, 'mute'), task('b', 0, 'dies-when-asked')], 2);
  await until(async () => (await running()).length === 2);
  const replies: unknown[] = [];
  const ask = (asked: TaskAssignment) => pool.askState(asked, { operator: 'x' }).then((reply) => replies.push(reply));
  ask(task('a', 0, 'mute'));
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(replies, 'it has its time').toEqual([]);
  clock.advance(10_000);
  await until(() => replies.length === 1);
  expect(replies[0]).toMatchObject({ failure: { message: 'task a/mute/0 did not answer in time' } });
  ask(task('b', 0, 'dies-when-asked'));
  await until(() => replies.length === 2);
  expect(replies[1]).toMatchObject({
    failure: { code: 'state-unreadable', message: 'task b/dies-when-asked/0 ended' },
  });
  for (let i = 0; i < 300; i++) ask(task('a', 0, 'mute'));
  await until(() => replies.length === 2 + 44);
  expect(replies.at(-1)).toMatchObject({ failure: { message: 'task a/mute/0 is asked too much at once' } });
  clock.advance(10_000);
  await until(() => replies.length === 302);
});

test('what a task said last is there when its slot is gone, when it says nothing, and when it has ended', async () => {
  const { pool, running, workers, clock } = scene(3);
  pool.start([task('a', 0), task('b', 0), task('c', 0)], 3);
  await until(async () => (await running()).length === 3);
  const words = async () => {
    const reports = pool.reports();
    return (await reports).map(
      ({ assignment, slot, word, restarts }) => `${assignment.job} ${slot} ${word} ${restarts}`,
    );
  };
  expect((await words()).sort()).toEqual(['a 0 fresh 0', 'b 1 fresh 0', 'c 2 fresh 0']);
  await workers[0].worker.terminate();
  await until(async () => (await running()).length === 2);
  pool.stopJob('b');
  await until(async () => (await running()).length === 1);
  expect((await words()).sort()).toEqual(['a null down 0', 'b null ended 0', 'c 2 fresh 0']);
  clock.advance(100);
  await until(async () => (await running()).length === 2);
  expect((await words()).sort(), 'it was started again').toEqual(['a 0 fresh 1', 'b null ended 0', 'c 2 fresh 0']);
  pool.start(
    [0, 1, 2].map((partition) => task('d', partition, 'never-returns')),
    3,
  );
  let given: readonly string[] | null = null;
  words().then((said) => {
    given = said;
  });
  await until(() => {
    clock.advance(500);
    return given !== null;
  });
  expect(given).toEqual(expect.arrayContaining(['a 0 silent 1', 'c 2 silent 0']));
});
