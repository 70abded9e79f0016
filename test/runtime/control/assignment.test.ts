// Who runs what: every promise of the assignment, over random members, tasks and holdings. The oracle counts loads and
// moves by itself.

import { describe, expect, test } from 'vitest';
import {
  type AssignableMember,
  type AssignableTask,
  type AssignmentAsked,
  assign,
  MOVE_TOLERANCE,
  type Place,
  PROCESS_SHARE,
} from '#runtime/control/assignment.ts';
import { Random } from '#test/simulation/world/random.ts';

const NOWHERE: ReadonlyMap<string, Place> = new Map();

function drawMembers(random: Random, count = random.range(1, 6)): AssignableMember[] {
  return Array.from({ length: count }, (_, i) => ({ member: `m${i}`, slots: random.range(1, 4) }));
}

function drawTasks(random: Random, freely: boolean): AssignableTask[] {
  const jobs = random.range(1, 4);
  const kind = random.pick(['equal', 'random', 'hot']);
  return Array.from({ length: jobs }, (_, j) => {
    const parallelism = freely ? 1_000 : random.range(1, 10);
    return Array.from({ length: random.range(1, 20) }, (__, i) => {
      const weight = kind === 'equal' ? 1 : kind === 'random' ? random.between(0.1, 4) : i === 0 ? 10 : 0.5;
      return { task: `j${j}/${i}`, job: `j${j}`, parallelism, weight };
    });
  }).flat();
}

function drawHeld(random: Random, members: readonly AssignableMember[], tasks: readonly AssignableTask[]) {
  const held = new Map<string, Place>();
  for (const { task } of tasks) {
    if (random.chance(0.3)) continue;
    const { member, slots } = random.pick(members);
    // Some places are gone: a process came back with fewer slots, or not at all.
    held.set(task, { member: random.chance(0.1) ? 'gone' : member, slot: random.int(slots + 1) });
  }
  return held;
}

function draw(seed: number, freely = false): AssignmentAsked {
  const random = new Random(seed);
  const members = drawMembers(random);
  const tasks = drawTasks(random, freely);
  return { members, tasks, held: drawHeld(random, members, tasks), intended: drawHeld(random, members, tasks) };
}

const nameOf = ({ member, slot }: Place) => `${member}:${slot}`;

function placesOf({ members }: AssignmentAsked): string[] {
  return members.flatMap(({ member, slots }) => Array.from({ length: slots }, (_, slot) => nameOf({ member, slot })));
}

function loads(asked: AssignmentAsked, places: ReadonlyMap<string, string>): Map<string, number> {
  const loaded = new Map(placesOf(asked).map((place) => [place, 0]));
  for (const { task, weight } of asked.tasks) {
    const place = places.get(task)!;
    loaded.set(place, loaded.get(place)! + weight);
  }
  return loaded;
}

/** How uneven it is: squared loads of slots, and of processes per slot. */
function unevenness(asked: AssignmentAsked, places: ReadonlyMap<string, string>): number {
  const loaded = loads(asked, places);
  let total = 0;
  for (const load of loaded.values()) total += load * load;
  for (const { member, slots } of asked.members) {
    let load = 0;
    for (let slot = 0; slot < slots; slot++) load += loaded.get(nameOf({ member, slot }))!;
    total += (PROCESS_SHARE * load * load) / slots;
  }
  return total;
}

function slotsOf(asked: AssignmentAsked, places: ReadonlyMap<string, string>): Map<string, Set<string>> {
  const used = new Map<string, Set<string>>();
  for (const { job, task } of asked.tasks) used.set(job, (used.get(job) ?? new Set()).add(places.get(task)!));
  return used;
}

const named = (places: ReadonlyMap<string, Place>) => new Map(Array.from(places, ([task, at]) => [task, nameOf(at)]));

const meanLoad = (asked: AssignmentAsked) =>
  asked.tasks.reduce((sum, { weight }) => sum + weight, 0) / placesOf(asked).length;

const toleranceOf = (asked: AssignmentAsked) =>
  MOVE_TOLERANCE * Math.max(meanLoad(asked), ...asked.tasks.map(({ weight }) => weight));

describe('over random members and tasks', () => {
  const SEEDS = Array.from({ length: 400 }, (_, i) => i + 1);

  test('every task gets one place that exists, and no job more slots than it may use', () => {
    for (const seed of SEEDS) {
      const asked = draw(seed);
      const places = named(assign(asked));
      expect([...places.keys()].sort(), `seed ${seed}`).toEqual(asked.tasks.map(({ task }) => task).sort());
      const exist = placesOf(asked);
      for (const place of places.values()) expect(exist, `seed ${seed}`).toContain(place);
      for (const [job, used] of slotsOf(asked, places)) {
        const { parallelism } = asked.tasks.find((task) => task.job === job)!;
        expect(used.size, `seed ${seed} ${job}`).toBeLessThanOrEqual(parallelism);
      }
    }
  });

  test('the answer does not depend on the order of members, tasks and holdings', () => {
    for (const seed of SEEDS) {
      const asked = draw(seed);
      const random = new Random(seed + 10_000);
      const shuffled = {
        members: random.shuffle(asked.members),
        tasks: random.shuffle(asked.tasks),
        held: new Map(random.shuffle([...asked.held])),
        intended: new Map(random.shuffle([...asked.intended])),
      };
      const order = (places: Map<string, string>) => [...places].sort();
      expect(order(named(assign(shuffled))), `seed ${seed}`).toEqual(order(named(assign(asked))));
    }
  });

  test('what was assigned stays when it is asked again', () => {
    for (const seed of SEEDS) {
      const asked = draw(seed);
      const held = assign(asked);
      expect(named(assign({ ...asked, held, intended: NOWHERE })), `seed ${seed}`).toEqual(named(held));
    }
  });

  test('no single move that the jobs allow would make loads more even by more than the tolerance', () => {
    for (const seed of SEEDS) {
      const asked = draw(seed);
      const places = named(assign(asked));
      const used = slotsOf(asked, places);
      const before = unevenness(asked, places);
      const tolerance = toleranceOf(asked) + 1e-6;
      for (const { task, job, parallelism, weight } of asked.tasks) {
        for (const to of placesOf(asked)) {
          if (!used.get(job)!.has(to) && used.get(job)!.size >= parallelism) continue;
          const gain = (before - unevenness(asked, new Map(places).set(task, to))) / (2 * weight);
          expect(gain, `seed ${seed}: ${task} to ${to}`).toBeLessThanOrEqual(tolerance);
        }
      }
    }
  });

  test('a slot carries at most the mean, a bit more than its lightest task and the tolerance, where jobs may use all slots', () => {
    for (const seed of SEEDS) {
      const asked = draw(seed, true);
      const places = named(assign(asked));
      const mean = meanLoad(asked);
      for (const [place, load] of loads(asked, places)) {
        if (load === 0) continue;
        const lightest = Math.min(...asked.tasks.filter(({ task }) => places.get(task) === place).map((t) => t.weight));
        expect(load, `seed ${seed} ${place}`).toBeLessThanOrEqual(
          mean + toleranceOf(asked) + (1 + PROCESS_SHARE) * lightest + 1e-6,
        );
      }
    }
  });

  test('tasks that run move only for a gain: each makes loads more even by its weight times the tolerance', () => {
    let [still, moving] = [0, 0];
    for (const seed of SEEDS) {
      const random = new Random(seed);
      const members = drawMembers(random);
      const tasks = drawTasks(random, true);
      const held = new Map(
        tasks.map(({ task }) => {
          const { member, slots } = random.pick(members);
          return [task, { member, slot: random.int(slots) }];
        }),
      );
      const asked = { members, tasks, held, intended: NOWHERE };
      const [before, places] = [named(held), named(assign(asked))];
      const moved = tasks.filter(({ task }) => places.get(task) !== before.get(task));
      const weight = moved.reduce((sum, task) => sum + task.weight, 0);
      const price = 2 * weight * toleranceOf(asked);
      expect(unevenness(asked, before) - unevenness(asked, places), `seed ${seed}`).toBeGreaterThanOrEqual(
        price - 1e-6,
      );
      if (moved.length === 0) still++;
      else moving++;
    }
    expect(Math.min(still, moving)).toBeGreaterThan(20);
  });
});

/** One job of equal tasks over equal processes, as it is after a while. */
function settled(members: number, slots: number, tasks: number, weight = (_: number) => 1): AssignmentAsked {
  const asked = {
    members: Array.from({ length: members }, (_, i) => ({ member: `m${i}`, slots })),
    tasks: Array.from({ length: tasks }, (_, i) => ({
      task: `t${String(i).padStart(4, '0')}`,
      job: 'j',
      parallelism: 1_000,
      weight: weight(i),
    })),
    intended: NOWHERE,
  };
  return { ...asked, held: assign({ ...asked, held: NOWHERE }) };
}

function movedFrom(asked: AssignmentAsked): { task: string; from: string; to: string }[] {
  const places = assign(asked);
  return Array.from(asked.held, ([task, at]) => ({ task, from: nameOf(at), to: nameOf(places.get(task)!) })).filter(
    ({ from, to }) => from !== to,
  );
}

describe('when processes come and go', () => {
  test.each([
    [1, 4, 16],
    [2, 2, 24],
    [3, 1, 10],
    [5, 4, 100],
  ])('%i with %i slots and %i tasks: one more takes its fair share, and nothing else moves', (count, slots, tasks) => {
    const before = settled(count, slots, tasks);
    const asked = { ...before, members: [...before.members, { member: 'new', slots }] };
    const moved = movedFrom(asked);
    for (const { to } of moved) expect(to).toMatch(/^new:/);
    const share = tasks / (count + 1);
    expect(moved.length).toBeGreaterThanOrEqual(Math.floor(share * (1 - MOVE_TOLERANCE)) - slots);
    expect(moved.length).toBeLessThanOrEqual(Math.ceil(share));
  });

  test('a process that comes to more slots than tasks takes its share, too', () => {
    const before = settled(1, 4, 4);
    const moved = movedFrom({ ...before, members: [...before.members, { member: 'new', slots: 4 }] });
    expect(moved.length).toBe(2);
  });

  test('tasks of a process that is gone are spread, and no other moves', () => {
    const before = settled(4, 2, 32);
    const asked = { ...before, members: before.members.slice(1) };
    const moved = movedFrom(asked);
    expect(moved.length).toBe(8);
    for (const { from } of moved) expect(from).toMatch(/^m0:/);
    const loaded = loads(asked, named(assign(asked)));
    expect(Math.max(...loaded.values()) - Math.min(...loaded.values())).toBeLessThanOrEqual(1);
  });

  test('processes that start at the same time share, however few the tasks', () => {
    const { held } = settled(3, 4, 6);
    const perMember = Map.groupBy(held.values(), ({ member }) => member);
    expect([...perMember.values()].map((own) => own.length)).toEqual([2, 2, 2]);
  });
});

describe('weights', () => {
  test('a hot partition gets a slot for itself, and the others share the rest', () => {
    const asked = settled(2, 2, 12, (i) => (i === 3 ? 9 : 1));
    const hot = asked.held.get('t0003')!;
    const beside = [...asked.held].filter(([task, at]) => task !== 't0003' && nameOf(at) === nameOf(hot));
    expect(beside).toEqual([]);
    const loaded = loads(asked, named(asked.held));
    expect(Math.max(...loaded.values())).toBe(9);
    expect([...loaded.values()].sort()).toEqual([3, 4, 4, 9]);
  });

  test('a partition that became hot stays, and its neighbours move away', () => {
    const before = settled(2, 1, 8);
    const hot = 't0000';
    const tasks = before.tasks.map((task) => (task.task === hot ? { ...task, weight: 7 } : task));
    const asked = { ...before, tasks };
    const moved = movedFrom(asked);
    expect(moved.map(({ task }) => task)).not.toContain(hot);
    expect(moved.length).toBeGreaterThan(0);
    expect(moved.length).toBeLessThanOrEqual(3);
    const loaded = [...loads(asked, named(assign(asked))).values()];
    expect(Math.max(...loaded)).toBeLessThanOrEqual(8);
  });

  test('a little more or less load moves nothing', () => {
    const random = new Random(5);
    const before = settled(3, 2, 60);
    const tasks = before.tasks.map((task) => ({ ...task, weight: random.between(0.9, 1.1) }));
    expect(movedFrom({ ...before, tasks })).toEqual([]);
  });
});

describe('parallelism', () => {
  const withParallelism = (asked: AssignmentAsked, parallelism: number) => ({
    ...asked,
    tasks: asked.tasks.map((task) => ({ ...task, parallelism })),
  });
  const used = (asked: AssignmentAsked) => new Set(named(assign(asked)).values()).size;

  test('grows and shrinks to exactly so many slots while there are tasks for them, and what can stay does', () => {
    let asked = withParallelism(settled(2, 4, 24), 1);
    asked = { ...asked, held: assign({ ...asked, held: NOWHERE }) };
    expect(used(asked)).toBe(1);
    asked = withParallelism(asked, 8);
    expect(used(asked)).toBe(8);
    expect(movedFrom(asked).length).toBe(21);
    asked = withParallelism({ ...asked, held: assign(asked) }, 3);
    expect(used(asked)).toBe(3);
    expect(movedFrom(asked).length).toBe(15);
    const loaded = [...loads(asked, named(assign(asked))).values()].filter((load) => load > 0);
    expect(loaded).toEqual([8, 8, 8]);
  });

  test('two jobs of one slot each do not share one while another is free', () => {
    const tasks = ['a', 'b'].flatMap((job) =>
      [0, 1, 2].map((i) => ({ task: `${job}${i}`, job, parallelism: 1, weight: 1 })),
    );
    const members = [{ member: 'm', slots: 1 }];
    const held = assign({ members, tasks, held: NOWHERE, intended: NOWHERE });
    const asked = { members: [...members, { member: 'n', slots: 1 }], tasks, held, intended: NOWHERE };
    // The whole job moves: one by one it would be in two slots.
    expect(movedFrom(asked).length).toBe(3);
    expect([...loads(asked, named(assign(asked))).values()]).toEqual([3, 3]);
  });
});
