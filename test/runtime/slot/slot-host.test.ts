// A slot's tasks through messages in every order that the main thread may send them in.

import { expect, test } from 'vitest';
import type { FromSlot, TaskAssignment } from '#runtime/slot/messages.ts';
import { type PlannedTask, SlotHost } from '#runtime/slot/slot-host.ts';
import { StreamError } from '#runtime/std/errors.ts';
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
  const tasks = () => {
    host.hear({ kind: 'status', request: 1 });
    const last = heard.pop();
    return last?.kind === 'status' ? last.tasks : [];
  };
  return { toy, host, heard, compiling, compiled, tasks };
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
  expect(heard.map(({ kind }) => kind)).toEqual(['task-stopped']);
});

test('a task that is stopped while its job is compiled never runs', async () => {
  const { toy, host, heard, compiled, tasks } = scene();
  host.hear({ kind: 'start', tasks: [TASK] });
  host.hear({ kind: 'stop', job: 'toy' });
  compiled();
  await toy.pass(30_000);
  expect(heard).toMatchObject([{ kind: 'task-stopped', assignment: TASK }]);
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
  expect(heard).toEqual([]);
  host.hear({ kind: 'stop', job: 'toy' });
  await toy.pass(2_000);
  expect(heard).toMatchObject([{ kind: 'task-stopped', assignment: TASK }]);
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
