// Owns how a data set gets into Kafka and where it came to lie: topics with given partitions, records in order with
// kafkajs, the offset of each. Knows nothing of what is in a record.

import { randomUUID } from 'node:crypto';
import type { Kafka, Message, Producer } from 'kafkajs';
import { kafkaJs } from '#test/harness/kafkajs-client.ts';
import type { DataRecord } from './data-set.ts';
import type { InputRecord } from './rollup-oracle.ts';
import { until } from './until.ts';

/** Creates a topic with a name of its own; returns the name. */
export async function topicOf(kafka: Kafka, name: string, partitionCount: number): Promise<string> {
  const topic = `${name}-${randomUUID().slice(0, 8)}`;
  await createTopic(kafka, topic, partitionCount);
  return topic;
}

/** Returns when every partition has a leader: kafkajs' own waiting gives up while the cluster is still telling itself. */
export async function createTopic(kafka: Kafka, topic: string, partitionCount: number): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    const configEntries = [{ name: 'retention.ms', value: '-1' }];
    const topics = [{ topic, numPartitions: partitionCount, configEntries }];
    await admin.createTopics({ waitForLeaders: false, topics });
    const ready = async () => {
      const offsets = await admin.fetchTopicOffsets(topic).catch(() => []);
      return offsets.length === partitionCount;
    };
    await until(ready, `leaders of topic ${topic}`, 30_000);
  } finally {
    await admin.disconnect();
  }
}

/** Writes records of one topic, each partition in order; every record gets the next offset of its partition. */
export class KafkaFeed {
  readonly topic: string;
  readonly #brokers: readonly string[];
  #producer: Producer;
  readonly #next: number[];

  private constructor(brokers: readonly string[], topic: string, producer: Producer, partitionCount: number) {
    this.#brokers = brokers;
    this.topic = topic;
    this.#producer = producer;
    this.#next = new Array<number>(partitionCount).fill(0);
  }

  /** `topic` must be empty and written by nobody else. */
  static async open(brokers: readonly string[], topic: string, partitionCount: number): Promise<KafkaFeed> {
    return new KafkaFeed(brokers, topic, await connectProducer(brokers), partitionCount);
  }

  /** A producer of kafkajs does not always come through a restart of its broker: take a new one after it. */
  async reconnect(): Promise<void> {
    await this.#producer.disconnect().catch(() => {});
    this.#producer = await connectProducer(this.#brokers);
  }

  /** Resolves when all are acknowledged; where they lie is checked against the broker's answer. */
  async write(records: readonly DataRecord[]): Promise<InputRecord[]> {
    const placed = records.map(({ partition, key, value }) => {
      return { topic: this.topic, partition, offset: this.#next[partition]++, key, value };
    });
    const first = new Map<number, number>();
    for (const { partition, offset } of placed) if (!first.has(partition)) first.set(partition, offset);
    const answers = await this.#producer.send({ topic: this.topic, messages: records.map(message) });
    const told = new Map(answers.map(({ partition, baseOffset }) => [partition, Number(baseOffset)]));
    for (const [partition, offset] of first) {
      if (told.get(partition) !== offset) {
        throw new Error(
          `${this.topic}-${partition}: records expected at ${offset} were written at ${told.get(partition)}`,
        );
      }
    }
    return placed;
  }

  async close(): Promise<void> {
    await this.#producer.disconnect();
  }
}

async function connectProducer(brokers: readonly string[]): Promise<Producer> {
  const kafka = kafkaJs(brokers, 'feed');
  const producer = kafka.producer({ allowAutoTopicCreation: false, idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  return producer;
}

function message({ partition, key, value, headers, timestampMs }: DataRecord): Message {
  return { partition, key, value, headers: Object.fromEntries(headers), timestamp: `${timestampMs}` };
}
