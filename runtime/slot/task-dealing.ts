// Owns which slots new tasks of a job go to. Pure.

import type { TaskAssignment } from '#runtime/slot/messages.ts';
import type { Slot } from '#runtime/slot/slot.ts';

/** Deals them to the `parallelism` slots that have least to do, in turn; slots that get none are left out. */
export function dealTasks(
  tasks: readonly TaskAssignment[],
  slots: readonly Slot[],
  parallelism: number,
): ReadonlyMap<Slot, readonly TaskAssignment[]> {
  const spread = Math.max(1, Math.min(parallelism, slots.length));
  const free = slots.toSorted((a, b) => a.tasks.size - b.tasks.size || a.index - b.index).slice(0, spread);
  return Map.groupBy(tasks, (_, index) => free[index % spread]);
}
