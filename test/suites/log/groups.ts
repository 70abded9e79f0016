// Owns the contract tests of groups: rounds of members, who is told what, and how a member learns that it is out. What
// members do about it is tested where it is decided.

import { expect, it } from 'vitest';
import type { GroupMember, GroupRound, GroupSession } from '#runtime/log/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { inTime, type LogBench } from '#test/suites/log/bench.ts';

/** Brokers take no shorter one by default. */
const SESSION_MS = 6_000;
const NOBODY: ReadonlyMap<string, Uint8Array> = new Map();

function member(bench: LogBench, group: string, rebalanceTimeoutMs = SESSION_MS): GroupSession {
  return bench.client().group({ group, sessionTimeoutMs: SESSION_MS, rebalanceTimeoutMs });
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await inTime(
    work.then(
      (value) => value,
      (reason: unknown) => reason,
    ),
    'a call fails',
  );
  expect(error).toBeInstanceOf(StreamError);
  return (error as StreamError).code;
}

function said(members: readonly GroupMember[] | null): string[] | null {
  return members?.map(({ metadata }) => metadata.toString()).sort() ?? null;
}

async function join(session: GroupSession, metadata: string): Promise<GroupRound> {
  return inTime(session.join(Buffer.from(metadata)), `${metadata} has joined`);
}

const AGAIN: readonly string[] = ['rebalance-in-progress', 'generation-ended'];

/** All of them in one round, whose leader assigned to each what it brought. */
async function together(
  bench: LogBench,
  members: Readonly<Record<string, GroupSession>>,
): Promise<Record<string, GroupRound>> {
  const names = Object.keys(members);
  const rounds = new Map<string, GroupRound>();
  const settled = () =>
    rounds.size === names.length && new Set(Array.from(rounds.values(), (round) => round.generation)).size === 1;
  const agree = async (name: string) => {
    const session = members[name];
    while (!settled()) {
      const round = await join(session, name);
      try {
        const mine = await session.sync(round.generation, assigned(round));
        if (mine.toString() === `for ${name}`) rounds.set(name, round);
        while (!settled() && (await session.heartbeat(round.generation)) === 'stable') await bench.sleep(20);
      } catch (error) {
        if (!(error instanceof StreamError) || !AGAIN.includes(error.code)) throw error;
      }
    }
  };
  await Promise.all(names.map(agree));
  return Object.fromEntries(rounds);
}

function assigned({ members }: GroupRound): Map<string, Uint8Array> {
  return new Map((members ?? []).map(({ memberId, metadata }) => [memberId, Buffer.from(`for ${metadata}`)]));
}

async function untilRebalance(bench: LogBench, session: GroupSession, generation: number): Promise<void> {
  await bench.eventually('a heartbeat tells of a new round', async () => {
    return (await session.heartbeat(generation)) === 'rebalance';
  });
}

export function groupTests(bench: LogBench): void {
  it('lets a lone member lead, keeps what it assigns itself, and goes on in later generations', async () => {
    const session = member(bench, bench.name('alone'));
    expect(session.memberId).toBe(null);
    const round = await join(session, 'a');
    expect(session.memberId).toBe(round.memberId);
    expect(round.leaderId).toBe(round.memberId);
    expect(said(round.members)).toEqual(['a']);
    const mine = await session.sync(round.generation, new Map([[round.memberId, Buffer.from('x')]]));
    expect(mine.toString()).toBe('x');
    expect(await session.heartbeat(round.generation)).toBe('stable');
    const next = await join(session, 'b');
    expect(next.memberId).toBe(round.memberId);
    expect(next.generation).toBeGreaterThan(round.generation);
    expect(said(next.members)).toEqual(['b']);
    expect((await session.sync(next.generation, NOBODY)).length).toBe(0);
  });

  it('says when a generation is over, and when a member is', async () => {
    const session = member(bench, bench.name('over'));
    expect(await codeOf(session.heartbeat(1))).toBe('member-unknown');
    const { generation, memberId } = await join(session, 'a');
    await session.sync(generation, NOBODY);
    expect(await codeOf(session.heartbeat(generation + 1))).toBe('generation-ended');
    expect(await codeOf(session.sync(generation - 1, NOBODY))).toBe('generation-ended');
    expect(await session.heartbeat(generation)).toBe('stable');
    await session.leave();
    expect(session.memberId).toBe(null);
    expect(await codeOf(session.heartbeat(generation))).toBe('member-unknown');
    await session.leave();
    const again = await join(session, 'a');
    expect(again.memberId).not.toBe(memberId);
    expect(said(again.members)).toEqual(['a']);
  });

  it('takes nothing more once it is closed', async () => {
    const session = member(bench, bench.name('closed'));
    await join(session, 'a');
    await session.close();
    expect(await codeOf(session.heartbeat(1))).toBe('log-unavailable');
  });
}

/** Needs a log that has several clients. */
export function severalMembersTests(bench: LogBench): void {
  it('tells the leader of all, and each what the leader assigned to it', async () => {
    const group = bench.name('three');
    const members = { a: member(bench, group), b: member(bench, group), c: member(bench, group) };
    const rounds = await together(bench, members);
    const leaders = Object.values(rounds).filter((round) => round.members !== null);
    expect(leaders.length).toBe(1);
    expect(said(leaders[0].members)).toEqual(['a', 'b', 'c']);
    expect(new Set(Object.values(rounds).map(({ generation }) => generation)).size).toBe(1);
    expect(new Set(Object.values(rounds).map(({ leaderId }) => leaderId))).toEqual(new Set([leaders[0].memberId]));
    expect(new Set(Object.values(rounds).map(({ memberId }) => memberId)).size).toBe(3);
  });

  it('holds a round until the members of the last one came, and tells them with their next heartbeat', async () => {
    const group = bench.name('waits');
    const [a, b] = [member(bench, group), member(bench, group)];
    const { a: before } = await together(bench, { a });
    let came = false;
    const joining = join(b, 'b').then((round) => {
      came = true;
      return round;
    });
    await untilRebalance(bench, a, before.generation);
    expect(came).toBe(false);
    const [first, second] = await Promise.all([join(a, 'a again'), joining]);
    expect(first.generation).toBe(second.generation);
    expect(said(first.members ?? second.members)).toEqual(['a again', 'b']);
  });

  it('answers heartbeats of the generation that still counts while the same member waits for the next', async () => {
    const group = bench.name('beats');
    const [a, b] = [member(bench, group), member(bench, group)];
    const rounds = await together(bench, { a, b });
    const { generation } = rounds['a'];
    const waiting = join(a, 'a, changed');
    await untilRebalance(bench, a, generation);
    expect(await a.heartbeat(generation)).toBe('rebalance');
    await untilRebalance(bench, b, generation);
    const [first] = await Promise.all([waiting, join(b, 'b')]);
    expect(first.generation).toBeGreaterThan(generation);
    expect(await codeOf(a.heartbeat(generation))).toBe('generation-ended');
  });

  it('refuses assignments of a round that another one has overtaken', async () => {
    const group = bench.name('overtaken');
    const [a, b] = [member(bench, group), member(bench, group)];
    const { a: before } = await together(bench, { a });
    const round = await join(a, 'changed');
    expect(round.generation).toBeGreaterThan(before.generation);
    const joining = join(b, 'b');
    await untilRebalance(bench, a, round.generation);
    expect(await codeOf(a.sync(round.generation, NOBODY))).toBe('rebalance-in-progress');
    await Promise.all([joining, join(a, 'a')]);
  });

  it('begins a round when the leader joins or metadata changes, and repeats the last one otherwise', async () => {
    const group = bench.name('again');
    const members = { a: member(bench, group), b: member(bench, group) };
    const rounds = await together(bench, members);
    const [leader, follower] = rounds['a'].members !== null ? (['a', 'b'] as const) : (['b', 'a'] as const);
    const { generation } = rounds['a'];
    const repeated = await join(members[follower], follower);
    expect(repeated).toMatchObject({ generation, members: null });
    expect((await members[follower].sync(generation, NOBODY)).toString()).toBe(`for ${follower}`);
    const changing = join(members[follower], 'changed');
    await untilRebalance(bench, members[leader], generation);
    const [changed] = await Promise.all([changing, join(members[leader], leader)]);
    expect(changed.generation).toBeGreaterThan(generation);
  });

  it('is told at once of a member that leaves, and keeps nothing of it', async () => {
    const group = bench.name('leaves');
    const [a, b] = [member(bench, group), member(bench, group)];
    const rounds = await together(bench, { a, b });
    await b.leave();
    expect(await a.heartbeat(rounds['a'].generation)).toBe('rebalance');
    expect(said((await join(a, 'a')).members)).toEqual(['a']);
  });

  it('gives up a member at once when another one says that it is dead', async () => {
    const group = bench.name('dead');
    const [a, b] = [member(bench, group), member(bench, group)];
    const rounds = await together(bench, { a, b });
    await a.dismiss(rounds['b'].memberId);
    expect(await a.heartbeat(rounds['a'].generation)).toBe('rebalance');
    expect(said((await join(a, 'a')).members)).toEqual(['a']);
    expect(await codeOf(b.heartbeat(rounds['b'].generation))).toBe('member-unknown');
    await a.dismiss(rounds['b'].memberId);
  });

  it('gives up a member that says nothing for the length of its session, and lets it know when it speaks', async () => {
    const group = bench.name('silent');
    const [a, b] = [member(bench, group, 30_000), member(bench, group, 30_000)];
    const rounds = await together(bench, { a, b });
    await untilRebalance(bench, a, rounds['a'].generation);
    expect(said((await join(a, 'a')).members)).toEqual(['a']);
    expect(b.memberId).toBe(rounds['b'].memberId);
    expect(await codeOf(b.heartbeat(rounds['b'].generation))).toBe('member-unknown');
    expect(b.memberId).toBe(null);
  });

  it('goes on without a member that lives and does not come', async () => {
    const group = bench.name('stays-away');
    const [a, b] = [member(bench, group, 1_000), member(bench, group, 1_000)];
    const rounds = await together(bench, { a, b });
    expect(said((await join(a, 'a, changed')).members)).toEqual(['a, changed']);
    expect(await codeOf(b.heartbeat(rounds['b'].generation))).toBe('member-unknown');
  });

  it('ends a join that waits by a signal, and takes it up again where it was', async () => {
    const group = bench.name('signal');
    const [a, b] = [member(bench, group, 30_000), member(bench, group, 30_000)];
    const rounds = await together(bench, { a });
    const end = new AbortController();
    const failed = codeOf(b.join(Buffer.from('b'), end.signal));
    await untilRebalance(bench, a, rounds['a'].generation);
    end.abort();
    expect(await failed).toBe('log-unavailable');
    const [first, second] = await Promise.all([join(a, 'a'), join(b, 'b')]);
    expect(said(first.members)).toEqual(['a', 'b']);
    expect(second.generation).toBe(first.generation);
  });

  it('ends a join that waits when the member is closed', async () => {
    const group = bench.name('closes');
    const [a, b] = [member(bench, group, 30_000), member(bench, group, 30_000)];
    await together(bench, { a });
    const failed = codeOf(b.join(Buffer.from('b')));
    await bench.eventually('b is known', () => b.memberId !== null);
    await b.close();
    expect(await failed).toBe('log-unavailable');
  });
}
