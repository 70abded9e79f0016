// What a task tells of its work is what was committed, whatever crashed in between and was done again.

import { expect, test } from 'vitest';
import type { Clock } from '#runtime/std/clock.ts';
import { RateMeter } from '#runtime/task/rate-meter.ts';
import type { TaskFigures } from '#runtime/task/task-meter.ts';
import { type RunningToy, ToyWorld } from '#test/runtime/task/toy-world.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';

function handClock(): Clock & { ms: number } {
  const clock = { ms: 1_000, nowMs: () => clock.ms, monotonicMs: () => clock.ms, sleep: () => Promise.resolve() };
  return clock;
}

/** Told every `stepMs` that `each` more happened. */
function told(
  meter: RateMeter,
  clock: { ms: number },
  totals: Float64Array,
  stepMs: number,
  each: number,
  steps: number,
) {
  for (let i = 0; i < steps; i++) {
    clock.ms += stepMs;
    totals[0] += each;
    meter.note(totals);
  }
}

test('a rate is that of the last ten seconds, or of the time since the beginning', () => {
  const clock = handClock();
  const totals = new Float64Array(1);
  const meter = new RateMeter(clock, 1);
  expect(meter.perSecond(totals), 'no time passed').toEqual([0]);
  told(meter, clock, totals, 100, 5, 20);
  expect(meter.perSecond(totals)).toEqual([50]);
  told(meter, clock, totals, 100, 10, 300);
  expect(meter.perSecond(totals)[0]).toBeCloseTo(100, 6);
});

test('a rate falls to nothing when nothing happens, however seldom somebody looks', () => {
  const clock = handClock();
  const totals = new Float64Array(1);
  const meter = new RateMeter(clock, 1);
  clock.ms += 5_000;
  meter.note(totals);
  clock.ms += 500;
  totals[0] = 1_000_000;
  meter.note(totals);
  clock.ms += 10_000;
  expect(meter.perSecond(totals)[0], 'the burst is within the last seconds that are known').toBeGreaterThan(0);
  clock.ms += 10_000;
  expect(meter.perSecond(totals)).toEqual([0]);
});

function figuresOf(running: RunningToy): TaskFigures {
  return running.supervisor.figures();
}

/** What stands in the commit log and the topics, counted without the engine. */
function committed(toy: ToyWorld) {
  const last = toy.entries().at(-1) as { number: number; inputs: { endOffset: string }[] };
  const dead = toy.committed('dead').length;
  const written = toy.committed('out').length + dead;
  // Entry 0 is none of those that are counted.
  return { commits: last.number, read: Number(last.inputs[0].endOffset), written, dead };
}

test('totals are what was committed, over crashes and replays', async () => {
  const toy = new ToyWorld();
  let crashes = 0;
  const { program } = toy;
  toy.program = () => {
    const stage = program();
    return {
      ...stage,
      head: {
        process(batch) {
          stage.head.process(batch);
          // Behind the fold: what the entry in hand counted is lost with it.
          if (crashes < 3 && batch.value.subarray(0, batch.count).includes(666)) {
            crashes++;
            throw new Error('now and then');
          }
        },
      },
    };
  };
  const running = toy.launch({ commitIntervalMs: 200, checkpointIntervalMs: 1_500 });
  for (let i = 0; i < 30; i++) {
    toy.feed(`${WORLD_EPOCH_MS + i * 20_000} ${i === 20 ? 666 : 1}`, 'broken', `${WORLD_EPOCH_MS + i * 20_000 + 1} 2`);
    await toy.pass(300);
  }
  await toy.pass(15_000);
  expect(crashes).toBe(3);
  const truth = committed(toy);
  const { totals, commits, commitSeconds, wasLive } = figuresOf(running);
  expect(truth.dead).toBe(30);
  expect({
    commits,
    read: totals['records-in'],
    written: totals['records-out'],
    dead: totals['dead-letter'],
  }).toEqual(truth);
  expect(commitSeconds.counts.reduce((a, b) => a + b)).toBe(commits);
  expect(wasLive).toBe(true);
  expect(totals['replayed-entries']).toBeGreaterThan(0);
  expect(running.supervisor.exceptions).toEqual([
    expect.objectContaining({ code: 'operator-failed', message: 'now and then', count: 3 }),
  ]);
  const [{ firstMs, lastMs }] = running.supervisor.exceptions;
  expect(lastMs).toBeGreaterThan(firstMs);
});

test('a process that takes a task over counts what it does itself, and knows the checkpoint it began with', async () => {
  const toy = new ToyWorld();
  const first = toy.launch({ commitIntervalMs: 200, checkpointIntervalMs: 2_000 });
  for (let i = 0; i < 20; i++) {
    toy.feed(`${WORLD_EPOCH_MS + i * 20_000} 1`);
    await toy.pass(300);
  }
  const before = figuresOf(first);
  expect(before.checkpointsCompleted).toBeGreaterThan(1);
  expect(before.checkpointHistory[0]).toMatchObject({ entry: before.lastCheckpoint?.entry, failure: null });
  expect(before.checkpointHistory[0].writtenBytes).toBeGreaterThan(0);
  expect(before.checkpointHistory[0].writtenBytes).toBeLessThanOrEqual(before.lastCheckpoint?.sizeBytes ?? 0);
  first.inhabitant.process.kill();
  const read = committed(toy).read;
  const second = toy.launch({ commitIntervalMs: 200, checkpointIntervalMs: 3_600_000 });
  expect(await toy.until(() => second.supervisor.status()?.phase === 'running')).toBe(true);
  expect(figuresOf(second)).toMatchObject({
    lastCheckpoint: { entry: second.supervisor.status()?.checkpointEntry },
    checkpointsCompleted: 0,
    checkpointHistory: [],
    commits: 0,
  });
  expect(figuresOf(second).restoreSeconds).not.toBeNull();
  toy.feed(...Array.from({ length: 7 }, (_, i) => `${WORLD_EPOCH_MS + i} 1`));
  await toy.pass(6_000);
  expect(committed(toy).read).toBe(read + 7);
  expect(figuresOf(second).totals['records-in']).toBe(7);
});

test('how far a task is behind is told in records and in time', async () => {
  const toy = new ToyWorld();
  const running = toy.launch();
  const input = () => running.supervisor.status()?.inputs[0];
  expect(input()).toMatchObject({ topic: 'in', partition: 0, lagRecords: null, lagMs: null });
  await toy.pass(2_000);
  expect(input()).toMatchObject({ offset: '0', lagRecords: 0, lagMs: 0 });
  toy.feed(`${WORLD_EPOCH_MS} 1`, `${WORLD_EPOCH_MS} 2`);
  await toy.pass(6_000);
  expect(input()).toMatchObject({ offset: '2', lagRecords: 0, lagMs: 0 });
});

test('what a failed checkpoint failed of is kept in its history, over attempts', async () => {
  const toy = new ToyWorld();
  const inhabitant = toy.world.start('p');
  toy.owner = inhabitant.process.id;
  let full = true;
  const { checkpoints } = toy.environment(inhabitant);
  const refusing: typeof checkpoints = (identity, attempt) => {
    const own = checkpoints(identity, attempt);
    const capture = own.capture.bind(own);
    own.capture = (moment) => {
      const pending = capture(moment);
      const publish = pending.publish.bind(pending);
      pending.publish = (offset) => (full ? Promise.reject(new Error('the disk is full')) : publish(offset));
      return pending;
    };
    return own;
  };
  const environment = toy.environment(inhabitant, { checkpoints: refusing });
  const running = toy.run(inhabitant, environment, { checkpointIntervalMs: 1_000, commitIntervalMs: 200 });
  for (let i = 0; i < 10; i++) {
    toy.feed(`${WORLD_EPOCH_MS + i * 60_000} 1`);
    await toy.pass(1_000);
  }
  full = false;
  for (let i = 10; i < 15; i++) {
    toy.feed(`${WORLD_EPOCH_MS + i * 60_000} 1`);
    await toy.pass(1_000);
  }
  const { checkpointHistory, checkpointsFailed, checkpointsCompleted, lastCheckpoint } = figuresOf(running);
  expect(checkpointsFailed).toBeGreaterThan(3);
  expect(checkpointsCompleted).toBeGreaterThan(2);
  expect(checkpointHistory.filter(({ failure }) => failure !== null)).toHaveLength(checkpointsFailed);
  expect(checkpointHistory.at(-1)?.failure).toMatchObject({ message: 'the disk is full' });
  expect(lastCheckpoint?.entry).toBe(checkpointHistory[0].entry);
});

test('how long nothing goes on is seen by who looks again and again', async () => {
  const toy = new ToyWorld();
  const running = toy.launch();
  await toy.pass(2_000);
  expect(running.supervisor.stuckMs()).toBe(0);
  running.supervisor.abort();
  await toy.pass(2_000);
  expect(running.supervisor.stuckMs()).toBe(0);
  await toy.pass(3_000);
  expect(running.supervisor.stuckMs()).toBe(3_000);
});
