// Jobs that are changed while the process runs, on the embedded log with real slots: what is told is done, is there after
// a restart, and no row is lost or doubled by it.

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { adminPort } from '#jobs/admin-port.ts';
import type { MillraceProcess } from '#jobs/run-process.ts';
import type { AdminPort, JobPatchView, RequestView } from '#runtime/http/contract.ts';
import { expected, feedMinutes, feedOne, PARTITIONS, rowsOf } from '#test/runtime/slot/minute-world.ts';
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

/** A process, and what is asked of it. */
async function start(jobs: readonly string[], parallelism = 1) {
  const process = await world.start(jobs, '60s', parallelism);
  running = process;
  const port = adminPort(process);
  return { process, port, ...asking(port) };
}

function asking(port: AdminPort) {
  const job = async (name = 'steady') => {
    const view = await port.job(name);
    if (view === null) throw new Error(`no job ${name}`);
    return view;
  };
  const over = async (asked: RequestView | null): Promise<RequestView> => {
    let view = asked;
    await until(`end of ${asked?.operation}`, async () => {
      view = await port.request(asked?.requestId ?? '');
      return view !== null && view.state !== 'RUNNING';
    });
    return view as RequestView;
  };
  const patch = async (change: JobPatchView, name = 'steady') => over(await port.patchJob(name, change, TERMS));
  return { job, over, patch };
}

async function allRows(process: MillraceProcess, special: number, job = 'steady'): Promise<void> {
  await until('rows', async () => (await rowsOf(process.log, job)).length >= expected(special).length);
  expect(await rowsOf(process.log, job)).toEqual(expected(special));
}

async function restarted(jobs: readonly string[], parallelism = 1) {
  await running?.stop();
  running = null;
  return start(jobs, parallelism);
}

test('a paused job reads nothing until it is to run again, and then every row is there once', async () => {
  const { process, port, job, patch } = await start(['steady']);
  await until('readiness', async () => (await port.readiness()).ready);
  const paused = await patch({ state: 'PAUSED' });
  expect(paused).toMatchObject({ operation: 'pause', state: 'DONE', failure: null });
  expect(paused.message).toBe(`paused; each of its ${PARTITIONS} tasks has a checkpoint at its last entry`);
  expect(await job()).toMatchObject({ state: 'PAUSED', desiredState: 'PAUSED', tasks: { running: 0 }, request: null });
  expect(await port.readiness()).toEqual({ ready: true, jobs: [] });
  await feedMinutes(process.log, 7);
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(await rowsOf(process.log, 'steady')).toEqual([]);
  expect(await patch({ state: 'RUNNING' })).toMatchObject({ state: 'DONE', message: `${PARTITIONS} tasks run` });
  expect(await job()).toMatchObject({ state: 'RUNNING', tasks: { running: PARTITIONS } });
  await allRows(process, 7);
}, 60_000);

test('a stopped job stays so through a restart of the process, beside one that runs', async () => {
  const first = await start(['steady', 'exchanged']);
  await feedMinutes(first.process.log, 7);
  await allRows(first.process, 7);
  expect(await first.patch({ state: 'STOPPED' })).toMatchObject({ state: 'DONE' });
  const second = await restarted(['steady', 'exchanged']);
  expect(await second.job()).toMatchObject({ state: 'STOPPED', revision: 3 });
  expect(await second.job('exchanged')).toMatchObject({ state: 'RUNNING' });
  expect(await second.patch({ state: 'STOPPED' })).toMatchObject({ message: 'nothing to do: it is stopped' });
  expect(await second.patch({ state: 'RUNNING' })).toMatchObject({ state: 'DONE' });
  await feedOne(second.process.log, 8);
  await until('the late sample', async () => (await second.job()).perSecond.recordsLate > 0);
  expect(await rowsOf(second.process.log, 'steady')).toEqual(expected(7));
}, 60_000);

test('a process whose jobs are all stopped stays, and starts them when it is told', async () => {
  const first = await start(['steady']);
  await first.patch({ state: 'STOPPED' });
  const second = await restarted(['steady']);
  let ended = false;
  void second.process.ended.then(() => {
    ended = true;
  });
  await feedMinutes(second.process.log, 3);
  expect(await second.job()).toMatchObject({ state: 'STOPPED' });
  expect(ended).toBe(false);
  await second.patch({ state: 'RUNNING' });
  await allRows(second.process, 3);
}, 60_000);

test('tasks move to other slots and back under load, and every row is there once', async () => {
  const { process, port, job, patch } = await start(['steady']);
  await until('readiness', async () => (await port.readiness()).ready);
  const feeding = feedMinutes(process.log, 5);
  const wider = await patch({ parallelism: 4 });
  expect(wider).toMatchObject({ operation: 'rescale', state: 'DONE', parameters: { parallelism: 4 } });
  expect(wider.pauses).toHaveLength(3);
  for (const { pauseMs } of wider.pauses) expect(pauseMs).toBeGreaterThan(0);
  const slots = async () => new Set((await job()).taskList.map(({ slot }) => slot));
  expect((await slots()).size).toBe(4);
  expect(await job()).toMatchObject({ parallelism: 4, restarts: 0, state: 'RUNNING' });
  await patch({ parallelism: 2 });
  expect((await slots()).size).toBe(2);
  expect((await port.overview()).slots.total).toBe(2);
  await feeding;
  await allRows(process, 5);
}, 60_000);

test('what was changed counts after a restart, until the file says something else', async () => {
  const first = await start(['steady'], 1);
  await first.patch({ parallelism: 3, commitInterval: '50ms' });
  expect(await first.job()).toMatchObject({ parallelism: 3, settings: { commitIntervalMs: 50 } });
  const second = await restarted(['steady'], 1);
  expect(await second.job()).toMatchObject({ parallelism: 3, settings: { commitIntervalMs: 50 } });
  expect(new Set((await second.job()).taskList.map(({ slot }) => slot)).size).toBe(3);
  const third = await restarted(['steady'], 2);
  expect(await third.job()).toMatchObject({ parallelism: 2, settings: { commitIntervalMs: 50 } });
}, 60_000);

test('other intervals count from a restart of the tasks on, which loses nothing', async () => {
  const { process, job, patch } = await start(['steady']);
  const feeding = feedMinutes(process.log, 4);
  const done = await patch({ commitInterval: '20ms', checkpointInterval: '1s' });
  expect(done).toMatchObject({ operation: 'configure', state: 'DONE' });
  expect(done.message).toMatch(/^4 tasks run, after a pause of \d+\.\ds$/);
  await feeding;
  await allRows(process, 4);
  await until('checkpoints', async () => (await job()).lastCheckpoint !== null);
}, 60_000);

test('a change is refused while another is under way, and asked twice it is one', async () => {
  const { port, job, over } = await start(['steady']);
  const mine = { requestId: 'mine', revisions: null };
  const first = await port.patchJob('steady', { state: 'STOPPED' }, mine);
  await expect(port.patchJob('steady', { parallelism: 2 }, TERMS)).rejects.toMatchObject({
    code: 'job-busy',
    message: 'job steady is being changed (stop, request mine)',
  });
  expect(await port.patchJob('steady', { state: 'STOPPED' }, mine)).toMatchObject({ requestId: 'mine' });
  const done = await over(first);
  expect(done).toMatchObject({ state: 'DONE', requestId: 'mine' });
  expect(await port.patchJob('steady', { state: 'STOPPED' }, mine)).toEqual(done);
  await expect(port.patchJob('steady', { state: 'RUNNING' }, mine)).rejects.toMatchObject({ code: 'request-reused' });
  const { revision } = await job();
  const stale = { requestId: null, revisions: [revision - 1] };
  await expect(port.patchJob('steady', { state: 'RUNNING' }, stale)).rejects.toMatchObject({ code: 'job-changed' });
  await over(await port.patchJob('steady', { state: 'RUNNING' }, { ...stale, revisions: [revision] }));
  expect(await job()).toMatchObject({ state: 'RUNNING', revision: revision + 1 });
}, 60_000);

test('what a job is in no state for is refused with what to do', async () => {
  const { port, patch } = await start(['steady']);
  await patch({ state: 'STOPPED' });
  await expect(port.patchJob('steady', { state: 'PAUSED' }, TERMS)).rejects.toMatchObject({
    code: 'job-state-wrong',
    remedy: 'only a job that runs is paused: millrace start steady',
  });
  await expect(
    port.patchJob('steady', { state: 'RUNNING', parallelism: 3, commitInterval: '1ms' }, TERMS),
  ).rejects.toMatchObject({
    code: 'request-invalid',
    message: expect.stringMatching(/^the change has 2 faults: commitInterval: /),
  });
  expect(await port.patchJob('nobody', { parallelism: 1 }, TERMS)).toBeNull();
}, 60_000);

test.each(['steady', 'exchanged'])(
  '%s that is drained leaves no window open, and replays to the same',
  async (name) => {
    const { process, port, job, over } = await start([name]);
    await feedMinutes(process.log, 9);
    await allRows(process, 9, name);
    const change = { state: 'STOPPED', drain: true } as const;
    const done = await over(await port.patchJob(name, change, TERMS));
    expect(done).toMatchObject({ operation: 'stop', state: 'DONE', parameters: { drain: true }, failure: null });
    const last = [0, 1, 2, 3].map((partition) => `h-${partition} 29 1 1`);
    expect(await rowsOf(process.log, name)).toEqual([...expected(9), ...last].sort());
    expect(await job(name)).toMatchObject({ state: 'STOPPED', tasks: { running: 0 } });
    await expect(port.patchJob(name, change, TERMS)).rejects.toMatchObject({ code: 'job-state-wrong' });
    // Without checkpoints every entry is replayed, those of the drain, too.
    await process.stop();
    running = null;
    await rm(join(world.directory, 'checkpoints', 'millrace'), { recursive: true });
    const again = await start([name]);
    expect(await again.patch({ state: 'RUNNING' }, name)).toMatchObject({ state: 'DONE', failure: null });
    const tasks = await again.process.reports();
    expect(tasks.every(({ status }) => (status?.replayedEntries ?? 0) > 0)).toBe(true);
    expect(await rowsOf(again.process.log, name)).toEqual([...expected(9), ...last].sort());
  },
  60_000,
);

test('a checkpoint is made when somebody asks for one, also of a job that has nothing to do', async () => {
  const { process, port, job, over, patch } = await start(['steady']);
  await feedMinutes(process.log, 1);
  await allRows(process, 1);
  expect((await job()).lastCheckpoint).toBeNull();
  const entries = async () => (await job()).taskList.map(({ entry, lastCheckpoint }) => [entry, lastCheckpoint?.entry]);
  for (let times = 0; times < 2; times++) {
    const done = await over(await port.checkpointJob('steady', TERMS));
    expect(done).toMatchObject({ operation: 'checkpoint', state: 'DONE' });
    expect(done.message).toMatch(/^each of its 4 tasks has a checkpoint, [\d.]+ KiB in all$/);
    for (const [entry, checkpoint] of await entries()) expect(checkpoint).toBe(entry);
  }
  await patch({ state: 'STOPPED' });
  await expect(port.checkpointJob('steady', TERMS)).rejects.toMatchObject({ code: 'job-state-wrong' });
}, 60_000);

test('a job that failed is started again when what failed it is gone', async () => {
  const { process, port, job, over } = await start(['steady', 'throwing']);
  await feedMinutes(process.log, 666);
  await until('failure', async () => (await job('throwing')).state === 'FAILED');
  const again = await over(await port.patchJob('throwing', { state: 'RUNNING' }, TERMS));
  // The record is still there: its tasks come to run, and meet it again.
  expect(again.state).toMatch(/^(DONE|UNDONE|FAILED)$/);
  await until('failure', async () => (await job('throwing')).state === 'FAILED');
  expect(await over(await port.patchJob('throwing', { state: 'STOPPED' }, TERMS))).toMatchObject({ state: 'DONE' });
  expect(await job('throwing')).toMatchObject({ state: 'STOPPED', failure: null });
  await allRows(process, 666);
}, 120_000);

test('a canceled job leaves what it had, and begins anew when that was purged', async () => {
  const { process, port, job, patch, over } = await start(['steady']);
  await feedMinutes(process.log, 2);
  await allRows(process, 2);
  expect(await over(await port.cancelJob('steady', false, TERMS))).toMatchObject({ state: 'DONE' });
  expect(await job()).toMatchObject({ state: 'CANCELED', desiredState: 'CANCELED' });
  await expect(port.patchJob('steady', { state: 'STOPPED' }, TERMS)).rejects.toMatchObject({ code: 'job-state-wrong' });
  await patch({ state: 'RUNNING' });
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect(await rowsOf(process.log, 'steady'), 'nothing is published again').toEqual(expected(2));
  const purged = await over(await port.cancelJob('steady', true, TERMS));
  expect(purged.message).toBe('canceled; its internal topics and checkpoints are deleted');
  const left = await process.log.admin.listTopics();
  expect(left.filter((topic) => topic.startsWith('__millrace.steady.'))).toEqual([]);
  expect(left).toContain('steady.1m');
  await patch({ state: 'RUNNING' });
  const twice = expected(2).flatMap((row) => [row, row]);
  await until('rows again', async () => (await rowsOf(process.log, 'steady')).length >= twice.length);
  expect(await rowsOf(process.log, 'steady')).toEqual(twice);
}, 60_000);

test.each<[string, JobPatchView, object]>([
  ['stop', { state: 'STOPPED' }, { state: 'STOPPED', tasks: { running: 0 } }],
  ['rescale', { parallelism: 4 }, { state: 'RUNNING', parallelism: 4 }],
  ['configure', { commitInterval: '20ms' }, { state: 'RUNNING', settings: { commitIntervalMs: 20 } }],
])(
  'a process that is killed in the middle of a %s leaves it to the next one, which finishes it',
  async (_, change, after) => {
    const first = await start(['steady']);
    const feeding = feedMinutes(first.process.log, 6).catch(() => {});
    await until('rows', async () => (await rowsOf(first.process.log, 'steady')).length > 10);
    await feeding;
    const mine = { requestId: 'mine', revisions: null };
    expect(await first.port.patchJob('steady', change, mine)).toMatchObject({ state: 'RUNNING' });
    await first.process.terminate();
    running = null;
    const second = await start(['steady']);
    const left = await second.port.request('mine');
    expect(left?.requestId).toBe('mine');
    const done = await second.over(left);
    expect(done).toMatchObject({ state: 'DONE', failure: null });
    expect(await second.job()).toMatchObject(after);
    if ('state' in change) {
      expect(done.message).toBe(`stopped; each of its ${PARTITIONS} tasks has a checkpoint at its last entry`);
      await second.patch({ state: 'RUNNING' });
    }
    await allRows(second.process, 6);
  },
  60_000,
);
