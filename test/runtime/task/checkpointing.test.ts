// Checkpoints beside the work: what a disk that refuses, fills up or keeps files costs, and what it must not.

import { expect, test } from 'vitest';
import { DirectoryStore } from '#checkpoint/directory-store.ts';
import { FileTaskCheckpoints } from '#checkpoint/task-checkpoints.ts';
import { InvariantError, StreamError } from '#runtime/std/errors.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import type { TaskEnvironment } from '#runtime/task/task-environment.ts';
import { ToyWorld } from '#test/runtime/task/toy-world.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';
import { NO_DISK_FAULTS } from '#test/simulation/world/disk.ts';
import type { Inhabitant } from '#test/simulation/world/world.ts';

const OPTIONS = { checkpointIntervalMs: 5_000 };

async function work(toy: ToyWorld, fromMinute: number, minutes: number): Promise<void> {
  for (let i = fromMinute; i < fromMinute + minutes; i++) {
    toy.feed(`${WORLD_EPOCH_MS + i * 60_000} 1`);
    await toy.pass(1_000);
  }
}

function fullDisk(toy: ToyWorld, full: boolean): void {
  toy.world.disk('machine').faults = full ? { ...NO_DISK_FAULTS, noSpace: 1 } : NO_DISK_FAULTS;
}

/** An environment whose store keeps files that it should remove. */
function keepingStore(toy: ToyWorld, inhabitant: Inhabitant): { environment: TaskEnvironment; asked: () => number } {
  let asked = 0;
  const store = new DirectoryStore({ root: 'checkpoints', disk: inhabitant.disk });
  store.remove = async () => {
    asked++;
    throw new StreamError('disk-failed', 'the disk keeps its files', 'look at it');
  };
  const { clock } = inhabitant;
  const environment = toy.environment(inhabitant, {
    checkpoints: (identity, attempt) =>
      new FileTaskCheckpoints({ store, identity, attempt, clock, logger: silentLogger }),
  });
  return { environment, asked: () => asked };
}

test('a full disk costs checkpoints, not output; one line per interval tells of it, and space mends it', async () => {
  const toy = new ToyWorld();
  fullDisk(toy, true);
  const running = toy.launch(OPTIONS);
  await work(toy, 0, 60);
  expect(running.outcome).toBeNull();
  expect(toy.committed('out')).toHaveLength(58);
  const status = running.supervisor.status();
  expect(status?.checkpointEntry).toBeNull();
  expect(status?.counters['checkpoints-failed']).toBeGreaterThan(5);
  expect(toy.said('checkpoint failed').length).toBeLessThan(15);
  expect(toy.said('checkpoint failed')[0].fields['remedy']).toMatch(/free space/);
  fullDisk(toy, false);
  await work(toy, 60, 12);
  expect(running.supervisor.status()?.checkpointEntry).toBeGreaterThan(50);
  expect(running.supervisor.restarts).toBe(0);
});

test('a disk that keeps dead files is asked once per checkpoint, not with every entry', async () => {
  const toy = new ToyWorld();
  const inhabitant = toy.world.start('p');
  toy.owner = inhabitant.process.id;
  const { environment, asked } = keepingStore(toy, inhabitant);
  const running = toy.run(inhabitant, environment, OPTIONS);
  await work(toy, 0, 100);
  const checkpoints = toy.entries().filter((entry) => entry['checkpoint'] !== undefined).length;
  const listed = toy.entries().filter((entry) => entry['dead'] !== undefined).length;
  expect(running.outcome).toBeNull();
  expect(listed).toBeGreaterThan(0);
  expect(listed).toBeLessThanOrEqual(20);
  expect(asked()).toBeLessThanOrEqual(25);
  expect(toy.said('clean-up').length).toBeLessThanOrEqual(25);
  expect(checkpoints).toBeGreaterThan(0);
});

test('a clean stop tries its last checkpoint again', async () => {
  const toy = new ToyWorld();
  const running = toy.launch();
  await work(toy, 0, 5);
  fullDisk(toy, true);
  running.supervisor.stop();
  await toy.pass(1_500);
  fullDisk(toy, false);
  expect(await toy.until(() => running.outcome !== null)).toBe(true);
  const status = running.supervisor.status();
  expect(status?.checkpointEntry).toBe(status?.entry);
});

test('a stop on a disk that stays full ends, and says what is missing', async () => {
  const toy = new ToyWorld();
  const running = toy.launch();
  await work(toy, 0, 5);
  fullDisk(toy, true);
  running.supervisor.stop();
  expect(await toy.until(() => running.outcome !== null, 30_000)).toBe(true);
  expect(running.outcome).toEqual({ kind: 'stopped' });
  const [line] = toy.said('without a checkpoint at its last entry');
  expect(line.message).toContain('did not take the last checkpoint');
  fullDisk(toy, false);
  toy.launch();
  await work(toy, 5, 5);
  expect(toy.committed('out')).toHaveLength(8);
});

test('crash after crash does not replay more and more', async () => {
  const toy = new ToyWorld();
  let most = 0;
  for (let crash = 0; crash < 12; crash++) {
    // Reading costs time in this world, computing none: the budget is that of the way through the log.
    const running = toy.launch({ checkpointIntervalMs: 60_000, replayBudgetMs: 1 });
    await work(toy, crash * 20, 20);
    most = Math.max(most, running.supervisor.status()?.replayedEntries ?? 0);
    running.inhabitant.process.kill();
  }
  expect(most).toBeGreaterThan(10);
  expect(most).toBeLessThan(100);
});

test('people see how far the newest checkpoint consumed', async () => {
  const toy = new ToyWorld();
  const running = toy.launch(OPTIONS);
  await work(toy, 0, 60);
  const published = toy.world.cluster.publishedOffsets.get('n.toy in/0') ?? -1n;
  const consumed = BigInt(running.supervisor.status()?.inputOffset ?? -1);
  expect(consumed - published).toBeLessThan(12n);
});

test('an invariant broken while a checkpoint is written fails the task instead of its checkpoints for ever', async () => {
  const toy = new ToyWorld();
  const { program } = toy;
  toy.program = () => {
    const stage = program();
    const [sums] = stage.operators as unknown as [{ writePage: () => void }];
    sums.writePage = () => {
      throw new InvariantError('a page that cannot be written');
    };
    return stage;
  };
  const running = toy.launch(OPTIONS);
  for (let minute = 0; minute < 200 && running.outcome === null; minute++) await work(toy, minute, 1);
  expect(running.outcome).toMatchObject({ kind: 'failed', failure: { code: 'task-crash-loop' } });
});

test('a clean-up that hangs keeps no attempt from ending', async () => {
  const toy = new ToyWorld();
  const inhabitant = toy.world.start('p');
  toy.owner = inhabitant.process.id;
  const environment = toy.environment(inhabitant);
  const { log } = environment;
  const admin = { ...log.admin, deleteRecords: () => new Promise<void>(() => {}) };
  const running = toy.run(inhabitant, { ...environment, log: { ...log, admin } }, OPTIONS);
  await work(toy, 0, 30);
  running.supervisor.stop();
  expect(await toy.until(() => running.outcome !== null, 20_000)).toBe(true);
  const status = running.supervisor.status();
  expect(status?.checkpointEntry).toBe(status?.entry);
});
