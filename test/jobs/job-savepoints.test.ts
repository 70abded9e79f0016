// Savepoints of a job that runs, on the embedded log with real slots: taken at one cut, listed, deleted; whatever happens
// meanwhile the job goes on, and nothing is left of one that came to nothing.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { adminPort } from '#jobs/admin-port.ts';
import type { MillraceProcess } from '#jobs/run-process.ts';
import type { RequestView } from '#runtime/http/contract.ts';
import { expected, feedMinutes, PARTITIONS, rowsOf } from '#test/runtime/slot/minute-world.ts';
import { AdminWorld, until } from './admin-world.ts';

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

const TERMS = { requestId: null, revisions: null };

async function start(jobs: readonly string[]) {
  const process = await world.start(jobs, '60s', 2);
  running = process;
  const port = adminPort(process);
  await until('readiness', async () => (await port.readiness()).ready);
  const over = async (asked: RequestView | null): Promise<RequestView> => {
    let view = asked;
    await until(`end of ${asked?.operation}`, async () => {
      view = await port.request(asked?.requestId ?? '');
      return view !== null && view.state !== 'RUNNING';
    });
    return view as RequestView;
  };
  return { process, port, over };
}

/** Names of folders in which parts of savepoints lie. */
function parts(): readonly string[] {
  const root = join(world.directory, 'checkpoints');
  if (!existsSync(root)) return [];
  const names = readdirSync(root, { recursive: true, withFileTypes: true });
  return names.filter((one) => one.isFile() && /savepoint\./.test(one.parentPath)).map(({ name }) => name);
}

test('a savepoint of a job behind an exchange is taken under load, listed, and deleted with all its files', async () => {
  const { process, port, over } = await start(['exchanged']);
  const feeding = feedMinutes(process.log, 5);
  const taken = await over(await port.savepointJob('exchanged', TERMS));
  expect(taken).toMatchObject({ operation: 'savepoint', state: 'DONE', failure: null });
  expect(taken.message).toContain(`of ${2 * PARTITIONS} tasks`);
  const listed = await port.savepoints('exchanged');
  expect(listed).toEqual([expect.objectContaining({ id: taken.savepoint, tasks: 2 * PARTITIONS, generation: 0 })]);
  const detail = await port.savepoint('exchanged', taken.savepoint ?? '');
  expect(detail?.taskList).toHaveLength(2 * PARTITIONS);
  await feeding;
  await until('rows', async () => (await rowsOf(process.log, 'exchanged')).length >= expected(5).length);
  expect(await rowsOf(process.log, 'exchanged')).toEqual(expected(5));
  expect(parts()).not.toEqual([]);
  expect(await over(await port.deleteSavepoint('exchanged', taken.savepoint ?? '', TERMS))).toMatchObject({
    state: 'DONE',
  });
  expect(await port.savepoints('exchanged')).toEqual([]);
  expect(parts()).toEqual([]);
  await expect(port.savepoint('exchanged', taken.savepoint ?? '')).rejects.toMatchObject({ code: 'savepoint-unknown' });
}, 60_000);

test('one that a process left half done is taken by the next, and nothing else is kept', async () => {
  const first = await start(['exchanged']);
  await feedMinutes(first.process.log, 3);
  const asked = await first.port.savepointJob('exchanged', { ...TERMS, requestId: 'half-done' });
  expect(asked).toMatchObject({ state: 'RUNNING' });
  await running?.terminate();
  running = null;
  const second = await start(['exchanged']);
  const ended = await second.over(await second.port.request('half-done'));
  expect(ended).toMatchObject({ state: 'DONE', failure: null });
  expect((await second.port.savepoints('exchanged'))?.map(({ id }) => id)).toEqual([ended.savepoint]);
  expect(new Set(parts().filter((name) => name.endsWith('.manifest.json'))).size).toBe(2 * PARTITIONS);
  await until('rows', async () => (await rowsOf(second.process.log, 'exchanged')).length >= expected(3).length);
  expect(await rowsOf(second.process.log, 'exchanged')).toEqual(expected(3));
}, 60_000);

test('a job that does not run has none to give, and one that is not there is not deleted', async () => {
  const { port, over } = await start(['steady']);
  await over(await port.patchJob('steady', { state: 'STOPPED' }, TERMS));
  await expect(port.savepointJob('steady', TERMS)).rejects.toMatchObject({ code: 'job-state-wrong' });
  const gone = await over(await port.deleteSavepoint('steady', 'never-was', TERMS));
  expect(gone).toMatchObject({ state: 'FAILED', failure: { code: 'savepoint-unknown' } });
}, 60_000);
