// Owns the processes of one installation in a simulated world: each has slots, each slot runs tasks under the real
// supervisor. The process started last owns all tasks, as the control log has it. Breaks nothing by itself.

import type { TaskIdentity } from '#checkpoint/contract.ts';
import { PageSwap } from '#checkpoint/page-swap.ts';
import type { StateMemory } from '#checkpoint/state-memory.ts';
import type { CompiledJob } from '#jobs/plan.ts';
import { taskPlans } from '#jobs/task-plans.ts';
import { describeTopics, type RunIdentity, type SourceTopics, type TopicNeed } from '#jobs/topics.ts';
import type { Receiver } from '#runtime/effect/contract.ts';
import type { TaskPlan } from '#runtime/task/task-environment.ts';
import type { Coverage } from '#test/simulation/coverage.ts';
import {
  codeOf,
  Generation,
  type GenerationOrigin,
  nameOf,
  type TaskRecord,
  versionName,
} from '#test/simulation/generation.ts';
import { Instance, type InstanceOptions } from '#test/simulation/instance.ts';
import { lastEntry } from '#test/simulation/oracle/archive.ts';
import type { Violation } from '#test/simulation/oracle/violation.ts';
import { NAMESPACE, type Scenario, STORAGE } from '#test/simulation/scenario.ts';
import { watchProgram } from '#test/simulation/watched-state.ts';
import type { Scene } from '#test/simulation/workloads/contract.ts';
import { ColdStorage } from '#test/simulation/world/cold-pages.ts';
import type { Process } from '#test/simulation/world/process.ts';
import type { Inhabitant, World } from '#test/simulation/world/world.ts';

/** Topics of these uses must be the ones that the job began with; results may be made anew. */
const BEGUN_WITH = new Set<TopicNeed['use']>(['source', 'commits', 'exchange']);

/** Receives what happens, for a person who looks into one seed. */
export type Tell = (timeMs: number, what: string) => void;

export class Installation {
  readonly world: World;
  readonly scenario: Scenario;
  readonly coverage: Coverage;
  /** The last of them is the one that runs. */
  readonly generations: Generation[] = [];
  readonly instances: Instance[] = [];
  /** Damage on the disk stopped a task, with a remedy: it need not go on. */
  damaged = false;
  /** A topic that it cannot do without is gone, or no more what it was: the job ended, with a remedy. */
  overturned = false;
  /** The log was set back to what it held before. */
  setBack = false;
  /** Told of that. */
  onSetBack: () => void = () => {};
  /** Of the next process. */
  version = 1;
  /** How tasks of the owner may end, too, because of what was done to them. */
  readonly mayEnd = new Set<string>();
  /** Of the next process: which of the workload's versions. */
  code = 0;
  /** Of the next process: state of operators that its version has no more is given up. */
  allowDroppedState = false;
  /** A version was started although the one before had crashed: what it refuses has to be replayed first. */
  halfDone = false;
  /** Told once, of the next checkpoint that is published or the next transaction that begins. */
  readonly next: { checkpoint: (() => void) | null; transaction: (() => void) | null } = {
    checkpoint: null,
    transaction: null,
  };
  /** Before files of a task are deleted because an entry listed them. */
  listedDeleted: (task: TaskIdentity, files: readonly string[]) => void = () => {};
  /** Before an attempt at a task looks at the files that are there. */
  restores: (task: TaskIdentity, attempt: string) => void = () => {};
  /** A generation begins. */
  begins: (generation: Generation) => void = () => {};
  /** Where pages lie that are not in memory: on the machine, and worth nothing after a crash. */
  readonly coldStorage: ColdStorage;
  readonly #tell: Tell | null;
  #scene: Scene | null = null;
  #ownerless = false;
  /** Those that were made so far, by code. */
  readonly #upgrades: CompiledJob[] = [];

  constructor(world: World, scenario: Scenario, coverage: Coverage, tell: Tell | null) {
    this.world = world;
    this.scenario = scenario;
    this.coverage = coverage;
    this.#tell = tell;
    this.coldStorage = new ColdStorage(world.random.fork(), () => world.disk(STORAGE).faults);
    const { job } = scenario.workload.job.plan;
    this.#begin(new Generation({ namespace: NAMESPACE, job, run: 'live', generation: 0 }, null));
  }

  get generation(): Generation {
    return this.generations[this.generations.length - 1];
  }

  get run(): RunIdentity {
    return this.generation.run;
  }

  /** Of the generation that runs, by `stage/partition`. */
  get tasks(): Map<string, TaskRecord> {
    return this.generation.tasks;
  }

  #begin(generation: Generation): void {
    this.generations.push(generation);
    generation.note(this.plans(versionName(this.version, this.code)));
  }

  /** From now on the job is of another generation; nobody runs it yet. */
  beginGeneration(origin: GenerationOrigin): void {
    const before = this.generation;
    const next = new Generation({ ...before.run, generation: before.run.generation + 1 }, origin);
    for (const topic of Object.keys(this.sources)) next.topicIds[topic] = before.topicIds[topic];
    this.#begin(next);
    this.createTopics(null);
    this.begins(next);
  }

  /** `connect`: how tasks reach what is outside of the log; by default not at all, which no plan does by itself. */
  plans(
    version: string,
    connect: CompiledJob['connect'] = unreachable,
    { origin, run, topicIds }: Generation = this.generation,
  ): TaskPlan[] {
    const job = { ...this.jobOf(version), connect };
    const originOf = origin?.originOf ?? (() => null);
    const options = { job, version, run, sources: this.sources, originOf, topicIds: { ...topicIds } };
    return taskPlans(options).map((plan) => ({
      ...plan,
      program: (counts) => watchProgram(plan.program(counts), this.coverage),
    }));
  }

  /** What runs, or is to run. */
  get job(): CompiledJob {
    return this.jobAt(this.code);
  }

  jobOf(version: string): CompiledJob {
    return this.jobAt(codeOf(version));
  }

  jobAt(code: number): CompiledJob {
    const { job, upgrades } = this.scenario.workload;
    if (code === 0) return job;
    this.#upgrades[code] ??= upgrades[code - 1]();
    return this.#upgrades[code];
  }

  get sources(): SourceTopics {
    const entries = Object.entries(this.scenario.workload.sources);
    return Object.fromEntries(
      entries.map(([topic, partitionCount]) => [topic, { partitionCount, maxMessageBytes: 1e6 }]),
    );
  }

  /** Those that are missing. `random`: for where sources begin, which are there later. */
  createTopics(random: World['random'] | null): void {
    const { cluster } = this.world;
    const { plan } = this.job;
    const { topicIds } = this.generation;
    for (const { topic, use, partitionCount, config } of describeTopics(plan, this.run, this.sources)) {
      cluster.startOffset = random !== null && use === 'source' ? random.pick([0, 0, 7]) : 0;
      cluster.createTopics([{ topic, partitionCount, config }]);
      const id = cluster.describe(topic)?.topicId;
      if (BEGUN_WITH.has(use) && id !== undefined) topicIds[topic] = id;
    }
    cluster.startOffset = 0;
  }

  /** The workload's part of the world; its topics exist. */
  begin(random: World['random']): Scene {
    this.#scene = this.scenario.workload.begin(this.world, random);
    return this.#scene;
  }

  /** A task's pages outside memory; of one attempt. */
  swap(memory: StateMemory, process: Process, task: string): PageSwap {
    return new PageSwap({ memory, open: () => this.coldStorage.open(process, task) });
  }

  connectionOf(inhabitant: Inhabitant, instance: Instance): CompiledJob['connect'] {
    return this.#scene?.connect?.(inhabitant, () => instance.isOwner);
  }

  /** The process that owns the tasks: started last, whether it lives or not. */
  get owner(): Instance | null {
    return this.#ownerless ? null : (this.instances.at(-1) ?? null);
  }

  /** Until the next process starts nobody owns them. */
  disown(): void {
    this.#ownerless = true;
  }

  happened(what: 'checkpoint' | 'transaction'): void {
    const callback = this.next[what];
    this.next[what] = null;
    callback?.();
  }

  /**
   * Marks where the log and what is noted of the tasks stand; calling what is returned goes back there, and tells which
   * entry the newest checkpoint of what is undone stands at, by task. Nobody runs.
   */
  mark(): () => ReadonlyMap<string, number> {
    const restore = this.world.cluster.copy();
    const marks = [...this.tasks.values()].map((task) => {
      return { task, traces: task.traces.length, published: task.published.length };
    });
    return () => {
      restore();
      const undone = new Map<string, number>();
      for (const { task, traces, published } of marks) {
        for (const { entry } of task.published.slice(published)) undone.set(nameOf(task.plan.identity), entry);
        task.traces.length = traces;
        task.published.length = published;
      }
      this.setBack = true;
      this.onSetBack();
      return undone;
    };
  }

  /** Number of the last entry of a task; -1 before any. */
  lastEntryOf(task: string): number {
    const { commitTopic, identity } = this.tasks.get(task)!.plan;
    return Number(lastEntry(this.world, commitTopic, identity.partition)?.['number'] ?? -1);
  }

  launch(clockOffsetMs = 0, how: InstanceOptions = {}): Instance {
    this.coverage.add('started beside another', this.instances.some(({ alive }) => alive) ? 1 : 0);
    const instance = new Instance(this, this.instances.length, clockOffsetMs, how);
    this.instances.push(instance);
    this.#ownerless = false;
    instance.start();
    return instance;
  }

  tell(what: string): void {
    this.#tell?.(this.world.scheduler.nowMs, what);
  }

  violated(violation: Violation): void {
    this.world.scheduler.fail(violation);
  }
}

function unreachable(target: string): Receiver {
  const nobody = () => {
    throw new Error(`'${target}' is not to be reached from here`);
  };
  return { address: target, send: nobody, close() {} };
}
