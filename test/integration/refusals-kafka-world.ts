// Owns one installation on Kafka with many rollup jobs, each with topics of its own, so that every job can suffer
// something else in one process. Feeds them, damages them, and reads what they said and where their output ends.

import type { Admin, Kafka } from 'kafkajs';
import { kafkaJs } from '#test/harness/kafkajs-client.ts';
import { uniqueName } from '#test/harness/shared-kafka.ts';
import type { DataRecord } from './oracle/data-set.ts';
import { createTopic, KafkaFeed } from './oracle/kafka-feed.ts';
import { until } from './oracle/until.ts';
import { Installation, type Product } from './process-harness.ts';
import { USER_VIEW } from './refusal.ts';
import { smallScript } from './refusals-embedded-world.ts';

/** One is enough to lose, and many jobs share the machine. */
const PARTITIONS = 1;
const PATIENCE_MS = 120_000;

export interface JobFailure {
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
}

export class KafkaWorld {
  readonly namespace: string;
  readonly brokers: readonly string[];
  readonly jobs: readonly string[];
  readonly installation: Installation;
  readonly admin: Admin;
  readonly #kafka: Kafka;
  readonly #feeds = new Map<string, KafkaFeed>();
  readonly #others: Installation[] = [];

  private constructor(
    namespace: string,
    brokers: readonly string[],
    jobs: readonly string[],
    installation: Installation,
  ) {
    this.namespace = namespace;
    this.brokers = brokers;
    this.jobs = jobs;
    this.installation = installation;
    this.#kafka = kafkaJs(brokers);
    this.admin = this.#kafka.admin();
  }

  static async create(brokers: readonly string[], jobs: readonly string[]): Promise<KafkaWorld> {
    const namespace = uniqueName('refusals');
    const world = new KafkaWorld(namespace, brokers, jobs, await install(namespace, brokers, jobs));
    await world.admin.connect();
    await Promise.all(jobs.map((job) => world.createSource(job)));
    return world;
  }

  source(job: string): string {
    return `${this.namespace}.${job}`;
  }

  internal(job: string, name: string): string {
    return `__${this.namespace}.${job}.live.0.${name}`;
  }

  async createSource(job: string): Promise<void> {
    await createTopic(this.#kafka, this.source(job), PARTITIONS);
    await this.#feeds.get(job)?.close();
    this.#feeds.set(job, await KafkaFeed.open(this.brokers, this.source(job), PARTITIONS));
  }

  async recreateSource(job: string): Promise<void> {
    await this.delete(this.source(job));
    await this.createSource(job);
  }

  async delete(topic: string): Promise<void> {
    await this.admin.deleteTopics({ topics: [topic] });
    const gone = async () => !(await this.admin.listTopics()).includes(topic);
    await until(gone, `${topic} to be gone`, PATIENCE_MS);
  }

  async growSource(job: string): Promise<void> {
    await this.admin.createPartitions({ topicPartitions: [{ topic: this.source(job), count: PARTITIONS + 1 }] });
  }

  async write(jobs: readonly string[], records: readonly DataRecord[]): Promise<void> {
    await Promise.all(jobs.map((job) => this.#feeds.get(job)?.write(records)));
  }

  /** Another installation with the same configuration and a store of its own. */
  async another(): Promise<Installation> {
    const other = await install(this.namespace, this.brokers, this.jobs);
    this.#others.push(other);
    return other;
  }

  /** Where the row topics of a job end. */
  async ends(job: string): Promise<string> {
    const offsets = await Promise.all(
      ['1m', '5m', '1h', '1d'].map((resolution) =>
        this.admin.fetchTopicOffsets(`${this.namespace}.${job}.rollup.${resolution}`),
      ),
    );
    return offsets
      .map((topic) =>
        topic
          .map(({ partition, high }) => `${partition}:${high}`)
          .sort()
          .join(' '),
      )
      .join(' | ');
  }

  async untilEndsChange(job: string, before: string, product: Product): Promise<void> {
    const changed = async () => {
      const ends = await this.ends(job).catch(() => before);
      return ends !== before && /:[1-9]/.test(ends);
    };
    await until(changed, `rows of ${job}`, PATIENCE_MS, () => product.tail());
  }

  /** Until the commit logs of the first stage were trimmed: entry 0 is gone. */
  async untilTrimmed(job: string, step: () => Promise<void>): Promise<void> {
    const trimmed = async () => {
      await step();
      const offsets = await this.admin.fetchTopicOffsets(this.internal(job, 'commits.samples'));
      return offsets.every(({ low }) => Number(low) > 0);
    };
    await until(trimmed, `the commit logs of ${job} to be trimmed`, PATIENCE_MS, () => this.installation.report());
  }

  async end(): Promise<void> {
    await Promise.all([this.installation, ...this.#others].map((installation) => installation.remove()));
    await Promise.all([...this.#feeds.values()].map((feed) => feed.close()));
    await this.admin.disconnect();
  }
}

function install(namespace: string, brokers: readonly string[], jobs: readonly string[]): Promise<Installation> {
  const choices = jobs.map((name) => {
    const options = { name, topic: `${namespace}.${name}`, outputPrefix: `${namespace}.${name}.rollup` };
    return [name, { module: 'jobs/rollups.ts', parallelism: 2, checkpointInterval: '1s', options }];
  });
  return Installation.create({ brokers, namespace, jobs: Object.fromEntries(choices), env: USER_VIEW });
}

/** The log line with which the process says that a job failed, as soon as it is there. */
export async function failureOf(product: Product, job: string): Promise<JobFailure> {
  const line = await product.waitForLine(new RegExp(`"job":"${job}","state":"FAILED"`), PATIENCE_MS);
  const { code, msg, remedy } = JSON.parse(line);
  return { code, message: msg, remedy };
}

/** Records of the small data set, in two parts; the second closes all windows. */
export function twoParts(): [DataRecord[], DataRecord[]] {
  const script = smallScript(PARTITIONS);
  return [script.next(800), script.next(Number.POSITIVE_INFINITY)];
}
