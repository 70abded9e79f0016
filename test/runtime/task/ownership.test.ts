// A process that was replaced ends its tasks, and whoever replaced it never notices.

import { expect, test } from 'vitest';
import { type RunningToy, ToyWorld } from '#test/runtime/task/toy-world.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';

/** The older task fails for a reason of its own and is about to start again. */
async function failing(toy: ToyWorld): Promise<RunningToy> {
  const { program } = toy;
  let broken = true;
  toy.program = () => {
    const stage = program();
    return {
      ...stage,
      head: {
        process(batch) {
          if (broken) throw new Error('not yet');
          stage.head.process(batch);
        },
      },
    };
  };
  const old = toy.launch();
  toy.feed(`${WORLD_EPOCH_MS} 1`);
  await toy.pass(3_000);
  expect(old.supervisor.restarts).toBeGreaterThan(0);
  broken = false;
  return old;
}

test('a task that restarts in a replaced process does not throw its successor out', async () => {
  const toy = new ToyWorld();
  const old = await failing(toy);
  old.inhabitant.process.pause(60_000);
  const successor = toy.launch();
  for (let i = 0; i < 60; i++) {
    toy.feed(`${WORLD_EPOCH_MS + i * 60_000} 1`);
    await toy.pass(2_000);
  }
  expect(old.outcome).toMatchObject({ kind: 'failed', failure: { code: 'superseded' } });
  expect(successor.outcome).toBeNull();
  expect(successor.supervisor.restarts).toBe(0);
  expect(successor.supervisor.status()?.transactionsFailed).toBe(0);
});

test('a running task that was replaced ends with its next transaction, without disturbing its successor', async () => {
  const toy = new ToyWorld();
  const old = toy.launch();
  await toy.pass(3_000);
  old.inhabitant.process.pause(60_000);
  const successor = toy.launch();
  for (let i = 0; i < 60; i++) {
    toy.feed(`${WORLD_EPOCH_MS + i * 60_000} 1`);
    await toy.pass(2_000);
  }
  expect(old.outcome).toMatchObject({ kind: 'failed', failure: { code: 'superseded' } });
  expect(successor.supervisor.status()?.transactionsFailed).toBe(0);
  expect(toy.committed('out').length).toBeGreaterThan(50);
});

test('a process that was stopped after it heard that it owns the task, and goes on beside its successor, commits nothing', async () => {
  const toy = new ToyWorld();
  const first = toy.launch();
  toy.feed(`${WORLD_EPOCH_MS} 1`);
  await toy.pass(3_000);
  first.inhabitant.process.kill();

  const inhabitant = toy.world.start('stopped');
  toy.owner = inhabitant.process.id;
  let stops = 1;
  const owns = async () => {
    const answer = toy.owner === inhabitant.process.id;
    if (stops-- > 0) inhabitant.process.pause(60_000);
    await inhabitant.process.after(0, 'hear', () => {});
    return answer;
  };
  const stopped = toy.run(inhabitant, toy.environment(inhabitant, { ownership: { owns } }));
  await toy.pass(1_000);
  const successor = toy.launch({}, { version: 'v2' });
  await toy.pass(30_000);
  const before = toy.entries();
  expect(before.at(-1)).toMatchObject({ version: 'v2' });
  await toy.pass(60_000);
  expect(stopped.outcome).toMatchObject({ kind: 'failed', failure: { code: 'superseded' } });
  expect(toy.entries()).toEqual(before);

  // The successor had nothing to commit and did not notice: its checkpoint must be the one of the last entry.
  successor.supervisor.stop();
  await toy.pass(5_000);
  expect(successor.outcome).toEqual({ kind: 'stopped' });
  expect(toy.entries()).toEqual(before);
  expect(successor.supervisor.status()?.checkpointEntry).toBe(before.at(-1)?.['number']);
});

test('a task whose writer was shut out by nobody goes on: it is ours still', async () => {
  const toy = new ToyWorld();
  const running = toy.launch();
  await toy.pass(3_000);
  // A late InitProducerId of an earlier life, for example.
  const { coordinator } = toy.world.cluster;
  coordinator.initProducerId('n.toy.live.0.toy.0', 15_000, -1, -1);
  for (let i = 0; i < 5; i++) toy.feed(`${WORLD_EPOCH_MS + i * 60_000} 1`);
  await toy.pass(10_000);
  expect(running.outcome).toBeNull();
  expect(running.supervisor.restarts).toBe(0);
  expect(toy.committed('out')).toHaveLength(3);
});
