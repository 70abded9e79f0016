// What a task finds at its start decides: begin, go on, or refuse with a remedy. Refusing publishes nothing.

import { expect, test } from 'vitest';
import type { TaskPlan } from '#runtime/task/task-environment.ts';
import { COMMITS, type RunningToy, ToyWorld } from '#test/runtime/task/toy-world.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';

const MINUTE_MS = 60_000;
const OPTIONS = { checkpointIntervalMs: 3_000 };

async function work(toy: ToyWorld, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) {
    toy.feed(`${WORLD_EPOCH_MS + i * MINUTE_MS} ${i}`);
    await toy.pass(1_000);
  }
}

/** A task that ran for a while and was killed or stopped. */
async function past(how: 'kill' | 'stop', minutes = 20): Promise<ToyWorld> {
  const toy = new ToyWorld();
  const first = toy.launch(OPTIONS);
  await work(toy, 0, minutes);
  if (how === 'stop') {
    first.supervisor.stop();
    await toy.until(() => first.outcome !== null);
  }
  first.inhabitant.process.kill();
  return toy;
}

async function refused(toy: ToyWorld, change: Partial<TaskPlan> = {}): Promise<{ code: string; remedy: string }> {
  const before = toy.committed('out');
  const running = toy.launch(OPTIONS, change);
  expect(await toy.until(() => running.outcome !== null), 'it ends').toBe(true);
  await work(toy, 100, 103);
  expect(toy.committed('out'), 'nothing is published').toEqual(before);
  if (running.outcome?.kind !== 'failed') throw new Error('it did not refuse');
  expect(running.outcome.failure.remedy).not.toBe('');
  return running.outcome.failure;
}

test('a commit log that was deleted and made anew is refused', async () => {
  const toy = await past('kill');
  toy.world.cluster.deleteTopics([COMMITS]);
  toy.createTopic(COMMITS);
  expect(await refused(toy)).toMatchObject({ code: 'commit-log-lost' });
});

test('a commit log made anew before any checkpoint was written is refused by its id', async () => {
  const toy = new ToyWorld();
  const topicIds = { [COMMITS]: toy.world.cluster.describe(COMMITS)?.topicId ?? '' };
  const first = toy.launch({}, { topicIds });
  await work(toy, 0, 10);
  expect(first.supervisor.status()).toMatchObject({ phase: 'running', checkpointEntry: null });
  toy.world.cluster.deleteTopics([COMMITS]);
  toy.createTopic(COMMITS);
  first.inhabitant.process.kill();
  expect(await refused(toy, { topicIds })).toMatchObject({ code: 'topic-recreated' });
  expect(toy.entries()).toEqual([]);
});

test('a commit log whose records were all deleted is refused', async () => {
  const toy = await past('kill');
  toy.world.cluster.deleteRecords({ topic: COMMITS, partition: 0 }, 1_000_000);
  expect(await refused(toy)).toMatchObject({ code: 'commit-log-lost' });
});

test('a trimmed commit log without any checkpoint is refused', async () => {
  const toy = await past('kill');
  await removeCheckpoints(toy);
  expect(await refused(toy)).toMatchObject({ code: 'checkpoint-lost' });
});

test('a whole commit log without any checkpoint is replayed from entry 0', async () => {
  const toy = new ToyWorld();
  const first = toy.launch();
  await work(toy, 0, 10);
  first.inhabitant.process.kill();
  await removeCheckpoints(toy);
  toy.launch();
  await work(toy, 10, 12);
  expect(toy.committed('out')).toHaveLength(10);
});

test('a source that was created again is refused', async () => {
  const toy = await past('kill');
  toy.world.cluster.deleteTopics(['in']);
  toy.createTopic('in');
  expect(await refused(toy)).toMatchObject({ code: 'topic-recreated' });
});

test('a topic with another partition count is refused', async () => {
  const toy = await past('stop');
  toy.world.cluster.createPartitions('in', 2);
  expect(await refused(toy)).toMatchObject({ code: 'topic-partitions-changed' });
});

test('a task of a partition that its commit log does not have is refused with the same remedy', async () => {
  const toy = await past('stop');
  toy.world.cluster.createPartitions('in', 2);
  const { identity, input } = toy.plan();
  const change = { identity: { ...identity, partition: 1 }, input: { ...input, partition: 1 } };
  expect(await refused(toy, change)).toMatchObject({ code: 'topic-partitions-changed' });
});

test('another version is refused after a crash and takes over after a clean stop', async () => {
  const crashed = await past('kill', 4);
  await crashed.pass(100);
  expect(await refused(crashed, { version: 'v2' })).toMatchObject({ code: 'version-mismatch' });

  const toy = await past('stop');
  const second = toy.launch(OPTIONS, { version: 'v2' });
  await work(toy, 20, 25);
  expect(second.outcome).toBeNull();
  expect(toy.committed('out')).toHaveLength(23);
  const [handover] = toy.entries().filter((entry) => entry['kind'] === 'handover');
  expect(handover).toMatchObject({ handover: { from: 'v1', to: 'v2' } });
  expect((handover['handover'] as { checkpoint: string }).checkpoint).toMatch(/manifest/);
});

test('a crash at any step of a handover changes nothing', async () => {
  for (let events = 1; events < 60; events += 4) {
    const toy = await past('stop', 6);
    const second = toy.launch(OPTIONS, { version: 'v2' });
    second.inhabitant.process.killAfterEvents(events);
    await toy.pass(3_000);
    const third = toy.launch(OPTIONS, { version: 'v2' });
    await work(toy, 6, 10);
    expect(third.outcome, `after ${events} events`).toBeNull();
    expect(toy.committed('out'), `after ${events} events`).toHaveLength(8);
    expect(toy.entries().filter((entry) => entry['kind'] === 'handover')).toHaveLength(1);
  }
});

test('a crash at any step of the first start leaves one genesis, fixed for good', async () => {
  for (let events = 1; events < 60; events++) {
    const toy = new ToyWorld();
    toy.feed(`${WORLD_EPOCH_MS} 1`);
    const plan: Partial<TaskPlan> = { input: { topic: 'in', partition: 0, start: 'latest', internal: false } };
    const lives: RunningToy[] = [];
    for (let life = 0; life < 3; life++) {
      const running = toy.launch(OPTIONS, plan);
      if (life < 2) running.inhabitant.process.killAfterEvents(events);
      lives.push(running);
      await toy.pass(2_500);
    }
    toy.feed(`${WORLD_EPOCH_MS + MINUTE_MS} 2`, `${WORLD_EPOCH_MS + 10 * MINUTE_MS} 3`);
    await toy.pass(5_000);
    expect(lives[2].outcome, `after ${events} events`).toBeNull();
    const geneses = toy.entries().filter((entry) => entry['kind'] === 'genesis');
    expect(geneses, `after ${events} events`).toHaveLength(1);
    expect(geneses[0]).toMatchObject({ number: 0, inputs: [{ endOffset: '1' }] });
    expect(toy.committed('out')).toEqual([`${WORLD_EPOCH_MS + MINUTE_MS} 2`]);
  }
});

test('a commit log that breaks its chain is refused', async () => {
  const toy = await past('kill');
  const batches = toy.world.cluster.partition({ topic: COMMITS, partition: 0 })?.batches ?? [];
  const entry = batches.findLast((batch) => !batch.control && batch.fate === 'committed');
  const at = entry?.bytes.indexOf('outputRecords') ?? -1;
  entry?.bytes.write('outputRecordz', at);
  expect(await refused(toy)).toMatchObject({ code: 'commit-log-corrupt' });
});

test('a foreign producer with an open transaction in the commit log is named, not waited for without end', async () => {
  const toy = await past('kill');
  const { cluster } = toy.world;
  const { coordinator } = cluster;
  const partition = cluster.partition({ topic: COMMITS, partition: 0 });
  if (partition === null) throw new Error('no commit log');
  const { producerId, epoch } = coordinator.initProducerId('somebody else', 900_000, -1, -1);
  const bytes = Buffer.from(partition.batches.findLast((batch) => !batch.control)?.bytes ?? []);
  const { stampBatch } = await import('#runtime/log/record-batch.ts');
  stampBatch(bytes, BigInt(producerId), epoch, 0);
  expect(cluster.produce('somebody else', { topic: COMMITS, partition: 0 }, 0, bytes).error).toBe(0);
  const running = toy.launch(OPTIONS);
  expect(await toy.until(() => running.outcome !== null, 5 * MINUTE_MS)).toBe(true);
  expect(running.outcome).toMatchObject({ kind: 'failed', failure: { code: 'foreign-writer' } });
});

async function removeCheckpoints(toy: ToyWorld): Promise<void> {
  const { disk, process } = toy.world.start('hand');
  let done = false;
  disk.remove('checkpoints').then(() => {
    done = true;
  });
  await toy.until(() => done);
  process.kill();
}
