// The acceptance of the whole slice on a real Kafka: 300,000 samples around a midnight, the process killed five times at
// seeded moments, and every row of four resolutions there once and right. MILLRACE_TEST_SEED repeats a run.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sharedKafka, uniqueName } from '#test/harness/shared-kafka.ts';
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
  phaseSizes,
  type RunTopics,
  requiredRows,
  Script,
  verdict,
} from './rollups-scenario.ts';

const KILLS = 5;
const CHUNK_RECORDS = 1000;
const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20260301);

let cluster: { readonly brokers: string[] };
let admin: Admin;

beforeAll(async () => {
  cluster = await sharedKafka();
  admin = new Kafka({ brokers: cluster.brokers, logLevel: logLevel.NOTHING, retry: { retries: 10 } }).admin();
  await admin.connect();
});

afterAll(async () => {
  await admin?.disconnect();
});

test.each<[Placement, 'series' | 'producer' | undefined]>([
  ['spread', undefined],
  ['producer', 'producer'],
  ['series', 'series'],
])(
  'samples placed by %s, declared %s: every row once and right through five kills',
  async (placement, partitionedBy) => {
    const run = await KilledRun.prepare(placement, partitionedBy);
    try {
      await run.feedThroughKills();
      expect(await run.verdict()).toBe('');
    } finally {
      await run.end();
    }
  },
  600_000,
);

class KilledRun {
  readonly #script: Script;
  readonly #random = new Random(SEED);
  readonly #topics: RunTopics;
  readonly #namespace: string;
  readonly #installation: Installation;
  readonly #feed: KafkaFeed;
  #tails: CommittedTail[] = [];
  #product: Product | null = null;

  private constructor(
    script: Script,
    topics: RunTopics,
    namespace: string,
    installation: Installation,
    feed: KafkaFeed,
  ) {
    this.#script = script;
    this.#topics = topics;
    this.#namespace = namespace;
    this.#installation = installation;
    this.#feed = feed;
  }

  static async prepare(placement: Placement, partitionedBy: 'series' | 'producer' | undefined): Promise<KilledRun> {
    const nowMs = Date.now();
    const data: DataSetOptions = { ...FULL_DATA_SET, seed: SEED, midnightMs: midnightBefore(nowMs), placement };
    const namespace = uniqueName(placement);
    const topics = { source: `${namespace}.raw`, outputPrefix: `${namespace}.rollup` };
    await createTopic(
      new Kafka({ brokers: cluster.brokers, logLevel: logLevel.NOTHING }),
      topics.source,
      data.partitionCount,
    );
    const options = {
      topic: topics.source,
      outputPrefix: topics.outputPrefix,
      ...(partitionedBy && { partitionedBy }),
    };
    const installation = await Installation.create({
      brokers: cluster.brokers,
      namespace,
      jobs: { rollups: { module: 'jobs/rollups.ts', parallelism: 2, checkpointInterval: '1s', options } },
    });
    const feed = await KafkaFeed.open(cluster.brokers, topics.source, data.partitionCount);
    return new KilledRun(new Script(data, nowMs), topics, namespace, installation, feed);
  }

  async feedThroughKills(): Promise<void> {
    const { seriesCount, rounds } = this.#script.options;
    for (const size of phaseSizes(KILLS, seriesCount * rounds, this.#random)) {
      const before = await this.#entries();
      this.#product = this.#installation.start();
      const first = Math.min(size, 6 * CHUNK_RECORDS);
      await this.#write(first);
      await until(
        async () => (await this.#entries()) > before,
        'an entry committed',
        60_000,
        () => this.#installation.report(),
      );
      await this.#openTails();
      await this.#write(size - first);
      if (this.#script.done) return;
      await sleep(this.#random.integer(300));
      await this.#product.kill();
    }
  }

  /** Waits for the last rows, stops the process cleanly and compares. */
  async verdict(): Promise<string> {
    const expectation = this.#script.expectation();
    const faults: string[] = [];
    const note = (error: unknown) => void faults.push(String(error));
    for (const tail of this.#tails) {
      const count = requiredRows(expectation, tail.topic);
      await tail.waitFor((records) => records.length >= count, `${count} rows`, 60_000).catch(note);
    }
    const letters = this.#tails.find((tail) => tail.topic === deadLetterTopic(this.#topics));
    const bad = expectation.counts.bad;
    await letters?.waitFor((records) => records.length >= bad, `${bad} dead letters`, 60_000).catch(note);
    const exit = await this.#product?.stop();
    if (exit?.code !== 0) faults.push(`the clean stop ended with ${JSON.stringify(exit)}`);
    const published = new Map<string, readonly OutputRecord[]>();
    for (const tail of this.#tails) {
      await tail.finish().catch(note);
      published.set(tail.topic, tail.records);
    }
    const differences = verdict(expectation, this.#topics, published, {
      rowPartitionCount: this.#script.options.partitionCount,
    });
    if (differences !== '') faults.push(differences);
    if (faults.length > 0) faults.push(`seed ${SEED}`, this.#installation.report());
    return faults.join('\n');
  }

  async end(): Promise<void> {
    await this.#installation.remove();
    await Promise.all(this.#tails.map((tail) => tail.stop()));
    await this.#feed.close();
  }

  async #write(count: number): Promise<void> {
    for (let left = count; left > 0 && !this.#script.done; left -= CHUNK_RECORDS) {
      this.#script.written(await this.#feed.write(this.#script.next(Math.min(left, CHUNK_RECORDS))));
      await sleep(this.#random.integer(20));
    }
  }

  /** Records in the commit logs, control records included: grows with every entry. */
  async #entries(): Promise<number> {
    const topics = (await admin.listTopics()).filter(
      (topic) => topic.startsWith(`__${this.#namespace}.`) && topic.includes('.commits.'),
    );
    const offsets = await Promise.all(topics.map((topic) => admin.fetchTopicOffsets(topic)));
    return offsets.flat().reduce((sum, { high }) => sum + Number(high), 0);
  }

  async #openTails(): Promise<void> {
    if (this.#tails.length > 0) return;
    const topics = [...outputTopics(this.#topics), deadLetterTopic(this.#topics), lateTopic(this.#topics)];
    this.#tails = await Promise.all(topics.map((topic) => CommittedTail.start(cluster.brokers, topic)));
  }
}
