// Versions of a job that are deployed while it runs, on the embedded log with real slots: each hands over to the next or
// begins a new generation, what cannot run comes back, and every row is there once.

import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { StreamError } from '#runtime/std/errors.ts';
import { expected, feedMinutes } from '#test/runtime/slot/minute-world.ts';
import { until } from './admin-world.ts';
import { DeployWorld, moduleText } from './deploy-world.ts';

let world: DeployWorld;
const ROWS = expected(5);
const TERMS = { requestId: null, revisions: null };

beforeEach(async () => {
  world = new DeployWorld(await mkdtemp(join(tmpdir(), 'millrace-deploy-')));
  await world.write('counted.ts', {});
});

afterEach(() => world.remove());

test('a version with the same tasks takes over where the one before stopped, under load', async () => {
  const process = await world.start();
  await world.ready();
  const feeding = feedMinutes(process.log, 5);
  const second = await world.write('second.ts', { look: 'sample.value > 0' });
  const { plan, request } = await world.deploy(second, { module: 'second.ts' });
  expect(plan).toMatchObject({ way: 'handover', reasons: [], states: [], failure: null, publishesAgain: false });
  expect(request).toMatchObject({ operation: 'deploy', state: 'DONE', failure: null });
  expect(request.message).toContain(`version ${plan.version} took over; 8 tasks run`);
  await feeding;
  expect(await world.rows(ROWS.length)).toEqual(ROWS);
  expect(await world.port.job('counted')).toMatchObject({ version: plan.version, state: 'RUNNING', restarts: 0 });
  const again = await world.deploy(second);
  expect(again.plan.way).toBe('none');
  expect(again.request.message).toBe('nothing to do: this version runs');
}, 90_000);

test('another number of partitions of its exchange makes a new generation, and no row is lost or there twice', async () => {
  const process = await world.start();
  await world.ready();
  const feeding = feedMinutes(process.log, 5);
  const wide = await world.write('wide.ts', { partitions: 7 });
  const { plan, request } = await world.deploy(wide);
  expect(plan).toMatchObject({ way: 'generation', reasons: ["stage 'minute' gets 7 tasks, and had 4"], failure: null });
  expect(request).toMatchObject({ state: 'DONE', failure: null });
  await feeding;
  expect(await world.rows(ROWS.length)).toEqual(ROWS);
  expect((await world.port.job('counted'))?.tasks.total).toBe(11);
  const topics = (await process.log.admin.listTopics()).filter((topic) => topic.startsWith('__millrace.counted.'));
  expect(topics.filter((topic) => topic.startsWith('__millrace.counted.live.0.'))).toEqual([]);
  expect(topics.filter((topic) => topic.startsWith('__millrace.counted.live.1.'))).toHaveLength(3);
}, 90_000);

test('a version that throws is taken back, and nothing is lost or published twice by that', async () => {
  const process = await world.start();
  await world.ready();
  const wrong = await world.write('wrong.ts', { look: "(() => { throw new RangeError('no number for me'); })()" });
  const { plan, requestId } = await world.begin(wrong);
  expect(plan).toMatchObject({ way: 'handover', failure: null });
  const feeding = feedMinutes(process.log, 5);
  const request = await world.over(requestId);
  expect(request).toMatchObject({ state: 'UNDONE', failure: { code: 'operator-failed' } });
  expect(request.failure?.message).toContain('no number for me');
  await feeding;
  expect(await world.rows(ROWS.length)).toEqual(ROWS);
  expect(await world.port.job('counted')).toMatchObject({ version: plan.from, state: 'RUNNING' });
}, 90_000);

test('a version that fails behind entries of its own stays, as a job that failed, until a correct one goes on', async () => {
  const process = await world.start();
  await world.ready();
  const wrong = await world.write('wrong.ts', { beside: "throw new RangeError('no sample for me');" });
  const { requestId } = await world.begin(wrong);
  const feeding = feedMinutes(process.log, 5);
  const request = await world.over(requestId);
  expect(request).toMatchObject({ state: 'FAILED', failure: { code: 'version-mismatch' } });
  expect(request.failure?.remedy).toContain('with the same stages and partitions');
  await feeding;
  expect((await world.port.job('counted'))?.state).toBe('FAILED');
  const right = await world.write('right.ts', { beside: '' });
  expect((await world.deploy(right)).request).toMatchObject({ state: 'DONE', failure: null });
  expect(await world.rows(ROWS.length)).toEqual(ROWS);
}, 90_000);

test('tables of keys that nothing is kept by are left behind unasked', async () => {
  const text = (look: string) =>
    moduleText({})
      .replace('import { samples', 'import { by, samples')
      .replace("'look'", `'${look}'`)
      .replace('keyBy(series)', "keyBy(by('host'))");
  await writeFile(join(world.directory, 'counted.ts'), text('look'));
  const process = await world.start();
  await world.ready();
  await feedMinutes(process.log, 5);
  const renamed = join(world.directory, 'renamed.ts');
  await writeFile(renamed, text('see'));
  const { plan, request } = await world.deploy(renamed);
  expect(plan).toMatchObject({ way: 'generation', failure: null });
  expect(request).toMatchObject({ state: 'DONE', failure: null });
  expect(await world.rows(ROWS.length)).toEqual(ROWS);
}, 90_000);

test('what is wrong with a module is told by the names of who sent it', async () => {
  await world.start();
  await world.ready();
  const broken = join(world.directory, 'broken.ts');
  const wrong = async (text: string) => {
    await writeFile(broken, text);
    const fault: StreamError = await world.begin(broken, { dryRun: true }).then(
      () => Promise.reject(new Error('it was taken')),
      (error) => error,
    );
    return [fault.code, fault.message, fault.remedy];
  };
  const [code, message] = await wrong('export default {{{');
  expect([code, message]).toEqual(['job-invalid', expect.stringMatching(/^job module broken\.ts cannot be loaded: /)]);
  expect(await wrong("import 'not-there';\nexport default 1;\n")).toEqual([
    'job-invalid',
    "job module broken.ts cannot be loaded: Cannot find package 'not-there' imported from broken.ts",
    `run npm install not-there in ${world.directory}`,
  ]);
  expect(await wrong('export const one = 1;\n')).toEqual([
    'job-invalid',
    'broken.ts exports no job as its default, but undefined',
    'end the module with export default defineJob({ … })',
  ]);
}, 30_000);

test('a module that ends the process, or never comes to its end, is refused, and nothing dies of it', async () => {
  const process = await world.start();
  await world.ready();
  const bad = join(world.directory, 'bad.ts');
  const refusal = async (text: string) => {
    await writeFile(bad, text);
    const fault: unknown = await world.begin(bad, { dryRun: true }).catch((error: unknown) => error);
    expect(fault).toMatchObject({ code: 'job-invalid' });
    return (fault as StreamError).message.replace('job module bad.ts cannot be loaded: it ', '');
  };
  expect(await refusal('process.exit(3);')).toBe('ends the process with exit code 3');
  const later = `${moduleText({})}\nsetTimeout(() => { throw new Error('later'); }, 50);`;
  expect(await refusal(later)).toBe('ends the process with exit code 1 (Error: later)');
  expect(await refusal('await new Promise(() => {});')).toBe('awaits what never comes, and nothing else is left to do');
  expect(await refusal('for (;;);')).toBe('takes more than 15 s to load');
  const greedy = 'const all: string[][] = []; for (;;) all.push(new Array(1e6).fill(String(all.length)));';
  expect(await refusal(greedy)).toMatch(/^ends the process with signal SIGABRT \(.*out of memory\)$/);
  await feedMinutes(process.log, 5);
  expect(await world.rows(1)).not.toEqual([]);
}, 60_000);

test('state that would be dropped is told and refused before anything stops, unless that is allowed', async () => {
  const process = await world.start();
  await world.ready();
  await feedMinutes(process.log, 5);
  expect(await world.rows(ROWS.length)).toEqual(ROWS);
  const other = await world.write('other.ts', { window: 'moment' });
  const { plan } = await world.begin(other, { dryRun: true });
  expect(plan.states.map(({ change, operator }) => `${operator} ${change}`)).toContain('minute dropped');
  expect(plan.failure).toMatchObject({ code: 'version-mismatch' });
  expect(plan.failure?.remedy).toContain('--allow-dropped-state');
  await expect(world.begin(other)).rejects.toMatchObject({ code: 'version-mismatch' });
  expect(await world.port.job('counted')).toMatchObject({ version: plan.from, revision: 2, request: null });
  const allowed = await world.deploy(other, { allowDroppedState: true });
  expect(allowed.request).toMatchObject({ state: 'DONE', failure: null });
  expect(await world.rows(ROWS.length)).toEqual(ROWS);
  expect(await world.port.job('counted')).toMatchObject({ version: plan.version, state: 'RUNNING' });
}, 90_000);

test('an older savepoint begins anew from there, when that is meant, and one of another job does not', async () => {
  const process = await world.start();
  await world.ready();
  const { savepoint } = await world.over((await world.port.savepointJob('counted', TERMS))?.requestId ?? '');
  await feedMinutes(process.log, 5);
  expect(await world.rows(ROWS.length)).toEqual(ROWS);
  const same = join(world.directory, 'counted.ts');
  const from = { fromSavepoint: savepoint ?? '' };
  const { plan } = await world.begin(same, { ...from, dryRun: true });
  expect(plan).toMatchObject({ way: 'generation', publishesAgain: true, savepoint, failure: null });
  await expect(world.begin(same, from)).rejects.toMatchObject({ code: 'request-invalid' });
  await expect(world.begin(same, { fromSavepoint: 'of-others' })).rejects.toMatchObject({ code: 'savepoint-unknown' });
  expect((await world.deploy(same, { ...from, publishAgain: true })).request).toMatchObject({ state: 'DONE' });
  const twice = await world.rows(2 * ROWS.length);
  expect(twice).toEqual([...ROWS, ...ROWS].sort());
}, 90_000);

test('what was deployed counts over restarts, until the configuration names another module, and can be gone back to', async () => {
  await world.start();
  await world.ready();
  const second = await world.write('second.ts', { look: 'sample.value > 0' });
  const { plan } = await world.deploy(second, { module: 'second.ts' });
  await world.stop();
  const process = await world.start();
  await world.ready();
  expect(await world.port.job('counted')).toMatchObject({ version: plan.version, state: 'RUNNING' });
  await feedMinutes(process.log, 5);
  const listed = (await world.port.versions('counted')) ?? [];
  expect(listed.map(({ current, kept, version }) => ({ current, kept, version }))).toEqual([
    { current: true, kept: true, version: plan.version },
    { current: false, kept: true, version: plan.from },
  ]);
  const back = await world.port.rollbackJob('counted', { version: (plan.from ?? '').slice(0, 6) }, TERMS);
  expect(await world.over(back?.requestId ?? '')).toMatchObject({ operation: 'rollback', state: 'DONE' });
  expect(await world.port.job('counted')).toMatchObject({ version: plan.from });
  await expect(world.port.rollbackJob('counted', { version: 'abcdef' }, TERMS)).rejects.toMatchObject({
    code: 'version-unknown',
  });
  expect(await world.rows(ROWS.length)).toEqual(ROWS);
  await world.stop();
  await world.write('third.ts', { look: 'sample.value >= 0' });
  await world.start('third.ts');
  await world.ready();
  const { version } = (await world.port.job('counted')) ?? {};
  expect([plan.version, plan.from]).not.toContain(version);
}, 90_000);

test('a version that ended without checkpoints is replayed from its bundle, and then hands over', async () => {
  const process = await world.start();
  await world.ready();
  await feedMinutes(process.log, 5);
  expect(await world.rows(ROWS.length)).toEqual(ROWS);
  expect(await world.over((await world.port.cancelJob('counted', false, TERMS))?.requestId ?? '')).toMatchObject({
    state: 'DONE',
  });
  const second = await world.write('second.ts', { look: 'sample.value > 0' });
  const { plan, request } = await world.deploy(second);
  expect(request).toMatchObject({ state: 'DONE', failure: null });
  expect(request.message).toMatch(/took over, after [1-8] tasks that had crashed were replayed/);
  expect(await world.port.job('counted')).toMatchObject({ state: 'CANCELED' });
  const started = await world.port.patchJob('counted', { state: 'RUNNING' }, TERMS);
  expect(await world.over(started?.requestId ?? '')).toMatchObject({ state: 'DONE', failure: null });
  expect(await world.port.job('counted')).toMatchObject({ version: plan.version, state: 'RUNNING' });
  expect(await world.rows(ROWS.length)).toEqual(ROWS);
}, 90_000);

test('a job that the configuration does not have is deployed, and is there after a restart', async () => {
  const process = await world.start();
  await world.ready();
  const other = await world.write('fresh.ts', { name: 'fresh' });
  const { plan, request } = await world.deploy(other);
  expect(plan).toMatchObject({ job: 'fresh', way: 'new', revision: 0, from: null });
  expect(request).toMatchObject({ state: 'DONE', failure: null });
  await feedMinutes(process.log, 5);
  expect(await world.rows(ROWS.length, 'fresh')).toEqual(ROWS);
  await world.stop();
  await world.start();
  await world.ready();
  expect(await world.port.job('fresh')).toMatchObject({ version: plan.version, state: 'RUNNING' });
}, 90_000);

test('a source that has grown ends the job, and a deploy of the same module goes on with all of it', async () => {
  const process = await world.start();
  await world.ready();
  await feedMinutes(process.log, 5);
  await process.log.admin.createPartitions('metrics.raw', 6);
  await until('the end of the job', async () => (await world.port.job('counted'))?.state === 'FAILED');
  const { plan, request } = await world.deploy(join(world.directory, 'counted.ts'));
  expect(plan).toMatchObject({ way: 'generation', states: [], failure: null });
  expect(request).toMatchObject({ state: 'DONE', failure: null });
  expect(await world.port.job('counted')).toMatchObject({ state: 'RUNNING', tasks: { total: 10 } });
  expect(await world.rows(ROWS.length)).toEqual(ROWS);
}, 90_000);

test('only who has seen the job as it is changes it', async () => {
  await world.start();
  await world.ready();
  const second = await world.write('second.ts', { look: 'sample.value > 0' });
  const asked = world.asked(second);
  const stale = world.port.deployJob(asked, { requestId: null, revisions: [1] });
  await expect(stale).rejects.toMatchObject({ code: 'job-changed' });
  const { revision = 0 } = (await world.port.job('counted')) ?? {};
  const { requestId } = await world.port.deployJob(asked, { requestId: 'mine', revisions: [revision] });
  const again = await world.port.deployJob(asked, { requestId: 'mine', revisions: [revision] });
  expect([requestId, again.requestId]).toEqual(['mine', 'mine']);
  expect(await world.over('mine')).toMatchObject({ state: 'DONE' });
}, 90_000);

test('a module that was changed after a crash is deployed: the one before is replayed from what was kept of it', async () => {
  const first = await world.start();
  await world.ready();
  const { version: was } = (await world.port.job('counted')) ?? {};
  await feedMinutes(first.log, 5);
  expect(await world.rows(ROWS.length)).toEqual(ROWS);
  await world.kill();
  const second = await world.write('second.ts', { look: 'sample.value > 0' });
  await world.start('second.ts');
  await until('the end of the job', async () => (await world.port.job('counted'))?.state === 'FAILED');
  expect((await world.port.job('counted'))?.failure).toMatchObject({ code: 'version-mismatch' });
  const { plan, request } = await world.deploy(second);
  expect(plan.version).not.toBe(was);
  expect(request).toMatchObject({ state: 'DONE', failure: null });
  expect(request.message).toMatch(/tasks that had crashed were replayed/);
  expect(await world.port.job('counted')).toMatchObject({ version: plan.version, state: 'RUNNING' });
  expect(await world.rows(ROWS.length)).toEqual(ROWS);
}, 90_000);
