// The clock of entries against what a machine's clock does: pauses, jumps ahead, jumps back.

import { expect, test } from 'vitest';
import { toyStage } from '#test/harness/toy-stage.ts';
import { ToyWorld } from '#test/runtime/task/toy-world.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';

const MINUTE_MS = 60_000;

function scene() {
  const toy = new ToyWorld();
  toy.program = () => {
    const stage = toyStage({ outputTopic: 'out', deadLetterTopic: 'dead' });
    return { ...stage, watermark: { kind: 'source', outOfOrdernessMs: 5_000, idlenessMs: 30_000, maxSkewMs: 10_000 } };
  };
  const at = () => WORLD_EPOCH_MS + toy.world.scheduler.nowMs;
  return { toy, at };
}

test('records that arrive while the process is stopped are not judged by the clock of the entry before', async () => {
  for (let afterMs = 1_000; afterMs < 7_000; afterMs += 500) {
    const { toy, at } = scene();
    const running = toy.launch();
    await toy.pass(2_000);
    // Opens an entry that has nothing to commit: it stays open for seconds.
    toy.feed(`${at()} 1`);
    await toy.pass(afterMs);
    running.inhabitant.process.pause(MINUTE_MS);
    await toy.pass(MINUTE_MS - 1);
    toy.feed(`${at()} 1`);
    await toy.pass(10_000);
    expect(toy.committed('dead'), `stopped ${afterMs} ms later`).toEqual([]);
  }
});

test('records that arrive while the machine sleeps with an open entry are judged by the new clock', async () => {
  const { toy, at } = scene();
  const running = toy.launch();
  await toy.pass(2_000);
  toy.feed(`${at()} 1`);
  await toy.pass(1_000);
  // A suspended machine: its clock is ahead when it goes on, monotonic time stood still.
  running.inhabitant.process.clockOffsetMs = 60 * MINUTE_MS;
  toy.feed(`${at() + 60 * MINUTE_MS} 1`);
  await toy.pass(10_000);
  expect(toy.committed('dead')).toEqual([]);
});

test('a clock that is an hour behind does not refuse what the hour before accepted', async () => {
  const { toy, at } = scene();
  const running = toy.launch();
  await toy.pass(1_000);
  toy.feed(`${at()} 1`);
  await toy.pass(6_000);
  running.inhabitant.process.clockOffsetMs = -60 * MINUTE_MS;
  toy.feed(`${at()} 1`);
  await toy.pass(6_000);
  expect(toy.committed('dead')).toEqual([]);
  const clocks = toy.entries().map((entry) => entry['clockMs'] as number);
  expect(clocks).toEqual([...clocks].sort((a, b) => a - b));
});

test('absence is noticed although the clock was set back an hour', async () => {
  const { toy, at } = scene();
  const running = toy.launch();
  toy.feed(`${at()} 1`);
  await toy.pass(10_000);
  running.inhabitant.process.clockOffsetMs = -60 * MINUTE_MS;
  const closed = await toy.until(() => toy.committed('out').length === 1, 5 * MINUTE_MS);
  expect(closed, 'idle time closes the window').toBe(true);
});

test('the clock of entries stands above the system clock only while that is behind', async () => {
  const { toy, at } = scene();
  const running = toy.launch();
  const { process } = running.inhabitant;
  process.clockOffsetMs = -MINUTE_MS;
  for (let i = 0; i < 40; i++) {
    if (i === 5) process.clockOffsetMs = -2 * MINUTE_MS;
    await toy.pass(6_000);
    toy.feed(`${at()} 1`);
  }
  const clocks = toy.entries().map((entry) => entry['clockMs'] as number);
  for (let i = 1; i < clocks.length; i++) expect(clocks[i]).toBeGreaterThan(clocks[i - 1]);
  expect(at() - 2 * MINUTE_MS - (clocks.at(-1) ?? 0), 'it was caught up with').toBeGreaterThan(-5_001);
});
