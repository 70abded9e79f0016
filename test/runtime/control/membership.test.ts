// The life of a member, step by step in virtual time: what it is told to run and to stop, what it answers about its tasks,
// and what it does while the group cannot be reached. All troubles at once: members.world.test.ts.

import { beforeEach, describe, expect, test } from 'vitest';
import { encodeWord } from '#runtime/control/group-words.ts';
import { CONTROL_TASK, type TaskLoad } from '#runtime/control/round-plan.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { MemberProcess, type SharedWork } from '#test/simulation/member-process.ts';
import { Random } from '#test/simulation/world/random.ts';
import { World } from '#test/simulation/world/world.ts';

let world: World;
let work: SharedWork;

function tasks(count: number, from = 0): TaskLoad[] {
  return Array.from({ length: count }, (_, i) => ({ task: `t${i + from}`, job: 'j', parallelism: 100 }));
}

beforeEach(() => {
  world = new World({ seed: 1 });
  const none = { assigned: 0, revoked: 0, lost: 0, rounds: 0, ownsTrue: 0, ownsFalse: 0, ownsFailed: 0, unfinished: 0 };
  const random = new Random(1);
  work = { world, random, tasks: tasks(4), tasksUnknown: false, stopMsMax: 10, counts: none };
});

const start = (name: string, slots = 1) => new MemberProcess(name, slots, work);
const tasksOf = (member: MemberProcess) => [...member.running.keys()].sort();

/** What work gives, while virtual time passes. */
async function done<T>(asked: Promise<T>): Promise<T | StreamError> {
  let answer: { readonly value: T | StreamError } | null = null;
  asked.then(
    (value) => {
      answer = { value };
    },
    (error: StreamError) => {
      answer = { value: error };
    },
  );
  await world.until(() => answer !== null, 60_000);
  return answer!.value;
}

describe('alone', () => {
  test('it leads itself, runs everything and has the control partition', async () => {
    const only = start('a', 2);
    await world.pass(1_000);
    expect(tasksOf(only)).toEqual([CONTROL_TASK, 't0', 't1', 't2', 't3']);
    expect(only.view).toMatchObject({ controlOwner: 'a', ownsControl: true });
    expect(only.view?.members).toMatchObject([{ processId: 'a', address: 'http://a', slots: 2, self: true }]);
    expect([...only.view!.mine.values()].sort()).toEqual([0, 0, 1, 1]);
    expect(only.membership.status).toMatchObject({ joined: true, leader: true, fault: null });
    expect(await done(only.owns('t0'))).toBe(true);
    expect(await done(only.owns('no such task'))).toBe(false);
  });

  test('it stops everything cleanly when it closes, and whoever comes next need not wait', async () => {
    const first = start('a');
    await world.pass(1_000);
    first.close();
    await world.until(() => !first.alive, 1_000);
    expect(first.alive).toBe(false);
    expect(work.counts).toMatchObject({ revoked: 5, lost: 0 });
    const next = start('b');
    await world.pass(500);
    expect(tasksOf(next).length).toBe(5);
  });

  test('it goes on running while the group cannot be reached, says so, and answers nobody', async () => {
    const only = start('a');
    await world.pass(1_000);
    world.logAway(8_000);
    await world.pass(2_000);
    expect(tasksOf(only).length).toBe(5);
    expect(only.membership.status.fault?.code).toBe('log-unavailable');
    const answer = await done(only.membership.owns('t0'));
    expect(answer).toBeInstanceOf(StreamError);
    expect((answer as StreamError).retryable).toBe(true);
    await world.pass(10_000);
    expect(only.membership.status.fault).toBe(null);
    expect(await done(only.owns('t0'))).toBe(true);
    expect(work.counts).toMatchObject({ revoked: 0, lost: 0, assigned: 5 });
  });

  test('it ends all at once when the group forgot it, and begins anew', async () => {
    const only = start('a');
    await world.pass(1_000);
    only.inhabitant.process.pause(15_000);
    await world.pass(14_000);
    // Nobody has said anything: it runs, as a process that is stopped does.
    expect(tasksOf(only).length).toBe(5);
    await world.pass(4_000);
    expect(work.counts).toMatchObject({ lost: 1, revoked: 0, assigned: 10 });
    expect(tasksOf(only).length).toBe(5);
  });
});

describe('with others', () => {
  test('any member may ask for a round when the tasks change', async () => {
    const members = [start('a'), start('b')];
    await world.pass(3_000);
    const follower = members.find(({ membership }) => !membership.status.leader)!;
    work.tasks = tasks(3, 2);
    follower.membership.rebalance();
    await world.pass(3_000);
    expect(members.flatMap(tasksOf).sort()).toEqual([CONTROL_TASK, 't2', 't3', 't4']);
  });

  test('everything stays while nobody knows which tasks there are, and is shared when somebody does', async () => {
    const first = start('a');
    await world.pass(1_000);
    work.tasksUnknown = true;
    const second = start('b');
    await world.pass(10_000);
    expect(tasksOf(first).length).toBe(5);
    expect(tasksOf(second)).toEqual([]);
    expect(second.view?.owners.get('t0')).toBe('a');
    work.tasksUnknown = false;
    await world.pass(5_000);
    expect([tasksOf(first).length, tasksOf(second).length]).toEqual([3, 2]);
  });

  test('a task that moves runs nowhere until its owner stopped it, and is its owner’s until then', async () => {
    const first = start('a');
    await world.pass(1_000);
    work.stopMsMax = 4_000;
    const second = start('b');
    await world.until(() => [...first.running.values()].some(({ stopping }) => stopping), 5_000);
    const moving = [...first.running].filter(([, { stopping }]) => stopping).map(([task]) => task);
    expect(moving.length).toBe(2);
    expect(tasksOf(second)).toEqual([]);
    for (const task of moving) expect(await done(first.owns(task))).toBe(true);
    await world.pass(8_000);
    expect(tasksOf(second)).toEqual(moving.sort());
    for (const task of moving) expect(await done(first.owns(task))).toBe(false);
    expect(work.counts).toMatchObject({ revoked: 2, lost: 0 });
  });

  test('of a round that went on without it, it does not say that its tasks are its own before it knows', async () => {
    const members = [start('a'), start('b')];
    await world.pass(3_000);
    const [leader, other] = members[0].membership.status.leader ? members : [members[1], members[0]];
    const [task] = tasksOf(other).filter((one) => one !== CONTROL_TASK);
    // A word from before it had anything, on its way for long: the round waits for the leader alone.
    const word = {
      processId: other.name,
      address: '',
      slots: 1,
      engineVersion: '0.0.0',
      generation: -1,
      claims: [],
      wishes: 0,
    };
    const { groups } = world.cluster;
    const memberId = other.memberId!;
    const before = other.view?.generation;
    const late = { group: 'members', memberId, sessionMs: 10_000, rebalanceMs: 10_000, metadata: encodeWord(word) };
    groups.join(late, () => {});
    leader.membership.rebalance();
    await world.until(() => leader.membership.view.generation !== before, 200);
    expect(leader.membership.view.generation).not.toBe(before);
    expect(other.view?.generation).toBe(before);
    expect(await done(other.owns(task))).toBe(true);
    expect(other.view?.generation).toBeGreaterThan(before!);
    await world.pass(5_000);
    expect(members.flatMap(tasksOf).sort()).toEqual([CONTROL_TASK, 't0', 't1', 't2', 't3']);
    expect(work.counts).toMatchObject({ lost: 0, revoked: 0 });
  });
});
