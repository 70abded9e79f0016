// A generation that begins with a savepoint goes on as if nothing had happened, on as many tasks as before or on others:
// the same rows come out, each once, and every key has the state it had.

import { describe, expect, test } from 'vitest';
import type { JobProcess } from '#test/harness/job-world.ts';
import { lookAtAll, lookDifference } from '#test/harness/state-comparison.ts';
import { MixedWorld, mixedJob } from '#test/runtime/task/mixed-job.ts';
import { Random } from '#test/simulation/world/random.ts';

const ROUNDS = 6;
const RECORDS = 30;

async function drained(world: MixedWorld, process: JobProcess): Promise<void> {
  await world.pass(1_500);
  await world.until(() => world.drained(process));
  await world.pass(1_500);
}

/** What comes out when nothing happens but input. */
async function undisturbed(seed: number, exchangePartitions: number): Promise<string[]> {
  const world = new MixedWorld(seed, exchangePartitions, 2);
  const process = world.launch();
  const random = new Random(seed);
  for (let round = 0; round < ROUNDS; round++) {
    world.feed(random, RECORDS);
    await world.pass(500);
  }
  await drained(world, process);
  return world.results();
}

/** Takes a savepoint, stops, and begins a generation of so many tasks with it; the state must be the same. */
async function nextGeneration(world: MixedWorld, process: JobProcess, exchangePartitions: number): Promise<JobProcess> {
  const savepoint = await world.taken(process, `s${world.generation}`);
  const before = lookAtAll([...world.programs.values()]);
  expect(before.size).toBeGreaterThan(20);
  await world.stop(process);
  world.job = world.compile(mixedJob(exchangePartitions));
  await world.begin(savepoint);
  const next = world.launch();
  const live = () => [...next.supervisors.values()].every((one) => one.status()?.phase === 'running');
  await world.until(live);
  expect(lookDifference(before, lookAtAll([...world.programs.values()]))).toBeNull();
  return next;
}

describe('a generation that begins with a savepoint', () => {
  test.each([
    [1, [3, 3, 3]],
    [2, [3, 5, 2]],
    [4, [2, 1, 6]],
    [5, [5, 3, 4]],
  ])('gives the rows of an undisturbed run (seed %i, tasks %j)', async (seed, tasks) => {
    const random = new Random(seed);
    const chance = new Random(seed + 100);
    const world = new MixedWorld(seed, tasks[0], 2);
    let process = world.launch();
    for (let round = 0; round < ROUNDS; round++) {
      world.feed(random, RECORDS);
      await world.pass(chance.int(700));
      if (round % 2 === 1 && round < 2 * tasks.length - 1) {
        process = await nextGeneration(world, process, tasks[(round + 1) / 2]);
      }
    }
    await drained(world, process);
    expect(world.generation).toBe(tasks.length - 1);
    const results = world.results();
    expect(results).toEqual(await undisturbed(seed, 3));
    for (const kind of ['visits', 'minutes', 'slides', 'counts', 'timers', 'pairs', 'rows']) {
      expect(results.filter((row) => row.startsWith(kind)).length, kind).toBeGreaterThan(10);
    }
  });

  test('begins again with it after a crash at any step, until it has a checkpoint of its own', async () => {
    const results = await undisturbed(7, 3);
    let [killed, adoptedTwice] = [0, 0];
    for (let steps = 1; steps < 700; steps += 97) {
      const world = new MixedWorld(7, 2, 2);
      const random = new Random(7);
      const first = world.launch();
      for (let round = 0; round < 3; round++) {
        world.feed(random, RECORDS);
        await world.pass(500);
      }
      const savepoint = await world.taken(first, 's0');
      await world.stop(first);
      world.job = world.compile(mixedJob(3));
      await world.begin(savepoint);
      const second = world.launch();
      second.inhabitant.process.killAfterEvents(steps);
      for (let round = 3; round < ROUNDS; round++) {
        world.feed(random, RECORDS);
        await world.pass(500);
      }
      if (!second.inhabitant.process.alive) killed++;
      world.kill(second);
      const third = world.launch();
      await drained(world, third);
      const statuses = [...third.supervisors.values()].map((one) => one.status());
      if (statuses.some((status) => status?.checkpointEntry === null)) adoptedTwice++;
      expect(world.results(), `${steps} steps`).toEqual(results);
    }
    expect(killed).toBeGreaterThan(3);
    expect(adoptedTwice).toBeGreaterThan(0);
  });

  test('needs the savepoint no more once its tasks have checkpoints, and says so before that', async () => {
    const world = new MixedWorld(8, 2, 2);
    const first = world.launch();
    world.feed(new Random(8), RECORDS);
    await world.pass(500);
    const savepoint = await world.taken(first, 's0');
    await world.stop(first);
    await world.begin(savepoint);
    const second = world.launch();
    await world.pass(3_000);
    await world.wait(world.savepoints(second.inhabitant).delete('s0'));
    world.kill(second);
    const third = world.launch();
    await world.pass(3_000);
    for (const supervisor of third.supervisors.values()) expect(supervisor.status()?.phase).toBe('running');
    await world.stop(third);

    const other = new MixedWorld(8, 2, 2);
    const before = other.launch();
    await other.pass(500);
    const gone = await other.taken(before, 's0');
    await other.stop(before);
    await other.begin(gone);
    await other.wait(other.savepoints(other.world.start('people')).delete('s0'));
    const refused = other.launch();
    await other.until(() => refused.outcomes.size === refused.plans.length);
    for (const outcome of refused.outcomes.values())
      expect(outcome).toMatchObject({ failure: { code: 'checkpoint-lost' } });
  });

  test('publishes again what came after an older savepoint, and nothing else', async () => {
    const world = new MixedWorld(9, 3, 2);
    const first = world.launch();
    const random = new Random(9);
    world.feed(random, RECORDS);
    await world.pass(500);
    const savepoint = await world.taken(first, 's0');
    const before = world.results();
    world.release(first, 's0');
    for (let round = 1; round < ROUNDS; round++) {
      world.feed(random, RECORDS);
      await world.pass(500);
    }
    await drained(world, first);
    const all = world.results();
    world.kill(first);
    await world.begin(savepoint);
    const second = world.launch();
    await drained(world, second);
    const counts = Map.groupBy(world.results(), (row) => row);
    const once = Map.groupBy(before, (row) => row);
    for (const [row, own] of Map.groupBy(all, (one) => one)) {
      const known = once.get(row)?.length ?? 0;
      expect(counts.get(row)?.length, row).toBe(2 * own.length - known);
    }
    expect(counts.size).toBe(new Set(all).size);
  });

  test('shuts out the tasks of the one before, whoever still runs them', async () => {
    const world = new MixedWorld(10, 3, 2);
    const first = world.launch();
    world.feed(new Random(10), RECORDS);
    await world.pass(500);
    const savepoint = await world.taken(first, 's0');
    await world.begin(savepoint);
    const published = world.results();
    world.release(first, 's0');
    const random = new Random(11);
    world.feed(random, RECORDS);
    // Nobody tells it that it owns nothing: it fails at its first commit, and must not begin anew.
    const second = world.launch();
    await drained(world, second);
    // Who has nothing to commit notices nothing.
    expect(first.outcomes.size).toBeGreaterThan(1);
    for (const outcome of first.outcomes.values()) expect(outcome).toMatchObject({ failure: { code: 'superseded' } });
    const rows = world.results();
    expect(rows.length).toBeGreaterThan(published.length);
    const counts = world.output<{ key: string; timeMs: number }>('timers').map(({ key, timeMs }) => `${key} ${timeMs}`);
    expect(new Set(counts).size).toBe(counts.length);
  });
});
