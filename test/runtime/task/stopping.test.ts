// A task that is told to stop ends, whatever the log does: cleanly when it can, else within seconds and with a word.

import { expect, test } from 'vitest';
import { type RunningToy, ToyWorld } from '#test/runtime/task/toy-world.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';

const AWAY_MS = 3_600_000;
/** A stop may take this long when the log is away. */
const STOP_MS = 20_000;

async function ended(toy: ToyWorld, running: RunningToy, withinMs = STOP_MS): Promise<boolean> {
  return toy.until(() => running.outcome !== null, withinMs);
}

test('a stop in an outage of the log ends the task in the middle of a commit', async () => {
  const toy = new ToyWorld();
  const running = toy.launch();
  await toy.pass(1_000);
  toy.world.channel.arm('commit', 'closed-before', () => toy.world.logAway(AWAY_MS));
  toy.feed(`${WORLD_EPOCH_MS} 1`, `${WORLD_EPOCH_MS + 120_000} 1`);
  await toy.pass(10_000);
  expect(running.supervisor.status()?.waitingFor).not.toBeNull();
  running.supervisor.stop();
  expect(await ended(toy, running)).toBe(true);
  expect(running.outcome).toEqual({ kind: 'stopped' });
  const [line] = toy.said('without a checkpoint');
  expect(line.level).toBe('warn');
  expect(line.fields['remedy']).not.toBe('');
  expect(toy.said('restarting')).toEqual([]);
});

test.each(['metadata', 'fence', 'offsets', 'fetch'] as const)(
  'a stop ends a task whose log went away at the first %s request of its start',
  async (kind) => {
    const toy = new ToyWorld();
    const first = toy.launch();
    toy.feed(`${WORLD_EPOCH_MS} 1`);
    await toy.pass(10_000);
    first.inhabitant.process.kill();
    toy.world.channel.arm(kind, 'closed-before', () => toy.world.logAway(AWAY_MS));
    const running = toy.launch();
    await toy.pass(30_000);
    expect(running.outcome).toBeNull();
    running.supervisor.stop();
    expect(await ended(toy, running)).toBe(true);
    expect(running.outcome).toEqual({ kind: 'stopped' });
  },
);

test('a stop in a short outage is a clean one', async () => {
  const toy = new ToyWorld();
  const running = toy.launch();
  await toy.pass(1_000);
  toy.world.channel.arm('commit', 'closed-before', () => toy.world.logAway(5_000));
  toy.feed(`${WORLD_EPOCH_MS} 1`, `${WORLD_EPOCH_MS + 120_000} 1`);
  await toy.pass(2_000);
  running.supervisor.stop();
  expect(await ended(toy, running)).toBe(true);
  const status = running.supervisor.status();
  expect(status?.checkpointEntry).toBe(status?.entry);
  expect(toy.committed('out')).toHaveLength(1);
});

test('a stop while the task replays leaves a checkpoint at the last entry', async () => {
  const toy = new ToyWorld();
  const first = toy.launch();
  for (let i = 0; i < 30; i++) {
    toy.feed(`${WORLD_EPOCH_MS + i * 60_000} 1`);
    await toy.pass(500);
  }
  first.inhabitant.process.kill();
  const running = toy.launch();
  expect(await toy.until(() => running.supervisor.status()?.phase === 'replaying')).toBe(true);
  running.supervisor.stop();
  expect(await ended(toy, running)).toBe(true);
  const status = running.supervisor.status();
  expect(status?.entry).toBe(toy.entries().at(-1)?.['number']);
  expect(status?.checkpointEntry).toBe(status?.entry);
});

test.each(['metadata', 'fence', 'offsets', 'fetch', 'commit'] as const)(
  'an abort ends a task at once that waits for its %s request',
  async (kind) => {
    const toy = new ToyWorld();
    const first = toy.launch();
    await toy.pass(5_000);
    first.inhabitant.process.kill();
    toy.world.channel.arm(kind, 'closed-before', () => toy.world.logAway(AWAY_MS));
    const running = toy.launch();
    toy.feed(`${WORLD_EPOCH_MS} 1`, `${WORLD_EPOCH_MS + 120_000} 1`);
    await toy.pass(30_000);
    running.supervisor.abort();
    expect(await ended(toy, running, 5_000)).toBe(true);
    expect(running.outcome).toEqual({ kind: 'stopped' });
    expect(toy.lines.filter(({ level }) => level === 'error')).toEqual([]);
  },
);

test.each(['metadata', 'fence', 'offsets', 'commit'] as const)(
  'an abort ends a task soon whose %s request is never answered',
  async (kind) => {
    const toy = new ToyWorld();
    const first = toy.launch();
    await toy.pass(5_000);
    first.inhabitant.process.kill();
    toy.world.channel.arm(kind, 'request-lost', () => {});
    const running = toy.launch();
    toy.feed(`${WORLD_EPOCH_MS} 1`, `${WORLD_EPOCH_MS + 120_000} 1`);
    await toy.pass(500);
    running.supervisor.abort();
    expect(await ended(toy, running, 1_100)).toBe(true);
    expect(running.outcome).toEqual({ kind: 'stopped' });
    expect(toy.said('without a checkpoint')).toHaveLength(1);
    await toy.pass(30_000);
    expect(toy.said('transaction failed'), 'nothing is told after the end').toEqual([]);
  },
);

test('a stop does not wait for the end of a long replay, and the next start does it again', async () => {
  const toy = new ToyWorld();
  const first = toy.launch();
  for (let i = 0; i < 30; i++) {
    toy.feed(`${WORLD_EPOCH_MS + i * 60_000} 1`);
    await toy.pass(500);
  }
  const before = toy.committed('out').length;
  first.inhabitant.process.kill();
  const slow = toy.world.start('slow');
  toy.owner = slow.process.id;
  const breathe = () => slow.process.after(1_000, 'breathe', () => {});
  const running = toy.run(slow, toy.environment(slow, { breathe }));
  expect(await toy.until(() => running.supervisor.status()?.phase === 'replaying')).toBe(true);
  running.supervisor.stop();
  expect(await ended(toy, running, 10_000)).toBe(true);
  expect(running.outcome).toEqual({ kind: 'stopped' });
  expect(toy.said('without a checkpoint')).toHaveLength(1);

  const again = toy.launch();
  toy.feed(`${WORLD_EPOCH_MS + 40 * 60_000} 1`);
  expect(await toy.until(() => toy.committed('out').length > before)).toBe(true);
  again.supervisor.stop();
  expect(await ended(toy, again)).toBe(true);
  expect(new Set(toy.committed('out')).size, 'none twice').toBe(toy.committed('out').length);
});
