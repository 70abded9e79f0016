// Whoever follows the control log hears every record once and in order, whenever it began and whatever became of the log
// in between.

import { expect, test } from 'vitest';
import { ControlFollower } from '#runtime/control/control-follower.ts';
import { ControlLog, type ControlRecord, controlTopic } from '#runtime/control/control-log.ts';
import type { StreamError } from '#runtime/std/errors.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import { type Inhabitant, World } from '#test/simulation/world/world.ts';

const edges = ({ log, clock }: Inhabitant) => ({ log, clock, reader: log.reader(), namespace: 'n' });

function owner(n: number): ControlRecord {
  return { kind: 'owner', processId: `p${n}`, atMs: n };
}

/** Lets virtual time pass until it is so. */
async function until(world: World, so: () => boolean): Promise<void> {
  const tick = () => {
    if (!so() && world.scheduler.nowMs < 600_000) world.scheduler.schedule(100, 'tick', null, tick);
  };
  tick();
  await world.scheduler.run(so);
  expect(so()).toBe(true);
}

async function done<T>(world: World, work: Promise<T>): Promise<T> {
  let settled = false;
  const end = () => {
    settled = true;
  };
  work.then(end, end);
  await until(world, () => settled);
  return work;
}

function follow(inhabitant: Inhabitant) {
  const heard: ControlRecord[] = [];
  const faults: StreamError[] = [];
  const follower = new ControlFollower({
    ...edges(inhabitant),
    logger: silentLogger,
    heard: (records) => heard.push(...records),
    failed: (fault) => faults.push(fault),
  });
  follower.start();
  return { follower, heard, faults };
}

test('hears what was there, what comes, and waits for a log that is not there yet', async () => {
  const world = new World({ seed: 1 });
  const early = follow(world.start('early'));
  const control = await done(world, ControlLog.open(edges(world.start('writer'))));
  for (let n = 0; n < 3; n++) await done(world, control.append(owner(n)));
  const late = follow(world.start('late'));
  await done(world, control.append(owner(3)));
  const all = [0, 1, 2, 3].map(owner);
  await until(world, () => early.heard.length === 4 && late.heard.length === 4);
  expect(early.heard).toEqual(all);
  expect(late.heard).toEqual(all);
  expect(late.follower.records).toEqual(all);
  await done(world, Promise.all([early.follower.close(), late.follower.close()]));
  await done(world, control.append(owner(4)));
  expect(early.heard).toEqual(all);
});

test('says when it heard all that was committed before', async () => {
  const world = new World({ seed: 2 });
  const control = await done(world, ControlLog.open(edges(world.start('writer'))));
  const { follower, heard } = follow(world.start('reader'));
  for (let n = 0; n < 20; n++) {
    await done(world, control.append(owner(n)));
    await done(world, follower.caughtUp());
    expect(heard).toHaveLength(n + 1);
  }
});

test('goes on where it was when the log was away for a while', async () => {
  const world = new World({ seed: 3 });
  const control = await done(world, ControlLog.open(edges(world.start('writer'))));
  const { heard, faults } = follow(world.start('reader'));
  await done(world, control.append(owner(0)));
  await until(world, () => heard.length === 1);
  world.logAway(30_000);
  const second = await done(world, reopened(world));
  await done(world, second.append(owner(2)));
  await until(world, () => heard.some((record) => record.kind === 'owner' && record.processId === 'p2'));
  expect(heard.map(({ atMs }) => atMs)).toEqual([...new Set(heard.map(({ atMs }) => atMs))].sort());
  expect(faults).toEqual([]);
});

test('a control log that was deleted and made anew is a fault, and nothing is told of it', async () => {
  const world = new World({ seed: 4 });
  const control = await done(world, ControlLog.open(edges(world.start('writer'))));
  const { heard, faults } = follow(world.start('reader'));
  await done(world, control.append(owner(0)));
  await until(world, () => heard.length === 1);
  world.cluster.deleteTopics([controlTopic('n')]);
  world.cluster.createTopics([{ topic: controlTopic('n'), partitionCount: 1 }]);
  await until(world, () => faults.length === 1);
  expect(faults[0].code).toBe('topic-recreated');
  expect(heard).toHaveLength(1);
});

async function reopened(world: World): Promise<ControlLog> {
  const inhabitant = world.start('writer-again');
  for (;;) {
    try {
      return await ControlLog.open(edges(inhabitant));
    } catch {
      await inhabitant.clock.sleep(1_000);
    }
  }
}
