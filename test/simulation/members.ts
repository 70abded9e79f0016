// Owns one run of processes that share tasks: troubles that a seed draws, healing, and what must hold at every moment and
// in the end. Its oracles know what processes run and what they answer; nothing of how rounds are decided.

import { CONTROL_TASK, type TaskLoad } from '#runtime/control/round-plan.ts';
import { type MemberCounts, MemberProcess, SESSION_MS, type SharedWork } from '#test/simulation/member-process.ts';
import { Violation } from '#test/simulation/oracle/violation.ts';
import { type Faults, NO_FAULTS } from '#test/simulation/world/log-faults.ts';
import { Random } from '#test/simulation/world/random.ts';
import { World } from '#test/simulation/world/world.ts';

export interface MemberRun {
  readonly counts: MemberCounts & { readonly shared: number };
  readonly faults: Readonly<Record<string, number>>;
  readonly group: Readonly<Record<string, number>>;
  readonly troubles: ReadonlyMap<string, number>;
  /** From the end of all troubles until every task had one owner. */
  readonly healedMs: number;
  readonly traceHash: string;
}

/** Where and since when a task runs. */
interface RunAt {
  readonly name: string;
  readonly slot: number;
  readonly sinceMs: number;
}

/** No request is on its way for longer. */
const LATE_MS = 35_000;
const LOOK_MS = 150;
/** Sessions end, the round waits for those that are gone, tasks stop, two rounds hand out. */
const HEALED_MS = 4 * SESSION_MS;

export async function simulateMembers(seed: number): Promise<MemberRun> {
  const run = new Run(seed);
  await run.trouble();
  const healedMs = await run.heal();
  await run.checkStays();
  return run.result(healedMs);
}

function drawTasks(random: Random, generation: number, freely: boolean): TaskLoad[] {
  return Array.from({ length: random.range(1, 4) }, (_, j) => {
    const parallelism = freely ? 1_000 : random.range(1, 8);
    return Array.from({ length: random.range(1, 8) }, (__, i) => {
      const job = `job${j}.${random.chance(0.7) ? 0 : generation}`;
      return { task: `${job}/${i}`, job, parallelism };
    });
  })
    .flat()
    .filter(({ task }, i, all) => all.findIndex((other) => other.task === task) === i)
    .map((task, _, all) => ({ ...task, parallelism: all.find(({ job }) => job === task.job)!.parallelism }));
}

function drawGroupFaults(random: Random): Faults {
  const draw = (rare: number, frequent: number) => random.pick([0, 0, rare, frequent]);
  return {
    ...NO_FAULTS,
    latencyMs: random.pick([0.5, 2, 10]),
    slow: draw(0.01, 0.1),
    requestLost: draw(0.005, 0.04),
    answerLost: draw(0.005, 0.04),
    requestLate: draw(0.005, 0.04),
    closedBefore: draw(0.005, 0.04),
    closedAfter: draw(0.005, 0.04),
    coordinatorBusy: draw(0.05, 0.3),
  };
}

class Run {
  readonly #seed: number;
  readonly #world: World;
  readonly #random: Random;
  readonly #work: SharedWork;
  readonly #members: MemberProcess[] = [];
  readonly #troubles = new Map<string, number>();
  /** Slots of all processes where jobs may use all of them; 0 where processes differ and jobs are bounded. */
  readonly #slots: number;
  /** On their way, or about to be said. */
  #lateWords = 0;
  #shared = 0;
  #watching = true;

  constructor(seed: number) {
    this.#seed = seed;
    const random = new Random(seed);
    this.#random = random;
    this.#slots = random.pick([0, 1, 2, 4]);
    this.#world = new World({ seed, faults: drawGroupFaults(random) });
    this.#work = {
      world: this.#world,
      random: random.fork(),
      tasks: drawTasks(random, 0, this.#slots > 0),
      tasksUnknown: false,
      stopMsMax: random.pick([5, 500, 4_000]),
      counts: {
        assigned: 0,
        revoked: 0,
        lost: 0,
        rounds: 0,
        ownsTrue: 0,
        ownsFalse: 0,
        ownsFailed: 0,
        unfinished: 0,
      },
    };
    this.#look();
  }

  get #alive(): MemberProcess[] {
    return this.#members.filter(({ alive }) => alive);
  }

  #start(): void {
    const slots = this.#slots || this.#random.range(1, 4);
    this.#members.push(new MemberProcess(`p${this.#members.length}`, slots, this.#work));
  }

  async trouble(): Promise<void> {
    const random = this.#random;
    for (let i = random.range(1, 4); i > 0; i--) this.#start();
    for (let i = random.range(6, 14); i > 0; i--) {
      await this.#world.pass(random.pick([50, 1_000, 8_000, 20_000]) * random.float());
      this.#befall();
    }
  }

  #befall(): void {
    const random = this.#random;
    const { cluster } = this.#world;
    const some = this.#alive.filter(({ leaving }) => !leaving);
    const one = some.length > 0 ? random.pick(some) : null;
    const kinds = {
      start: () => this.#start(),
      kill: () => one?.kill(),
      'kill soon': () => one?.inhabitant.process.killAfterEvents(random.int(20)),
      pause: () => {
        const ms = random.pick([500, 5_000, 12_000, 60_000]) * random.float();
        one?.inhabitant.process.pause(ms);
        // It wakes up with tasks that others may run by now.
        this.#world.scheduler.schedule(ms, 'look', null, () => this.#lookOnce());
      },
      leave: () => one?.close(),
      'log away': () => this.#world.logAway(random.range(100, 15_000)),
      'coordinator restarts': () => cluster.groups.restart(),
      'tasks change': () => {
        // Only who has the control partition can change anything; the end of that process is a new round anyway.
        const owner = some.find((own) => !own.paused && own.running.get(CONTROL_TASK)?.stopping === false);
        const changed = drawTasks(random, this.#members.length, this.#slots > 0);
        owner?.owns(CONTROL_TASK).then((owns) => {
          if (owns !== true) return;
          this.#work.tasks = changed;
          owner.membership.rebalance();
        });
      },
      // The word comes long after its sender gave it up, and perhaps said another.
      'late words': () => {
        if (this.#lateWords === 0) {
          this.#lateWords++;
          this.#world.channel.arm('group-join', 'request-late', () => this.#lateWords--);
        }
        one?.membership.rebalance();
      },
      'tasks unknown': () => {
        this.#work.tasksUnknown = true;
        this.#world.scheduler.schedule(random.between(100, 10_000), 'tasks known', null, () => {
          this.#work.tasksUnknown = false;
        });
      },
    };
    const kind = random.pick(Object.keys(kinds) as (keyof typeof kinds)[]);
    this.#troubles.set(kind, (this.#troubles.get(kind) ?? 0) + 1);
    kinds[kind]();
  }

  #look(): void {
    this.#world.scheduler.schedule(LOOK_MS, 'look', null, () => {
      if (!this.#watching) return;
      this.#lookOnce();
      this.#look();
    });
  }

  /** Looks for tasks that several run, and asks them all at the same moment who owns it. */
  #lookOnce(): void {
    const runners = new Map<string, MemberProcess[]>();
    for (const member of this.#alive) {
      if (member.paused) continue;
      for (const task of member.running.keys()) runners.set(task, [...(runners.get(task) ?? []), member]);
    }
    const lone = [...runners].filter(([, own]) => own.length === 1);
    for (const [task, own] of runners) if (own.length > 1) this.#ask(task, own);
    if (lone.length > 0 && this.#random.chance(0.2)) this.#ask(...this.#random.pick(lone));
  }

  async #ask(task: string, runners: readonly MemberProcess[]): Promise<void> {
    if (runners.length > 1) this.#shared++;
    const askedMs = this.#world.scheduler.nowMs;
    const owners: string[] = [];
    await Promise.all(
      runners.map(async (member) => {
        if ((await member.owns(task)) !== true) return;
        owners.push(member.name);
        if (owners.length < 2) return;
        const text = `${owners.join(' and ')} own ${task}, asked at ${askedMs}`;
        this.#world.scheduler.fail(new Violation('ownership', this.#told(text)));
      }),
    );
  }

  #told(text: string): string {
    return `seed ${this.#seed} at ${Math.round(this.#world.scheduler.nowMs)} ms: ${text}`;
  }

  async heal(): Promise<number> {
    const world = this.#world;
    world.channel.faults = NO_FAULTS;
    for (const { inhabitant } of this.#members) inhabitant.process.afterEvents(Number.POSITIVE_INFINITY, () => {});
    if (this.#alive.every(({ leaving }) => leaving)) this.#start();
    await world.until(() => this.#alive.every(({ paused }) => !paused) && !world.channel.away, 70_000);
    const fromMs = world.scheduler.nowMs;
    if (!(await world.until(() => this.#whatIsWrong() === null, HEALED_MS))) {
      throw new Violation('liveness', this.#told(`not settled after ${HEALED_MS} ms: ${this.#whatIsWrong()}`));
    }
    return world.scheduler.nowMs - fromMs;
  }

  /** Why it is not true that every task is run by exactly one process, as all know; null when it is. */
  #whatIsWrong(): string | null {
    const members = this.#alive;
    const names = members.map(({ name }) => name).sort();
    const runners = new Map<string, string>();
    for (const { name, running, leaving, membership, slots } of members) {
      if (leaving) return `${name} is still leaving`;
      for (const [task, { slot, stopping }] of running) {
        if (stopping) return `${task} is stopping in ${name}`;
        if (runners.has(task)) return `${task} runs in ${runners.get(task)} and ${name}`;
        if (slot >= slots) return `${task} runs in slot ${slot} of ${name}`;
        runners.set(task, name);
      }
      const { view, status } = membership;
      if (status.fault !== null) return `${name}: ${status.fault.message}`;
      const known = view.members.map((member) => member.processId).sort();
      if (known.join() !== names.join()) return `${name} knows ${known}, alive are ${names}`;
    }
    const wanted = [...this.#work.tasks.map(({ task }) => task), CONTROL_TASK].sort();
    if ([...runners.keys()].sort().join() !== wanted.join()) {
      return `there are ${wanted.length} tasks, and ${runners.size} run`;
    }
    for (const { name, membership } of members) {
      const { owners, controlOwner } = membership.view;
      for (const [task, owner] of runners) {
        const known = task === CONTROL_TASK ? controlOwner : owners.get(task);
        if (known !== owner) return `${name} thinks that ${task} runs in ${known}; it runs in ${owner}`;
      }
    }
    return this.#tooWide();
  }

  #tooWide(): string | null {
    for (const [job, own] of Map.groupBy(this.#work.tasks, (task) => task.job)) {
      const places = new Set<string>();
      for (const { task } of own) {
        const runner = this.#alive.find(({ running }) => running.has(task));
        places.add(`${runner?.name}:${runner?.running.get(task)?.slot}`);
      }
      if (places.size > own[0].parallelism) return `${job} is spread over ${places.size} slots`;
    }
    return null;
  }

  /** On a quiet day: another round, a newcomer, a death. Only what must is stopped, and nothing else notices. */
  async checkStays(): Promise<void> {
    // What was late in the troubles may still come, and mean something.
    await this.#world.pass(LATE_MS);
    await this.#settled('late requests');
    const before = this.#snapshot();
    this.#random.pick(this.#alive).membership.rebalance();
    await this.#settled('another round');
    this.#expectStayed(before, 'another round', () => false);
    this.#start();
    const newcomer = this.#members.at(-1)!.name;
    await this.#settled('a newcomer');
    this.#expectStayed(before, 'a newcomer', (_, now) => now.name === newcomer);
    const joined = this.#snapshot();
    const victim = this.#random.pick(this.#alive);
    victim.kill();
    await this.#settled('a death');
    this.#expectStayed(joined, 'a death', (at) => at.name === victim.name);
  }

  async #settled(what: string): Promise<void> {
    const { world, stopMsMax } = this.#work;
    await world.pass(2_000);
    const boundMs = SESSION_MS + 3 * stopMsMax + 5_000;
    if (await world.until(() => this.#whatIsWrong() === null, boundMs)) return;
    throw new Violation('liveness', this.#told(`not settled ${boundMs} ms after ${what}: ${this.#whatIsWrong()}`));
  }

  #snapshot(): Map<string, RunAt> {
    return new Map(
      this.#alive.flatMap(({ name, running }) =>
        Array.from(running, ([task, { sinceMs, slot }]) => [task, { name, slot, sinceMs }] as const),
      ),
    );
  }

  /** What was stopped is somewhere else now; and where nothing but loads decides, only what had to move. */
  #expectStayed(before: ReadonlyMap<string, RunAt>, what: string, mayMove: (at: RunAt, now: RunAt) => boolean): void {
    const after = this.#snapshot();
    for (const [task, at] of before) {
      const now = after.get(task)!;
      if (now.name === at.name && now.sinceMs === at.sinceMs) continue;
      const moved = now.name !== at.name || now.slot !== at.slot;
      if (moved && (this.#slots === 0 || mayMove(at, now))) continue;
      const text = `${task} was stopped in ${at.name}:${at.slot} for ${now.name}:${now.slot} by ${what}`;
      throw new Violation('needless-stop', this.#told(text));
    }
  }

  result(healedMs: number): MemberRun {
    this.#watching = false;
    const { channel, cluster, scheduler } = this.#world;
    return {
      counts: { ...this.#work.counts, shared: this.#shared },
      faults: channel.counts,
      group: cluster.groups.counts,
      troubles: this.#troubles,
      healedMs,
      traceHash: scheduler.traceHash(),
    };
  }
}
