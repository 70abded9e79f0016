// Owns the test driver of a job: its real tasks over a log, a clock and a disk in memory. Nothing happens by itself:
// records are sent, the clock is moved and crashes come by hand, so every run gives the same.

import { compileJob } from '#jobs/compile.ts';
import type { JobDefinition } from '#jobs/define-job.ts';
import type { CompiledJob, SourcePlan } from '#jobs/plan.ts';
import { taskPlans } from '#jobs/task-plans.ts';
import { describeTopics, type RunIdentity, type SourceTopics } from '#jobs/topics.ts';
import { parseDuration } from '#runtime/std/duration.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import type { StageProgram } from '#runtime/task/contract.ts';
import { type KeyState, PAGE_KEYS_MAX, readState, type StateQuery } from '#runtime/task/state-query.ts';
import { DriverReceivers, type ReceivedSample } from '#test/harness/driver-receiver.ts';
import { committedRecords, outputReaders, type ReadValue, recordBatch } from '#test/harness/driver-records.ts';
import { DriverRegistry } from '#test/harness/driver-registry.ts';
import { DriverWorld } from '#test/harness/driver-world.ts';
import { type Looks, lookAtAll, lookDifference } from '#test/harness/state-comparison.ts';
import type { SimulatedTopic } from '#test/simulation/world/log-cluster.ts';

export interface DriverOptions {
  /** Partitions of topics by name. @default 1 for what the job reads; what it writes as the job says */
  readonly partitions?: Readonly<Record<string, number>> | undefined;
  /** What the schema registries of its sources have, by id: Avro schemas, as JSON or their text. @default none */
  readonly schemas?: Readonly<Record<number, unknown>> | undefined;
  /** What the clock shows at first: an ISO time, or milliseconds. @default '2026-01-01T00:00:00Z' */
  readonly start?: string | number | undefined;
}

export interface SendOptions {
  /** @default of a sample its series, of other records none */
  readonly key?: string | null | undefined;
  /** The record's timestamp in the log; event time too, where the record says nothing else. @default the clock */
  readonly timestampMs?: number | undefined;
  /** @default that of the key, 0 without one */
  readonly partition?: number | undefined;
  /** Of Avro with a registry: writes the record with this schema, and its id in front. @default without an id */
  readonly schemaId?: number | undefined;
}

/** A committed record of a topic. */
export interface DriverRecord<T = unknown> {
  readonly key: string | null;
  readonly value: T;
  readonly timestampMs: number;
  readonly partition: number;
  readonly offset: number;
  readonly headers: Readonly<Record<string, string>>;
}

const START = '2026-01-01T00:00:00Z';
const MAX_MESSAGE_BYTES = 1_048_588;

export class JobDriver {
  /** What the sources of the job ask for schemas; it may be stopped for a while. */
  readonly registry: DriverRegistry;
  readonly #job: CompiledJob;
  readonly #world: DriverWorld;
  readonly #receivers: DriverReceivers;
  readonly #readers: ReadonlyMap<string, ReadValue>;
  /** By topic, how many records `take` gave already. */
  readonly #taken = new Map<string, number>();

  private constructor(job: CompiledJob, world: DriverWorld, receivers: DriverReceivers, registry: DriverRegistry) {
    this.registry = registry;
    this.#job = job;
    this.#world = world;
    this.#receivers = receivers;
    this.#readers = outputReaders(job.plan);
  }

  /** Compiles the job and starts its tasks. Errors: job-invalid, with all faults; what a task says at its start. */
  static async start(job: JobDefinition, options: DriverOptions = {}): Promise<JobDriver> {
    const compiled = compileJob(job);
    const registry = new DriverRegistry(options.schemas ?? {});
    // Partitions without data hear of the watermark at once: no time has to pass for it.
    const receivers = new DriverReceivers();
    const driven: CompiledJob = {
      ...compiled,
      plan: { ...compiled.plan, watermarkIntervalMs: 0 },
      connect: (target) => receivers.connect(target),
      schemaClient: (_, onTrouble) => registry.client(onTrouble),
    };
    const { plan, settings } = driven;
    const partitions = options.partitions ?? {};
    const sources: SourceTopics = Object.fromEntries(
      plan.sources.map(({ topic }) => [
        topic,
        { partitionCount: partitions[topic] ?? 1, maxMessageBytes: MAX_MESSAGE_BYTES },
      ]),
    );
    const run: RunIdentity = { namespace: 'driver', job: plan.job, run: 'live', generation: 0 };
    const world = new DriverWorld({
      startMs: startMs(options.start ?? START),
      plans: taskPlans({ job: driven, version: 'driven', run, sources }),
      // What was read is committed at once, for the same reason.
      options: { ...settings, commitIntervalMs: 0, quietIntervalMs: 0 },
      logger: silentLogger,
      idlenessMs: Math.max(...plan.sources.map(({ idlenessMs }) => idlenessMs)),
    });
    const needs = describeTopics(plan, run, sources);
    const unknown = Object.keys(partitions).find((topic) => !needs.some((need) => need.topic === topic));
    if (unknown !== undefined) throw unknownTopic(unknown, `job '${plan.job}' has`, needs);
    world.world.cluster.createTopics(
      needs.map(({ topic, partitionCount, config }) => ({
        topic,
        partitionCount: partitions[topic] ?? partitionCount,
        config,
      })),
    );
    const driver = new JobDriver(driven, world, receivers, registry);
    await world.start();
    driver.#check();
    return driver;
  }

  /** What the clock shows, milliseconds since the epoch. */
  get nowMs(): number {
    return this.#world.nowMs;
  }

  /** Whether the process runs: not after a crash, not after the end. */
  get running(): boolean {
    return this.#world.alive;
  }

  /** How often the process was killed so far. */
  get crashes(): number {
    return this.#world.crashes;
  }

  /**
   * Writes one record into a topic that the job reads. A sample, or an array of them, becomes JSON; its timestamp is the
   * clock's unless it has one. Other records are written in the format of their source; a Buffer is written as it is, and
   * null is a tombstone. With `schemaId` it is Avro by that schema of the registry. Errors: topic-unknown, record-refused.
   */
  async send(topic: string, value: unknown, options: SendOptions = {}): Promise<void> {
    this.#check();
    const source = this.#source(topic);
    const { cluster } = this.#world.world;
    const partitionCount = cluster.describe(topic)?.partitionCount ?? 0;
    const { schemaId, timestampMs = this.nowMs } = options;
    const schema = schemaId === undefined ? null : { id: schemaId, schema: this.registry.schemaOf(schemaId) };
    const { partition, bytes } = recordBatch(source, partitionCount, value, { ...options, timestampMs, schema });
    if (!(partition >= 0 && partition < partitionCount)) {
      const remedy = `give it more: JobDriver.start(job, { partitions: { '${topic}': ${partition + 1} } })`;
      throw new StreamError('record-refused', `topic ${topic} has no partition ${partition}`, remedy);
    }
    cluster.append({ topic, partition }, bytes);
  }

  /**
   * Waits until everything that was sent has passed all stages and is committed, but for what waits for a registry that was
   * stopped. No time passes.
   */
  async settle(): Promise<void> {
    this.#check();
    await this.#world.settle();
    this.#check();
  }

  /** Settles, then moves the clock by '5s', or by milliseconds, with everything that happens on the way. */
  async advance(duration: string | number): Promise<void> {
    const ms = typeof duration === 'number' ? duration : parseDuration(duration);
    if (ms === null || !Number.isSafeInteger(ms) || ms < 0) {
      throw new StreamError('config-invalid', `'${duration}' is no duration`, "write '5s', '1h30m' or milliseconds");
    }
    await this.settle();
    await this.#world.advance(ms);
    this.#check();
  }

  /** All committed records of a topic that the job writes, by partition and offset. Error: topic-unknown. */
  output<T = unknown>(topic: string): DriverRecord<T>[] {
    const read = this.#readers.get(topic);
    const found = this.#topics.get(topic);
    if (read === undefined || found === undefined) {
      const written = [...this.#readers.keys()].map((name) => ({ topic: name }));
      throw unknownTopic(topic, `job '${this.#job.plan.job}' writes`, written);
    }
    return committedRecords(found, read) as DriverRecord<T>[];
  }

  /** As output, without what `take` gave before. */
  take<T = unknown>(topic: string): DriverRecord<T>[] {
    const all = this.output<T>(topic);
    // By partition, because later records of one stand before the first of the next.
    const seen = (partition: number) => this.#taken.get(`${partition} ${topic}`) ?? -1;
    const fresh = all.filter(({ partition, offset }) => offset > seen(partition));
    for (const { partition, offset } of fresh) this.#taken.set(`${partition} ${topic}`, offset);
    return fresh;
  }

  /** Late samples of a source. */
  late<T = unknown>(topic?: string): DriverRecord<T>[] {
    const source = this.#source(topic);
    return source.kind === 'samples' ? this.output<T>(source.lateTopic) : [];
  }

  /** Records of a source that were refused, as they came (a Buffer where that is no text); their headers say why. */
  deadLetters<T = string>(topic?: string): DriverRecord<T>[] {
    const { badRecords, deadLetterTopic } = this.#source(topic);
    return badRecords === 'dead-letter' ? this.output<T>(deadLetterTopic) : [];
  }

  /** The least watermark over the tasks of a stage, by default of the last; -Infinity before the first record. */
  watermark(stage: string | undefined = this.#job.plan.stages.at(-1)?.id): number {
    const tasks = this.#world.tasks.filter(({ plan }) => plan.identity.stage === stage);
    if (tasks.length === 0) {
      const stages = this.#job.plan.stages.map(({ id }) => id);
      throw unknown(`job '${this.#job.plan.job}'`, 'stage', String(stage), stages);
    }
    return Math.min(...tasks.map(({ attempt }) => attempt.status().watermarkMs ?? Number.NEGATIVE_INFINITY));
  }

  /** What an operator keeps of a key under the name of a state, null when nothing. Errors: job-invalid, state-unreadable. */
  state<T = unknown>(operator: string, state: string, key: string): T | null {
    const states = this.#statesOf(operator);
    if (states !== null && !states.includes(state)) {
      throw unknown(`operator '${operator}'`, 'state', state, states);
    }
    const [found] = this.#read({ operator, key });
    return (found?.states[state] ?? null) as T | null;
  }

  /** Times for which an operator has timers of a key, ascending. Errors as of `state`. */
  timers(
    operator: string,
    key: string,
  ): { readonly eventTimeMs: readonly number[]; readonly clockMs: readonly number[] } {
    const [found] = this.#read({ operator, key });
    return { eventTimeMs: found?.eventTimersMs ?? [], clockMs: found?.clockTimersMs ?? [] };
  }

  /** Keys of which an operator keeps something, sorted. Errors as of `state`. */
  keys(operator: string): string[] {
    return this.#read({ operator })
      .map(({ key }) => key)
      .sort();
  }

  /** kill -9, in whatever the process is doing. What was committed is there; the rest is done again after `restore`. */
  async crash(): Promise<void> {
    if (this.running) this.#world.crash();
    await this.#world.settle();
  }

  /** kill -9 after so many more steps of the process, in the midst of what happens then: `running` tells. */
  crashAfter(steps: number): void {
    if (this.running) this.#world.crashAfter(steps);
  }

  /**
   * Starts the process again after a crash, from the last durable checkpoint and a replay to the last entry. Error
   * replay-diverged when output or state differ from what they were.
   */
  async restore(): Promise<void> {
    await this.crash();
    await this.#world.start();
    this.#check();
  }

  /**
   * Stops cleanly, with a checkpoint at the last entry, and starts from it. Error replay-diverged when a state that was
   * read is another than was written.
   */
  async restart(): Promise<void> {
    await this.settle();
    const before = this.#looks();
    await this.stop();
    await this.#world.start();
    this.#check();
    const difference = lookDifference(before, this.#looks());
    if (difference === null) return;
    const remedy = 'look for a codec that does not read what it wrote, and for values that are changed in place';
    throw new StreamError('replay-diverged', `${difference} is another than before the restart`, remedy);
  }

  #looks(): Looks {
    return lookAtAll(this.#world.tasks.map(({ program }) => program()));
  }

  /** Ends the tasks cleanly: all state is written once, as a deploy would. */
  async stop(): Promise<void> {
    this.#check();
    await this.#world.settle();
    await this.#world.stop();
    this.#check();
  }

  /**
   * Every sample that a receiver of remote writes took, in the order of arrival; those sent again after a crash stand there
   * again. Error: job-invalid for a target that the job does not have.
   */
  written(target: string): readonly ReceivedSample[] {
    this.#check();
    const samples = this.#receivers.samples(target);
    if (samples !== null) return samples;
    throw unknown(`job '${this.#job.plan.job}'`, 'target', target, this.#receivers.names);
  }

  /** Names of the states of a function, null when other operators keep what they keep. */
  #statesOf(operator: string): readonly string[] | null {
    const steps = this.#job.plan.stages.flatMap((stage) => stage.steps);
    const step = steps.find(({ id }) => id === operator);
    return step?.kind === 'process' ? Object.keys(step.states) : null;
  }

  #read(query: StateQuery): KeyState[] {
    this.#check();
    if (!this.running) {
      throw new StreamError('state-unreadable', 'no process runs that has a state', 'restore it first');
    }
    const found: KeyState[] = [];
    let known = false;
    for (const { program } of this.#world.tasks) {
      let after: string | undefined;
      for (let more = true; more; ) {
        const page = readState(program() as StageProgram, { ...query, after, limit: PAGE_KEYS_MAX });
        known ||= page !== null;
        found.push(...(page?.keys ?? []));
        after = page?.next ?? undefined;
        more = after !== undefined;
      }
    }
    if (!known) throw unknown(`job '${this.#job.plan.job}'`, 'operator with state', query.operator, []);
    return found;
  }

  get #topics(): ReadonlyMap<string, SimulatedTopic> {
    return this.#world.world.cluster.topics;
  }

  #check(): void {
    if (this.#world.failure !== null) throw this.#world.failure;
  }

  #source(topic?: string): SourcePlan {
    const { sources, job } = this.#job.plan;
    const source =
      topic === undefined && sources.length === 1 ? sources[0] : sources.find((one) => one.topic === topic);
    if (source !== undefined) return source;
    throw unknownTopic(topic ?? '', `job '${job}' reads`, sources);
  }
}

function startMs(start: string | number): number {
  const ms = typeof start === 'number' ? start : Date.parse(start);
  if (Number.isSafeInteger(ms) && ms >= 0) return ms;
  throw new StreamError('config-invalid', `start '${start}' is no time`, `give an ISO time such as '${START}'`);
}

function unknown(who: string, what: string, name: string, known: readonly string[]): StreamError {
  const remedy = known.length > 0 ? `name one of ${known.join(', ')}` : "see 'millrace explain' for its operators";
  return new StreamError('job-invalid', `${who} has no ${what} '${name}'`, remedy);
}

function unknownTopic(topic: string, who: string, known: readonly { readonly topic: string }[]): StreamError {
  const names = [...new Set(known.map((one) => one.topic))].join(', ');
  return new StreamError('topic-unknown', `${who} no topic '${topic}'`, `name one of ${names}`);
}
