// What the leader makes of a round, above all when words are late, missing, or contradict each other: nothing may be given
// to a member while another one may run it.

import { describe, expect, test } from 'vitest';
import type { MemberWord, Picture } from '#runtime/control/group-words.ts';
import { type Claim, decodePicture, decodeWord, encodePicture, encodeWord } from '#runtime/control/group-words.ts';
import { CONTROL_TASK, planRound, type RoundMember, type TaskLoad } from '#runtime/control/round-plan.ts';

function wanted(...tasks: string[]): TaskLoad[] {
  return tasks.map((task) => ({ task, job: 'j', parallelism: 100 }));
}

function member(memberId: string, generation: number, claims: readonly string[], slots = 1): RoundMember {
  return { memberId, word: word(memberId, generation, claims, slots) };
}

/** A claim that ends in `!` is being given up. */
function word(processId: string, generation: number, claims: readonly string[], slots: number): MemberWord {
  const own = claims.map((text): Claim => {
    const releasing = text.endsWith('!');
    const task = releasing ? text.slice(0, -1) : text;
    return { task, slot: task === CONTROL_TASK ? -1 : 0, weight: null, releasing };
  });
  return { processId, address: '', slots, engineVersion: '', generation, claims: own, wishes: 0 };
}

function owners({ members, tasks }: Picture): Record<string, string> {
  return Object.fromEntries(tasks.map(({ task, member: index }) => [task, members[index].memberId]));
}

const movingOf = ({ moving }: Picture) => moving.map(({ task }) => task).sort();

describe('two rounds', () => {
  test('what stays is kept, what moves is nobody’s, and then goes where it was meant to', () => {
    const before = [member('a', 1, [CONTROL_TASK, 't1', 't2']), member('b', -1, [])];
    const asked = { leaderId: 'a', picture: null, wanted: wanted('t1', 't2') };
    const first = planRound({ ...asked, members: before });
    expect(owners(first)[CONTROL_TASK]).toBe('a');
    const [moved] = movingOf(first);
    expect(movingOf(first)).toEqual([moved]);
    const kept = moved === 't1' ? 't2' : 't1';
    expect(owners(first)).toEqual({ [CONTROL_TASK]: 'a', [kept]: 'a' });
    expect(first.unfinished).toBe(false);

    const stopping = [member('a', 2, [CONTROL_TASK, kept, `${moved}!`]), member('b', 2, [])];
    const between = planRound({ ...asked, picture: first, members: stopping });
    expect(movingOf(between)).toEqual([moved]);

    const after = [member('a', 3, [CONTROL_TASK, kept]), member('b', 3, [])];
    const last = planRound({ ...asked, picture: between, members: after });
    expect(owners(last)).toEqual({ [CONTROL_TASK]: 'a', [kept]: 'a', [moved]: 'b' });
  });

  test('a task that nobody wants any more is on its way to nobody until its owner gave it up', () => {
    const unwanted = { leaderId: 'a', picture: null, wanted: [] };
    const first = planRound({ ...unwanted, members: [member('a', 1, ['t1'])] });
    expect(owners(first)).toEqual({ [CONTROL_TASK]: 'a' });
    expect(first.moving).toMatchObject([{ task: 't1', member: -1, holder: 0 }]);
    const last = planRound({ ...unwanted, picture: first, members: [member('a', 2, [CONTROL_TASK])] });
    expect(movingOf(last)).toEqual([]);
  });

  test('processes of another engine get nothing before one of them has the control partition', () => {
    const newer = (one: RoundMember): RoundMember => ({ ...one, word: { ...one.word, engineVersion: '2' } });
    const asked = { leaderId: 'a', picture: null, wanted: wanted('t1', 't2') };
    const beside = planRound({
      ...asked,
      members: [member('a', 1, [CONTROL_TASK, 't1', 't2']), newer(member('b', 1, []))],
    });
    expect(owners(beside)).toEqual({ [CONTROL_TASK]: 'a', t1: 'a', t2: 'a' });
    const after = planRound({
      ...asked,
      leaderId: 'b',
      members: [member('a', 2, ['t1']), newer(member('b', 2, [CONTROL_TASK]))],
    });
    expect(owners(after)).toEqual({ [CONTROL_TASK]: 'b', t2: 'b' });
    expect(after.moving).toMatchObject([{ task: 't1', member: 1, holder: 0 }]);
  });

  test('a member that leaves gets nothing, and keeps what it has not stopped yet', () => {
    const members = [member('a', 1, ['t1!', `${CONTROL_TASK}!`], 0), member('b', 1, [])];
    const plan = planRound({ leaderId: 'a', picture: null, wanted: wanted('t1', 't2'), members });
    expect(owners(plan)).toEqual({ t2: 'b' });
    expect(movingOf(plan)).toEqual([CONTROL_TASK, 't1']);
  });

  test('when nobody knows which tasks there are, everything stays, and another round is due', () => {
    const members = [member('a', 1, ['t1', 't2', 't3']), member('b', -1, [])];
    const plan = planRound({ leaderId: 'a', picture: null, wanted: null, members });
    expect(owners(plan)).toEqual({ [CONTROL_TASK]: 'a', t1: 'a', t2: 'a', t3: 'a' });
    expect(plan.unfinished).toBe(true);
  });
});

describe('words that are late', () => {
  const asked = { leaderId: 'c', wanted: wanted('t1') };
  const given = planRound({ ...asked, leaderId: 'a', picture: null, members: [member('a', 4, [])] });

  test('of two that claim the same the later word counts, whoever comes first', () => {
    for (const [old, now] of [
      ['a', 'b'],
      ['b', 'a'],
    ]) {
      const members = [member(old, 5, ['t1']), member(now, 7, ['t1']), member('c', 7, [CONTROL_TASK])];
      expect(owners(planRound({ ...asked, picture: null, members }))['t1']).toBe(now);
    }
  });

  test('a member whose word is older than the last picture may run what that gave it', () => {
    expect(owners(given)['t1']).toBe('a');
    // b would be a better place for it, and nobody claims it.
    const members = [member('a', 3, []), member('b', 6, [], 4), member('c', 6, [CONTROL_TASK, 'x'], 1)];
    const plan = planRound({ ...asked, picture: given, members });
    expect(owners(plan)['t1']).toBe(undefined);
    expect(plan.moving.filter(({ task }) => task === 't1')).toMatchObject([{ holder: 0, member: 1 }]);
    expect(plan.unfinished).toBe(true);
  });

  test('a member whose word is older may still be stopping what the last picture took from it', () => {
    const moving = [{ task: 't1', member: 1, slot: 0, weight: null, holder: 0 }];
    const ids = ['a', 'b'].map((memberId) => ({
      memberId,
      processId: memberId,
      address: '',
      slots: 1,
      engineVersion: '',
    }));
    const picture = { members: ids, tasks: [], moving, unfinished: false };
    const late = [member('a', 3, []), member('b', 6, []), member('c', 6, [CONTROL_TASK])];
    const plan = planRound({ ...asked, picture, members: late });
    expect(owners(plan)['t1']).toBe(undefined);
    // It may know nothing of it, and then nothing comes of waiting.
    expect(plan.unfinished).toBe(true);
    const now = [member('a', 6, []), member('b', 6, []), member('c', 6, [CONTROL_TASK])];
    expect(owners(planRound({ ...asked, picture, members: now }))['t1']).toBe('b');
  });

  test('a leader that missed a round hands out nothing that nobody claims, and asks for another round', () => {
    const members = [member('a', 6, []), member('b', 6, []), member('c', 5, [CONTROL_TASK])];
    const plan = planRound({ ...asked, picture: given, members });
    expect(owners(plan)).toEqual({ [CONTROL_TASK]: 'c' });
    expect(movingOf(plan)).toEqual(['t1']);
    expect(plan.unfinished).toBe(true);
  });
});

describe('weights', () => {
  test('what was measured counts, also while a task moves and its owner says nothing of it any more', () => {
    const tasks = ['hot', 'a', 'b', 'c', 'd', 'e'];
    const claims = tasks.map((task): Claim => ({ task, slot: 0, weight: task === 'hot' ? 100 : 1, releasing: false }));
    const busy = { memberId: 'm', word: { ...word('m', 1, [], 1), claims } };
    const asked = { leaderId: 'm', picture: null, wanted: wanted(...tasks) };
    const first = planRound({ ...asked, members: [busy, member('n', -1, [])] });
    expect(movingOf(first).length).toBeGreaterThan(0);
    const kept = first.tasks.map(({ task }) => task).filter((task) => task !== CONTROL_TASK);
    const last = planRound({ ...asked, picture: first, members: [member('m', 2, kept), member('n', 2, [])] });
    const own = owners(last);
    expect(tasks.filter((task) => own[task] === own['hot'])).toEqual(['hot']);
    expect(last.tasks.find(({ task }) => task === 'hot')?.weight).toBe(100);
  });
});

describe('as bytes', () => {
  test('words and pictures come back as they were', () => {
    const said = word('p', 3, ['t1', 't2!', CONTROL_TASK], 4);
    expect(decodeWord(encodeWord(said))).toEqual(said);
    const picture = planRound({
      leaderId: 'a',
      picture: null,
      wanted: wanted('t1', 't2'),
      members: [member('a', 1, ['t1!'])],
    });
    expect(decodePicture(encodePicture(picture))).toEqual(picture);
  });

  test('what is no word is none', () => {
    for (const bytes of [Buffer.alloc(0), Buffer.from('{}'), Buffer.from([1, 2, 3])]) {
      expect(decodeWord(bytes)).toBe(null);
      expect(decodePicture(bytes)).toBe(null);
    }
  });

  test('a thousand tasks of twenty processes fit into a record of the log, with every process’s copy', () => {
    const tasks = Array.from({ length: 1_000 }, (_, i) => `a-job-with-a-name/a-stage/${i}`);
    const members = Array.from({ length: 20 }, (_, i) => member(`01HXXXXXXXXXXXXXXXXXXXXXX${i}`, -1, [], 4));
    const { leaderId } = { leaderId: members[0].memberId };
    const bytes = encodePicture(planRound({ leaderId, picture: null, wanted: wanted(...tasks), members }));
    expect(bytes.length * members.length).toBeLessThan(500_000);
  });
});
