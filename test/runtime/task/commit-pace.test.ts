// The cap on transactions: intervals stretch, output waits and is not lost.

import { expect, test } from 'vitest';
import { CommitPace } from '#runtime/task/commit-pace.ts';
import { ToyWorld } from '#test/runtime/task/toy-world.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';

test('many tasks of a slot stay below the cap together, visibly, and lose nothing', async () => {
  const toy = new ToyWorld();
  const inhabitant = toy.world.start('p');
  toy.owner = inhabitant.process.id;
  const pace = new CommitPace(inhabitant.clock, toy.logger, 10);
  const environment = toy.environment(inhabitant, { pace });
  const tasks = Array.from({ length: 8 }, (_, i) => {
    const identity = { ...toy.plan().identity, job: `toy${i}` };
    for (const topic of [`out${i}`, `dead${i}`, `commits${i}`]) toy.createTopic(topic);
    const options = { commitIntervalMs: 50, commitBytesMax: 1_000_000 };
    const commitTopic = `commits${i}`;
    return toy.run(inhabitant, environment, options, { identity, commitTopic });
  });
  await toy.pass(1_000);
  for (let i = 0; i < 400; i++) {
    toy.feed(`${WORLD_EPOCH_MS + i * 60_000} ${i}`);
    await toy.pass(50);
  }
  await toy.pass(10_000);
  const entries = tasks.map((_, i) => toy.entries(`commits${i}`).length);
  const perSecond = entries.reduce((sum, count) => sum + count, 0) / 31;
  expect(perSecond).toBeGreaterThan(5);
  expect(perSecond, 'ends of entries that cannot wait aside').toBeLessThan(14);
  expect(toy.said('commit intervals stretch')).toHaveLength(1);
  expect(toy.committed('out'), 'each of the tasks wrote every row').toHaveLength(8 * 398);
});

test('below the cap nothing waits', () => {
  let nowMs = 0;
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, sleep: async () => {} };
  const warned: string[] = [];
  const logger = new ToyWorld().logger;
  const pace = new CommitPace(clock, { ...logger, warn: (_, message) => warned.push(message) }, 100);
  for (let i = 0; i < 1_000; i++) {
    expect(pace.waitMs()).toBe(0);
    pace.began();
    nowMs += 10;
  }
  for (let i = 0; i < 20; i++) pace.began();
  expect(pace.waitMs()).toBeGreaterThan(0);
  nowMs += 1_000;
  expect(pace.waitMs()).toBe(0);
  expect(warned).toHaveLength(1);
});
