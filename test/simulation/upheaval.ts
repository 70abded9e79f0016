// Owns what befalls topics that a job cannot go on with: one is deleted and created again, one gets more partitions, or
// retention takes what was not read yet. The verdict: the tasks that it concerns end and say which remedy there is, nothing
// is published behind it, and all that was published before is right.

import type { TaskRecord } from '#test/simulation/generation.ts';
import type { Installation } from '#test/simulation/installation.ts';
import type { Instance as Owner } from '#test/simulation/instance.ts';
import { lastDecided } from '#test/simulation/oracle/archive.ts';
import { require } from '#test/simulation/oracle/violation.ts';
import type { Scenario } from '#test/simulation/scenario.ts';
import { STORAGE } from '#test/simulation/scenario.ts';
import type { Random } from '#test/simulation/world/random.ts';

/** Under running tasks: until a reader has asked for the topic again, often enough to be sure. */
const NOTICED_WITHIN_MS = 60_000;
const QUIET_MS = 15_000;
/** Longer than requests are late and transactions stay open. */
const SETTLED_MS = 60_000;
/** For the first entries of all tasks. */
const BEGUN_WITHIN_MS = 20_000;

export type UpheavalKind = NonNullable<Scenario['upheaval']>;

export class Upheaval {
  readonly #installation: Installation;
  readonly #random: Random;
  readonly #kind: UpheavalKind;

  constructor(installation: Installation, random: Random, kind: UpheavalKind) {
    this.#installation = installation;
    this.#random = random;
    this.#kind = kind;
  }

  /** In a world that is well otherwise. False: there was nothing to it, the job may go on. */
  async run(owner: Owner): Promise<boolean> {
    const { world } = this.#installation;
    const begun = () => [...this.#installation.tasks.values()].every((task) => this.#entries(task) > 0);
    if (!(await world.until(begun, BEGUN_WITHIN_MS))) return false;
    switch (this.#kind) {
      case 'topic re-created':
        return await this.#recreate(owner);
      case 'partitions added':
        return await this.#grow();
      case 'retention overtakes':
        return await this.#overtake();
    }
  }

  async #recreate(owner: Owner): Promise<boolean> {
    const { cluster } = this.#installation.world;
    const topic = this.#random.pick(this.#begunWith(() => true));
    const isSource = this.#installation.sources[topic] !== undefined;
    const { partitions } = cluster.topics.get(topic)!;
    // What tasks write themselves is watched by their process, not by them: there they learn of it when they start.
    const running = isSource && this.#random.chance(0.5);
    // Those that were replaced and do not know it go on with what they have read of the old one.
    await this.#killAll(running ? owner : null);
    const concerned = this.#tasks(({ plan }) => [plan.input.topic, plan.commitTopic].includes(topic));
    cluster.deleteTopics([topic]);
    cluster.createTopics([{ topic, partitionCount: partitions.length }]);
    await this.#ends('topic-recreated', concerned, running ? owner : null);
    if (isSource) return true;
    const written = cluster.topics.get(topic)!.partitions.flatMap(({ archive }) => archive);
    require(written.length === 0, 'rows', () => `${topic} was created again, and written to as if it were the old one`);
    return true;
  }

  async #grow(): Promise<boolean> {
    const { cluster } = this.#installation.world;
    const topic = this.#random.pick(this.#begunWith((name) => !name.includes('.commits.')));
    await this.#killAll();
    cluster.createPartitions(topic, cluster.topics.get(topic)!.partitions.length + this.#random.range(1, 2));
    const concerned = this.#tasks(({ plan }) => plan.topics.includes(topic));
    await this.#ends('topic-partitions-changed', concerned, null);
    return true;
  }

  async #overtake(): Promise<boolean> {
    const { world } = this.#installation;
    const [topic, partition] = this.#random.pick(
      Object.entries(this.#installation.sources).flatMap(([name, { partitionCount }]) =>
        Array.from({ length: partitionCount }, (_, at) => [name, at] as const),
      ),
    );
    const concerned = this.#tasks(({ plan }) => plan.input.topic === topic && plan.input.partition === partition);
    await this.#killAll();
    const stored = world.cluster.partition({ topic, partition })!;
    const [task] = concerned.values();
    if (this.#consumed(task) >= stored.end) return false;
    world.cluster.deleteRecords({ topic, partition }, stored.end);
    // It may owe entries that take no input: those it makes.
    await this.#ends('offset-out-of-range', concerned, null, (one) => this.#consumed(one));
    return true;
  }

  /** The concerned tasks end with that code, and nobody commits anything for them from then on. */
  async #ends(
    code: string,
    concerned: ReadonlyMap<string, TaskRecord>,
    running: Owner | null,
    measure: (task: TaskRecord) => number = (task) => this.#entries(task),
  ): Promise<void> {
    const installation = this.#installation;
    const { coverage, world } = installation;
    installation.mayEnd.add(code);
    installation.overturned = true;
    coverage.add(`upheaval: ${this.#kind}`);
    installation.tell(`upheaval: ${this.#kind}`);
    const measured = () => [...concerned.values()].map(measure).join();
    const before = measured();
    const instance = running ?? installation.launch();
    const ended = () => [...concerned.keys()].every((name) => instance.outcomes.has(name));
    const inTime = await world.until(ended, NOTICED_WITHIN_MS);
    require(inTime, 'liveness', () => `${this.#kind}: ${[...concerned.keys()]} do not all end`);
    // A damaged checkpoint of a version that stopped cleanly is noticed before the topics are.
    const codes = world.disk(STORAGE).counts.bitsFlipped > 0 ? [code, 'version-mismatch'] : [code];
    for (const name of concerned.keys()) {
      const outcome = instance.outcomes.get(name)!;
      const isRight = outcome.kind === 'failed' && codes.includes(outcome.failure.code);
      require(isRight, 'task-failed', () => `${this.#kind}: ${name} ends ${JSON.stringify(outcome)}, expected ${code}`);
    }
    const then = measured();
    const committed = () => `${this.#kind}: ${[...concerned.keys()]} had committed ${before} and have ${then}`;
    require(running !== null || before === then, 'commit-log', committed);
    await world.pass(QUIET_MS);
    require(measured() === then, 'commit-log', () => `${committed()}, later ${measured()}`);
  }

  /** Topics that the job began with and cannot do without. */
  #begunWith(suits: (topic: string) => boolean): string[] {
    const topics = new Set<string>();
    for (const { plan } of this.#installation.tasks.values()) topics.add(plan.input.topic).add(plan.commitTopic);
    return [...topics].filter(suits);
  }

  #tasks(suits: (task: TaskRecord) => boolean): Map<string, TaskRecord> {
    return new Map([...this.#installation.tasks].filter(([, task]) => suits(task)));
  }

  /** What they had sent arrives, and what they had begun is ended. */
  async #killAll(but: Owner | null = null): Promise<void> {
    for (const instance of this.#installation.instances) if (instance !== but) instance.kill();
    await this.#installation.world.pass(SETTLED_MS);
  }

  /** Those, too, whose commit the coordinator has taken: that there are no markers yet makes them no later ones. */
  #entries({ plan }: TaskRecord): number {
    const { originals } = this.#installation.world.cluster;
    const { archive } = originals.get(plan.commitTopic)!.partitions[plan.identity.partition];
    return archive.filter(({ control, decided, fate }) => !control && decided && fate !== 'aborted').length;
  }

  #consumed({ plan }: TaskRecord): number {
    const last = lastDecided(this.#installation.world, plan.commitTopic, plan.identity.partition);
    return Number(last?.inputs[0].endOffset ?? 0);
  }
}
