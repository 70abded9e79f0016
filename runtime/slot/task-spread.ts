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
  const board = { tasks, place, load };
  fill(board);
  relieve(board);
  return new Map(tasks.flatMap(({ key, slot }) => (place.get(key) === slot ? [] : [[key, place.get(key) as number]])));
}

/** Those that have most of the job's tasks stay, for each that moves has a pause; then those that have least to do. */
function chooseSlots(tasks: readonly SpreadTask[], slots: readonly SpreadSlot[], parallelism: number): SpreadSlot[] {
  const counts = new Map<number | null, number>();
  for (const { slot } of tasks) counts.set(slot, (counts.get(slot) ?? 0) + 1);
  const own = (index: number) => counts.get(index) ?? 0;
  return slots
    .toSorted((a, b) => own(b.index) - own(a.index) || a.load - b.load || a.index - b.index)
    .slice(0, Math.max(1, Math.min(parallelism, slots.length)));
}

/** Loads of the chosen slots, and which tasks are there. */
interface Board {
  readonly tasks: readonly SpreadTask[];
  readonly place: Map<string, number>;
  readonly load: Map<number, number>;
}

// A slot of its own is worth a move however little a task has to do now: it may not be so for ever.
function fill(board: Board): void {
  const { tasks, place, load } = board;
  const counts = new Map(Array.from(load.keys(), (index) => [index, 0]));
  for (const index of place.values()) counts.set(index, (counts.get(index) ?? 0) + 1);
  for (const [to, count] of counts) {
    const crowded = heaviestFirst(load).find((index) => (counts.get(index) ?? 0) > 1);
    if (count > 0 || crowded === undefined) continue;
    const there = tasks.filter(({ key }) => place.get(key) === crowded);
    move(board, bestOf(board, crowded, to) ?? there.reduce((a, b) => (b.weight < a.weight ? b : a)), to);
    counts.set(to, 1);
    counts.set(crowded, there.length - 1);
  }
}

// Each step makes two slots more even, so it ends; the bound is for rounding.
function relieve(board: Board): void {
  const { load, tasks } = board;
  const fair = tasks.reduce((sum, { weight }) => sum + weight, 0) / load.size;
  for (let steps = 10 * tasks.length; steps > 0; steps--) {
    const to = lightest(load);
    // The heaviest may be so for one task that it keeps.
    const best = heaviestFirst(load)
      .filter((from) => loadOf(load, from) - loadOf(load, to) > UNEVEN * fair)
      .map((from) => bestOf(board, from, to))
      .find((task) => task !== null);
    if (best === undefined || best === null) return;
    move(board, best, to);
  }
}

/** The task of a slot that leaves the gap to another smallest; null when it would only change places. */
function bestOf({ tasks, place, load }: Board, from: number, to: number): SpreadTask | null {
  const gap = loadOf(load, from) - loadOf(load, to);
  let best: SpreadTask | null = null;
  for (const task of tasks) {
    if (place.get(task.key) !== from || task.weight >= gap * WORTH) continue;
    if (best === null || Math.abs(gap - 2 * task.weight) < Math.abs(gap - 2 * best.weight)) best = task;
  }
  return best;
}

function move({ place, load }: Board, { key, weight }: SpreadTask, to: number): void {
  const from = place.get(key) as number;
  load.set(from, loadOf(load, from) - weight);
  load.set(to, loadOf(load, to) + weight);
  place.set(key, to);
}

function loadOf(load: ReadonlyMap<number, number>, index: number): number {
  return load.get(index) ?? 0;
}

function lightest(load: ReadonlyMap<number, number>): number {
  return [...load].reduce((a, b) => (b[1] < a[1] ? b : a))[0];
}

function heaviestFirst(load: ReadonlyMap<number, number>): number[] {
  return Array.from(load.keys()).sort((a, b) => loadOf(load, b) - loadOf(load, a) || a - b);
}
