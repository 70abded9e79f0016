// How tasks are spread over other slots: evenly by what is measured, and without moving what may stay.

import { expect, test } from 'vitest';
import { type SpreadSlot, type SpreadTask, spreadTasks } from '#runtime/slot/task-spread.ts';
import { Random } from '#test/integration/oracle/random.ts';

function slots(count: number, load: (index: number) => number = () => 0): SpreadSlot[] {
  return Array.from({ length: count }, (_, index) => ({ index, load: load(index) }));
}

function tasks(places: readonly (number | null)[], weight: (at: number) => number = () => 1): SpreadTask[] {
  return places.map((slot, at) => ({ key: `t${at}`, slot, weight: weight(at) }));
}

/** Weight of the tasks in each slot, after the moves. */
function loads(all: readonly SpreadTask[], moves: ReadonlyMap<string, number>): Map<number, number> {
  const sums = new Map<number, number>();
  for (const { key, slot, weight } of all) {
    const at = moves.get(key) ?? slot;
    if (at !== null) sums.set(at, (sums.get(at) ?? 0) + weight);
  }
  return sums;
}

test('from one slot to eight each gets one task, and one stays where it is', () => {
  const all = tasks([0, 0, 0, 0, 0, 0, 0, 0]);
  const moves = spreadTasks(all, slots(8), 8);
  expect(moves.size).toBe(7);
  expect([...loads(all, moves).values()]).toEqual([1, 1, 1, 1, 1, 1, 1, 1]);
});

test('from eight slots to three only the tasks of the five others move', () => {
  const all = tasks([0, 1, 2, 3, 4, 5, 6, 7]);
  const moves = spreadTasks(all, slots(8), 3);
  expect(moves.size).toBe(5);
  expect([...loads(all, moves).values()].sort()).toEqual([2, 3, 3]);
});

test('what is spread evenly already stays, and so does all of it when asked again', () => {
  expect(spreadTasks(tasks([0, 1, 0, 1]), slots(4), 2).size).toBe(0);
  const all = tasks([0, 0, 0, 0, 0]);
  const moves = spreadTasks(all, slots(4), 3);
  const after = all.map((task) => ({ ...task, slot: moves.get(task.key) ?? task.slot }));
  expect(spreadTasks(after, slots(4), 3).size).toBe(0);
});

test('a hot task gets a slot of its own, and stays in the one that it has', () => {
  const all = tasks([0, 0, 0, 0, 1, 1, 1, 1], (at) => (at === 0 ? 50 : 1));
  const moves = spreadTasks(all, slots(2), 2);
  expect(moves.has('t0')).toBe(false);
  expect([...moves].sort()).toEqual([
    ['t1', 1],
    ['t2', 1],
    ['t3', 1],
  ]);
});

test('every slot gets a task where there are enough, however busy one of them is', () => {
  const all = tasks([0, 0, 0, 0, 0, 0, 0, 0], (at) => (at === 0 ? 500 : 1));
  const moves = spreadTasks(all, slots(4), 4);
  const used = loads(all, moves);
  expect(used.size).toBe(4);
  expect([...used.values()]).toContain(500);
  expect(spreadTasks(tasks([0, 0]), slots(4), 4).size).toBe(1);
});

test('beside a slot that is busy with one task, the others are evened out', () => {
  const all = tasks([0, 1, 1, 1, 1, 1, 1, 2], (at) => (at === 0 ? 12 : 4));
  expect([...loads(all, spreadTasks(all, slots(3), 3)).values()].sort((a, b) => a - b)).toEqual([12, 12, 16]);
});

test('of the slots that a job leaves, those with the fewest tasks are left', () => {
  const all = tasks([0, 0, 0, 1, 1, 2], (at) => (at === 5 ? 9 : 1));
  expect([...spreadTasks(all, slots(3), 2).keys()]).toContain('t5');
});

test('slots that other jobs keep busy are taken last', () => {
  const busy = slots(4, (index) => (index < 2 ? 10 : 0));
  const moves = spreadTasks(tasks([null, null]), busy, 2);
  expect([...moves.values()].sort()).toEqual([2, 3]);
});

test('whatever is asked, every task has a slot, no more slots than asked, and no two that a move would even out', () => {
  const random = new Random(20_261_121);
  for (let round = 0; round < 500; round++) {
    const slotCount = 1 + random.integer(8);
    const all = tasks(
      Array.from({ length: random.integer(20) }, () => (random.next() < 0.2 ? null : random.integer(slotCount))),
      () => 0.1 + random.next() ** 4 * 10,
    );
    const parallelism = 1 + random.integer(10);
    const moves = spreadTasks(all, slots(slotCount), parallelism);
    const used = loads(all, moves);
    expect(used.size).toBeLessThanOrEqual(Math.min(parallelism, slotCount));
    for (const { key, slot } of all) expect(moves.get(key) ?? slot).not.toBeNull();
    for (const [key, slot] of moves) expect(all.find((task) => task.key === key)?.slot).not.toBe(slot);
    const total = all.reduce((sum, { weight }) => sum + weight, 0);
    const heaviest = all.reduce((most, { weight }) => Math.max(most, weight), 0);
    const fair = total / Math.min(parallelism, slotCount);
    expect(Math.max(0, ...used.values())).toBeLessThanOrEqual(fair * 1.2 + heaviest + 1e-9);
  }
});
