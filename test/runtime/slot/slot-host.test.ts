// A slot's tasks through messages in every order that the main thread may send them in.

import { expect, test } from 'vitest';
import type { FromSlot, TaskAssignment } from '#runtime/slot/messages.ts';
import { type PlannedTask, SlotHost } from '#runtime/slot/slot-host.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';
import { DEFAULT_TASK_OPTIONS } from '#runtime/task/task-environment.ts';
import { ToyWorld } from '#test/runtime/task/toy-world.ts';

const TASK: TaskAssignment = { job: 'toy', run: 'live', generation: 0, stage: 'toy', partition: 0 };

function scene() {
  const toy = new ToyWorld();
  const inhabitant = toy.world.start('slot');
  toy.owner = inhabitant.process.id;
  const heard: FromSlot[] = [];
  const compiling: ((planned: PlannedTask | StreamError) => void)[] = [];
  const planned: PlannedTask = { plan: toy.plan(), options: DEFAULT_TASK_OPTIONS };
  const host = new SlotHost({
    environment: toy.environment(inhabitant),
    planTask: () =>
      new Promise((resolve, reject) => {
        compiling.push((result) => (result instanceof StreamError ? reject(result) : resolve(result)));
      }),
    say: (message) => heard.push(message),
  });
  const compiled = () => {
    for (const done of compiling.splice(0)) done(planned);
  };
  const asked = async (query: StateQuery, assignment = TASK) => {
    host.hear({ kind: 'state', request: 9, assignment, query });
    await toy.pass(10);
    const last = heard.pop();
    return last?.kind === 'state' && last.request === 9 ? last.reply : null;
  };
  const tasks = () => {
    host.hear({ kind: 'status', request: 1 });
    const last = heard.pop();
    return last?.kind === 'status' ? last.tasks : [];
  };
  return { toy, host, heard, compiling, compiled, tasks, asked };
}

test('a task that is started twice while its job is compiled runs once', async () => {
  const { toy, host, heard, compiled, tasks } = scene();
  host.hear({ kind: 'start', tasks: [TASK] });
  host.hear({ kind: 'start', tasks: [TASK] });
  compiled();
  for (let second = 0; second < 20; second++) {
    await toy.pass(1_000);
    toy.feed(`${second * 60_000} 1`);
  }
  expect(tasks()).toHaveLength(1);
  expect(toy.said('transaction failed'), 'nobody fights for the transactional id').toEqual([]);
  host.hear({ kind: 'stop', job: null });
  await toy.pass(5_000);
  expect(heard.map(({ kind }) => kind)).toEqual(['task-live', 'task-stopped']);
});

test('a task that is stopped while its job is compiled never runs', async () => {
  const { toy, host, heard, compiled, tasks } = scene();
  host.hear({ kind: 'start', tasks: [TASK] });
  host.hear({ kind: 'stop', job: 'toy' });
  compiled();
  await toy.pass(30_000);
  expect(heard.filter(({ kind }) => kind !== 'task-live')).toMatchObject([{ kind: 'task-stopped', assignment: TASK }]);
  expect(tasks()).toEqual([]);
  expect(toy.entries()).toEqual([]);
});

test('stopping one job leaves the others alone, and what stopped may be started again', async () => {
  const { toy, host, heard, compiled, tasks } = scene();
  host.hear({ kind: 'start', tasks: [TASK] });
  compiled();
  await toy.pass(2_000);
  host.hear({ kind: 'stop', job: 'other' });
  await toy.pass(2_000);
  expect(heard.filter(({ kind }) => kind !== 'task-live')).toEqual([]);
  host.hear({ kind: 'stop', job: 'toy' });
  await toy.pass(2_000);
  expect(heard.filter(({ kind }) => kind !== 'task-live')).toMatchObject([{ kind: 'task-stopped', assignment: TASK }]);
  host.hear({ kind: 'start', tasks: [TASK] });
  compiled();
  await toy.pass(2_000);
  expect(tasks()[0].status?.phase).toBe('running');
});

test('a job that cannot be compiled fails its task with the reason, and the slot lives on', async () => {
  const { toy, host, heard, compiling, compiled, tasks } = scene();
  host.hear({ kind: 'start', tasks: [TASK] });
  compiling.splice(0)[0](new StreamError('job-invalid', 'no such stage', 'correct the job'));
  await toy.pass(100);
  expect(heard).toMatchObject([{ kind: 'task-failed', failure: { code: 'job-invalid', remedy: 'correct the job' } }]);
  host.hear({ kind: 'start', tasks: [TASK] });
  compiled();
  await toy.pass(2_000);
  expect(tasks()[0].status?.phase).toBe('running');
});

/** The toy stage with one key that has this for a state. */
function stageWith(toy: ToyWorld, state: unknown): void {
  const { program } = toy;
  const bytes = Buffer.from('all');
  const one = { isLive: () => true, canonicalBytes: () => bytes, find: () => 0 };
  const keys = { stateId: 'toy/keys', size: 1, slotCount: 1, ...one };
  const look = () => ({ states: { state }, eventTimersMs: [], clockTimersMs: [] });
  toy.program = () => {
    const stage = program();
    const operators = stage.operators.map((operator) => Object.assign(operator, { look }));
    return { ...stage, operators, keys: new Map([['sums', keys]]) };
  };
}

test('a question about state is answered, whether there is an operator, a task, a sense in it, or not', async () => {
  const { toy, host, compiled, asked } = scene();
  stageWith(toy, 7);
  expect(await asked({ operator: 'sums' })).toMatchObject({ kind: 'failure', failure: { code: 'state-unreadable' } });
  host.hear({ kind: 'start', tasks: [TASK] });
  expect(await asked({ operator: 'sums' })).toMatchObject({ kind: 'failure', failure: { code: 'state-unreadable' } });
  compiled();
  await toy.pass(2_000);
  expect(await asked({ operator: 'sums' })).toMatchObject({
    kind: 'answer',
    answer: { partition: 0, keys: [{ key: 'all', states: { state: 7 } }], next: null },
  });
  expect(await asked({ operator: 'none' })).toEqual({ kind: 'answer', answer: null });
  expect(await asked({ operator: 'sums', limit: 0 })).toMatchObject({ failure: { code: 'config-invalid' } });
  expect(await asked({ operator: 'sums' }, { ...TASK, partition: 1 })).toMatchObject({
    failure: { code: 'state-unreadable', message: 'task toy/toy/1 does not run now' },
  });
});

test('state that cannot be sent to another thread is told, and the slot lives on', async () => {
  const toy = new ToyWorld();
  const inhabitant = toy.world.start('slot');
  toy.owner = inhabitant.process.id;
  stageWith(toy, () => 'a function');
  const heard: FromSlot[] = [];
  const { port1, port2 } = new MessageChannel();
  const host = new SlotHost({
    environment: toy.environment(inhabitant),
    planTask: async () => ({ plan: toy.plan(), options: DEFAULT_TASK_OPTIONS }),
    say: (message) => {
      // What a thread does: refuses what cannot be cloned.
      port1.postMessage(message);
      heard.push(message);
    },
  });
  host.hear({ kind: 'start', tasks: [TASK] });
  await toy.pass(2_000);
  host.hear({ kind: 'state', request: 1, assignment: TASK, query: { operator: 'sums' } });
  await toy.pass(10);
  expect(heard.filter(({ kind }) => kind !== 'task-live')).toMatchObject([
    { kind: 'state', request: 1, reply: { kind: 'failure', failure: { code: 'state-unreadable' } } },
  ]);
  port1.close();
  port2.close();
});

test('a task that is told to leave, or to end at once, does so alone, and its neighbours run on', async () => {
  const { toy, host, heard, compiled, tasks } = scene();
  const other = { ...TASK, partition: 1 };
  const third = { ...TASK, job: 'another' };
  host.hear({ kind: 'start', tasks: [TASK, other, third] });
  compiled();
  await toy.pass(100);
  host.hear({ kind: 'stop-tasks', how: 'stop', tasks: [TASK] });
  await toy.pass(5_000);
  expect(tasks().map(({ assignment }) => assignment)).toEqual([other, third]);
  host.hear({ kind: 'stop-tasks', how: 'abort', tasks: [third] });
  await toy.pass(5_000);
  expect(tasks().map(({ assignment }) => assignment)).toEqual([other]);
  const ended = heard.flatMap((message) => (message.kind === 'task-stopped' ? [message.assignment] : []));
  expect(ended).toEqual([TASK, third]);
});

test('a savepoint is answered by a task that was still starting, which holds until it is released', async () => {
  const { toy, host, heard, compiled } = scene();
  host.hear({ kind: 'start', tasks: [TASK] });
  host.hear({ kind: 'savepoint', request: 4, assignment: TASK, savepoint: 's1', options: {} });
  compiled();
  await toy.pass(2_000);
  const answers = heard.filter(({ kind }) => kind === 'savepoint');
  expect(answers).toMatchObject([{ kind: 'savepoint', request: 4, reply: { kind: 'part', part: { inputs: [{}] } } }]);
  const { length } = toy.entries();
  toy.feed('0 1', '120000 1');
  await toy.pass(10_000);
  expect(toy.entries()).toHaveLength(length);
  host.hear({ kind: 'release', job: 'toy', savepoint: 's1' });
  await toy.pass(10_000);
  expect(toy.entries().length).toBeGreaterThan(length);
});

test('a savepoint of a task that is not there, or that ends, fails', async () => {
  const { toy, host, heard, compiling } = scene();
  host.hear({ kind: 'savepoint', request: 1, assignment: TASK, savepoint: 's1', options: {} });
  host.hear({ kind: 'start', tasks: [TASK] });
  host.hear({ kind: 'savepoint', request: 2, assignment: TASK, savepoint: 's1', options: {} });
  for (const done of compiling) done(new StreamError('job-invalid', 'no job', 'mend it'));
  await toy.pass(100);
  const answers = heard.flatMap((one) => (one.kind === 'savepoint' ? [one] : []));
  expect(answers.map(({ request }) => request).sort()).toEqual([1, 2]);
  for (const { reply } of answers) expect(reply).toMatchObject({ failure: { code: 'savepoint-failed' } });
});
