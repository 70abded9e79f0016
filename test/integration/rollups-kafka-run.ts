// Owns one run of the rollup job on a Kafka: source topic, installation, feed, the independent readers of its output,
// and the verdict. What happens to processes and brokers meanwhile is the test's business.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Admin } from 'kafkajs';
import { kafkaJs } from '#test/harness/kafkajs-client.ts';
import { uniqueName } from '#test/harness/shared-kafka.ts';
import { CommittedTail } from './oracle/committed-tail.ts';
import type { OutputRecord } from './oracle/comparison.ts';
import { type DataSetOptions, FULL_DATA_SET, midnightBefore, type Placement } from './oracle/data-set.ts';
import { createTopic, KafkaFeed } from './oracle/kafka-feed.ts';
import { Random } from './oracle/random.ts';
import { until } from './oracle/until.ts';
import { Installation, type Product } from './process-harness.ts';
import {
  deadLetterTopic,
  lateTopic,
  outputTopics,
  type RunTopics,
  requiredRows,
  Script,
  verdict,
} from './rollups-scenario.ts';

const CHUNK_RECORDS = 1000;
const PATIENCE_MS = 120_000;

export interface KafkaRunOptions {
  readonly brokers: readonly string[];
  readonly seed: number;
  readonly placement: Placement;
  /** What the job is told about the source. */
  readonly partitionedBy?: 'series' | 'producer' | undefined;
  readonly data?: Partial<DataSetOptions>;
  /** @default 2 */
  readonly parallelism?: number;
}

export class KafkaRun {
  readonly script: Script;
  readonly random: Random;
  readonly installation: Installation;
  readonly #options: KafkaRunOptions;
  readonly #topics: RunTopics;
  readonly #namespace: string;
  readonly #admin: Admin;
  readonly #feed: KafkaFeed;
  #tails: CommittedTail[] = [];

  private constructor(
    options: KafkaRunOptions,
    script: Script,
    namespace: string,
    parts: { installation: Installation; admin: Admin; feed: KafkaFeed; topics: RunTopics },
  ) {
    this.#options = options;
    this.script = script;
    this.random = new Random(options.seed);
    this.#namespace = namespace;
    this.installation = parts.installation;
    this.#topics = parts.topics;
    this.#admin = parts.admin;
    this.#feed = parts.feed;
  }

  static async prepare(options: KafkaRunOptions): Promise<KafkaRun> {
    const { brokers, seed, placement, partitionedBy } = options;
    const nowMs = Date.now();
    const data = { ...FULL_DATA_SET, seed, midnightMs: midnightBefore(nowMs), placement, ...options.data };
    const namespace = uniqueName(placement);
    const topics = { source: `${namespace}.raw`, outputPrefix: `${namespace}.rollup` };
    const kafka = kafkaJs(brokers);
    await createTopic(kafka, topics.source, data.partitionCount);
    const moduleOptions = {
      topic: topics.source,
      outputPrefix: topics.outputPrefix,
      ...(partitionedBy && { partitionedBy }),
    };
    const installation = await Installation.create({
      brokers,
      namespace,
      jobs: {
        rollups: {
          module: 'jobs/rollups.ts',
          parallelism: options.parallelism ?? 2,
          checkpointInterval: '1s',
          options: moduleOptions,
        },
      },
    });
    const admin = kafka.admin();
    await admin.connect();
    const feed = await KafkaFeed.open(brokers, topics.source, data.partitionCount);
    return new KafkaRun(options, new Script(data, nowMs), namespace, { installation, admin, feed, topics });
  }

  /** What the module of the job is given. */
  get options(): Readonly<Record<string, unknown>> {
    const { partitionedBy } = this.#options;
    const { outputPrefix, source } = this.#topics;
    return { topic: source, outputPrefix, ...(partitionedBy && { partitionedBy }) };
  }

  /** Samples of the whole data set, about its number of records. */
  get size(): number {
    const { seriesCount, rounds } = this.script.options;
    return seriesCount * rounds;
  }

  /** Writes the next `count` records, in chunks with small pauses. */
  async write(count: number): Promise<void> {
    for (let left = count; left > 0 && !this.script.done; left -= CHUNK_RECORDS) {
      this.script.written(await this.#feed.write(this.script.next(Math.min(left, CHUNK_RECORDS))));
      await sleep(this.random.integer(20));
    }
  }

  /** To be called after a broker was away. */
  async reconnectFeed(): Promise<void> {
    await this.#feed.reconnect();
  }

  /** Starts a process and waits until it has committed something, writing a little so that there is something to do. */
  async start(): Promise<Product> {
    const before = await this.entries();
    const product = this.installation.start();
    await this.write(5 * CHUNK_RECORDS);
    await this.untilEntriesAbove(before, product);
    await this.#openTails();
    return product;
  }

  async untilEntriesAbove(before: number, product: Product): Promise<void> {
    const state = () => this.installation.report();
    const done = async () => !product.running || (await this.entries()) > before;
    await until(done, 'an entry committed', PATIENCE_MS, state);
    if (!product.running) throw new Error(`the process ended by itself:\n${state()}`);
  }

  /** Records in the commit logs, control records included: grows with every entry. */
  async entries(): Promise<number> {
    const names = await this.#admin.listTopics();
    const logs = names.filter((topic) => topic.startsWith(`__${this.#namespace}.`) && topic.includes('.commits.'));
    // A topic that was only just created may have no leader yet.
    const offsets = await Promise.all(logs.map((topic) => this.#admin.fetchTopicOffsets(topic).catch(() => [])));
    return offsets.flat().reduce((sum, { high }) => sum + Number(high), 0);
  }

  /** Waits for the last rows, stops the process cleanly and compares; empty when everything is right. */
  async verdict(product: Product): Promise<string> {
    const expectation = this.script.expectation();
    const faults: string[] = [];
    const note = (error: unknown) => void faults.push(String(error));
    const arrivals = this.#tails.map(async (tail) => {
      const letters = tail.topic === deadLetterTopic(this.#topics);
      const count = letters ? expectation.deadLetters.size : requiredRows(expectation, tail.topic);
      await tail.waitFor((records) => records.length >= count, `${count} records`, PATIENCE_MS).catch(note);
    });
    await Promise.all(arrivals);
    const exit = await product.stop();
    if (exit.code !== 0) faults.push(`the clean stop ended with ${JSON.stringify(exit)}`);
    const published = new Map<string, readonly OutputRecord[]>();
    await Promise.all(this.#tails.map((tail) => tail.finish().catch(note)));
    for (const tail of this.#tails) published.set(tail.topic, tail.records);
    const { partitionCount } = this.script.options;
    const differences = verdict(expectation, this.#topics, published, { rowPartitionCount: partitionCount });
    if (differences !== '') faults.push(differences);
    if (faults.length > 0) faults.push(`seed ${this.#options.seed}`, this.installation.report());
    return faults.join('\n');
  }

  /** Kills what still runs. */
  async end(): Promise<void> {
    await this.installation.remove();
    await Promise.all(this.#tails.map((tail) => tail.stop()));
    await this.#feed.close();
    await this.#admin.disconnect();
  }

  async #openTails(): Promise<void> {
    if (this.#tails.length > 0) return;
    const topics = [...outputTopics(this.#topics), deadLetterTopic(this.#topics), lateTopic(this.#topics)];
    this.#tails = await Promise.all(topics.map((topic) => CommittedTail.start(this.#options.brokers, topic)));
  }
}
