// The cap on transactions: intervals stretch, output waits and is not lost. Threads keep it together.

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { systemClock } from '#runtime/std/clock.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import { CommitPace, sharedPace } from '#runtime/task/commit-pace.ts';
import { ToyWorld } from '#test/runtime/task/toy-world.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';

test('many tasks stay below the cap together, visibly, and lose nothing', async () => {
  const toy = new ToyWorld();
  const inhabitant = toy.world.start('p');
  toy.owner = inhabitant.process.id;
  const pace = new CommitPace({ ...sharedPace(10), clock: inhabitant.clock, logger: toy.logger });
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
  const logger = { ...silentLogger, warn: (_: object, message: string) => warned.push(message) };
  const pace = new CommitPace({ ...sharedPace(100), clock, logger });
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

test('slots share the cap of their process, one takes what the others leave, and one of them tells', () => {
  let nowMs = 0;
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, sleep: async () => {} };
  const warned: string[] = [];
  const logger = { ...silentLogger, warn: (_: object, message: string) => warned.push(message) };
  const shared = sharedPace(100);
  const slots = Array.from({ length: 4 }, () => new CommitPace({ ...shared, clock, logger }));
  const begin = (busy: readonly CommitPace[]) => {
    let begun = 0;
    for (const endMs = nowMs + 10_000; nowMs < endMs; nowMs += 5) {
      for (const pace of busy) {
        if (pace.waitMs() > 0) continue;
        pace.began();
        begun++;
      }
    }
    return begun;
  };
  for (const busy of [slots, slots.slice(0, 1)]) {
    const begun = begin(busy);
    expect(begun).toBeGreaterThan(950);
    expect(begun).toBeLessThan(1_050);
  }
  expect(warned).toEqual([expect.stringMatching(/^more transactions are due than a process may begin/)]);
});

test('what is shared means the same in another thread', async () => {
  const shared = sharedPace(1);
  const beforeMs = systemClock.monotonicMs();
  const worker = new Worker(new URL('./pace-main.ts', import.meta.url), { workerData: shared, execArgv: [] });
  const [threadMs] = await once(worker, 'message');
  const afterMs = systemClock.monotonicMs();
  expect(threadMs).toBeGreaterThanOrEqual(beforeMs);
  expect(threadMs).toBeLessThanOrEqual(afterMs);
  const pace = new CommitPace({ ...shared, clock: systemClock, logger: silentLogger });
  // 60 transactions at one a second began there.
  expect(pace.waitMs()).toBeGreaterThan(30_000);
  expect(pace.waitMs()).toBeLessThanOrEqual(60_000);
});
