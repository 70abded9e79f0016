// Owns what the leader of a group makes of a round: the picture that all members get. Invariant: no task is given to a
// member while another one may still run it. What has to move is therefore given to nobody in this round; its owner
// gives it up and joins again, and that round hands it out.

import { type AssignableTask, assign, type Place } from '#runtime/control/assignment.ts';
import type { MemberWord, MovingTask, Picture, PictureTask } from '#runtime/control/group-words.ts';

/** A task that there is, whoever runs it. */
export interface TaskLoad {
  readonly task: string;
  readonly job: string;
  /** Slots, over the whole cluster, that the tasks of the job are spread over. At least 1. */
  readonly parallelism: number;
  /** What is known of its load beforehand; what its owner measures counts more. @default the mean of the others */
  readonly weight?: number;
}

/** The control partition, run by one member like a task, without a slot. Always wanted. */
export const CONTROL_TASK = 'control';
const NO_SLOT = -1;

export interface RoundMember {
  readonly memberId: string;
  readonly word: MemberWord;
}

export interface RoundAsked {
  readonly leaderId: string;
  readonly members: readonly RoundMember[];
  /** The picture that the leader's own claims follow. */
  readonly picture: Picture | null;
  /** Null when nobody can say: then everything stays as it is. */
  readonly wanted: readonly TaskLoad[] | null;
}

interface Holding {
  readonly memberId: string;
  readonly slot: number;
  readonly generation: number;
  readonly releasing: boolean;
  /** The member itself does not say so: it may not even know, and nothing will come of waiting for it. */
  readonly implied: boolean;
}

/** Least part of the mean weight that a task counts: one that is idle now may not be so for ever. */
const WEIGHT_MIN = 0.1;

export function planRound(asked: RoundAsked): Picture {
  const members = [...asked.members].sort((a, b) => compare(a.word.processId, b.word.processId));
  const indexes = new Map(members.map(({ memberId }, index) => [memberId, index]));
  const latest = Math.max(...members.map(({ word }) => word.generation));
  const leader = members.find(({ memberId }) => memberId === asked.leaderId);
  // Whoever leads after having missed a round does not know what that round handed out.
  const blind = (leader?.word.generation ?? -1) < latest;
  const holdings = holdingsOf(members, blind ? null : asked.picture, latest);
  const known = weightsOf(members, asked.picture);
  const targets = targetsOf(asked, members, holdings, known);
  const tasks: PictureTask[] = [];
  const moving: MovingTask[] = [];
  let unfinished = asked.wanted === null;
  for (const [task, target] of targets) {
    const holding = holdings.get(task);
    const weight = known.get(task) ?? null;
    // From slot to slot a process moves its tasks itself.
    const stays =
      holding === undefined ? !blind && target !== null : !holding.releasing && target?.member === holding.memberId;
    const row = { task, member: indexes.get(target?.member ?? '') ?? -1, slot: target?.slot ?? NO_SLOT, weight };
    if (stays) tasks.push(row);
    else moving.push({ ...row, holder: indexes.get(holding?.memberId ?? '') ?? -1 });
    if (holding === undefined ? blind : holding.implied && !stays) unfinished = true;
  }
  // What nobody wants any more goes nowhere, and is on its way there until its holder gave it up.
  for (const [task, { memberId, slot }] of holdings) {
    if (targets.has(task)) continue;
    moving.push({ task, member: -1, slot, weight: known.get(task) ?? null, holder: indexes.get(memberId) ?? -1 });
  }
  return {
    members: members.map(({ memberId, word: { processId, address, slots, engineVersion } }) => {
      return { memberId, processId, address, slots, engineVersion };
    }),
    tasks,
    moving,
    unfinished,
  };
}

/**
 * Who may be running what: what members say themselves, the later word counting where two claim the same; and what the
 * last picture gave to members whose word is older than it, because they may have got it and their word be a late one.
 */
function holdingsOf(
  members: readonly RoundMember[],
  picture: Picture | null,
  latest: number,
): ReadonlyMap<string, Holding> {
  const holdings = new Map<string, Holding>();
  const older = new Set<string>();
  for (const { memberId, word } of members) {
    const { claims, generation } = word;
    if (generation < latest) older.add(memberId);
    for (const { task, slot, releasing } of claims) {
      const other = holdings.get(task);
      if (other !== undefined && other.generation >= generation) continue;
      holdings.set(task, { memberId, slot, generation, releasing, implied: false });
    }
  }
  if (picture === null) return holdings;
  const imply = (task: string, slot: number, member: number, released: boolean) => {
    const memberId = picture.members[member]?.memberId ?? '';
    const other = holdings.get(task);
    if (!older.has(memberId) || (other !== undefined && other.generation >= latest)) return;
    const own = other?.memberId === memberId;
    const releasing = released || (own && other.releasing);
    holdings.set(task, { memberId, slot, generation: latest, releasing, implied: !own });
  };
  for (const { task, member, slot } of picture.tasks) imply(task, slot, member, false);
  for (const { task, holder, slot } of picture.moving) imply(task, slot, holder, true);
  return holdings;
}

/** Where every task that there is should be; null: nowhere for now. */
function targetsOf(
  asked: RoundAsked,
  members: readonly RoundMember[],
  holdings: ReadonlyMap<string, Holding>,
  known: ReadonlyMap<string, number>,
): ReadonlyMap<string, Place | null> {
  const targets = new Map<string, Place | null>();
  const control = holdings.get(CONTROL_TASK);
  const first = members.find(({ word }) => word.slots > 0)?.memberId;
  const controller = control !== undefined && !control.releasing ? control.memberId : first;
  targets.set(CONTROL_TASK, controller === undefined ? null : { member: controller, slot: NO_SLOT });
  const { picture, wanted } = asked;
  const intended = new Map<string, Place>();
  for (const { task, member, slot } of picture?.moving ?? []) {
    const place = picture?.members[member];
    if (place !== undefined) intended.set(task, { member: place.memberId, slot });
  }
  if (wanted === null) {
    for (const [task, { memberId, slot, releasing }] of holdings) {
      targets.set(task, releasing ? (intended.get(task) ?? null) : { member: memberId, slot });
    }
    for (const { task } of picture?.moving ?? []) {
      if (!targets.has(task)) targets.set(task, null);
    }
    return targets;
  }
  const held = new Map<string, Place>();
  for (const [task, { memberId, slot, releasing }] of holdings) {
    if (!releasing) held.set(task, { member: memberId, slot });
  }
  // Another engine may not replay what this one wrote: its processes wait until they are those that have the control partition.
  const engine = members.find(({ memberId }) => memberId === controller)?.word.engineVersion;
  const assignable = members
    .filter(({ word }) => engine === undefined || word.engineVersion === engine)
    .map(({ memberId, word }) => ({ member: memberId, slots: word.slots }));
  const places = assign({ members: assignable, tasks: weighed(wanted, known), held, intended });
  for (const { task } of wanted) targets.set(task, places.get(task) ?? null);
  return targets;
}

/** What members measured, else what was known before. */
function weightsOf(members: readonly RoundMember[], picture: Picture | null): ReadonlyMap<string, number> {
  const known = new Map<string, number>();
  for (const { task, weight } of [...(picture?.tasks ?? []), ...(picture?.moving ?? [])]) {
    if (weight !== null) known.set(task, weight);
  }
  for (const { word } of members) {
    for (const { task, weight } of word.claims) if (weight !== null) known.set(task, weight);
  }
  return known;
}

function weighed(wanted: readonly TaskLoad[], known: ReadonlyMap<string, number>): AssignableTask[] {
  const weights = wanted.map(({ task, weight }) => known.get(task) ?? weight ?? null);
  const measured = weights.filter((weight) => weight !== null);
  const total = measured.reduce((sum, weight) => sum + weight, 0);
  const mean = total > 0 ? total / measured.length : 1;
  return wanted.map(({ task, job, parallelism }, i) => {
    return { task, job, parallelism, weight: Math.max(weights[i] ?? mean, WEIGHT_MIN * mean) };
  });
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
