// Owns the arithmetic of who runs what: tasks to slots of processes, as a pure function. A task stays where it is held
// unless its place is gone, its job may use fewer slots, or moving it makes loads more even by more than a tolerance.
// Invariant: every task gets one place, a job at most `parallelism` of them, and the same input gives the same answer.
// Knows nothing of rounds: what a move means for a running task is decided elsewhere. 1,000 tasks over 100 slots: 15 ms.

export interface AssignableMember {
  readonly member: string;
  readonly slots: number;
}

export interface AssignableTask {
  readonly task: string;
  readonly job: string;
  /** Slots, over all members, that the job's tasks may be spread over. At least 1. */
  readonly parallelism: number;
  /** More than 0; any unit. */
  readonly weight: number;
}

export interface Place {
  readonly member: string;
  readonly slot: number;
}

export interface AssignmentAsked {
  readonly members: readonly AssignableMember[];
  readonly tasks: readonly AssignableTask[];
  /** Where tasks run now: moving one has a price. Places that do not exist count as none. */
  readonly held: ReadonlyMap<string, Place>;
  /** Where tasks that run nowhere were meant to go: plans change only for a gain, too. */
  readonly intended: ReadonlyMap<string, Place>;
}

/**
 * A task leaves its place only for a gain, for each unit of its weight, of this part of the mean load of a slot, or of the
 * heaviest task if that is more.
 */
export const MOVE_TOLERANCE = 0.1;
/** What an even load of processes counts beside an even load of slots: half, so that it decides where slots are enough. */
export const PROCESS_SHARE = 0.5;
/** Gains below are rounding. */
const NOTHING = 1e-9;

interface Task extends AssignableTask {
  /** Where it runs, or was meant to. */
  readonly home: Slot | null;
  readonly held: boolean;
}

interface Slot {
  readonly index: number;
  readonly place: Place;
  readonly owner: Owner;
  readonly tasks: Set<Task>;
  load: number;
}

interface Owner {
  readonly slots: number;
  load: number;
}

interface Job {
  readonly slotsMax: number;
  readonly weight: number;
  readonly tasks: readonly Task[];
  readonly on: Map<Slot, Set<Task>>;
}

interface Move {
  readonly tasks: readonly Task[];
  readonly from: Slot;
  readonly to: Slot;
  readonly gain: number;
}

/** The place of every task; empty when no member has a slot. */
export function assign(asked: AssignmentAsked): Map<string, Place> {
  const board = new Board(asked.members);
  if (board.slots.length === 0) return new Map();
  const jobs = board.jobsOf(asked);
  const free: Task[] = [];
  for (const job of jobs) {
    for (const task of job.tasks) if (task.held && task.home !== null) board.put(job, task, task.home);
    free.push(...board.trim(job));
    for (const task of job.tasks) {
      if (task.held) continue;
      if (task.home !== null && mayUse(job, task.home)) board.put(job, task, task.home);
      else free.push(task);
    }
  }
  for (const task of free) board.put(board.jobOf(task), task, board.cheapest(board.jobOf(task), task.weight));
  board.even();
  return board.places();
}

/** What a slot counts when tasks are spread: its own load, and a part of the mean of its process. */
function loadOf({ load, owner }: Slot): number {
  return load + (PROCESS_SHARE * owner.load) / owner.slots;
}

function mayUse(job: Job, slot: Slot): boolean {
  return job.on.has(slot) || job.on.size < job.slotsMax;
}

class Board {
  readonly slots: readonly Slot[];
  readonly #bySlot = new Map<string, Slot>();
  readonly #jobs = new Map<string, Job>();
  #totalWeight = 0;
  #heaviest = 0;
  #taskCount = 0;

  constructor(members: readonly AssignableMember[]) {
    const slots: Slot[] = [];
    for (const { member, slots: count } of [...members].sort(byText(({ member: name }) => name))) {
      const owner = { slots: count, load: 0 };
      for (let slot = 0; slot < count; slot++) {
        const one = { index: slots.length, place: { member, slot }, owner, tasks: new Set<Task>(), load: 0 };
        slots.push(one);
        this.#bySlot.set(`${slot} ${member}`, one);
      }
    }
    this.slots = slots;
  }

  find(place: Place | undefined): Slot | null {
    return (place && this.#bySlot.get(`${place.slot} ${place.member}`)) ?? null;
  }

  /** Those that may use the fewest slots first, then the heaviest; tasks from heavy to light. */
  jobsOf({ tasks, held, intended }: AssignmentAsked): readonly Job[] {
    const ordered = tasks
      .map((task) => {
        const there = this.find(held.get(task.task));
        return { ...task, held: there !== null, home: there ?? this.find(intended.get(task.task)) };
      })
      .sort((a, b) => b.weight - a.weight || compare(a.task, b.task));
    for (const [name, own] of Map.groupBy(ordered, ({ job }) => job)) {
      const slotsMax = Math.max(1, Math.min(this.slots.length, ...own.map(({ parallelism }) => parallelism)));
      const weight = own.reduce((sum, task) => sum + task.weight, 0);
      this.#jobs.set(name, { slotsMax, weight, tasks: own, on: new Map() });
      this.#totalWeight += weight;
      this.#heaviest = Math.max(this.#heaviest, own[0].weight);
      this.#taskCount += own.length;
    }
    return [...this.#jobs]
      .sort(([a, one], [b, other]) => one.slotsMax - other.slotsMax || other.weight - one.weight || compare(a, b))
      .map(([, job]) => job);
  }

  jobOf({ job }: Task): Job {
    return this.#jobs.get(job)!;
  }

  put(job: Job, task: Task, slot: Slot): void {
    slot.tasks.add(task);
    slot.load += task.weight;
    slot.owner.load += task.weight;
    const there = job.on.get(slot);
    if (there === undefined) job.on.set(slot, new Set([task]));
    else there.add(task);
  }

  #take(job: Job, task: Task, slot: Slot): void {
    slot.tasks.delete(task);
    slot.load -= task.weight;
    slot.owner.load -= task.weight;
    const there = job.on.get(slot)!;
    there.delete(task);
    if (there.size === 0) job.on.delete(slot);
  }

  /** Takes the tasks of a job off the slots that it may no longer use: those where it has least. */
  trim(job: Job): Task[] {
    const freed: Task[] = [];
    while (job.on.size > job.slotsMax) {
      const [least] = [...job.on].sort(
        ([a, one], [b, other]) => sum(one) - sum(other) || loadOf(b) - loadOf(a) || b.index - a.index,
      );
      for (const task of [...least[1]]) {
        this.#take(job, task, least[0]);
        freed.push(task);
      }
    }
    return freed;
  }

  cheapest(job: Job, weight: number): Slot {
    let best: Slot | null = null;
    let price = Number.POSITIVE_INFINITY;
    for (const slot of this.slots) {
      if (!mayUse(job, slot)) continue;
      const own = loadOf(slot) + (PROCESS_SHARE * weight) / (2 * slot.owner.slots);
      if (own >= price - NOTHING) continue;
      best = slot;
      price = own;
    }
    return best!;
  }

  /** Moves as long as one is worth it. Each makes the sum of squared loads smaller, so it ends; the bound is for rounding. */
  even(): void {
    for (let left = 10 * this.#taskCount + 100; left > 0; left--) {
      const move = this.#bestMove();
      if (move === null) return;
      for (const task of move.tasks) {
        const job = this.jobOf(task);
        this.#take(job, task, move.from);
        this.put(job, task, move.to);
      }
    }
  }

  #bestMove(): Move | null {
    const heaviest = [...this.slots].sort((a, b) => loadOf(b) - loadOf(a) || a.index - b.index);
    for (const from of heaviest) {
      const move = this.#bestMoveFrom(from);
      if (move !== null) return move;
    }
    return null;
  }

  #bestMoveFrom(from: Slot): Move | null {
    let best: Move | null = null;
    for (const job of new Set(Array.from(from.tasks, (task) => this.jobOf(task)))) {
      for (const tasks of this.#movable(job, from)) {
        for (const to of this.slots) {
          if (to === from || !this.#allowed(job, tasks, from, to)) continue;
          const gain = this.#gain(tasks, from, to);
          if (gain > (best?.gain ?? 0)) best = { tasks, from, to, gain };
        }
      }
    }
    return best;
  }

  /** Single tasks, one for each weight; and all of the job on this slot, when that is how it can get to another. */
  #movable(job: Job, from: Slot): Task[][] {
    const there = [...job.on.get(from)!];
    const kinds = new Map<string, Task>();
    for (const task of there) {
      const kind = `${task.weight} ${task.home?.index}`;
      if (!kinds.has(kind)) kinds.set(kind, task);
    }
    const single = Array.from(kinds.values(), (task) => [task]);
    return there.length > 1 && job.on.size === job.slotsMax ? [...single, there] : single;
  }

  #allowed(job: Job, tasks: readonly Task[], from: Slot, to: Slot): boolean {
    const whole = tasks.length === job.on.get(from)!.size;
    // All at once only to a slot that is new to the job: otherwise one by one will do.
    if (tasks.length > 1) return whole && !job.on.has(to);
    return mayUse(job, to) || whole;
  }

  /**
   * By how much the sum of squared loads, of slots and of processes, becomes smaller, less what it costs to leave home
   * and plus what it spares to go back; 0 when that is nothing.
   */
  #gain(tasks: readonly Task[], from: Slot, to: Slot): number {
    const weight = sum(tasks);
    const parts = from.owner === to.owner ? 0 : (1 / from.owner.slots + 1 / to.owner.slots) / 2;
    const even = (loadOf(from) - loadOf(to) - weight * (1 + PROCESS_SHARE * parts)) * weight;
    let price = 0;
    for (const task of tasks) {
      if (task.home === from) price += task.weight;
      else if (task.home === to) price -= task.weight;
    }
    const gain = even - price * MOVE_TOLERANCE * Math.max(this.#totalWeight / this.slots.length, this.#heaviest);
    return gain > NOTHING * this.#totalWeight * weight ? gain : 0;
  }

  places(): Map<string, Place> {
    const places = new Map<string, Place>();
    for (const { tasks, place } of this.slots) for (const { task } of tasks) places.set(task, place);
    return places;
  }
}

function sum(tasks: Iterable<Task>): number {
  let weight = 0;
  for (const task of tasks) weight += task.weight;
  return weight;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function byText<T>(text: (one: T) => string): (a: T, b: T) => number {
  return (a, b) => compare(text(a), text(b));
}
