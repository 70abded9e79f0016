// Owns one simulated run from its seed to its verdict: a real job in a world of troubles, then a healed world
// in which everything must come to its end, then the oracles. Throws a Violation; the same seed gives the same trace.

import type { TaskIdentity } from '#checkpoint/contract.ts';
import type { Savepoint } from '#checkpoint/savepoint.ts';
import { generationTasks } from '#jobs/generations.ts';
import { fenceTasks } from '#runtime/task/generation-fence.ts';
import type { TaskPlan } from '#runtime/task/task-environment.ts';
import { Coverage } from '#test/simulation/coverage.ts';
import { Deploys } from '#test/simulation/deploys.ts';
import { Installation, type Tell } from '#test/simulation/installation.ts';
import type { Instance } from '#test/simulation/instance.ts';
import { judgeRun } from '#test/simulation/judgement.ts';
import { lastEntry } from '#test/simulation/oracle/archive.ts';
import { StoredCheckpoints, type TaskPlace } from '#test/simulation/oracle/stored-checkpoints.ts';
import { require } from '#test/simulation/oracle/violation.ts';
import { SavepointRounds } from '#test/simulation/savepoint-rounds.ts';
import { CHECKPOINTS, drawScenario, type Scenario, STORAGE } from '#test/simulation/scenario.ts';
import { Troubles } from '#test/simulation/troubles.ts';
import { Upheaval, type UpheavalKind } from '#test/simulation/upheaval.ts';
import type { Scene } from '#test/simulation/workloads/contract.ts';
import { type Faults, NO_FAULTS } from '#test/simulation/world/log-faults.ts';
import { Occurrences } from '#test/simulation/world/occurrences.ts';
import type { Operations } from '#test/simulation/world/operations.ts';
import { Random } from '#test/simulation/world/random.ts';
import { World } from '#test/simulation/world/world.ts';

export interface SimulationResult {
  readonly seed: number;
  readonly traceHash: string;
  readonly steps: number;
  readonly coverage: Coverage;
}

const LOOK_MS = 500;
/** Small: fetches that find nothing are points, too. */
const CRASH_LOOK_MS = 50;
/** Virtual time in which a healed world must have done everything. */
const DRAIN_MAX_MS = 240_000;
const STOP_MAX_MS = 60_000;
const START_MAX_MS = 30_000;
/** After the last input was read: for watermarks to pass an exchange. */
const SETTLE_MS = 4_000;
const HEALED_DISK = { latencyMs: 0.1, noSpace: 0, ioError: 0, bitFlip: 0 };

export interface SimulationOptions {
  /** Receives what happens. */
  readonly tell?: Tell | null;
  /** Which faults happen of those that the seed draws, and afterwards which did. @default all */
  readonly occurrences?: Occurrences;
  /** Numbers what processes do to the log and the disks. */
  readonly operations?: Operations;
}

/** Runs one seed. */
export async function simulate(seed: number, options: SimulationOptions = {}): Promise<SimulationResult> {
  const run = new SimulatedRun(drawScenario(seed), options);
  await run.troubles();
  await run.heal();
  await run.judge();
  return run.result();
}

/** What is no matter of single occurrences is there or not. */
function withoutLeftOut(faults: Faults, occurrences: Occurrences): Faults {
  const { markerLagMs, markersRefused, timeoutFences } = faults;
  return {
    ...faults,
    markerLagMs: markerLagMs > 0 && occurrences.happens('marker-lag') ? markerLagMs : 0,
    markersRefused: markersRefused && occurrences.happens('markers-refused'),
    timeoutFences: timeoutFences && occurrences.happens('time-out-fences'),
  };
}

/** Runs a scenario in which its process dies at each of the points, and comes again. */
export async function crashAt(
  scenario: Scenario,
  operations: Operations,
  tell: Tell | null,
): Promise<SimulationResult> {
  const run = new SimulatedRun(scenario, { tell, operations });
  await run.crashes(operations);
  await run.heal();
  await run.judge();
  return run.result();
}

function isRunning(instance: Instance): boolean {
  const running = instance
    .supervisors()
    .filter((one) => one.status()?.phase === 'running' && one.status()?.waitingFor === null);
  return running.length === instance.generation.tasks.size;
}

function directoryOf({ generation, job, namespace, partition, run, stage }: TaskIdentity): string {
  return `${CHECKPOINTS}/${namespace}/${job}/${run}/g${generation}/${stage}/${partition}`;
}

function placeOf({ commitTopic, identity }: TaskPlan): TaskPlace {
  return { commitTopic, partition: identity.partition, directory: directoryOf(identity) };
}

/** What a world has from its beginning. */
function countLimits({ diskFaults, sliceBytes, slots, workload }: Scenario, coverage: Coverage): void {
  const { commitBytesMax, snapshotBytesMax } = workload.job.settings;
  coverage.add('limit: bytes of an entry', commitBytesMax <= 400 ? 1 : 0);
  coverage.add('limit: bytes of a snapshot', snapshotBytesMax <= 2_000 ? 1 : 0);
  coverage.add('limit: bytes of a slice', sliceBytes === 1 ? 1 : 0);
  coverage.add('limit: memory for state', workload.memoryBytes === null ? 0 : 1);
  coverage.add('disk: slow', diskFaults.latencyMs >= 100 ? 1 : 0);
  coverage.add('two slots', slots === 2 ? 1 : 0);
}

class SimulatedRun {
  readonly #scenario: Scenario;
  readonly #world: World;
  readonly #coverage = new Coverage();
  readonly #installation: Installation;
  readonly #scene: Scene;
  readonly #stored: StoredCheckpoints;
  readonly #rounds: SavepointRounds;
  readonly #deploys: Deploys;

  constructor(scenario: Scenario, { tell = null, occurrences = new Occurrences(), operations }: SimulationOptions) {
    const { seed, diskFaults } = scenario;
    const faults = withoutLeftOut(scenario.faults, occurrences);
    this.#scenario = scenario;
    this.#world = new World({ seed, faults, diskFaults, occurrences, operations: operations ?? null });
    this.#installation = new Installation(this.#world, scenario, this.#coverage, tell);
    this.#installation.createTopics(this.#world.random);
    this.#scene = this.#installation.begin(this.#world.random.fork());
    this.#scene.feed.schedule();
    const disk = this.#world.disk(STORAGE);
    const { namespace, job } = this.#installation.run;
    const directory = `${CHECKPOINTS}/${namespace}/${job}`;
    this.#stored = new StoredCheckpoints(this.#world, disk, directory);
    this.#installation.begins = ({ tasks }) => this.#stored.begin([...tasks.values()].map(({ plan }) => placeOf(plan)));
    this.#installation.begins(this.#installation.generation);
    // Chance of their own: what else befalls a seed is the same without them.
    this.#rounds = new SavepointRounds(this.#installation, new Random(seed, occurrences), scenario.savepoints);
    this.#deploys = new Deploys(this.#installation, new Random(seed * 3 + 1, occurrences), this.#rounds);
    this.#installation.onSetBack = () => this.#stored.forget();
    this.#world.cluster.onDelete = (at, before) => this.#stored.trimmed(at, before);
    disk.onRemove = (path) => this.#stored.removed(path);
    this.#installation.restores = (task, attempt) => this.#stored.restores(directoryOf(task), attempt);
    this.#installation.listedDeleted = (task, files) => {
      try {
        this.#stored.listedDeleted(directoryOf(task), files);
      } catch (error) {
        this.#world.scheduler.fail(error);
      }
    };
  }

  async troubles(): Promise<void> {
    const random = this.#world.random.fork();
    this.#rounds.schedule();
    const troubles = new Troubles(this.#installation, random, this.#deploys, (instance) =>
      this.#stoppedClean(instance),
    );
    await troubles.run(this.#scenario.troubles);
  }

  /** From the first start to a clean stop and the start of another version, however often it dies. */
  async crashes(operations: Operations): Promise<void> {
    const installation = this.#installation;
    operations.onCrash((process) => {
      installation.instances.find((one) => one.processes.includes(process))?.kill();
    });
    for (let stopped = false; !stopped; await this.#world.pass(CRASH_LOOK_MS)) {
      const instance = installation.launch();
      const drained = await this.#lives(instance, () => this.#drained() && isRunning(instance));
      if (!drained) continue;
      instance.stop();
      stopped = await this.#lives(instance, () => instance.ended);
    }
    installation.version++;
    for (let started = false; !started; await this.#world.pass(CRASH_LOOK_MS)) {
      const instance = installation.launch();
      started = await this.#lives(instance, () => isRunning(instance));
    }
    operations.over = true;
  }

  /** Waits for something of a process; false when it died before. */
  async #lives(instance: Instance, done: () => boolean): Promise<boolean> {
    const { scheduler } = this.#world;
    const deadlineMs = scheduler.nowMs + DRAIN_MAX_MS;
    while (instance.alive && !done()) {
      require(scheduler.nowMs < deadlineMs, 'liveness', () => `does not come to its end:\n${this.#state(instance)}`);
      await this.#world.pass(CRASH_LOOK_MS);
    }
    return instance.alive;
  }

  /** Faults end; what is left must be done by whoever owns the tasks, and a clean stop must leave checkpoints. */
  async heal(): Promise<void> {
    const installation = this.#installation;
    const { scheduler, channel } = this.#world;
    this.#rounds.end();
    channel.faults = NO_FAULTS;
    channel.away = false;
    this.#scene.heal?.();
    this.#world.disk(STORAGE).faults = HEALED_DISK;
    if (installation.owner === null || !installation.owner.alive || installation.owner.stopping) installation.launch();
    installation.owner!.spare();
    await this.#deploys.settle();
    const { upheaval } = this.#scenario;
    if (upheaval !== null && (await this.#overturn(installation.owner!, upheaval))) return;
    const owner = installation.owner!;
    const drainMaxMs = Math.max(0, this.#scene.feed.lastMs - scheduler.nowMs) + DRAIN_MAX_MS;
    await this.#healthy(owner, 'does not drain', drainMaxMs, () => {
      return this.#drained() && !owner.paused && isRunning(owner);
    });
    if (installation.damaged) return;
    const { closes, workload } = this.#scenario;
    await this.#lastSavepoint(owner);
    if (installation.damaged) return;
    await this.#world.pass(closes ? (workload.closingMs ?? 0) : SETTLE_MS);
    owner.stop();
    await this.#healthy(owner, 'does not stop', STOP_MAX_MS, () => owner.ended);
    if (installation.damaged) return;
    const lacking = this.#stored.atLastEntry();
    // A bit that flips later is not the stop's fault.
    const { bitsFlipped } = this.#world.disk(STORAGE).counts;
    require(lacking === null || bitsFlipped > 0, 'clean-stop', () => String(lacking));
    // What the log left open is ended by the next to start, which may be of another version.
    installation.version++;
    const next = installation.launch();
    await this.#healthy(next, 'does not start', START_MAX_MS, () => isRunning(next));
    if (!installation.damaged) this.#coverage.add('drained');
  }

  /** True: the job ended as it must. */
  async #overturn(owner: Instance, kind: UpheavalKind): Promise<boolean> {
    const { random } = this.#world;
    if (!random.occurrences.happens(kind.replaceAll(' ', '-'))) return false;
    await this.#world.until(() => !owner.paused, STOP_MAX_MS);
    const ended = await new Upheaval(this.#installation, random.fork(), kind).run(owner);
    if (!ended && this.#installation.owner?.alive !== true) this.#installation.launch();
    return ended;
  }

  /** In a healed world one comes to its end. */
  async #lastSavepoint(owner: Instance): Promise<void> {
    if (this.#scenario.savepoints === 0) return;
    const { scheduler } = this.#world;
    let kept: boolean | null = null;
    const over = (savepoint: Savepoint | null) => {
      kept = savepoint !== null;
    };
    // One that is under way has to be over before.
    await this.#healthy(owner, 'ends no savepoint', STOP_MAX_MS, () => !this.#rounds.isUnderWay(owner));
    if (this.#installation.damaged) return;
    const times = { patienceMs: STOP_MAX_MS, spreadMs: 0, holdMaxMs: 10 * STOP_MAX_MS };
    this.#rounds.take(owner, times).then(over, (fault: unknown) => scheduler.fail(fault));
    await this.#healthy(owner, 'takes no savepoint', 2 * STOP_MAX_MS, () => kept !== null);
    const text = () => `the last savepoint came to nothing:\n${this.#state(owner)}`;
    require(kept === true || this.#installation.damaged, 'liveness', text);
  }

  /** Waits in a healed world. */
  async #healthy(instance: Instance, fault: string, withinMs: number, done: () => boolean): Promise<void> {
    const { scheduler } = this.#world;
    const deadlineMs = scheduler.nowMs + withinMs;
    while (!done() && !this.#installation.damaged) {
      require(scheduler.nowMs < deadlineMs, 'liveness', () => `${fault}:\n${this.#state(instance)}`);
      await this.#world.pass(LOOK_MS);
    }
  }

  async judge(): Promise<void> {
    for (const instance of this.#installation.instances) instance.kill();
    if (this.#installation.damaged) await this.#endTransactions();
    // Transactions that were left open end, late requests arrive.
    await this.#world.pass(60_000);
    if (this.#installation.overturned) this.#settle();
    await judgeRun(this.#installation, this.#scene, this.#stored, this.#rounds.kept);
  }

  /** Tasks that end for good leave what the log left out as it is. */
  #settle(): void {
    for (const { partitions } of this.#world.cluster.originals.values()) for (const one of partitions) one.settle();
  }

  /** Nobody came to end what the log had left without markers. */
  async #endTransactions(): Promise<void> {
    const { job, run, sources } = this.#installation;
    let over = false;
    const end = () => {
      over = true;
    };
    const { log } = this.#world.start('control', STORAGE);
    fenceTasks(log, generationTasks(job.plan, run, sources)).then(end, end);
    await this.#world.until(() => over, STOP_MAX_MS);
  }

  result(): SimulationResult {
    const coverage = this.#coverage;
    const { seed, workload } = this.#scenario;
    const { channel, cluster, scheduler } = this.#world;
    countLimits(this.#scenario, coverage);
    for (const [name, count] of Object.entries(channel.counts)) coverage.add(`request: ${name}`, count);
    for (const [name, count] of Object.entries(cluster.coordinator.counts)) coverage.add(`producer: ${name}`, count);
    for (const [name, count] of Object.entries(this.#world.disk(STORAGE).counts)) coverage.add(`disk: ${name}`, count);
    for (const [name, count] of Object.entries(this.#installation.coldStorage.counts))
      coverage.add(`pages: ${name}`, count);
    for (const [kind, count] of this.#world.random.occurrences.counts) coverage.add(`fault: ${kind}`, count);
    coverage.add(`workload: ${workload.name}`);
    coverage.add(`shape: ${workload.shape}`);
    return { seed, traceHash: scheduler.traceHash(), steps: scheduler.steps, coverage };
  }

  #stoppedClean(instance: Instance): void {
    const { diskFaults } = this.#scenario;
    const clean = instance.supervisors().every((one) => one.status()?.phase === 'stopped');
    this.#coverage.add(clean ? 'clean stop' : 'stopped while it waited to restart');
    const lacking = this.#stored.atLastEntry();
    const diskWell = diskFaults.noSpace === 0 && diskFaults.ioError === 0 && diskFaults.bitFlip === 0;
    if (clean && diskWell) require(lacking === null, 'clean-stop', () => String(lacking));
    if (lacking === null && this.#world.random.chance(0.5)) {
      this.#coverage.add('started with another version');
      this.#installation.version++;
    }
  }

  #drained(): boolean {
    if (this.#world.scheduler.nowMs <= this.#scene.feed.lastMs) return false;
    for (const { plan } of this.#installation.tasks.values()) {
      const { input, commitTopic, identity } = plan;
      const stored = this.#world.cluster.partition(input)!;
      const last = stored.archive.findLast((batch) => {
        if (batch.control || batch.fate === 'aborted' || batch.bytes.readInt32BE(57) === 0) return false;
        // Behind an exchange controls go on for ever: only blocks count.
        return !input.internal || batch.bytes.length > 61 + 40;
      });
      // Of a task that never had anything to read even the first entry may wait for its markers: nothing comes behind it.
      if (last === undefined) continue;
      const entry = lastEntry(this.#world, commitTopic, identity.partition);
      if (entry === null) return false;
      const [{ endOffset }] = entry['inputs'] as [{ endOffset: string }];
      if (Number(endOffset) < last.nextOffset) return false;
    }
    return this.#scene.drained?.() ?? true;
  }

  #state(owner: Instance): string {
    return owner
      .supervisors()
      .map((one) => JSON.stringify({ ...one.status(), failures: one.failures.slice(-2).map(({ message }) => message) }))
      .join('\n');
  }
}
