// Owns what a process knows of the cluster after a round: its members, what it runs itself, and who runs the rest.

import type { Picture, PictureMember } from '#runtime/control/group-words.ts';
import { CONTROL_TASK } from '#runtime/control/round-plan.ts';

export interface MemberView extends Omit<PictureMember, 'memberId'> {
  readonly self: boolean;
}

export interface MembershipView {
  /** Of the round that it is from; -1 before the first. */
  readonly generation: number;
  /** In the order of their process ids. */
  readonly members: readonly MemberView[];
  /** What to run here, with the slot; neither what is being given up, nor the control partition. */
  readonly mine: ReadonlyMap<string, number>;
  /** Process id by task, of all tasks that have an owner. */
  readonly owners: ReadonlyMap<string, string>;
  /** Tasks that are on their way from one process to another, and those that nobody can run. */
  readonly moving: ReadonlySet<string>;
  /** Process that has the control partition; null while it moves. */
  readonly controlOwner: string | null;
  /** Whether that is this one. */
  readonly ownsControl: boolean;
}

export const NO_VIEW: MembershipView = {
  generation: -1,
  members: [],
  mine: new Map(),
  owners: new Map(),
  moving: new Set(),
  controlOwner: null,
  ownsControl: false,
};

export function viewOf(
  generation: number,
  memberId: string,
  picture: Picture | null,
  mine: ReadonlyMap<string, number>,
  ownsControl: boolean,
): MembershipView {
  if (picture === null) return NO_VIEW;
  const members = picture.members.map(({ memberId: id, ...member }) => ({ ...member, self: id === memberId }));
  const owners = new Map(picture.tasks.map(({ task, member }) => [task, members[member].processId]));
  const controlOwner = owners.get(CONTROL_TASK) ?? null;
  owners.delete(CONTROL_TASK);
  const moving = new Set(picture.moving.map(({ task }) => task));
  moving.delete(CONTROL_TASK);
  return { generation, members, mine, owners, moving, controlOwner, ownsControl };
}
