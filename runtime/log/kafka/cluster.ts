// Owns what a client knows of the brokers: addresses, topic ids, leaders, and one shared connection per broker for small
// questions. Readers and writers open their own. Knowledge is only ever as good as the last answer: `forget` when wrong.

import { errorName, isCoordinatorMoved, UNKNOWN_TOPIC_OR_PARTITION } from '#runtime/log/kafka/broker-error.ts';
import { Connection } from '#runtime/log/kafka/connection.ts';
import { FramePool } from '#runtime/log/kafka/frame-pool.ts';
import type { WireRequest } from '#runtime/log/kafka/wire/codec.ts';
import { findCoordinatorRequest } from '#runtime/log/kafka/wire/coordinator.ts';
import {
  type BrokerAddress,
  type MetadataAnswer,
  metadataRequest,
  type TopicMetadata,
} from '#runtime/log/kafka/wire/metadata.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface ClusterOptions {
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly clock: Clock;
  readonly requestTimeoutMs: number;
  readonly frameBytesMax: number;
}

const PAUSE_MS = 100;
/** A broker whose machine is gone does not even refuse: others are asked soon. */
const CONNECT_TIMEOUT_MS_MAX = 5000;
const SMALL_QUESTION_TIMEOUT_MS_MAX = 10_000;

export class Cluster {
  readonly options: ClusterOptions;
  readonly #pool = new FramePool();
  readonly #bootstrap: readonly BrokerAddress[];
  readonly #brokers = new Map<number, BrokerAddress>();
  readonly #topics = new Map<string, TopicMetadata>();
  readonly #shared = new Map<string, Promise<Connection>>();
  readonly #closed = new AbortController();
  /** Addresses that did not answer when they were asked last. */
  readonly #failed = new Set<string>();
  #turn = 0;

  constructor(options: ClusterOptions) {
    this.options = options;
    this.#bootstrap = options.brokers.map(bootstrapAddress);
  }

  /** The signal that ends every wait of this client. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** A connection of the caller's own. */
  async connect(nodeId: number, pool = this.#pool): Promise<Connection> {
    const broker = this.#brokers.get(nodeId);
    if (broker === undefined) throw unavailable(`broker ${nodeId} has no address yet`);
    return this.#open(broker, pool);
  }

  #open(broker: BrokerAddress, pool: FramePool): Promise<Connection> {
    const { clientId, clock, requestTimeoutMs, frameBytesMax } = this.options;
    const { host, port } = broker;
    const connectTimeoutMs = Math.min(requestTimeoutMs, CONNECT_TIMEOUT_MS_MAX);
    const options = { host, port, clientId, clock, pool, requestTimeoutMs, connectTimeoutMs, frameBytesMax };
    return Connection.open(options, this.#closed.signal);
  }

  /** The connection for small questions to one broker. */
  async shared(nodeId: number): Promise<Connection> {
    const broker = this.#brokers.get(nodeId);
    if (broker === undefined) throw unavailable(`broker ${nodeId} has no address yet`);
    return this.#sharedAt(broker);
  }

  async #sharedAt(broker: BrokerAddress): Promise<Connection> {
    const key = addressOf(broker);
    const known = this.#shared.get(key);
    if (known !== undefined) {
      const connection = await known;
      if (connection.open) return connection;
      if (this.#shared.get(key) === known) this.#shared.delete(key);
      return this.#sharedAt(broker);
    }
    const opening = this.#open(broker, this.#pool);
    this.#shared.set(key, opening);
    opening.catch(() => {
      if (this.#shared.get(key) === opening) this.#shared.delete(key);
    });
    return opening;
  }

  /** Asks one broker after the other, those last that did not answer before. Error: log-unavailable. */
  async askAny<T>(request: WireRequest<T>): Promise<T> {
    const all = [...this.#brokers.values(), ...this.#bootstrap];
    const turn = this.#turn++ % all.length;
    const candidates = [...all.slice(turn), ...all.slice(0, turn)];
    candidates.sort((a, b) => Number(this.#failed.has(addressOf(a))) - Number(this.#failed.has(addressOf(b))));
    const timeoutMs = Math.min(this.options.requestTimeoutMs, SMALL_QUESTION_TIMEOUT_MS_MAX);
    const tried = new Map<string, string>();
    for (const broker of candidates) {
      const address = addressOf(broker);
      if (tried.has(address)) continue;
      try {
        const connection = await this.#sharedAt(broker);
        const answer = await connection.request(request, timeoutMs);
        this.#failed.delete(address);
        return answer;
      } catch (error) {
        if (!(error instanceof StreamError) || error.code === 'log-unsupported') throw error;
        tried.set(address, error.message);
        this.#failed.add(address);
      }
    }
    throw unavailable(`no broker answers: ${[...tried.values()].join('; ')}`);
  }

  /** Asks for brokers and these topics (null: all) and remembers the answer. */
  async refresh(topics: readonly string[] | null): Promise<MetadataAnswer> {
    const answer = await this.askAny(metadataRequest(topics));
    if (answer.brokers.length > 0) this.#brokers.clear();
    for (const broker of answer.brokers) this.#brokers.set(broker.nodeId, broker);
    for (const topic of answer.topics) {
      if (topic.error === 0) this.#topics.set(topic.topic, topic);
      else this.#topics.delete(topic.topic);
    }
    return answer;
  }

  /** What the last answer said of a topic, if it existed. */
  known(topic: string): TopicMetadata | undefined {
    return this.#topics.get(topic);
  }

  forget(topics: Iterable<string>): void {
    for (const topic of topics) this.#topics.delete(topic);
  }

  addressOf(nodeId: number): string {
    const broker = this.#brokers.get(nodeId);
    return broker === undefined ? `broker ${nodeId}` : addressOf(broker);
  }

  /** Node ids of all brokers of the last answer. */
  get nodeIds(): readonly number[] {
    return [...this.#brokers.keys()];
  }

  /**
   * The leader of each partition, asked for until all have one. Errors: topic-unknown (also for a partition the topic
   * has not), log-unavailable.
   */
  async leaders(partitions: readonly { readonly topic: string; readonly partition: number }[]): Promise<number[]> {
    const { clock, requestTimeoutMs } = this.options;
    const deadlineMs = clock.monotonicMs() + requestTimeoutMs;
    for (let attempt = 0; ; attempt++) {
      const missing = partitions.filter(({ topic, partition }) => (this.known(topic)?.leaders[partition] ?? -1) < 0);
      if (missing.length === 0) {
        return partitions.map(({ topic, partition }) => this.known(topic)!.leaders[partition]);
      }
      if (attempt > 0) await this.pause(PAUSE_MS);
      const asked = [...new Set(missing.map(({ topic }) => topic))];
      const answer = await this.refresh(asked);
      const late = clock.monotonicMs() > deadlineMs;
      for (const { error, topic } of answer.topics) {
        // A broker may not have heard of a new topic yet.
        if (error === UNKNOWN_TOPIC_OR_PARTITION && attempt >= 2) throw topicUnknown(topic);
        if (error !== 0 && late) throw unavailable(`topic '${topic}': ${errorName(error)}`);
      }
      for (const { topic, partition } of missing) {
        const known = this.known(topic);
        if (known !== undefined && partition >= known.leaders.length && attempt >= 2) {
          throw topicUnknown(topic, partition);
        }
        if (late) throw unavailable(`partition ${topic}/${partition} has no leader`);
      }
    }
  }

  /** Broker that coordinates a group or a transactional id, asked for until there is one. */
  async coordinator(kind: 'group' | 'transaction', key: string, deadlineMs: number): Promise<number> {
    for (;;) {
      const { error, broker } = await this.askAny(findCoordinatorRequest(kind, key));
      if (error === 0) {
        this.#brokers.set(broker.nodeId, broker);
        return broker.nodeId;
      }
      const what = `coordinator of ${kind} '${key}': ${errorName(error)}`;
      if (!isCoordinatorMoved(error)) throw new StreamError('log-protocol', what, 'check the broker logs');
      if (this.options.clock.monotonicMs() > deadlineMs) throw unavailable(what);
      await this.pause(PAUSE_MS);
    }
  }

  /** Waits, or throws when the client is closed meanwhile. */
  async pause(ms: number): Promise<void> {
    await this.options.clock.sleep(ms, this.#closed.signal);
    if (this.#closed.signal.aborted) throw unavailable('the client was closed');
  }

  async close(): Promise<void> {
    this.#closed.abort();
    const shared = [...this.#shared.values()];
    this.#shared.clear();
    for (const opening of shared) await opening.then((connection) => connection.close()).catch(() => {});
  }
}

export function unavailable(message: string, cause?: unknown): StreamError {
  const remedy = 'check that the brokers run and can be reached from here; Millrace goes on trying';
  return new StreamError('log-unavailable', message, remedy, { cause });
}

export function topicUnknown(topic: string, partition?: number): StreamError {
  const what =
    partition === undefined ? `topic '${topic}' does not exist` : `topic '${topic}' has no partition ${partition}`;
  return new StreamError('topic-unknown', what, 'create it, or name another topic in the job');
}

function addressOf({ host, port }: BrokerAddress): string {
  return `${host}:${port}`;
}

function bootstrapAddress(text: string): BrokerAddress {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text.trim());
  if (match === null || Number(match[3]) > 65_535) {
    throw new StreamError('config-invalid', `broker '${text}' is not host:port`, 'write brokers as host:port');
  }
  return { nodeId: -1, host: match[1] ?? match[2], port: Number(match[3]) };
}
