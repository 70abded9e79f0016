// Owns the choice which slots run the tasks of a job when it changes: as few tasks as possible leave theirs, and what is
// measured to be busy is spread evenly. Pure.

export interface SpreadSlot {
  readonly index: number;
  /** Of the tasks of other jobs. */
  readonly load: number;
}

export interface SpreadTask {
  readonly key: string;
  /** Index of its slot; null: it has none yet. */
  readonly slot: number | null;
  /** How busy it is, in whatever unit. */
  readonly weight: number;
}

/** Slots that differ by less than this part of what each should have are left as they are. */
const UNEVEN = 0.2;
/** A task as heavy as nearly all of the difference would only change places. */
const WORTH = 0.95;

/** The slot of every task that is to be in another than now, for `parallelism` of `slots`. */
export function spreadTasks(
  tasks: readonly SpreadTask[],
  slots: readonly SpreadSlot[],
  parallelism: number,
): ReadonlyMap<string, number> {
  const chosen = chooseSlots(tasks, slots, parallelism);
  const place = new Map<string, number>();
  const load = new Map(chosen.map(({ index, load: others }) => [index, others]));
  const add = (task: SpreadTask, index: number) => {
    place.set(task.key, index);
    load.set(index, (load.get(index) ?? 0) + task.weight);
  };
  const homeless: SpreadTask[] = [];
  for (const task of tasks) {
    if (task.slot !== null && load.has(task.slot)) add(task, task.slot);
    else homeless.push(task);
  }
  for (const task of homeless.toSorted((a, b) => b.weight - a.weight)) add(task, lightest(load));
  relieve(tasks, place, load);
  return new Map(tasks.flatMap(({ key, slot }) => (place.get(key) === slot ? [] : [[key, place.get(key) as number]])));
}

/** Those that have most of the job stay; the others are those that have least to do. */
function chooseSlots(tasks: readonly SpreadTask[], slots: readonly SpreadSlot[], parallelism: number): SpreadSlot[] {
  const own = (index: number) => tasks.reduce((sum, task) => (task.slot === index ? sum + task.weight : sum), 0);
  return slots
    .toSorted((a, b) => own(b.index) - own(a.index) || a.load - b.load || a.index - b.index)
    .slice(0, Math.max(1, Math.min(parallelism, slots.length)));
}

// Each step lowers the heaviest slot, so it ends.
function relieve(tasks: readonly SpreadTask[], place: Map<string, number>, load: Map<number, number>): void {
  const fair = tasks.reduce((sum, { weight }) => sum + weight, 0) / load.size;
  for (let steps = tasks.length; steps > 0; steps--) {
    const to = lightest(load);
    const from = heaviest(load);
    const gap = (load.get(from) ?? 0) - (load.get(to) ?? 0);
    if (gap <= UNEVEN * fair) return;
    // What leaves the gap smallest.
    let best: SpreadTask | null = null;
    for (const task of tasks) {
      if (place.get(task.key) !== from || task.weight >= gap * WORTH) continue;
      if (best === null || Math.abs(gap - 2 * task.weight) < Math.abs(gap - 2 * best.weight)) best = task;
    }
    if (best === null) return;
    place.set(best.key, to);
    load.set(from, (load.get(from) ?? 0) - best.weight);
    load.set(to, (load.get(to) ?? 0) + best.weight);
  }
}

function lightest(load: ReadonlyMap<number, number>): number {
  return [...load].reduce((a, b) => (b[1] < a[1] ? b : a))[0];
}

function heaviest(load: ReadonlyMap<number, number>): number {
  return [...load].reduce((a, b) => (b[1] > a[1] ? b : a))[0];
}
