// Owns one connection of a reader to one broker and the fetch requests on it: one answer in hand, the next on its way.
// Every request covers all partitions here that have room; full ones are left out and stop nobody. A fetcher lives as
// long as its connection.

import { errorName } from '#runtime/log/kafka/broker-error.ts';
import type { Cluster } from '#runtime/log/kafka/cluster.ts';
import type { Connection } from '#runtime/log/kafka/connection.ts';
import type { FramePool } from '#runtime/log/kafka/frame-pool.ts';
import type { KafkaPartitionReader, PartitionHome } from '#runtime/log/kafka/partition-reader.ts';
import { type FetchAnswer, type FetchAsked, fetchRequest } from '#runtime/log/kafka/wire/fetch.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface FetcherOptions {
  readonly nodeId: number;
  readonly pool: FramePool;
  readonly fetchBytesMax: number;
  readonly partitionBytesMax: number;
  readonly fetchWaitMs: number;
  /** When frames hold more than this, answers for partitions that are behind are copied out of them. */
  readonly heldBytesMax: number;
}

export interface FetcherOwner {
  /** The broker refuses this partition; it is no longer the fetcher's. */
  refused(reader: KafkaPartitionReader, error: number): void;
  /** The connection is gone; its partitions need another. */
  ended(fetcher: BrokerFetcher, readers: readonly KafkaPartitionReader[], error: unknown): void;
}

interface Asked extends FetchAsked {
  readonly reader: KafkaPartitionReader;
}

/**
 * How long a request waits for data when what it covers may soon change: a partition that was left out would have to
 * wait for the answer. Doubled by every answer without data.
 */
const SHORT_WAIT_MS = 10;

export class BrokerFetcher implements PartitionHome {
  readonly nodeId: number;
  readonly #cluster: Cluster;
  readonly #owner: FetcherOwner;
  readonly #options: FetcherOptions;
  readonly #readers: KafkaPartitionReader[] = [];
  readonly #fed = new Set<KafkaPartitionReader>();
  #connection: Connection | null = null;
  #idle: (() => void) | null = null;
  #closed = false;
  #turn = 0;
  #waitMs = SHORT_WAIT_MS;
  #leftOut = 0;

  constructor(cluster: Cluster, owner: FetcherOwner, options: FetcherOptions) {
    this.#cluster = cluster;
    this.#owner = owner;
    this.#options = options;
    this.nodeId = options.nodeId;
  }

  /** Whether it reads this partition already: a request can ask for it only once. */
  reads(topicId: string, partition: number): boolean {
    return this.#readers.some((reader) => reader.partition === partition && reader.topicId === topicId);
  }

  add(reader: KafkaPartitionReader): void {
    reader.home = this;
    this.#readers.push(reader);
    this.drained();
  }

  remove(reader: KafkaPartitionReader): void {
    const index = this.#readers.indexOf(reader);
    if (index >= 0) this.#readers.splice(index, 1);
    this.#fed.delete(reader);
    if (reader.home === this) reader.home = null;
  }

  drained(): void {
    this.#waitMs = SHORT_WAIT_MS;
    this.#idle?.();
    this.#idle = null;
  }

  /** Fetches until the connection ends. */
  async run(): Promise<void> {
    let error: unknown = null;
    try {
      const connection = await this.#cluster.connect(this.nodeId, this.#options.pool);
      this.#connection = connection;
      if (this.#closed) connection.close();
      while (!this.#closed) await this.#round(connection);
    } catch (caught) {
      error = caught;
    }
    this.#connection?.close();
    if (this.#closed) return;
    this.#closed = true;
    this.#feed();
    this.#owner.ended(this, this.#readers.splice(0), error);
  }

  async #round(connection: Connection): Promise<void> {
    const asked = this.#plan();
    if (asked.length === 0) {
      const idle = Promise.withResolvers<void>();
      this.#idle = idle.resolve;
      // Looking at what is there may make room already.
      this.#feed();
      await idle.promise;
      return;
    }
    const { fetchBytesMax, partitionBytesMax } = this.#options;
    const limits = { waitMs: this.#waitMs, answerBytesMax: fetchBytesMax, partitionBytesMax };
    const timeoutMs = this.#waitMs + this.#cluster.options.requestTimeoutMs;
    const answered = connection.request(fetchRequest(asked, limits), timeoutMs);
    // The request is on its way: only now look at the answer before it.
    this.#feed();
    const answer = await answered;
    this.#take(asked, answer);
    if (answer.throttleMs > 0) {
      this.#feed();
      await this.#cluster.pause(answer.throttleMs);
    }
  }

  /** Partitions with room, starting elsewhere each time, those first of which a batch did not fit into the answer. */
  #plan(): Asked[] {
    const readers = this.#readers;
    const asked: Asked[] = [];
    const starving: Asked[] = [];
    this.#turn = (this.#turn + 1) % Math.max(1, readers.length);
    for (let i = 0; i < readers.length; i++) {
      const reader = readers[(this.#turn + i) % readers.length];
      if (!reader.hungry || !reader.live) continue;
      const { topicId, topicIdBytes, partition, fetchOffset } = reader;
      const one = { reader, topicId, topicIdBytes, partition, offset: fetchOffset };
      if (reader.starving) starving.push(one);
      else asked.push(one);
    }
    const leftOut = readers.length - asked.length - starving.length;
    if (leftOut !== this.#leftOut) this.#waitMs = SHORT_WAIT_MS;
    this.#leftOut = leftOut;
    return starving.length === 0 ? asked : [...starving, ...asked];
  }

  #take(asked: readonly Asked[], answer: FetchAnswer): void {
    try {
      if (answer.error !== 0) {
        const message = `broker ${this.#cluster.addressOf(this.nodeId)} refuses to be read: ${errorName(answer.error)}`;
        throw new StreamError('log-protocol', message, 'check the broker logs');
      }
      const byName = new Map(asked.map((one) => [`${one.partition} ${one.topicId}`, one]));
      let dataBytes = 0;
      for (const part of answer.partitions) {
        const one = byName.get(`${part.partition} ${part.topicId}`);
        // Closed, moved or already answered by somebody else.
        if (one === undefined || one.reader.home !== this || one.reader.fetchOffset !== one.offset) continue;
        const { reader } = one;
        if (part.error !== 0) {
          this.remove(reader);
          this.#owner.refused(reader, part.error);
          continue;
        }
        dataBytes += part.recordsEnd - part.recordsStart;
        const copy = reader.holding && this.#options.pool.lentBytes > this.#options.heldBytesMax;
        reader.accept(part, answer.frame, copy);
        this.#fed.add(reader);
      }
      if (dataBytes === 0) this.#waitMs = Math.min(this.#options.fetchWaitMs, this.#waitMs * 2);
    } finally {
      answer.frame.release();
    }
  }

  #feed(): void {
    if (this.#fed.size === 0) return;
    const fed = [...this.#fed];
    this.#fed.clear();
    for (const reader of fed) reader.wake();
  }

  close(): void {
    this.#closed = true;
    this.#connection?.close();
    this.drained();
  }
}
