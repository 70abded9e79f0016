// Owns administration of the cluster: kafkajs for what changes topics (its door), our own requests for what must be
// exact. kafkajs is loaded and connected when first needed; its first call on a fresh cluster may fail, so it is tried
// again; its own log is silent, its errors become ours.

import { createRequire } from 'node:module';
import type { ITopicConfig, Admin as KafkaJsAdmin } from 'kafkajs';
import type { LogAdmin, OffsetQuery, TopicDescription, TopicPartition, TopicSpec } from '#runtime/log/contract.ts';
import { errorName, isCoordinatorMoved, NONE, UNKNOWN_TOPIC_OR_PARTITION } from '#runtime/log/kafka/broker-error.ts';
import { type Cluster, topicUnknown, unavailable } from '#runtime/log/kafka/cluster.ts';
import { listOffsets } from '#runtime/log/kafka/offsets.ts';
import type { ReaderOptions } from '#runtime/log/kafka/reader.ts';
import { cutRecords } from '#runtime/log/kafka/record-cuts.ts';
import { searchTimes } from '#runtime/log/kafka/time-search.ts';
import { offsetCommitRequest } from '#runtime/log/kafka/wire/coordinator.ts';
import { metadataRequest, type TopicMetadata } from '#runtime/log/kafka/wire/metadata.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface AdminOptions {
  /** Replication of topics it creates; -1 leaves it to the brokers. */
  readonly replication: number;
  /** For looking at records by time. */
  readonly reading: ReaderOptions;
}

const PAUSE_MS = 100;
const ATTEMPTS_MAX = 5;
const TOPIC_RESOURCE = 2;

export class KafkaAdmin implements LogAdmin {
  readonly #cluster: Cluster;
  readonly #options: AdminOptions;
  #admin: Promise<KafkaJsAdmin> | null = null;

  constructor(cluster: Cluster, options: AdminOptions) {
    this.#cluster = cluster;
    this.#options = options;
  }

  async identity(): Promise<string> {
    return (await this.#cluster.refresh([])).clusterId;
  }

  async describeTopics(topics: readonly string[]): Promise<(TopicDescription | null)[]> {
    if (topics.length === 0) return [];
    const { clock, requestTimeoutMs } = this.#cluster.options;
    const deadlineMs = clock.monotonicMs() + requestTimeoutMs;
    for (;;) {
      const answer = await this.#cluster.refresh([...new Set(topics)]);
      const byName = new Map(answer.topics.map((topic) => [topic.topic, topic]));
      const odd = answer.topics.find(({ error }) => error !== NONE && error !== UNKNOWN_TOPIC_OR_PARTITION);
      if (odd === undefined) return topics.map((topic) => description(byName.get(topic)));
      if (clock.monotonicMs() > deadlineMs) throw unavailable(`topic '${odd.topic}': ${errorName(odd.error)}`);
      await this.#cluster.pause(PAUSE_MS);
    }
  }

  async listTopics(): Promise<string[]> {
    const { topics } = await this.#cluster.refresh(null);
    return topics.filter(({ error, internal }) => error === NONE && !internal).map(({ topic }) => topic);
  }

  async listOffsets(queries: readonly OffsetQuery[]): Promise<bigint[]> {
    const offsets = await listOffsets(this.#cluster, queries);
    await searchTimes(this.#cluster, this.#options.reading, queries, offsets);
    return offsets;
  }

  async describeConfig(topic: string): Promise<Readonly<Record<string, string>>> {
    await this.#existing(topic);
    const resources = [{ type: TOPIC_RESOURCE, name: topic }];
    const answer = await this.#call(`describe the configuration of '${topic}'`, (admin) =>
      admin.describeConfigs({ resources, includeSynonyms: false }),
    );
    return Object.fromEntries(
      answer.resources[0].configEntries.map(({ configName, configValue }) => [configName, configValue ?? '']),
    );
  }

  async createTopics(specs: readonly TopicSpec[]): Promise<void> {
    if (specs.length === 0) return;
    const topics: ITopicConfig[] = specs.map(({ topic, partitionCount, config = {} }) => ({
      topic,
      numPartitions: partitionCount,
      replicationFactor: this.#options.replication,
      configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
    }));
    const names = specs.map(({ topic }) => topic);
    // False only says that one of them was there already.
    await this.#call(`create topics ${names.join(', ')}`, (admin) =>
      admin.createTopics({ topics, waitForLeaders: false }),
    );
    await this.#everywhere(names, ({ error, leaders }) => error === NONE && leaders.every((leader) => leader >= 0));
    await this.#answering(names);
  }

  async createPartitions(topic: string, partitionCount: number): Promise<void> {
    const { partitionCount: present } = await this.#existing(topic);
    if (present === partitionCount) return;
    if (present > partitionCount) {
      const message = `topic '${topic}' has ${present} partitions, they cannot become ${partitionCount}`;
      throw new StreamError('topic-partitions-changed', message, 'partitions can only be added');
    }
    const topicPartitions = [{ topic, count: partitionCount }];
    await this.#call(`add partitions to '${topic}'`, (admin) => admin.createPartitions({ topicPartitions }));
    await this.#everywhere(
      [topic],
      ({ error, leaders }) => error === NONE && leaders.length === partitionCount && leaders.every((one) => one >= 0),
    );
    await this.#answering([topic]);
  }

  async deleteTopics(topics: readonly string[]): Promise<void> {
    const present = (await this.describeTopics(topics)).filter((topic) => topic !== null).map(({ topic }) => topic);
    for (const topic of present) {
      await this.#call(`delete topic '${topic}'`, async (admin) => {
        await admin.deleteTopics({ topics: [topic] }).catch((error: Error) => {
          if ((error as { type?: string }).type !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error;
        });
      });
    }
    this.#cluster.forget(present);
    if (present.length > 0) await this.#everywhere(present, ({ error }) => error === UNKNOWN_TOPIC_OR_PARTITION);
  }

  deleteRecords(cuts: readonly (TopicPartition & { readonly before: bigint })[]): Promise<void> {
    return cutRecords(this.#cluster, cuts);
  }

  async publishOffsets(
    group: string,
    offsets: readonly (TopicPartition & { readonly offset: bigint })[],
  ): Promise<void> {
    if (offsets.length === 0) return;
    const { clock, requestTimeoutMs } = this.#cluster.options;
    const deadlineMs = clock.monotonicMs() + requestTimeoutMs;
    for (;;) {
      const connection = await this.#cluster.shared(await this.#cluster.coordinator('group', group, deadlineMs));
      const results = await connection.request(offsetCommitRequest(group, offsets));
      const refused = results.find(({ error }) => error !== NONE);
      if (refused === undefined) return;
      const { topic, partition, error } = refused;
      const what = `offset of ${topic}/${partition} for group '${group}': ${errorName(error)}`;
      if (!isCoordinatorMoved(error)) {
        throw new StreamError('log-protocol', what, 'let nothing but Millrace use its consumer groups');
      }
      if (clock.monotonicMs() > deadlineMs) throw unavailable(what);
      await this.#cluster.pause(PAUSE_MS);
    }
  }

  async #existing(topic: string): Promise<TopicDescription> {
    const [found] = await this.describeTopics([topic]);
    if (found === null) throw topicUnknown(topic);
    return found;
  }

  /** Waits until every broker that answers sees the topics so; one that does not answer will learn it when it is back. */
  async #everywhere(topics: readonly string[], so: (topic: TopicMetadata) => boolean): Promise<void> {
    const { clock, requestTimeoutMs } = this.#cluster.options;
    const deadlineMs = clock.monotonicMs() + requestTimeoutMs;
    await this.#cluster.refresh(topics);
    for (const nodeId of this.#cluster.nodeIds) {
      for (;;) {
        let seen: readonly TopicMetadata[];
        try {
          const connection = await this.#cluster.shared(nodeId);
          seen = (await connection.request(metadataRequest(topics))).topics;
        } catch (error) {
          if (!(error instanceof StreamError)) throw error;
          break;
        }
        if (seen.length === topics.length && seen.every(so)) break;
        if (clock.monotonicMs() > deadlineMs) {
          throw unavailable(
            `broker ${this.#cluster.addressOf(nodeId)} does not see the change of ${topics.join(', ')}`,
          );
        }
        await this.#cluster.pause(PAUSE_MS / 5);
      }
    }
    await this.#cluster.refresh(topics);
  }

  /** Waits until the leaders know that they lead: for some milliseconds they refuse what everybody sends them. */
  async #answering(topics: readonly string[]): Promise<void> {
    const queries: OffsetQuery[] = [];
    for (const topic of topics) {
      const count = this.#cluster.known(topic)?.leaders.length ?? 0;
      for (let partition = 0; partition < count; partition++) queries.push({ topic, partition, at: 'high-watermark' });
    }
    await listOffsets(this.#cluster, queries);
  }

  async #call<T>(what: string, call: (admin: KafkaJsAdmin) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        this.#admin ??= this.#connect();
        return await call(await this.#admin);
      } catch (error) {
        if (this.#cluster.closed.aborted) throw unavailable('the client was closed');
        if (attempt >= ATTEMPTS_MAX || isRefusal(error)) throw explained(what, error);
        await this.#disconnect();
        await this.#cluster.pause(PAUSE_MS * attempt);
      }
    }
  }

  async #connect(): Promise<KafkaJsAdmin> {
    const { Kafka, logLevel } = await import('kafkajs');
    mendRequestQueue();
    const { brokers, clientId, requestTimeoutMs } = this.#cluster.options;
    const admin = new Kafka({
      brokers: [...brokers],
      clientId,
      logLevel: logLevel.NOTHING,
      requestTimeout: requestTimeoutMs,
      connectionTimeout: requestTimeoutMs,
      retry: { retries: 2, initialRetryTime: 50 },
    }).admin();
    await admin.connect();
    return admin;
  }

  async #disconnect(): Promise<void> {
    const admin = this.#admin;
    this.#admin = null;
    await admin?.then((connected) => connected.disconnect()).catch(() => {});
  }

  async close(): Promise<void> {
    await this.#disconnect();
  }
}

interface RequestQueue {
  readonly pending: readonly unknown[];
  scheduleCheckPendingRequests(): void;
}

let mended = false;

/**
 * kafkajs looks at its empty queue every millisecond for as long as it is connected, by a timer with a negative time of
 * which Node warns (2.2.4). Here it looks when something waits.
 */
function mendRequestQueue(): void {
  if (mended) return;
  mended = true;
  const queue: { readonly prototype: RequestQueue } = createRequire(import.meta.url)(
    'kafkajs/src/network/requestQueue',
  );
  const schedule = queue.prototype.scheduleCheckPendingRequests;
  queue.prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length > 0) schedule.call(this);
  };
}

function description(topic: TopicMetadata | undefined): TopicDescription | null {
  if (topic === undefined || topic.error !== NONE) return null;
  return { topic: topic.topic, topicId: topic.topicId, partitionCount: topic.leaders.length };
}

/** Errors that the same call would meet again. */
const REFUSALS = new Set([
  'INVALID_TOPIC_EXCEPTION',
  'INVALID_PARTITIONS',
  'INVALID_REPLICATION_FACTOR',
  'INVALID_CONFIG',
  'INVALID_REQUEST',
  'POLICY_VIOLATION',
  'TOPIC_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
]);

/** kafkajs hides the broker's error in lists of errors, one per topic or partition. */
function causes(error: unknown): { message: string; type?: string }[] {
  const { errors, partitions, cause } = error as {
    errors?: unknown[];
    partitions?: { error: unknown }[];
    cause?: unknown;
  };
  if (errors !== undefined) return errors.flatMap(causes);
  if (partitions !== undefined) return partitions.flatMap((one) => causes(one.error));
  const own = error as { message: string; type?: string };
  return cause instanceof Error && own.type === undefined ? causes(cause) : [own];
}

function isRefusal(error: unknown): boolean {
  return causes(error).some(({ type }) => type !== undefined && REFUSALS.has(type));
}

function explained(what: string, error: unknown): StreamError {
  if (error instanceof StreamError) return error;
  const why = [...new Set(causes(error).map(({ message }) => message))].join('; ');
  if (isRefusal(error)) {
    const remedy = 'correct the topic or its configuration, or the rights of this client';
    return new StreamError('log-protocol', `cannot ${what}: ${why}`, remedy, { cause: error });
  }
  return unavailable(`cannot ${what}: ${why}`, error);
}
