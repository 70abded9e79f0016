// Owns what is done to a job while it runs and things go wrong: a new version by handover, or as a new generation from a
// savepoint of now or of before. Whoever does it may find processes dead at any point: it goes on from there, or undoes it.

import { DirectoryStore } from '#checkpoint/directory-store.ts';
import { type Savepoint, Savepoints } from '#checkpoint/savepoint.ts';
import { generationTasks, planGeneration } from '#jobs/generations.ts';
import { differencesFault, savedStates, stateDifferences, stateShapes } from '#jobs/state-shapes.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { fenceTasks } from '#runtime/task/generation-fence.ts';
import { nameOf, type TaskRecord } from '#test/simulation/generation.ts';
import type { Installation } from '#test/simulation/installation.ts';
import type { Instance } from '#test/simulation/instance.ts';
import { type LastEntry, lastDecided } from '#test/simulation/oracle/archive.ts';
import { require } from '#test/simulation/oracle/violation.ts';
import type { SavepointRounds } from '#test/simulation/savepoint-rounds.ts';
import { CHECKPOINTS, STORAGE } from '#test/simulation/scenario.ts';
import type { Random } from '#test/simulation/world/random.ts';
import type { Inhabitant, World } from '#test/simulation/world/world.ts';

const STOP_PATIENCE_MS = 60_000;
const CUT_TIMES = { patienceMs: 20_000, spreadMs: 20, holdMaxMs: 600_000 };
const TRIES_MAX = 4;
const SETTLED_TRIES_MAX = 8;

export class Deploys {
  readonly #installation: Installation;
  readonly #world: World;
  readonly #random: Random;
  readonly #rounds: SavepointRounds;

  constructor(installation: Installation, random: Random, rounds: SavepointRounds) {
    this.#installation = installation;
    this.#world = installation.world;
    this.#random = random;
    this.#rounds = rounds;
  }

  /** One of them; afterwards the job is to run, whoever runs it. */
  async one(owner: Instance): Promise<void> {
    const { code, halfDone, scenario } = this.#installation;
    // What was begun comes first.
    if (halfDone) return await this.settle(TRIES_MAX);
    const next = Math.min(scenario.workload.upgrades.length, this.#random.chance(0.8) ? code + 1 : code);
    const { kept } = this.#rounds;
    if (kept.size > 0 && this.#random.chance(0.4))
      return await this.#restore(owner, this.#random.pick([...kept]), next);
    if (this.#otherTasks(next) || this.#random.chance(0.3)) return await this.#begin(owner, next);
    return await this.#handOver(owner, next);
  }

  /** The new version goes on where the old one ended, once that has a checkpoint at its last entry. */
  async #handOver(owner: Instance, next: number): Promise<void> {
    const installation = this.#installation;
    this.#did('handover');
    const droppedState = this.#dropsState(next);
    this.#perhapsKill(owner);
    let stopped = false;
    if (this.#random.chance(0.6)) {
      owner.stop();
      await this.#world.until(() => owner.ended || !owner.alive, STOP_PATIENCE_MS);
      stopped = owner.alive && stoppedAtLastEntries(owner);
      this.#did(stopped ? 'old version stopped' : 'old version did not stop');
    }
    owner.kill();
    const straight = !stopped && this.#random.chance(0.4);
    if (!stopped && !straight && (this.#random.chance(0.2) || !(await this.#replayed()))) {
      this.#did('handover undone');
      installation.launch();
      return;
    }
    installation.version++;
    installation.code = next;
    // Until every task has been taken over, by whatever version then.
    installation.allowDroppedState ||= droppedState;
    installation.halfDone = straight;
    installation.createTopics(null);
    this.#perhapsKill(installation.launch());
    this.#did(straight ? 'started after a crash' : 'handed over');
    if (straight) await this.settle(TRIES_MAX);
  }

  /** Brings what the new version refuses to its last entry by the version that wrote it, until nothing is refused. */
  async settle(triesMax = SETTLED_TRIES_MAX): Promise<void> {
    const installation = this.#installation;
    for (let tries = 0; installation.halfDone && tries < triesMax; tries++) {
      const instance = this.#running();
      await this.#world.until(() => !instance.alive || instance.ended || isRunning(instance), STOP_PATIENCE_MS);
      const refused = [...instance.outcomes].filter(([, { kind }]) => kind === 'failed').map(([name]) => name);
      if (instance.alive && refused.length === 0 && isRunning(instance)) installation.halfDone = false;
      else if (refused.length > 0) {
        this.#did('refused after a crash');
        instance.kill();
        const { bitsFlipped } = this.#world.disk(STORAGE).counts;
        const replayed = await this.#replayed(new Set(refused));
        // What it refuses then it cannot read: its checkpoints are damaged.
        if (!replayed && bitsFlipped > 0 && triesMax === SETTLED_TRIES_MAX) installation.damaged = true;
        installation.launch();
      } else instance.kill();
    }
  }

  /** Whether all tasks, or those, have a checkpoint at their last entry after they were replayed to it. */
  async #replayed(only: ReadonlySet<string> | null = null): Promise<boolean> {
    const installation = this.#installation;
    const done = new Set<string>();
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const left = [...installation.tasks].filter(([name]) => only?.has(name) !== false && !done.has(name));
      // A task without an entry has nothing to replay.
      const versions = new Map(
        left.flatMap(([name, task]) => {
          const version = this.#last(task)?.version;
          return version === undefined ? [] : [[name, version] as const];
        }),
      );
      const [version] = versions.values();
      if (version === undefined) return true;
      const names = new Set([...versions].filter(([, one]) => one === version).map(([name]) => name));
      const instance = installation.launch(0, { replayOnly: true, mayRefuse: true, version, only: names });
      this.#perhapsKill(instance);
      await this.#world.until(() => instance.ended || !instance.alive, STOP_PATIENCE_MS);
      if (instance.alive) for (const name of atLastEntries(instance)) done.add(name);
      instance.kill();
      this.#did('old version replayed');
    }
    return [...installation.tasks.keys()].every((name) => only?.has(name) === false || done.has(name));
  }

  /** A new generation from a savepoint that is taken for it: nothing comes behind it. */
  async #begin(owner: Instance, next: number): Promise<void> {
    this.#did('generation');
    if (this.#rounds.isUnderWay(owner))
      await this.#world.until(() => !this.#rounds.isUnderWay(owner), STOP_PATIENCE_MS);
    this.#perhapsKill(owner);
    let savepoint: Savepoint | null | undefined;
    const fail = (fault: unknown) => this.#world.scheduler.fail(fault);
    this.#rounds.take(owner, { ...CUT_TIMES, holds: true }).then((taken) => (savepoint = taken), fail);
    await this.#world.until(() => savepoint !== undefined || !owner.alive, STOP_PATIENCE_MS);
    if (savepoint === undefined || savepoint === null) {
      this.#did('generation given up: no savepoint');
      if (!owner.alive) this.#installation.launch();
      return;
    }
    await this.#from(owner, savepoint, next, true);
  }

  /** A new generation from a savepoint that was kept: what came behind it is done again. */
  async #restore(owner: Instance, id: string, next: number): Promise<void> {
    this.#did('restore');
    const { run } = this.#installation;
    this.#rounds.inUse.add(id);
    await this.#world.until(() => !this.#rounds.isUnderWay(owner) || !owner.alive, STOP_PATIENCE_MS);
    const control = this.#control();
    const savepoint = await this.#done(control, new Savepoints(store(control), run).read(id));
    if (savepoint === null || !this.#rounds.kept.has(id)) return this.#did('restore given up');
    await this.#from(owner, savepoint, next, false);
  }

  async #from(owner: Instance, savepoint: Savepoint, next: number, exact: boolean): Promise<void> {
    const installation = this.#installation;
    const { job, run, sources } = installation;
    const planned = this.#planned(savepoint, next);
    this.#rounds.inUse.add(savepoint.id);
    this.#end(owner);
    installation.disown();
    const tasks = generationTasks(job.plan, run, sources);
    let fenced = false;
    for (let tries = 0; !fenced && tries < TRIES_MAX; tries++) {
      const control = this.#control();
      if (this.#random.chance(0.3)) control.process.killAfterEvents(this.#random.int(30));
      fenced =
        (await this.#done(
          control,
          fenceTasks(control.log, tasks).then(() => true),
        )) === true;
      if (!fenced) this.#did('shutting the old generation out again');
    }
    const entries = new Map(savepoint.tasks.map((part) => [nameOf(part), part.entry]));
    const behind = [...installation.tasks].find(([name, task]) => this.#last(task)?.number !== entries.get(name));
    if (!fenced || (exact && behind !== undefined) || this.#random.chance(0.1)) {
      this.#did(fenced ? 'generation undone' : 'generation undone: not shut out');
      installation.launch();
      return;
    }
    for (const [name, task] of installation.tasks) {
      installation.generation.ended.set(name, (this.#last(task)?.number ?? -1) + 1);
    }
    installation.version++;
    installation.code = next;
    installation.allowDroppedState = planned.droppedState;
    installation.beginGeneration({ savepoint, originOf: planned.originOf });
    this.#did(exact ? 'generation begun' : 'restored');
    this.#perhapsKill(installation.launch());
  }

  /** Stopped, dead, or stopped for a while only: then it comes back to a job that is of another generation. */
  #end(owner: Instance): void {
    const how = this.#random.pick(['stop', 'kill', 'zombie', 'beside']);
    if (how === 'stop') owner.stop();
    else if (how === 'zombie' && this.#random.occurrences.happens('zombie-generation')) {
      owner.pause(this.#random.between(1_000, 60_000));
      this.#did('old generation paused');
    } else if (how === 'beside') this.#did('old generation beside the new one');
    else owner.kill();
  }

  #planned(savepoint: Savepoint, next: number) {
    const installation = this.#installation;
    const run = { ...installation.run, generation: installation.run.generation + 1 };
    const plan = (droppedState: boolean) => {
      const allowed = { droppedState };
      return planGeneration({ savepoint, job: installation.jobAt(next), run, sources: installation.sources, allowed });
    };
    const strict = plan(false);
    const droppedState = strict.fault !== null;
    if (droppedState) this.#did('dropped state refused');
    const planned = droppedState ? plan(true) : strict;
    require(planned.fault === null, 'task-failed', () => String(planned.fault?.message));
    return { originOf: planned.originOf, droppedState };
  }

  /** Whether a handover gives up state of operators that are gone. */
  #dropsState(next: number): boolean {
    const { job, run, sources } = this.#installation;
    const [was, now] = [job, this.#installation.jobAt(next)];
    const saved = savedStates(was.plan, stateShapes(was, run, sources));
    const differences = stateDifferences(saved, now.plan, stateShapes(now, run, sources));
    const droppedState = differences.dropped.length > 0;
    if (droppedState) this.#did('dropped state refused');
    if (differences.changed.length > 0) this.#did('state migrated');
    const fault = differencesFault(differences, now.plan.job, { droppedState });
    require(fault === null, 'task-failed', () => String(fault?.message));
    return droppedState;
  }

  /** Whether tasks would be others. */
  #otherTasks(next: number): boolean {
    const { sources, run } = this.#installation;
    const names = (code: number) => {
      return generationTasks(this.#installation.jobAt(code).plan, run, sources).map(({ identity }) => nameOf(identity));
    };
    return names(next).join() !== names(this.#installation.code).join();
  }

  #last({ plan }: TaskRecord): LastEntry | null {
    return lastDecided(this.#world, plan.commitTopic, plan.identity.partition);
  }

  #running(): Instance {
    const { owner } = this.#installation;
    return owner?.alive && !owner.stopping ? owner : this.#installation.launch();
  }

  /** What a process gives; null when it died, or met what it could not do. */
  async #done<T>({ process }: Inhabitant, work: Promise<T>): Promise<T | null> {
    let given: T | null = null;
    let over = false;
    const end = (value: T | null) => {
      given = value;
      over = true;
    };
    work.then(end, (fault: unknown) => {
      if (!(fault instanceof StreamError)) this.#world.scheduler.fail(fault);
      end(null);
    });
    await this.#world.until(() => over || !process.alive, STOP_PATIENCE_MS);
    process.kill();
    return given;
  }

  #control(): Inhabitant {
    return this.#world.start('control', STORAGE);
  }

  #perhapsKill(instance: Instance): void {
    if (!this.#random.chance(0.3)) return;
    const events = this.#random.int(300);
    if (this.#random.occurrences.happens('kill-at-deploy')) instance.killAfterEvents(events);
  }

  #did(what: string): void {
    this.#installation.coverage.add(`deploy: ${what}`);
    this.#installation.tell(`deploy: ${what}`);
  }
}

function store({ disk }: Inhabitant): DirectoryStore {
  return new DirectoryStore({ root: CHECKPOINTS, disk });
}

/** All of its tasks: a slot that died has none for a while. */
function isRunning(instance: Instance): boolean {
  const running = instance.supervisors().filter((one) => one.status()?.phase === 'running');
  return running.length === instance.generation.tasks.size;
}

/** Tasks that stopped with a checkpoint at their last entry. */
function atLastEntries(instance: Instance): string[] {
  return instance.supervisors().flatMap((one) => {
    const status = one.status();
    const stopped = status?.phase === 'stopped' && status.checkpointEntry === status.entry;
    return stopped ? [nameOf(status.identity)] : [];
  });
}

function stoppedAtLastEntries(instance: Instance): boolean {
  return instance.ended && atLastEntries(instance).length === instance.generation.tasks.size;
}
