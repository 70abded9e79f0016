// Owns what the acceptance runs of jobs over records have in common: topics that are fed in a given order, outputs that
// are read by Kafka's own consumer, waiting for them, and how much keyed state has left memory.

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { kafkaJs } from '#test/harness/kafkajs-client.ts';
import { CommittedTail } from './oracle/committed-tail.ts';
import type { OutputRecord } from './oracle/comparison.ts';
import { createTopic, KafkaFeed } from './oracle/kafka-feed.ts';
import { until } from './oracle/until.ts';
import type { Installation, Product } from './process-harness.ts';

export interface FedRecord {
  readonly topic: string;
  readonly partition: number;
  readonly key: string;
  readonly value: object | Buffer;
  readonly at: number;
}

const CHUNK = 500;
const PATIENCE_MS = 120_000;
const NO_INTENT = { finite: 0, notFinite: 0, bad: 0 };

/** Inputs and outputs of one run. */
export class RecordRun {
  readonly #feeds: ReadonlyMap<string, KafkaFeed>;
  readonly #tails: ReadonlyMap<string, CommittedTail>;

  private constructor(feeds: ReadonlyMap<string, KafkaFeed>, tails: ReadonlyMap<string, CommittedTail>) {
    this.#feeds = feeds;
    this.#tails = tails;
  }

  /** Creates the topics: what is fed, by name with its partitions, and what is read. */
  static async open(
    brokers: readonly string[],
    fed: Readonly<Record<string, number>>,
    read: readonly string[],
  ): Promise<RecordRun> {
    const kafka = kafkaJs(brokers);
    const feeds = new Map<string, KafkaFeed>();
    const tails = new Map<string, CommittedTail>();
    for (const [topic, partitions] of Object.entries(fed)) {
      await createTopic(kafka, topic, partitions);
      feeds.set(topic, await KafkaFeed.open(brokers, topic, partitions));
    }
    for (const topic of read) {
      await createTopic(kafka, topic, 2);
      tails.set(topic, await CommittedTail.start(brokers, topic));
    }
    return new RecordRun(feeds, tails);
  }

  /** Writes records in their order; of two topics in turns. */
  async write(records: readonly FedRecord[]): Promise<void> {
    for (let from = 0; from < records.length; from += CHUNK) {
      const byTopic = Map.groupBy(records.slice(from, from + CHUNK), ({ topic }) => topic);
      for (const [topic, chunk] of byTopic) {
        await this.#feedOf(topic).write(
          chunk.map(({ at, key, partition, value }) => ({
            partition,
            key: Buffer.from(key),
            value: Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value)),
            headers: [],
            timestampMs: at,
            intent: NO_INTENT,
          })),
        );
      }
    }
  }

  /** What a topic has so far. */
  seen<T>(topic: string): T[] {
    return this.#tailOf(topic).records.map(parsed<T>);
  }

  /** Waits until a process has put out what `done` looks for. */
  async waitFor<T>(
    topic: string,
    done: (values: readonly T[]) => boolean,
    what: string,
    by: { readonly product: Product; readonly installation: Installation },
  ): Promise<void> {
    const state = () => `${topic} has ${this.seen(topic).length} records\n${by.installation.report()}`;
    await until(() => !by.product.running || done(this.seen<T>(topic)), what, PATIENCE_MS, state);
    if (!by.product.running) throw new Error(`the process ended by itself:\n${by.installation.report()}`);
  }

  /** All that was committed, to the end of the topic. */
  async finish<T>(topic: string): Promise<T[]> {
    return (await this.#tailOf(topic).finish()).map(parsed<T>);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#tails.values()].map((tail) => tail.stop()));
    await Promise.all([...this.#feeds.values()].map((feed) => feed.close()));
  }

  #feedOf(topic: string): KafkaFeed {
    const feed = this.#feeds.get(topic);
    if (feed === undefined) throw new Error(`nobody feeds ${topic}`);
    return feed;
  }

  #tailOf(topic: string): CommittedTail {
    const tail = this.#tails.get(topic);
    if (tail === undefined) throw new Error(`nobody reads ${topic}`);
    return tail;
  }
}

function parsed<T>({ value }: OutputRecord): T {
  return JSON.parse(String(value)) as T;
}

/** Bytes of keyed state on disk: none as long as all of it fits into memory. */
export async function swappedBytes(installation: Installation): Promise<number> {
  const root = join(installation.directory, 'data/state');
  const names = await readdir(root, { recursive: true }).catch(() => []);
  const sizes = names.map(async (name) => {
    const found = await stat(join(root, name)).catch(() => null);
    return found?.isFile() ? found.size : 0;
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
