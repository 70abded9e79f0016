// Owns one process that shares tasks with others in a simulated world: the production membership over the simulated
// group, and tasks that do nothing but run until they are stopped. It notes what it is told, for the judge.

import { Membership, type MembershipDuties } from '#runtime/control/membership.ts';
import type { MembershipView } from '#runtime/control/membership-view.ts';
import { CONTROL_TASK, type TaskLoad } from '#runtime/control/round-plan.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import type { Random } from '#test/simulation/world/random.ts';
import type { Inhabitant, World } from '#test/simulation/world/world.ts';

export const SESSION_MS = 10_000;

/** What all processes of a world have in common. */
export interface SharedWork {
  readonly world: World;
  readonly random: Random;
  /** Tasks that there are. */
  tasks: readonly TaskLoad[];
  /** Nobody can say which tasks there are. */
  tasksUnknown: boolean;
  /** Longest a task takes to stop cleanly. */
  stopMsMax: number;
  readonly counts: MemberCounts;
}

export interface MemberCounts {
  assigned: number;
  revoked: number;
  lost: number;
  rounds: number;
  ownsTrue: number;
  ownsFalse: number;
  ownsFailed: number;
  unfinished: number;
}

/** A task that runs in a process, with the place it was given. */
export interface RunningTask {
  slot: number;
  readonly sinceMs: number;
  stopping: boolean;
}

export class MemberProcess {
  readonly name: string;
  readonly slots: number;
  readonly inhabitant: Inhabitant;
  readonly membership: Membership;
  readonly running = new Map<string, RunningTask>();
  view: MembershipView | null = null;
  /** What the group calls it. */
  memberId: string | null = null;
  /** Told to leave, or killed. */
  leaving = false;
  readonly #work: SharedWork;

  constructor(name: string, slots: number, work: SharedWork) {
    this.name = name;
    this.slots = slots;
    this.#work = work;
    this.inhabitant = work.world.start(name);
    const { clock, log } = this.inhabitant;
    this.membership = new Membership(
      {
        processId: name,
        address: `http://${name}`,
        slots,
        engineVersion: '0.0.0',
        session: log.group({ group: 'members', sessionTimeoutMs: SESSION_MS, rebalanceTimeoutMs: SESSION_MS }),
        clock,
        logger: silentLogger,
      },
      this.#duties(),
    );
    this.membership.run().catch((error: unknown) => work.world.scheduler.fail(error));
  }

  get alive(): boolean {
    return this.inhabitant.process.alive;
  }

  get paused(): boolean {
    const { process } = this.inhabitant;
    return process.pausedUntilMs > process.scheduler.nowMs;
  }

  kill(): void {
    this.leaving = true;
    this.inhabitant.process.kill();
  }

  /** A clean end. */
  close(): void {
    this.leaving = true;
    const closed = this.membership.close().then(() => this.inhabitant.process.kill());
    closed.catch((error: unknown) => this.#work.world.scheduler.fail(error));
  }

  /** The answer to a question that the process puts now; null when it hears none. */
  async owns(task: string): Promise<boolean | null> {
    const { counts } = this.#work;
    try {
      const owns = await this.membership.owns(task);
      counts[owns ? 'ownsTrue' : 'ownsFalse']++;
      return owns;
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      counts.ownsFailed++;
      return null;
    }
  }

  #duties(): MembershipDuties {
    const work = this.#work;
    const { process } = this.inhabitant;
    return {
      wanted: () =>
        process.after(work.random.between(1, 50), 'wanted', () => {
          if (!work.tasksUnknown) return work.tasks;
          work.counts.unfinished++;
          throw new StreamError('log-unavailable', 'the tasks are not known', 'wait');
        }),
      weights: () => new Map(),
      assigned: (view) => this.#assigned(view),
      revoke: async (tasks) => {
        work.counts.revoked += tasks.length;
        for (const task of tasks) this.#running(task).stopping = true;
        await Promise.all(
          tasks.map(async (task) => {
            const before = this.running.get(task);
            await process.after(work.random.between(1, work.stopMsMax), 'stop', () => undefined);
            // Lost in the meantime, it may have been started anew.
            if (this.running.get(task) === before) this.running.delete(task);
          }),
        );
      },
      named: (memberId) => {
        this.memberId = memberId;
      },
      lost: () => {
        work.counts.lost++;
        this.running.clear();
        this.view = null;
      },
    };
  }

  #running(task: string): RunningTask {
    const running = this.running.get(task);
    if (running === undefined) throw new Error(`${this.name} is told to stop ${task}, which does not run here`);
    return running;
  }

  #assigned(view: MembershipView): void {
    const work = this.#work;
    work.counts.rounds++;
    this.view = view;
    const mine = new Map(view.mine);
    if (view.ownsControl) mine.set(CONTROL_TASK, -1);
    for (const [task, slot] of mine) {
      const here = this.running.get(task);
      // From slot to slot is no affair of the group.
      if (here?.stopping === false) here.slot = slot;
      if (here !== undefined) continue;
      work.counts.assigned++;
      this.running.set(task, { slot, sinceMs: work.world.scheduler.nowMs, stopping: false });
    }
    for (const [task, { stopping }] of this.running) {
      if (!stopping && !mine.has(task)) throw new Error(`${this.name} runs ${task} and is told neither to nor not to`);
    }
  }
}
