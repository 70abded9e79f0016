// Owns the simulated coordinator of groups, as Kafka's for members of the classic protocol without instance ids: rounds,
// sessions that expire, rounds that end without those who do not come, syncs that nobody sends. What survives a restart
// is what Kafka writes: the group as of its last finished round.

import type { GroupMember } from '#runtime/log/contract.ts';
import type { ScheduledEvent, Scheduler } from '#test/simulation/world/scheduler.ts';

export const GROUP_ERRORS = {
  none: 0,
  illegalGeneration: 22,
  unknownMember: 25,
  invalidSession: 26,
  rebalanceInProgress: 27,
  memberIdRequired: 79,
} as const;

const SESSION_MIN_MS = 6_000;
/** How long an empty group waits for more than its first member. */
const FIRST_ROUND_MS = 50;

export interface SimulatedJoin {
  readonly group: string;
  readonly memberId: string;
  readonly sessionMs: number;
  readonly rebalanceMs: number;
  readonly metadata: Buffer;
}

export interface SimulatedJoinAnswer {
  readonly error: number;
  readonly generation: number;
  readonly memberId: string;
  readonly leaderId: string;
  readonly members: readonly GroupMember[];
}

export interface SimulatedSyncAnswer {
  readonly error: number;
  readonly assignment: Buffer;
}

interface Member {
  readonly id: string;
  readonly sessionMs: number;
  readonly rebalanceMs: number;
  metadata: Buffer;
  assignment: Buffer;
  /** The last generation that it asked its assignment of. */
  settled: number;
  session: ScheduledEvent | null;
  joined: ((answer: SimulatedJoinAnswer) => void) | null;
  synced: ((answer: SimulatedSyncAnswer) => void) | null;
}

interface Kept {
  readonly generation: number;
  readonly leaderId: string;
  readonly members: readonly Member[];
}

type Answer<T> = (value: T) => void;

class Group {
  state: 'empty' | 'preparing' | 'completing' | 'stable' = 'empty';
  generation = 0;
  leaderId = '';
  readonly members = new Map<string, Member>();
  /** Ids given to those who have not joined with them yet. */
  readonly promised = new Map<string, ScheduledEvent>();
  timer: ScheduledEvent | null = null;
  /** The first round of an empty group waits for others, whoever came. */
  gathering = false;
  kept: Kept = { generation: 0, leaderId: '', members: [] };
}

const NOTHING = Buffer.alloc(0);

export class SimulatedGroups {
  /** What happened to members, for a test that wants to know whether its faults happened. */
  readonly counts = { rounds: 0, expired: 0, late: 0, unsynced: 0, restarts: 0 };
  readonly #scheduler: Scheduler;
  readonly #groups = new Map<string, Group>();
  #memberIds = 0;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  join(asked: SimulatedJoin, answer: Answer<SimulatedJoinAnswer>): void {
    const group = this.#group(asked.group);
    const { memberId, metadata, sessionMs } = asked;
    if (sessionMs < SESSION_MIN_MS) {
      answer(refused(GROUP_ERRORS.invalidSession, memberId));
      return;
    }
    if (memberId === '') {
      const id = `member-${++this.#memberIds}`;
      const forget = () => this.#forgetPromise(group, id);
      group.promised.set(id, this.#after(sessionMs, forget));
      answer(refused(GROUP_ERRORS.memberIdRequired, id));
      return;
    }
    const promise = group.promised.get(memberId);
    let member = group.members.get(memberId);
    if (promise !== undefined) {
      this.#scheduler.cancel(promise);
      group.promised.delete(memberId);
      const { rebalanceMs } = asked;
      const fresh = { id: memberId, sessionMs, rebalanceMs, metadata, assignment: NOTHING, settled: -1 };
      member = { ...fresh, session: null, joined: null, synced: null };
      group.members.set(memberId, member);
    } else if (member === undefined) {
      answer(refused(GROUP_ERRORS.unknownMember, memberId));
      return;
    } else if (this.#isUnderWay(group, member, metadata)) {
      this.#alive(group, member);
      answer(this.#roundOf(group, member));
      return;
    }
    member.metadata = metadata;
    member.joined = answer;
    this.#alive(group, member);
    if (group.state !== 'preparing') this.#prepare(group);
    else this.#completeIfAllCame(group);
  }

  /** The member asks again for the round it is in, because it did not hear, or had nothing new to say. */
  #isUnderWay(group: Group, member: Member, metadata: Buffer): boolean {
    const same = member.metadata.equals(metadata);
    if (group.state === 'completing') return same;
    return group.state === 'stable' && same && group.leaderId !== member.id;
  }

  sync(
    at: { readonly group: string; readonly memberId: string; readonly generation: number },
    assignments: ReadonlyMap<string, Buffer>,
    answer: Answer<SimulatedSyncAnswer>,
  ): void {
    const group = this.#group(at.group);
    const member = group.members.get(at.memberId);
    const error = syncError(group, member, at.generation);
    if (member === undefined || error !== GROUP_ERRORS.none) {
      answer({ error, assignment: NOTHING });
      return;
    }
    this.#alive(group, member);
    member.settled = group.generation;
    if (group.state === 'stable') {
      answer({ error, assignment: member.assignment });
      return;
    }
    member.synced = answer;
    if (group.leaderId === member.id) this.#settle(group, assignments);
  }

  #settle(group: Group, assignments: ReadonlyMap<string, Buffer>): void {
    for (const one of group.members.values()) one.assignment = assignments.get(one.id) ?? NOTHING;
    group.state = 'stable';
    group.kept = {
      generation: group.generation,
      leaderId: group.leaderId,
      members: Array.from(group.members.values(), (one) => ({ ...one, session: null, joined: null, synced: null })),
    };
    this.#answerSyncs(group, GROUP_ERRORS.none);
  }

  heartbeat(name: string, memberId: string, generation: number): number {
    const group = this.#group(name);
    const member = group.members.get(memberId);
    if (member === undefined) return GROUP_ERRORS.unknownMember;
    if (generation !== group.generation) return GROUP_ERRORS.illegalGeneration;
    this.#alive(group, member);
    return group.state === 'preparing' ? GROUP_ERRORS.rebalanceInProgress : GROUP_ERRORS.none;
  }

  leave(name: string, memberId: string): number {
    const group = this.#group(name);
    const member = group.members.get(memberId);
    if (member === undefined) return GROUP_ERRORS.unknownMember;
    this.#remove(group, member);
    return GROUP_ERRORS.none;
  }

  /** Another broker takes over: whoever waits is never answered, and the round under way never was. */
  restart(): void {
    this.counts.restarts++;
    for (const [name, old] of this.#groups) {
      this.#cancelTimer(old);
      for (const { session } of old.members.values()) if (session !== null) this.#scheduler.cancel(session);
      for (const promise of old.promised.values()) this.#scheduler.cancel(promise);
      const group = new Group();
      group.kept = old.kept;
      group.generation = old.kept.generation;
      group.leaderId = old.kept.leaderId;
      this.#groups.set(name, group);
      for (const kept of old.kept.members) {
        const member = { ...kept };
        group.members.set(member.id, member);
        this.#alive(group, member);
      }
      group.state = group.members.size > 0 ? 'stable' : 'empty';
    }
  }

  #group(name: string): Group {
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = new Group();
      this.#groups.set(name, group);
    }
    return group;
  }

  #after(ms: number, action: () => void): ScheduledEvent {
    return this.#scheduler.schedule(ms, 'group', null, action);
  }

  #cancelTimer(group: Group): void {
    if (group.timer !== null) this.#scheduler.cancel(group.timer);
    group.timer = null;
  }

  #forgetPromise(group: Group, id: string): void {
    group.promised.delete(id);
    if (group.state === 'preparing') this.#completeIfAllCame(group);
  }

  /** Begins the member's session anew. */
  #alive(group: Group, member: Member): void {
    if (member.session !== null) this.#scheduler.cancel(member.session);
    member.session = this.#after(member.sessionMs, () => {
      // Whoever waits for an answer of ours need not say that it lives.
      if (member.joined !== null || member.synced !== null) this.#alive(group, member);
      else {
        this.counts.expired++;
        this.#remove(group, member);
      }
    });
  }

  #remove(group: Group, member: Member): void {
    if (member.session !== null) this.#scheduler.cancel(member.session);
    group.members.delete(member.id);
    if (group.state === 'preparing') this.#completeIfAllCame(group);
    else this.#prepare(group);
  }

  #prepare(group: Group): void {
    group.gathering = group.state === 'empty';
    if (group.state === 'completing') this.#answerSyncs(group, GROUP_ERRORS.rebalanceInProgress);
    group.state = 'preparing';
    this.#cancelTimer(group);
    if (group.gathering) {
      group.timer = this.#after(FIRST_ROUND_MS, () => this.#begin(group));
      return;
    }
    const waitMs = Math.max(0, ...Array.from(group.members.values(), ({ rebalanceMs }) => rebalanceMs));
    group.timer = this.#after(waitMs, () => {
      for (const member of group.members.values()) if (member.joined === null) this.counts.late++;
      this.#begin(group);
    });
    this.#completeIfAllCame(group);
  }

  #completeIfAllCame(group: Group): void {
    if (group.promised.size > 0 || group.gathering) return;
    for (const { joined } of group.members.values()) if (joined === null) return;
    this.#begin(group);
  }

  #begin(group: Group): void {
    this.#cancelTimer(group);
    group.gathering = false;
    for (const member of group.members.values()) {
      if (member.joined !== null) continue;
      if (member.session !== null) this.#scheduler.cancel(member.session);
      group.members.delete(member.id);
    }
    group.generation++;
    this.counts.rounds++;
    if (group.members.size === 0) {
      group.state = 'empty';
      group.kept = { generation: group.generation, leaderId: '', members: [] };
      return;
    }
    group.state = 'completing';
    if (!group.members.has(group.leaderId)) group.leaderId = [...group.members.keys()][0];
    group.timer = this.#after(Math.max(...Array.from(group.members.values(), ({ rebalanceMs }) => rebalanceMs)), () => {
      const silent = [...group.members.values()].filter(({ settled }) => settled !== group.generation);
      this.counts.unsynced += silent.length;
      for (const member of silent) this.#remove(group, member);
    });
    for (const member of group.members.values()) {
      const { joined } = member;
      member.joined = null;
      this.#alive(group, member);
      joined?.(this.#roundOf(group, member));
    }
  }

  #roundOf(group: Group, { id }: Member): SimulatedJoinAnswer {
    const { generation, leaderId } = group;
    const all = Array.from(group.members.values(), ({ id: memberId, metadata }) => ({ memberId, metadata }));
    return { error: GROUP_ERRORS.none, generation, memberId: id, leaderId, members: leaderId === id ? all : [] };
  }

  #answerSyncs(group: Group, error: number): void {
    for (const member of group.members.values()) {
      const { synced } = member;
      member.synced = null;
      if (error !== GROUP_ERRORS.none) member.assignment = NOTHING;
      synced?.({ error, assignment: error === GROUP_ERRORS.none ? member.assignment : NOTHING });
    }
  }
}

function refused(error: number, memberId: string): SimulatedJoinAnswer {
  return { error, generation: -1, memberId, leaderId: '', members: [] };
}

function syncError(group: Group, member: Member | undefined, generation: number): number {
  if (member === undefined) return GROUP_ERRORS.unknownMember;
  if (generation !== group.generation) return GROUP_ERRORS.illegalGeneration;
  return group.state === 'preparing' ? GROUP_ERRORS.rebalanceInProgress : GROUP_ERRORS.none;
}
