// Replay compares what it recomputes with what was committed; a difference stops the task before anything is emitted.

import { expect, test } from 'vitest';
import type { Batch, StageProgram } from '#runtime/task/contract.ts';
import { toyStage } from '#test/harness/toy-stage.ts';
import { ToyWorld } from '#test/runtime/task/toy-world.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';

const MINUTE_MS = 60_000;

async function work(toy: ToyWorld, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) {
    toy.feed(`${WORLD_EPOCH_MS + i * MINUTE_MS} ${i}`);
    await toy.pass(1_000);
  }
}

/** The toy stage behind a function that changes batches. */
function through(change: (batch: Batch) => void): StageProgram {
  const stage = toyStage({ outputTopic: 'out', deadLetterTopic: 'dead' });
  return {
    ...stage,
    head: {
      process(batch) {
        change(batch);
        stage.head.process(batch);
      },
    },
  };
}

async function crashed(toy: ToyWorld): Promise<number> {
  const first = toy.launch();
  await work(toy, 0, 10);
  first.inhabitant.process.kill();
  return toy.committed('out').length;
}

test('an operator that is not deterministic is caught and nothing is emitted', async () => {
  const toy = new ToyWorld();
  let draw = 0;
  toy.program = () =>
    through((batch) => {
      for (let i = 0; i < batch.count; i++) batch.value[i] += draw++;
    });
  const before = await crashed(toy);
  const offsets = toy.entries().length;
  const second = toy.launch();
  expect(await toy.until(() => second.outcome !== null)).toBe(true);
  expect(second.outcome).toMatchObject({ kind: 'failed', failure: { code: 'replay-diverged' } });
  const failure = second.outcome?.kind === 'failed' ? second.outcome.failure : null;
  expect(failure?.message, 'names job, stage, partition and entry').toMatch(/task toy\/toy\/0: replay of entry \d+/);
  expect(failure?.message, 'and where to look').toMatch(
    /; records this time: 1 to out; operators of the stage: 'toy', 'sums'$/,
  );
  expect(failure?.remedy).not.toBe('');
  await work(toy, 10, 13);
  expect(toy.committed('out')).toHaveLength(before);
  expect(toy.entries()).toHaveLength(offsets);
});

test('a function that swallows records on replay is caught by what it does not emit', async () => {
  const toy = new ToyWorld();
  let life = 0;
  toy.program = () => {
    const own = ++life;
    return through((batch) => {
      if (own > 1) batch.clear();
    });
  };
  await crashed(toy);
  const second = toy.launch();
  expect(await toy.until(() => second.outcome !== null)).toBe(true);
  expect(second.outcome).toMatchObject({ kind: 'failed', failure: { code: 'replay-diverged' } });
  const failure = second.outcome?.kind === 'failed' ? second.outcome.failure : null;
  expect(failure?.message).toMatch(/"event":0}, recorded .*"event":1}; records this time: 0 to out; operators/);
});

test('input that changed under the log is caught', async () => {
  const toy = new ToyWorld();
  await crashed(toy);
  const batch = toy.world.cluster.partition({ topic: 'in', partition: 0 })?.batches[3];
  const at = batch?.bytes.indexOf(' 3') ?? -1;
  expect(at).toBeGreaterThan(0);
  batch?.bytes.write(' 4', at);
  const second = toy.launch();
  expect(await toy.until(() => second.outcome !== null)).toBe(true);
  expect(second.outcome).toMatchObject({ kind: 'failed', failure: { code: 'replay-diverged' } });
});

test('input that lost its end is told, not waited for in silence', async () => {
  const toy = new ToyWorld();
  const first = toy.launch();
  await work(toy, 0, 10);
  first.inhabitant.process.kill();
  // A leader that was behind became leader: the last records are gone, others will take their offsets.
  const partition = toy.world.cluster.partition({ topic: 'in', partition: 0 });
  if (partition === null) throw new Error('no partition');
  partition.batches.splice(7);
  partition.end = 7;
  const second = toy.launch();
  expect(await toy.until(() => second.outcome !== null, 5 * MINUTE_MS)).toBe(true);
  const failure = second.outcome?.kind === 'failed' ? second.outcome.failure : null;
  expect(failure?.code).toBe('offset-out-of-range');
  expect(failure?.message).toMatch(/in\/0/);
});

test('a process that was stopped while a leader was behind does not take the input for lost', async () => {
  const toy = new ToyWorld();
  const first = toy.launch();
  await work(toy, 0, 10);
  first.inhabitant.process.kill();
  const partition = toy.world.cluster.partition({ topic: 'in', partition: 0 });
  if (partition === null) throw new Error('no partition');
  const { end } = partition;
  const behind = partition.batches.splice(7);
  partition.end = 7;
  const second = toy.launch();
  await toy.pass(5_000);
  expect(second.supervisor.status()?.phase).toBe('replaying');
  second.inhabitant.process.pause(10 * MINUTE_MS);
  await toy.pass(1_000);
  partition.batches.push(...behind);
  partition.end = end;
  await toy.pass(11 * MINUTE_MS);
  expect(second.outcome).toBeNull();
  expect(second.supervisor.status()?.phase).toBe('running');
});

test('an honest task replays and goes on where it was', async () => {
  const toy = new ToyWorld();
  await crashed(toy);
  const second = toy.launch();
  await work(toy, 10, 20);
  expect(second.outcome).toBeNull();
  expect(second.supervisor.status()?.replayedEntries).toBeGreaterThan(5);
  expect(toy.committed('out')).toEqual(Array.from({ length: 18 }, (_, i) => `${WORLD_EPOCH_MS + i * MINUTE_MS} ${i}`));
});
