// Owns the change of the slots that a job is spread over while it runs: which of its tasks move, a few at a time, and
// what it took each of them. How a task leaves and arrives is the pool's. Invariant: a task that stays is not stopped.

import { assignmentKey, type TaskAssignment } from '#runtime/slot/messages.ts';
import type { Slot } from '#runtime/slot/slot.ts';
import type { MovedTask } from '#runtime/slot/slot-moves.ts';
import { spreadTasks } from '#runtime/slot/task-spread.ts';
import { taskWeights } from '#runtime/slot/task-weights.ts';
import type { BusyMeasure } from '#runtime/task/busy-share.ts';

/** Each of them has a pause, which is longer beside others. */
const MOVES_AT_ONCE = 4;

/** How many of those that move are where they are to be. */
export type MoveProgress = (done: number, total: number) => void;

export interface RescaleParts {
  readonly job: string;
  readonly parallelism: number;
  /** All slots. */
  readonly slots: readonly Slot[];
  /** Those that tasks of any job may run in. */
  readonly shared: readonly Slot[];
  /** As it was measured; null: it was not yet. */
  readonly busy: (task: TaskAssignment) => BusyMeasure | null;
  /** Makes sure that the thread of a slot hears. Error: slot-not-started. */
  readonly open: (slot: Slot) => Promise<void>;
  readonly moved: MoveProgress;
  /** Null when the task has ended meanwhile, or stays for another reason. */
  readonly move: (task: TaskAssignment, to: number) => Promise<MovedTask | null>;
}

/** Resolves when all that moved run again, or have ended. Error: slot-not-started, and nothing has moved. */
export async function rescaleJob(parts: RescaleParts): Promise<readonly MovedTask[]> {
  const places = placesOf(parts);
  const targets = new Set(places.values());
  await Promise.all(parts.slots.filter(({ index }) => targets.has(index)).map((slot) => parts.open(slot)));
  const waiting = tasksOf(parts).filter((task) => places.has(assignmentKey(task)));
  const total = waiting.length;
  const moved: MovedTask[] = [];
  const next = async (): Promise<void> => {
    for (let task = waiting.shift(); task !== undefined; task = waiting.shift()) {
      const done = await parts.move(task, places.get(assignmentKey(task)) as number);
      if (done !== null) moved.push(done);
      parts.moved(moved.length, total);
    }
  };
  parts.moved(0, total);
  await Promise.all(Array.from({ length: MOVES_AT_ONCE }, next));
  return moved;
}

function tasksOf({ job, slots }: RescaleParts): TaskAssignment[] {
  return slots.flatMap(({ tasks }) => [...tasks.values()].filter((task) => task.job === job));
}

/** Slots of those tasks that are to move. A job that has a thread of its own, to find who is to blame, keeps it. */
function placesOf(parts: RescaleParts): ReadonlyMap<string, number> {
  const { busy, job, parallelism, shared } = parts;
  const weights = taskWeights(
    shared.flatMap(({ tasks }) => [...tasks].map(([key, task]) => [key, busy(task)?.share ?? null])),
  );
  const weight = (task: TaskAssignment) => weights.get(assignmentKey(task)) as number;
  const slots = shared.map(({ index, tasks }) => {
    const others = [...tasks.values()].filter((task) => task.job !== job);
    return { index, load: others.reduce((sum, task) => sum + weight(task), 0) };
  });
  const placed = shared.flatMap(({ index, tasks }) =>
    Array.from(tasks, ([key, task]) => ({ key, task, slot: index, weight: weight(task) })),
  );
  return spreadTasks(
    placed.filter(({ task }) => task.job === job),
    slots,
    parallelism,
  );
}
