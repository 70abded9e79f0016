// Owns taking savepoints of the job while things befall it, as the process does that owns the tasks: asks them all, writes
// the record when all have answered, releases them whatever came of it, tries again. Judges nothing.

import { DirectoryStore } from '#checkpoint/directory-store.ts';
import { type Savepoint, Savepoints } from '#checkpoint/savepoint.ts';
import { savepointRecord } from '#jobs/generations.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { SavepointPart } from '#runtime/task/task-savepoint.ts';
import type { TaskSupervisor } from '#runtime/task/task-supervisor.ts';
import type { Installation } from '#test/simulation/installation.ts';
import type { Instance } from '#test/simulation/instance.ts';
import { CHECKPOINTS } from '#test/simulation/scenario.ts';
import type { Random } from '#test/simulation/world/random.ts';

/** How long a round waits for all tasks; the shortest is hardly ever enough. */
const PATIENCE_MS = [300, 8_000, 30_000] as const;
/** In which all tasks are asked, and each is released. */
const SPREAD_MS = [0, 20, 3_000] as const;
/** The shortest may be over before the last task was asked. */
const HOLD_MAX_MS = [600_000, 600_000, 600_000, 1_000] as const;
const FIRST_WITHIN_MS = 6_000;
const NEXT_WITHIN_MS = [500, 15_000] as const;

export interface RoundTimes {
  readonly patienceMs: number;
  readonly spreadMs: number;
  readonly holdMaxMs: number;
  /** Tasks are not released when it is there. @default false */
  readonly holds?: boolean;
}

export class SavepointRounds {
  /** Ids of those that are there, as whoever took them was told. */
  readonly kept = new Set<string>();
  /** Ids of those that a generation began with: they are not to go. */
  readonly inUse = new Set<string>();
  /** Ids of those that somebody began to delete. */
  readonly leaving = new Set<string>();
  readonly #installation: Installation;
  readonly #random: Random;
  /** Rounds of processes that have not come to their end; they never do when their process dies. */
  readonly #underWay = new Map<Instance, number>();
  #left: number;
  #taken = 0;

  constructor(installation: Installation, random: Random, count: number) {
    this.#installation = installation;
    this.#random = random;
    this.#left = count;
  }

  /** Lets the rounds happen in their time. */
  schedule(): void {
    if (this.#left > 0) this.#later(this.#random.int(FIRST_WITHIN_MS));
  }

  /** No round begins any more. */
  end(): void {
    this.#left = 0;
  }

  isUnderWay(instance: Instance): boolean {
    return (this.#underWay.get(instance) ?? 0) > 0;
  }

  #later(delayMs: number): void {
    this.#installation.world.scheduler.schedule(delayMs, 'savepoint', null, () => {
      if (this.#left-- <= 0) return;
      this.#begin();
      this.#later(this.#random.int(this.#random.pick(NEXT_WITHIN_MS)));
    });
  }

  #begin(): void {
    const instance = this.#installation.owner;
    if (instance === null || !instance.alive || instance.stopping) return;
    const count = (by: number) => this.#underWay.set(instance, (this.#underWay.get(instance) ?? 0) + by);
    count(1);
    const ended = () => void count(-1);
    this.#round(instance).then(ended, (fault: unknown) => this.#installation.world.scheduler.fail(fault));
  }

  async #round(instance: Instance): Promise<void> {
    const random = this.#random;
    const { coverage } = this.#installation;
    const { process } = instance.main;
    if (random.chance(0.2)) {
      const events = random.int(40);
      if (random.occurrences.happens('kill-at-savepoint')) process.afterEvents(events, () => instance.kill());
    }
    if (random.chance(0.2)) {
      const [slot, events] = [random.int(this.#installation.scenario.slots), random.int(60)];
      if (random.occurrences.happens('kill-slot-at-savepoint')) instance.killSlotAfterEvents(slot, events);
    }
    const taken = await this.take(instance, this.#times(random.pick(PATIENCE_MS)));
    if (taken === null && random.chance(0.5)) {
      coverage.add('savepoint tried again');
      await this.take(instance, this.#times(PATIENCE_MS[1]));
    }
    const [leaving] = this.leaving;
    const id = leaving ?? (random.chance(0.35) ? [...this.kept].find((one) => !this.inUse.has(one)) : undefined);
    if (id !== undefined) await this.#delete(instance, id);
  }

  #times(patienceMs: number): RoundTimes {
    return { patienceMs, spreadMs: this.#random.pick(SPREAD_MS), holdMaxMs: this.#random.pick(HOLD_MAX_MS) };
  }

  /** A savepoint of all tasks of that process; null: it came to nothing. Never answers when the process dies. */
  async take(
    instance: Instance,
    { holdMaxMs, holds = false, patienceMs, spreadMs }: RoundTimes,
  ): Promise<Savepoint | null> {
    const { coverage } = this.#installation;
    const { run, tasks } = instance.generation;
    const { clock, process } = instance.main;
    const id = `s${this.#taken++}`;
    const supervisors = instance.supervisors();
    this.#installation.tell(`savepoint ${id} of process ${instance.id}`);
    coverage.add('savepoint asked for');
    // Words to slots take their time, and one may have gone before another has heard them.
    const delayMs = () => this.#random.between(0, spreadMs);
    let over = false;
    const ask = async (one: TaskSupervisor) => {
      await process.after(delayMs(), 'ask for a savepoint', () => {});
      return over ? null : one.savepoint(id, { holdMaxMs });
    };
    const parts = await Promise.race([
      Promise.all(supervisors.map(ask)).then(all, failed),
      process.after(patienceMs, 'savepoint patience', () => null),
    ]);
    over = true;
    let savepoint: Savepoint | null = null;
    if (parts !== null && parts.length === tasks.size) {
      savepoint = savepointRecord(id, this.#installation.jobOf(instance.version).plan, parts, {
        version: instance.version,
        createdMs: clock.nowMs(),
      });
      if (!(await this.#keep(instance, savepoint))) savepoint = null;
    } else coverage.add('savepoint given up');
    if (savepoint !== null && holds) {
      coverage.add('savepoint kept');
      return savepoint;
    }
    // A slot that died has others by now.
    for (const one of new Set([...supervisors, ...instance.supervisors()])) {
      await process.after(delayMs(), 'release from a savepoint', () => one.release(id));
    }
    if (savepoint === null) {
      const places = [...tasks.values()].map(({ plan }) => ({ ...run, ...plan.identity }));
      await attempted(this.#savepoints(instance).discard(id, places));
    } else coverage.add('savepoint kept');
    return savepoint;
  }

  /** False: there is none, and will be none. */
  async #keep(instance: Instance, savepoint: Savepoint): Promise<boolean> {
    const savepoints = this.#savepoints(instance);
    const { id } = savepoint;
    if (await attempted(savepoints.write(savepoint))) {
      this.kept.add(id);
      return true;
    }
    // It may be there all the same.
    this.leaving.add(id);
    await this.#delete(instance, id);
    return false;
  }

  /** Once more in a later round when it did not come to its end. */
  async #delete(instance: Instance, id: string): Promise<void> {
    this.kept.delete(id);
    this.leaving.add(id);
    const gone = (fault: StreamError) => fault.code === 'savepoint-unknown';
    if (await attempted(this.#savepoints(instance).delete(id), gone)) {
      this.leaving.delete(id);
      this.#installation.coverage.add('savepoint deleted');
    }
  }

  #savepoints({ main: { disk } }: Instance): Savepoints {
    return new Savepoints(new DirectoryStore({ root: CHECKPOINTS, disk }), this.#installation.run);
  }
}

function all(parts: readonly (SavepointPart | null)[]): SavepointPart[] | null {
  const there = parts.filter((part) => part !== null);
  return there.length === parts.length ? there : null;
}

function failed(fault: unknown): SavepointPart[] | null {
  if (fault instanceof StreamError) return null;
  throw fault;
}

/** Whether it was done, or is as good as done; false when the world was against it. */
async function attempted(work: Promise<void>, done: (fault: StreamError) => boolean = () => false): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    return done(error);
  }
}
