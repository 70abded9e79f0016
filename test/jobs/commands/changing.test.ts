// Commands that change a job, run as a person runs them: what reaches the process, what is waited for, how they end.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { progressText } from '#jobs/commands/progress-text.ts';
import type { AdminServer } from '#runtime/http/admin-server.ts';
import type { RequestView } from '#runtime/http/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { ApiWorld } from '#test/runtime/http/api-world.ts';
import { millrace } from './millrace-command.ts';

let world: ApiWorld;
let server: AdminServer;

beforeEach(async () => {
  world = new ApiWorld();
  server = world.serverOf();
  await server.listen('127.0.0.1', 0);
});

afterEach(() => server.close());

const run = (...args: readonly string[]) => millrace([...args, '--url', server.url]);
/** Revision of the job that the port shows. */
const REVISIONS = { revisions: [3] };
const ANY_ID = { requestId: expect.stringMatching(/^[a-z0-9-]{1,64}$/) };

test.each<[readonly string[], object]>([
  [['stop', 'rollups'], { state: 'STOPPED' }],
  [['stop', 'rollups', '--drain'], { state: 'STOPPED', drain: true }],
  [['start', 'rollups'], { state: 'RUNNING' }],
  [['pause', 'rollups'], { state: 'PAUSED' }],
  [['resume', 'rollups'], { state: 'RUNNING' }],
  [['rescale', 'rollups', '--parallelism', '4'], { parallelism: 4 }],
  [['cancel', 'rollups'], { purge: false }],
  [['cancel', 'rollups', '--purge'], { purge: true }],
  [['savepoint', 'rollups'], { savepoint: true }],
  [['savepoint', 'delete', 'rollups', '01jd'], { delete: '01jd' }],
])('%j asks for what it says, of the job as it was looked at, and waits', async (args, asked) => {
  world.port.requestStates.push('RUNNING', 'RUNNING', 'DONE');
  const { status, stderr, stdout } = await run(...args);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toBe('rescale of rollups: spread over 4 slots (1s)\n');
  expect(world.port.changes).toEqual([{ ...asked, ...ANY_ID, ...REVISIONS }]);
  expect(world.port.asked.filter((what) => what.startsWith('request '))).toHaveLength(3);
});

const MODULE = new URL('../../../jobs/rollups.ts', import.meta.url).pathname;

test('a deploy tells what it would do, does it to the job as it was looked at, and waits', async () => {
  world.port.requestStates.push('RUNNING', 'RUNNING', 'DONE');
  const { status, stderr, stdout } = await run('deploy', MODULE, '--options', '{"topic":"raw"}');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout.split('\n')).toEqual([
    'rollups: version 0123456789abcdef instead of fedcba9876543210 takes over: each task goes on where it is',
    "  1m: state '1m.panes' migrated (schema 1 to 2)",
    "  seen: state 'seen.last' dropped",
    'rescale of rollups: spread over 4 slots (1s)',
    '',
  ]);
  const sent = { module: 'rollups.ts', options: { topic: 'raw' } };
  expect(world.port.changes).toEqual([
    { deploy: { ...sent, dryRun: true }, requestId: null, revisions: null },
    { deploy: { ...sent, publishAgain: false }, ...ANY_ID, ...REVISIONS },
  ]);
});

test('a dry run and what is refused change nothing', async () => {
  const dry = await run('deploy', MODULE, '--dry-run', '--json');
  expect(JSON.parse(dry.stdout)).toMatchObject({ plan: { way: 'handover', failure: null } });
  world.port.requestState = 'FAILED';
  const refused = await run('deploy', MODULE, '--allow-dropped-state');
  expect(refused).toMatchObject({ status: 1, stderr: 'millrace: window threw\n  remedy: correct it\n' });
  expect(refused.stdout).toContain("because stage '1m' gets 8 tasks, and had 4");
  expect(world.port.changes.map((change) => (change as { deploy: { dryRun?: boolean } }).deploy.dryRun)).toEqual([
    true,
    true,
  ]);
});

test('a rollback goes to the version before, or to that which is named', async () => {
  world.port.requestState = 'DONE';
  expect(await run('rollback', 'rollups')).toMatchObject({ status: 0, stderr: '' });
  expect(await run('rollback', 'rollups', '0123')).toMatchObject({ status: 0, stderr: '' });
  const versions = world.port.changes.map((change) => (change as { rollback: { version: string } }).rollback.version);
  expect(versions).toEqual(['fedcba9876543210', 'fedcba9876543210', '0123', '0123']);
});

test('an id of the person who asks is that of the request', async () => {
  world.port.requestState = 'DONE';
  const { stdout } = await run('stop', 'rollups', '--request-id', 'of-monday', '--json');
  expect(JSON.parse(stdout)).toMatchObject({ requestId: 'of-monday', state: 'DONE', pauses: [{}, {}] });
  expect(world.port.changes).toEqual([{ state: 'STOPPED', requestId: 'of-monday', ...REVISIONS }]);
});

test('what does not succeed ends with 1 and says why', async () => {
  world.port.requestStates.push('FAILED');
  const failed = await run('stop', 'rollups');
  expect(failed).toEqual({ status: 1, stdout: '', stderr: 'millrace: window threw\n  remedy: correct it\n' });
  world.port.requestState = 'UNDONE';
  const undone = await run('rescale', 'rollups', '--parallelism', '4', '--json');
  expect(undone.status).toBe(1);
  expect(undone.stderr).toMatch(/^millrace: spread over 4 slots; all is as it was before\n {2}remedy: look at the job/);
});

test('what is refused says so, with its remedy', async () => {
  const fault = new StreamError('job-busy', 'job rollups is being changed', 'wait for its end');
  Object.assign(world.port, { patchJob: () => Promise.reject(fault) });
  expect(await run('stop', 'rollups')).toEqual({
    status: 1,
    stdout: '',
    stderr: 'millrace: job rollups is being changed\n  remedy: wait for its end\n',
  });
  expect((await run('stop', 'rolups')).stderr).toMatch(
    /there is no job 'rolups'\n {2}remedy: did you mean 'rollups'\?/,
  );
});

test('a process that does not answer for a while is waited for', async () => {
  const request = world.port.request.bind(world.port);
  let away = 3;
  Object.assign(world.port, {
    request: (id: string) =>
      away-- > 0 ? Promise.reject(new StreamError('log-unavailable', 'no', 'wait')) : request(id),
  });
  world.port.requestStates.push('DONE');
  expect(await run('stop', 'rollups')).toMatchObject({ status: 0, stderr: '' });
  expect(world.port.changes).toHaveLength(1);
});

test('progress is told in tasks, with an estimate as soon as there is something to go by', () => {
  const request = { job: 'rollups', operation: 'rescale', progress: null } as unknown as RequestView;
  const of = (done: number) => ({ ...request, progress: { done, total: 8 } });
  expect(progressText(request, 1_500)).toBe('rescale of rollups … 1.5s');
  expect(progressText(of(0), 9_000)).toBe('rescale of rollups … 0 of 8 tasks, 9s');
  expect(progressText(of(2), 500)).toBe('rescale of rollups … 2 of 8 tasks, 500ms');
  expect(progressText(of(2), 2_000)).toBe('rescale of rollups … 2 of 8 tasks, 2s, about 6s left');
  expect(progressText(of(8), 2_000)).toBe('rescale of rollups … 8 of 8 tasks, 2s');
});
