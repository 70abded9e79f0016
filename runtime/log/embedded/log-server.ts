// Owns the conversation with clients on the writer thread: answering calls, gathering transactions that wait at the
// same time into one group, fencing, waking readers. Knows nothing of threads: it serves any MessagePort.
// Invariant: a call is answered after everything that arrived before it is durable or refused.

import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { TopicPartition } from '#runtime/log/contract.ts';
import { type Change, withDefaults } from '#runtime/log/embedded/log-changes.ts';
import type { LogStore } from '#runtime/log/embedded/log-store.ts';
import { topicPath } from '#runtime/log/embedded/log-topics.ts';
import {
  type Answer,
  type CallName,
  type Calls,
  type PartitionAccess,
  type PartitionOutline,
  type PublishedOffsets,
  type Request,
  type SubscribeCall,
  type TransactCall,
  toFault,
} from '#runtime/log/embedded/messages.ts';
import type { PartitionLog } from '#runtime/log/embedded/partition-log.ts';
import type { RetentionPolicy } from '#runtime/log/embedded/retention.ts';
import { StreamError } from '#runtime/std/errors.ts';

/** A group is written when it holds this much, even if more is waiting. */
const GROUP_BYTES_MAX = 32 * 1024 * 1024;

interface Subscription {
  readonly client: Client;
  readonly handle: number;
  readonly log: PartitionLog;
}

interface Client {
  readonly port: MessagePort;
  readonly subscriptions: Map<number, Subscription>;
  /** Handles to wake with the next message. */
  woken: number[];
}

interface Pending {
  readonly client: Client;
  readonly id: number;
  readonly storage: ArrayBuffer;
  readonly entryOffset: bigint;
  readonly fault: StreamError | null;
}

/** Transactions are not answered one by one but staged. */
type Answered = Exclude<CallName, 'transact'>;
type Handlers = {
  readonly [K in Answered]: (client: Client, argument: Parameters<Calls[K]>[0]) => ReturnType<Calls[K]>;
};

export class LogServer {
  readonly #store: LogStore;
  readonly #groupBytesMax: number;
  readonly #onFault: (error: unknown) => void;
  readonly #clients = new Set<Client>();
  readonly #subscribers = new Map<PartitionLog, Set<Subscription>>();
  readonly #instances = new Map<string, number>();
  #lastInstance = 0;
  #queue: { readonly client: Client; readonly request: Request }[] = [];
  #pending: Pending[] = [];
  #scheduled = false;
  #running: Promise<void> = Promise.resolve();

  /** `onFault` gets our own bugs: after one the server serves nobody any more. */
  constructor(store: LogStore, onFault: (error: unknown) => void, groupBytesMax = GROUP_BYTES_MAX) {
    this.#store = store;
    this.#onFault = onFault;
    this.#groupBytesMax = groupBytesMax;
  }

  attach(port: MessagePort): void {
    const client: Client = { port, subscriptions: new Map(), woken: [] };
    this.#clients.add(client);
    port.on('message', (request: Request) => {
      this.#queue.push({ client, request });
      this.#schedule();
    });
    port.on('close', () => this.#forget(client));
  }

  /** Removes whole segments that retention no longer keeps. Errors: disk-failed. */
  retain(nowMs: number, policy: RetentionPolicy | null): void {
    this.#flush();
    this.#wakeAll(this.#store.retain(nowMs, policy));
    this.#sendWakes();
  }

  /** Answers what has arrived, then hangs up. The store stays open. */
  async close(): Promise<void> {
    await this.#running;
    for (const client of this.#clients) this.#collect(client);
    await this.#drain();
    for (const client of this.#clients) client.port.close();
    this.#clients.clear();
  }

  /** What was sent but not delivered yet: messages of different ports have no order among each other. */
  #collect(client: Client): void {
    for (;;) {
      const received = receiveMessageOnPort(client.port);
      if (received === undefined) return;
      this.#queue.push({ client, request: received.message as Request });
    }
  }

  /** After all messages of this turn of the event loop have arrived, so that they share a group. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#running = this.#running.then(() => this.#drain()).catch(this.#onFault);
    });
  }

  async #drain(): Promise<void> {
    this.#scheduled = false;
    const queue = this.#queue;
    this.#queue = [];
    for (let i = 0; i < queue.length; i++) {
      const { client, request } = queue[i];
      if (request.call !== 'transact') this.#answer(client, request);
      else {
        if (this.#store.congestion !== null) await this.#store.congestion;
        this.#stage(client, request.id, request.argument);
      }
      if (this.#store.stagedBytes >= this.#groupBytesMax) this.#flush();
    }
    this.#flush();
    this.#sendWakes();
  }

  #stage(client: Client, id: number, call: TransactCall): void {
    const { storage } = call;
    let entryOffset = -1n;
    let fault: StreamError | null = null;
    try {
      this.#assertInstance(call.transactionalId, call.instance);
      const frame = Buffer.from(storage, 0, call.frameBytes);
      entryOffset = this.#store.stage(frame, call.targets, call.expectedEntryOffset);
    } catch (error) {
      fault = streamError(error);
    }
    this.#pending.push({ client, id, storage, entryOffset, fault });
  }

  /** Ends the group under way: durable and answered, or refused as a whole. */
  #flush(): void {
    if (this.#pending.length === 0) return;
    let failed: StreamError | null = null;
    try {
      this.#wakeWaiting(this.#store.flush());
    } catch (error) {
      failed = streamError(error);
    }
    const pending = this.#pending;
    this.#pending = [];
    for (let i = 0; i < pending.length; i++) {
      const { client, id, storage, entryOffset, fault } = pending[i];
      const refused = fault ?? failed;
      if (refused === null) send(client, { kind: 'done', id, value: entryOffset, storage });
      else send(client, { kind: 'failed', id, fault: toFault(refused), storage });
    }
  }

  #answer(client: Client, request: Request & { readonly call: Answered }): void {
    this.#flush();
    try {
      const handler = this.#handlers[request.call] as (client: Client, argument: unknown) => unknown;
      const value = handler(client, request.argument);
      if (request.id >= 0) send(client, { kind: 'done', id: request.id, value, storage: null });
    } catch (error) {
      send(client, { kind: 'failed', id: request.id, fault: toFault(streamError(error)), storage: null });
    }
  }

  readonly #handlers: Handlers = {
    identity: () => this.#store.identity,
    describeTopics: (_, topics) =>
      topics.map((name) => {
        const found = this.#store.topics.find(name);
        if (found === undefined) return null;
        return { topic: name, topicId: found.topicId, partitionCount: found.partitions.length };
      }),
    describeConfig: (_, topic) => withDefaults(this.#store.topics.topic(topic).config),
    createTopics: (_, specs) => {
      this.#store.createTopics(specs);
      return null;
    },
    createPartitions: (_, { topic, partitionCount }) => this.#createPartitions(topic, partitionCount),
    deleteTopics: (_, topics) => this.#deleteTopics(topics),
    listTopics: () => [...this.#store.topics.all()].map((one) => one.topic).sort(),
    outline: (_, at) => this.#outline(at),
    deleteRecords: (_, cuts) => this.#deleteRecords(cuts),
    publishOffsets: (_, published) => this.#publishOffsets(published),
    fence: (_, transactionalId) => this.#newInstance(transactionalId),
    initialiseAgain: (_, { transactionalId, instance }) => {
      this.#assertInstance(transactionalId, instance);
      return this.#newInstance(transactionalId);
    },
    subscribe: (client, call) => this.#subscribe(client, call),
    unsubscribe: (client, handle) => this.#unsubscribe(client, handle),
  };

  #newInstance(transactionalId: string): number {
    this.#instances.set(transactionalId, ++this.#lastInstance);
    return this.#lastInstance;
  }

  #assertInstance(transactionalId: string, instance: number): void {
    if (this.#instances.get(transactionalId) === instance) return;
    throw new StreamError(
      'writer-fenced',
      `another writer of transactional id ${transactionalId} was fenced in since`,
      'nothing to do when the task moved; otherwise two tasks use one transactional id',
    );
  }

  #createPartitions(topic: string, partitionCount: number): null {
    const { number, partitions } = this.#store.topics.topic(topic);
    if (partitionCount < partitions.length) {
      throw new StreamError(
        'config-invalid',
        `topic ${topic} has ${partitions.length} partitions and cannot go down to ${partitionCount}`,
        'make a new topic',
      );
    }
    const change: Change = { change: 'partitions-created', number, partitionCount };
    if (partitionCount > partitions.length) this.#store.change([change]);
    return null;
  }

  #deleteTopics(names: readonly string[]): null {
    const topics = [...new Set(names)].flatMap((name) => this.#store.topics.find(name) ?? []);
    this.#store.change(topics.map(({ number }) => ({ change: 'topic-deleted', number })));
    for (const { partitions } of topics) this.#wakeAll(partitions);
    return null;
  }

  #outline({ topic, partition }: TopicPartition): PartitionOutline {
    const log = this.#store.topics.partition(topic, partition);
    const segments = log.segments.map(({ baseOffset, maxTimestampMs }) => ({ baseOffset, maxTimestampMs }));
    return { path: this.#path(topic, partition), logStart: log.shared.logStart, end: log.shared.end, segments };
  }

  #deleteRecords(cuts: readonly (TopicPartition & { readonly before: bigint })[]): null {
    const logs = cuts.map(({ topic, partition }) => this.#store.topics.partition(topic, partition));
    const changes = cuts.map(({ topic, partition, before }, i): Change => {
      const { end } = logs[i].shared;
      if (before < 0n || before > end) {
        throw new StreamError(
          'offset-out-of-range',
          `records of ${topic}/${partition} cannot be deleted below ${before}: it ends at ${end}`,
          'name an offset within the partition',
        );
      }
      const { number } = this.#store.topics.topic(topic);
      return { change: 'records-deleted', number, partition, before: String(before) };
    });
    this.#store.change(changes);
    this.#wakeAll(logs);
    return null;
  }

  #publishOffsets({ group, offsets }: PublishedOffsets): null {
    const texts = offsets.map(({ topic, partition, offset }) => [`${topic}/${partition}`, String(offset)]);
    this.#store.change([{ change: 'offsets-published', group, offsets: Object.fromEntries(texts) }]);
    return null;
  }

  #subscribe(client: Client, { topic, partition, topicId, handle }: SubscribeCall): PartitionAccess {
    const found = this.#store.topics.topic(topic);
    if (found.topicId !== topicId) {
      throw new StreamError(
        'topic-recreated',
        `topic ${topic} was deleted and created again (its id was ${topicId}, is ${found.topicId})`,
        'start a new run of the job: its position means nothing in the new topic',
      );
    }
    const log = this.#store.topics.partition(topic, partition);
    const subscription = { client, handle, log };
    client.subscriptions.set(handle, subscription);
    const subscribers = this.#subscribers.get(log) ?? new Set();
    this.#subscribers.set(log, subscribers.add(subscription));
    return { path: this.#path(topic, partition), shared: log.shared.buffer };
  }

  #unsubscribe(client: Client, handle: number): null {
    const subscription = client.subscriptions.get(handle);
    if (subscription === undefined) return null;
    client.subscriptions.delete(handle);
    const subscribers = this.#subscribers.get(subscription.log);
    subscribers?.delete(subscription);
    if (subscribers?.size === 0) this.#subscribers.delete(subscription.log);
    return null;
  }

  #path(topic: string, partition: number): string {
    return `${topicPath(this.#store.topics.topic(topic).number, topic)}/${partition}`;
  }

  #forget(client: Client): void {
    for (const handle of [...client.subscriptions.keys()]) this.#unsubscribe(client, handle);
    this.#clients.delete(client);
  }

  #wakeWaiting(logs: readonly PartitionLog[]): void {
    for (let i = 0; i < logs.length; i++) if (logs[i].shared.takeWakeWish()) this.#wake(logs[i]);
  }

  #wakeAll(logs: readonly PartitionLog[]): void {
    for (const log of logs) this.#wake(log);
  }

  #wake(log: PartitionLog): void {
    for (const { client, handle } of this.#subscribers.get(log) ?? []) client.woken.push(handle);
  }

  #sendWakes(): void {
    for (const client of this.#clients) {
      if (client.woken.length === 0) continue;
      send(client, { kind: 'wake', handles: client.woken });
      client.woken = [];
    }
  }
}

function send(client: Client, answer: Answer): void {
  const storage = answer.kind === 'wake' ? null : answer.storage;
  client.port.postMessage(answer, storage === null ? [] : [storage]);
}

/** Our own bugs end the thread. */
function streamError(error: unknown): StreamError {
  if (error instanceof StreamError) return error;
  throw error;
}
