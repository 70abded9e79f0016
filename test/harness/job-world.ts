// Owns a whole job in a simulated world whose processes come and go: all tasks of one generation under real supervisors,
// what its sources are given, what its topics hold. Faults and savepoints are the test's; nothing here judges.

import type { TaskIdentity } from '#checkpoint/contract.ts';
import { DirectoryStore } from '#checkpoint/directory-store.ts';
import { type Savepoint, Savepoints } from '#checkpoint/savepoint.ts';
import { FileTaskCheckpoints } from '#checkpoint/task-checkpoints.ts';
import { compileJob } from '#jobs/compile.ts';
import type { JobDefinition } from '#jobs/define-job.ts';
import { type GenerationPlan, generationTasks, planGeneration, savepointRecord } from '#jobs/generations.ts';
import type { CompiledJob, JobSettings } from '#jobs/plan.ts';
import { taskPlans } from '#jobs/task-plans.ts';
import { describeTopics, type RunIdentity, type SourceTopics } from '#jobs/topics.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import { ulid } from '#runtime/std/ulid.ts';
import type { StageProgram } from '#runtime/task/contract.ts';
import { fenceTasks } from '#runtime/task/generation-fence.ts';
import type { TaskEnvironment, TaskPlan } from '#runtime/task/task-environment.ts';
import type { SavepointPart } from '#runtime/task/task-savepoint.ts';
import { type TaskOutcome, TaskSupervisor } from '#runtime/task/task-supervisor.ts';
import { committedRecords, outputReaders, recordBatch } from '#test/harness/driver-records.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';
import { type Inhabitant, World } from '#test/simulation/world/world.ts';

export interface JobWorldOptions {
  readonly job: JobDefinition;
  /** Of the sources. */
  readonly partitions: Readonly<Record<string, number>>;
  readonly settings?: Partial<JobSettings>;
  readonly seed?: number;
}

export interface JobProcess {
  readonly inhabitant: Inhabitant;
  readonly plans: readonly TaskPlan[];
  /** By `stage/partition`. */
  readonly supervisors: ReadonlyMap<string, TaskSupervisor>;
  readonly outcomes: Map<string, TaskOutcome>;
}

const SETTINGS: Partial<JobSettings> = { commitIntervalMs: 50, quietIntervalMs: 1_000, checkpointIntervalMs: 5_000 };
const PATIENCE_MS = 120_000;
const MAX_MESSAGE_BYTES = 1_048_588;

export class JobWorld {
  readonly world: World;
  readonly partitions: Record<string, number>;
  generation = 0;
  version = 'v1';
  job: CompiledJob;
  /** The newest program of each task, by name. */
  readonly programs = new Map<string, StageProgram>();
  /** With what tasks of this generation begin. */
  originOf: GenerationPlan['originOf'] = () => null;
  /** Changes plans before tasks get them. */
  change: (plan: TaskPlan) => TaskPlan = (plan) => plan;
  readonly #settings: Partial<JobSettings>;
  #owner = -1;

  constructor({ job, partitions, settings = {}, seed = 1 }: JobWorldOptions) {
    this.world = new World({ seed });
    this.#settings = { ...SETTINGS, ...settings };
    this.job = this.compile(job);
    this.partitions = { ...partitions };
    this.createTopics();
  }

  compile(job: JobDefinition): CompiledJob {
    return compileJob(job, this.#settings);
  }

  get run(): RunIdentity {
    return { namespace: 'n', job: this.job.plan.job, run: 'live', generation: this.generation };
  }

  get sources(): SourceTopics {
    return Object.fromEntries(
      this.job.plan.sources.map(({ topic }) => [
        topic,
        { partitionCount: this.partitions[topic] ?? 1, maxMessageBytes: MAX_MESSAGE_BYTES },
      ]),
    );
  }

  /** Those that are missing. */
  createTopics(): void {
    const needs = describeTopics(this.job.plan, this.run, this.sources);
    this.world.cluster.createTopics(needs);
  }

  plans(): TaskPlan[] {
    const { job, run, sources, version } = this;
    const { originOf } = this;
    return taskPlans({ job, version, run, sources, originOf }).map((plan) => this.#watched(this.change(plan)));
  }

  #watched(plan: TaskPlan): TaskPlan {
    return {
      ...plan,
      program: (counts) => {
        const program = plan.program(counts);
        this.programs.set(nameOf(plan.identity), program);
        return program;
      },
    };
  }

  /** Starts a process that owns all tasks from now on. */
  launch(plans = this.plans()): JobProcess {
    const inhabitant = this.world.start(`p${this.world.processes.length}`);
    this.#owner = inhabitant.process.id;
    const environment = this.#environment(inhabitant);
    const outcomes = new Map<string, TaskOutcome>();
    const supervisors = new Map<string, TaskSupervisor>();
    for (const plan of plans) {
      const supervisor = new TaskSupervisor(plan, this.job.settings, environment);
      supervisors.set(nameOf(plan.identity), supervisor);
      supervisor.run().then((outcome) => outcomes.set(nameOf(plan.identity), outcome));
    }
    return { inhabitant, plans, supervisors, outcomes };
  }

  /** Parts of all tasks; what the first of them that failed says is thrown. */
  async savepoint({ supervisors }: JobProcess, id: string): Promise<SavepointPart[]> {
    return this.wait(Promise.all(Array.from(supervisors.values(), (supervisor) => supervisor.savepoint(id))));
  }

  release({ supervisors }: JobProcess, id: string): void {
    for (const supervisor of supervisors.values()) supervisor.release(id);
  }

  /** The savepoint of all tasks, kept in the store; they still hold. */
  async taken(process: JobProcess, id: string): Promise<Savepoint> {
    const parts = await this.savepoint(process, id);
    const record = savepointRecord(id, this.job.plan, parts, { version: this.version, createdMs: this.nowMs });
    await this.wait(this.savepoints(process.inhabitant).write(record));
    return record;
  }

  savepoints({ disk }: Inhabitant): Savepoints {
    return new Savepoints(new DirectoryStore({ root: 'checkpoints', disk }), this.run);
  }

  /** What stands in the way of a generation that begins with it. */
  planned(savepoint: Savepoint, droppedState = false): GenerationPlan {
    const run = { ...this.run, generation: this.generation + 1 };
    return planGeneration({ savepoint, job: this.job, run, sources: this.sources, allowed: { droppedState } });
  }

  /** Tasks begin with it from now on: the generations before are shut out, topics made. */
  async begin(savepoint: Savepoint): Promise<void> {
    const planned = this.planned(savepoint);
    if (planned.fault !== null) throw planned.fault;
    await this.wait(
      fenceTasks(this.world.start('control').log, generationTasks(this.job.plan, this.run, this.sources)),
    );
    this.generation++;
    this.programs.clear();
    this.originOf = planned.originOf;
    this.createTopics();
  }

  /** A clean stop of all tasks. */
  async stop(process: JobProcess): Promise<void> {
    for (const supervisor of process.supervisors.values()) supervisor.stop();
    await this.until(() => process.outcomes.size === process.plans.length);
    process.inhabitant.process.kill();
  }

  kill({ inhabitant }: JobProcess): void {
    inhabitant.process.kill();
  }

  async until(done: () => boolean, ms = PATIENCE_MS): Promise<void> {
    if (!(await this.world.until(done, ms))) throw new Error('it did not happen in time');
  }

  pass(ms: number): Promise<void> {
    return this.world.pass(ms);
  }

  /** What a promise gives while time passes. */
  async wait<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const note = () => {
      settled = true;
    };
    promise.then(note, note);
    await this.until(() => settled);
    return promise;
  }

  send(topic: string, partition: number, value: unknown, timestampMs = this.nowMs): void {
    const source = this.job.plan.sources.find((one) => one.topic === topic);
    if (source === undefined) throw new Error(`no source reads ${topic}`);
    const count = this.world.cluster.describe(topic)?.partitionCount ?? 1;
    const { bytes } = recordBatch(source, count, value, { partition, timestampMs, schema: null });
    this.world.cluster.append({ topic, partition }, bytes);
  }

  get nowMs(): number {
    return WORLD_EPOCH_MS + Math.floor(this.world.scheduler.nowMs);
  }

  /** Values of all committed records of a topic, by partition and offset. */
  output<T = unknown>(topic: string): T[] {
    return this.records(topic, outputReaders(this.job.plan).get(topic)).map(({ value }) => value as T);
  }

  records(topic: string, read: ((bytes: Buffer) => unknown) | undefined = (bytes) => Buffer.from(bytes)) {
    const found = this.world.cluster.topics.get(topic);
    if (found === undefined) throw new Error(`no topic ${topic}`);
    return committedRecords(found, read);
  }

  /** Whether the tasks have read all there is. */
  drained({ supervisors }: JobProcess): boolean {
    return Array.from(supervisors.values(), (one) => one.status()).every(
      (status) => status?.phase === 'running' && status.lagRecords === 0,
    );
  }

  #environment({ process, clock, log, disk }: Inhabitant): TaskEnvironment {
    const store = new DirectoryStore({ root: 'checkpoints', disk });
    return {
      clock,
      logger: silentLogger,
      log,
      reader: log.reader(),
      ownership: { owns: async () => this.#owner === process.id },
      checkpoints: (identity, attempt) =>
        new FileTaskCheckpoints({ store, identity, attempt, clock, logger: silentLogger }),
      attemptId: () => ulid(clock.nowMs(), this.world.random.bytes(10)),
      breathe: () => process.after(0, 'breathe', () => {}),
    };
  }
}

export function nameOf({ stage, partition }: Pick<TaskIdentity, 'stage' | 'partition'>): string {
  return `${stage}/${partition}`;
}
