// Where entries end, and that it changes nothing: a firing that fills many entries, an entry cut in the middle of a
// batch, and a crash at every step of both.

import { expect, test } from 'vitest';
import type { Operator } from '#runtime/task/contract.ts';
import { toyStage } from '#test/harness/toy-stage.ts';
import { ToyWorld } from '#test/runtime/task/toy-world.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 1_440 * MINUTE_MS;
const WINDOWS = 60;
/** Two rows of the toy fill an entry. */
const SMALL = { commitBytesMax: 64, commitIntervalMs: 50 };

/** A stage that holds all its windows open until one record closes them together. */
function dammed(): ToyWorld {
  const toy = new ToyWorld();
  toy.program = () => toyStage({ outputTopic: 'out', deadLetterTopic: 'dead', outOfOrdernessMs: DAY_MS });
  return toy;
}

function records(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => `${WORLD_EPOCH_MS + (from + i) * MINUTE_MS} ${from + i}`);
}

const rows = (count: number) => records(0, count);
const BREAK = `${WORLD_EPOCH_MS + WINDOWS * MINUTE_MS + DAY_MS} 1`;

interface WrittenEntry {
  readonly kind: string;
  readonly clockMs: number;
  readonly inputs: readonly { readonly endOffset: string }[];
  readonly timersFired: { readonly event: number };
  readonly outputRecords: number;
}

const entriesOf = (toy: ToyWorld) => toy.entries() as unknown as WrittenEntry[];

test('one firing larger than an entry goes on through as many entries as it needs', async () => {
  const toy = dammed();
  toy.launch(SMALL);
  toy.feed(...records(0, WINDOWS));
  await toy.pass(5_000);
  toy.feed(BREAK);
  await toy.pass(20_000);
  expect(toy.committed('out')).toEqual(rows(WINDOWS));
  const firing = entriesOf(toy).filter((entry) => entry.timersFired.event > 0);
  expect(firing.length).toBeGreaterThan(WINDOWS / 4);
  expect(Math.max(...firing.map((entry) => entry.outputRecords))).toBeLessThanOrEqual(4);
  // The clock stands still until the firing is finished, and no input is taken.
  const unfinished = firing.slice(1, -1);
  expect(new Set(unfinished.map((entry) => entry.inputs[0].endOffset)).size).toBe(1);
  expect(new Set(unfinished.map((entry) => entry.clockMs)).size).toBe(1);
});

test('timers that put nothing out end an entry too, and all of them fire', async () => {
  const toy = new ToyWorld();
  const owed = 250_000;
  let fired = 0;
  toy.program = () => {
    const stage = toyStage({ outputTopic: 'out', deadLetterTopic: 'dead' });
    const silent: Operator = {
      id: 'silent',
      open: () => {},
      process: () => {},
      nextBoundaryMs: () => Number.POSITIVE_INFINITY,
      nextTimerMs: () => (fired < owed ? WORLD_EPOCH_MS - 60_000 : Number.POSITIVE_INFINITY),
      fire(_, budget) {
        while (fired < owed) {
          if (!budget.take()) return false;
          fired++;
        }
        return true;
      },
      usesKey: () => false,
      endEntry: () => {},
      wantsEntry: () => false,
    };
    return { ...stage, operators: [...stage.operators, silent] };
  };
  toy.launch();
  toy.feed(`${WORLD_EPOCH_MS} 1`);
  await toy.pass(20_000);
  expect(entriesOf(toy).map((entry) => entry.timersFired.event)).toEqual([0, 100_000, 100_000, 50_000]);
});

test('what waits behind a firing is taken when it is finished', async () => {
  const toy = dammed();
  toy.launch(SMALL);
  toy.feed(...records(0, WINDOWS), BREAK, `${WORLD_EPOCH_MS} 7`, `${WORLD_EPOCH_MS + 1} 8`);
  await toy.pass(20_000);
  const late = [`late ${WORLD_EPOCH_MS} 7`, `late ${WORLD_EPOCH_MS + 1} 8`];
  expect(toy.committed('out')).toEqual([...rows(WINDOWS), ...late]);
});

test('a crash at any step of a long firing loses and doubles nothing', async () => {
  for (let events = 1; events < 400; events += 13) {
    const toy = dammed();
    const first = toy.launch({ ...SMALL, checkpointIntervalMs: 200 });
    toy.feed(...records(0, WINDOWS), BREAK, `${WORLD_EPOCH_MS} 7`);
    first.inhabitant.process.killAfterEvents(events);
    await toy.pass(5_000);
    const second = toy.launch({ ...SMALL, checkpointIntervalMs: 200 });
    second.inhabitant.process.killAfterEvents(2 * events);
    await toy.pass(5_000);
    const third = toy.launch(SMALL);
    await toy.pass(20_000);
    expect(third.outcome, `after ${events} events: ${toy.said('differs')[0]?.message}`).toBeNull();
    expect(toy.committed('out'), `after ${events} events`).toEqual([...rows(WINDOWS), `late ${WORLD_EPOCH_MS} 7`]);
  }
});

test('a clean stop in the middle of a firing goes on from its checkpoint', async () => {
  const toy = dammed();
  const first = toy.launch(SMALL);
  toy.feed(...records(0, WINDOWS), BREAK);
  expect(await toy.until(() => toy.committed('out').length >= 10)).toBe(true);
  first.supervisor.stop();
  expect(await toy.until(() => first.outcome !== null)).toBe(true);
  expect(toy.committed('out').length, 'stopped in the middle').toBeLessThan(WINDOWS);
  const second = toy.launch(SMALL);
  await toy.pass(20_000);
  expect(second.supervisor.status()?.replayedEntries).toBe(0);
  expect(toy.committed('out')).toEqual(rows(WINDOWS));
});

test('an entry cut in the middle of a batch, then a crash: the rest of the batch is read once', async () => {
  for (let events = 1; events < 300; events += 11) {
    const toy = new ToyWorld();
    const first = toy.launch(SMALL);
    // One batch; each record closes the window of the one before, so that output fills entries all along it.
    const all = records(0, 40);
    toy.feed(...all);
    first.inhabitant.process.killAfterEvents(events);
    await toy.pass(3_000);
    toy.launch(SMALL);
    await toy.pass(10_000);
    expect(toy.committed('out'), `after ${events} events`).toEqual(all.slice(0, 38));
    const ends = entriesOf(toy).map((entry) => Number(entry.inputs[0].endOffset));
    expect(ends.some((end) => end > 0 && end < 40)).toBe(true);
    expect(ends).toEqual([...ends].sort((a, b) => a - b));
  }
});
