// Owns one transactional id: initialising, and one transaction at a time over the writer's own connections. Only 51, 14,
// 15 and 16 are answered by sending the same request again; any other error makes the writer dead and closes its
// connections, so nothing of a failed transaction can be sent after it. EndTxn leaves only when every produce answer
// is there and good.

import type { LogWriter, StagedBatch, TopicPartition, Transaction, TransactionResult } from '#runtime/log/contract.ts';
import {
  errorName,
  INVALID_PRODUCER_EPOCH,
  INVALID_PRODUCER_ID_MAPPING,
  isCoordinatorMoved,
  isRetriedInPlace,
  NONE,
  PRODUCER_FENCED,
} from '#runtime/log/kafka/broker-error.ts';
import type { Cluster } from '#runtime/log/kafka/cluster.ts';
import type { Connection } from '#runtime/log/kafka/connection.ts';
import { Markers } from '#runtime/log/kafka/markers.ts';
import { OwnConnections } from '#runtime/log/kafka/own-connections.ts';
import { type Lane, laneOf, type ProduceFailure, produceLane } from '#runtime/log/kafka/produce-lane.ts';
import { type EndsPort, TransactionEnds, type WrittenPartition } from '#runtime/log/kafka/transaction-ends.ts';
import type { WireRequest } from '#runtime/log/kafka/wire/codec.ts';
import {
  addPartitionsRequest,
  describeTransactionRequest,
  endTransactionRequest,
  type IdentityAnswer,
  initProducerIdRequest,
  NOBODY,
  type ProducerIdentity,
} from '#runtime/log/kafka/wire/transaction.ts';
import { stampBatch } from '#runtime/log/record-batch.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';

export interface WriterId {
  readonly transactionalId: string;
  readonly outputs: readonly TopicPartition[];
}

export interface WriterOptions {
  readonly transactionTimeoutMs: number;
  /** How long a request is sent again that the coordinator puts off. */
  readonly retryMs: number;
}

interface Sent {
  readonly failures: readonly ProduceFailure[];
  readonly taken: readonly WrittenPartition[];
  readonly entryOffset: bigint;
}

const PAUSE_MIN_MS = 2;
const PAUSE_MAX_MS = 50;
const SEQUENCE_COUNT = 2 ** 31;
const API_PRODUCE = 0;
const API_END_TXN = 26;
/** The marker that ends a transaction takes an offset behind its records. */
const MARKER_OFFSETS = 1;

/** What has to be done at the coordinator right before a request; a number of an error. */
type Preparation = (connection: Connection) => Promise<number>;

export class KafkaWriter implements LogWriter {
  readonly transactionalId: string;
  readonly #cluster: Cluster;
  readonly #options: WriterOptions;
  readonly #connections: OwnConnections;
  /** Next sequence per partition. With transaction.version 2 every transaction starts at 0. */
  readonly #sequences = new Map<string, number>();
  #state: 'new' | 'ready' | 'dead' = 'new';
  #busy = false;
  #closed = false;
  #identity: ProducerIdentity = NOBODY;
  #coordinator = -1;
  /** The epoch changes with every transaction (transaction.version 2). */
  #epochPerTransaction = false;
  readonly #outputs: readonly TopicPartition[];
  /** The connection to the coordinator that gave the last answer: one life of it. */
  #answeredOn: Connection | null = null;
  readonly #ends: TransactionEnds<Connection>;
  readonly #onClosed: () => void;

  constructor(cluster: Cluster, id: WriterId, options: WriterOptions, onClosed: () => void) {
    this.#cluster = cluster;
    this.transactionalId = id.transactionalId;
    this.#outputs = id.outputs;
    this.#options = options;
    this.#onClosed = onClosed;
    this.#connections = new OwnConnections(cluster);
    this.#ends = new TransactionEnds(id.outputs, this.#endsPort());
  }

  fence(): Promise<number> {
    return this.#exclusively(() => this.#initialise(NOBODY));
  }

  initialiseAgain(): Promise<number> {
    invariant(this.#identity !== NOBODY, `writer ${this.transactionalId} is initialised again before it was fenced in`);
    return this.#exclusively(() => this.#initialise(this.#identity));
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    if (this.#state === 'dead' || this.#closed) {
      const message = `a transaction of ${this.transactionalId} failed before`;
      throw new StreamError('writer-dead', message, 'initialise the writer again and read the log to learn its fate');
    }
    invariant(this.#state === 'ready', `writer ${this.transactionalId} transacts before it was fenced in`);
    return this.#exclusively(async () => {
      try {
        return await this.#attempt(transaction);
      } catch (error) {
        this.#die();
        // Leaders seldom move alone: what this transaction did not write would cost the next one that does.
        const written = [...transaction.batches, transaction.entry, ...this.#outputs];
        this.#cluster.forget(written.map(({ topic }) => topic));
        throw this.#explained(error);
      }
    });
  }

  #endsPort(): EndsPort<Connection> {
    const markers = new Markers(this.#cluster, (nodeId) => this.#connect(nodeId));
    return {
      describe: (connection) => connection.request(describeTransactionRequest(this.transactionalId)),
      abort: async (connection, identity) => {
        await connection.request(this.#abortRequest(connection, identity));
      },
      describeNow: () => this.#coordinated(describeTransactionRequest(this.transactionalId)),
      unreadable: (written) => markers.unreadable(written),
      open: (partitions, producerId) => markers.open(partitions, producerId),
      commit: (open) => markers.commit(open),
      endWithoutRecords: async (partitions, commit) => {
        await this.#addPartitions(partitions);
        await this.#end(commit);
      },
      identity: () => this.#identity,
      pause: (ms) => this.#cluster.pause(ms),
      fenced: (what) => this.#fenced(what),
      dead: (what) => this.#dead(what),
    };
  }

  abortOpen(): Promise<void> {
    return this.#exclusively(async () => {
      this.#die();
      const described = await this.#coordinated(describeTransactionRequest(this.transactionalId));
      if (described.state !== 'Ongoing' || this.#answeredOn === null) return;
      // Whoever has ended it meanwhile was faster: then this one is refused.
      await this.#coordinated(this.#abortRequest(this.#answeredOn, described));
    });
  }

  #abortRequest(connection: Connection, identity: ProducerIdentity): WireRequest<IdentityAnswer> {
    return endTransactionRequest(endVersion(connection), this.transactionalId, identity, false);
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    invariant(!this.#busy, `two calls at once on writer ${this.transactionalId}`);
    this.#busy = true;
    try {
      return await work();
    } finally {
      this.#busy = false;
    }
  }

  async #initialise(own: ProducerIdentity): Promise<number> {
    this.#die();
    this.#ends.begin();
    const request = initProducerIdRequest(this.transactionalId, this.#options.transactionTimeoutMs, own);
    try {
      this.#initialised(
        await this.#coordinated(request, (connection) =>
          this.#ends.completeCommitted(connection, own === NOBODY ? null : own),
        ),
      );
      await this.#ends.initialised();
      this.#state = 'ready';
      return this.#ends.byHand;
    } catch (error) {
      this.#cluster.forget(this.#outputs.map(({ topic }) => topic));
      throw error;
    }
  }

  #initialised({ error, identity }: IdentityAnswer): void {
    if (error === PRODUCER_FENCED || error === INVALID_PRODUCER_EPOCH || error === INVALID_PRODUCER_ID_MAPPING) {
      throw this.#fenced(`InitProducerId: ${errorName(error)}`);
    }
    if (error !== 0) {
      const message = `transactional id ${this.transactionalId} is refused: ${errorName(error)}`;
      throw new StreamError('log-protocol', message, 'check the broker logs and the rights of this client');
    }
    this.#identity = identity;
    this.#sequences.clear();
    const broker = this.#answeredOn;
    this.#epochPerTransaction =
      broker !== null && broker.transactionVersion >= 2 && broker.supports(API_PRODUCE, 12) && endVersion(broker) === 5;
  }

  async #attempt({ batches, entry, expectedEntryOffset }: Transaction): Promise<TransactionResult> {
    const { failures, taken, entryOffset } = await this.#send([...batches, entry], entry);
    await this.#judge(failures, entryOffset, entry, expectedEntryOffset);
    const identity = this.#identity;
    await this.#end(true);
    const endedByHand = await this.#ends.untilEnded(taken, identity);
    return { entryOffset, nextEntryOffset: entryOffset + BigInt(entry.recordCount + MARKER_OFFSETS), endedByHand };
  }

  /** Adds the partitions and produces all batches; every answer is in when it returns. */
  async #send(all: readonly StagedBatch[], entry: StagedBatch): Promise<Sent> {
    const leaders = await this.#cluster.leaders(all);
    this.#stamp(all);
    await this.#addPartitions(all);
    const lane: Lane = {
      transactionalId: this.transactionalId,
      version: this.#epochPerTransaction ? 12 : 8,
      timeoutMs: this.#cluster.options.requestTimeoutMs,
      retryMs: this.#options.retryMs,
      pause: (attempt) => this.#cluster.pause(pauseMs(attempt)),
      monotonicMs: () => this.#cluster.options.clock.monotonicMs(),
      entry,
      entryOffset: -1n,
      taken: [],
    };
    const byLeader = Map.groupBy(all.keys(), (index) => leaders[index]);
    const outcomes = await Promise.all(
      [...byLeader].map(([leader, indexes]) =>
        produceLane(lane, () => this.#connect(leader), laneOf([...indexes].map((index) => all[index]))),
      ),
    );
    const { taken, entryOffset } = lane;
    return { failures: outcomes.filter((failure) => failure !== null), taken, entryOffset };
  }

  #stamp(batches: readonly StagedBatch[]): void {
    const { producerId, epoch } = this.#identity;
    if (this.#epochPerTransaction) this.#sequences.clear();
    for (const { topic, partition, bytes, recordCount } of batches) {
      const name = `${partition} ${topic}`;
      const sequence = this.#sequences.get(name) ?? 0;
      stampBatch(bytes, producerId, epoch, sequence);
      this.#sequences.set(name, (sequence + recordCount) % SEQUENCE_COUNT);
    }
  }

  /**
   * All partitions at once, before the first record: with several leaders that would add them one against the other,
   * the brokers wait 20 ms (measured: 4.8 ms for the first produce instead of 24.6).
   */
  async #addPartitions(batches: readonly TopicPartition[]): Promise<void> {
    const unique = new Map<string, TopicPartition>();
    for (const { topic, partition } of batches) unique.set(`${partition} ${topic}`, { topic, partition });
    const request = addPartitionsRequest(this.transactionalId, this.#identity, [...unique.values()]);
    const { error, count } = await this.#coordinated(request);
    if (error !== 0) throw this.#failed(request.name, error);
    if (count !== unique.size)
      throw this.#dead(`${request.name} was answered for ${count} of ${unique.size} partitions`);
  }

  /** Ends the transaction itself when its fate is sealed: nothing of it may be seen, and nobody will try it again. */
  async #judge(
    failures: readonly ProduceFailure[],
    entryOffset: bigint,
    entry: StagedBatch,
    expectedEntryOffset: bigint,
  ): Promise<void> {
    const first = failures.find(({ final }) => final !== null) ?? failures[0];
    if (first === undefined && entryOffset === expectedEntryOffset) return;
    const answered = failures.every(({ answered }) => answered);
    if (first === undefined || first.final !== null) {
      // Best effort: without it the partitions stay held back until the transaction times out.
      if (answered) await this.#end(false).catch(() => {});
      if (first?.final) throw first.final;
      const message =
        `the commit log ${entry.topic}/${entry.partition} took the entry at offset ${entryOffset}, ` +
        `expected was ${expectedEntryOffset}: somebody else writes there`;
      throw new StreamError('foreign-writer', message, 'find and stop what writes to this internal topic');
    }
    if (first.cause !== null) throw first.cause;
    throw this.#failed('Produce', first.error, first.detail);
  }

  async #end(commit: boolean): Promise<void> {
    const version = this.#epochPerTransaction ? 5 : 3;
    const request = endTransactionRequest(version, this.transactionalId, this.#identity, commit);
    const { error, identity } = await this.#coordinated(request);
    if (error !== 0) throw this.#failed(request.name, error);
    this.#identity = identity;
  }

  /** Sends to the coordinator, again and again while it puts us off. `first` is asked right before, every time. */
  async #coordinated<T extends { readonly error: number }>(request: WireRequest<T>, first?: Preparation): Promise<T> {
    const { clock } = this.#cluster.options;
    const deadlineMs = clock.monotonicMs() + this.#options.retryMs;
    for (let attempt = 0; ; attempt++) {
      if (this.#coordinator < 0) {
        this.#coordinator = await this.#cluster.coordinator('transaction', this.transactionalId, deadlineMs);
      }
      const connection = await this.#connect(this.#coordinator);
      let error = first === undefined ? NONE : await first(connection);
      if (error === NONE) {
        const answer = await connection.request(request);
        this.#answeredOn = connection;
        if (!isRetriedInPlace(answer.error) || clock.monotonicMs() > deadlineMs) return answer;
        error = answer.error;
      } else if (!isRetriedInPlace(error) || clock.monotonicMs() > deadlineMs) {
        throw this.#failed('DescribeTransactions', error);
      }
      if (isCoordinatorMoved(error)) this.#coordinator = -1;
      await this.#cluster.pause(pauseMs(attempt));
    }
  }

  async #connect(nodeId: number): Promise<Connection> {
    if (this.#closed) throw this.#dead('the writer was closed');
    return this.#connections.to(nodeId);
  }

  #die(): void {
    this.#state = 'dead';
    this.#coordinator = -1;
    this.#connections.closeAll();
  }

  #failed(what: string, error: number, detail = ''): StreamError {
    if (error === PRODUCER_FENCED || error === INVALID_PRODUCER_EPOCH) {
      return this.#fenced(`${what}: ${errorName(error)}`);
    }
    return this.#dead(`${what}: ${errorName(error)}${detail === '' ? '' : ` (${detail})`}`);
  }

  #fenced(what: string): StreamError {
    const message = `transactional id ${this.transactionalId} was fenced (${what})`;
    return new StreamError('writer-fenced', message, 'nothing to do when the task moved or its transaction timed out');
  }

  #dead(what: string, cause?: unknown): StreamError {
    const message = `a transaction of ${this.transactionalId} failed: ${what}`;
    const remedy = 'initialise the writer again and read the log to learn its fate';
    return new StreamError('writer-dead', message, remedy, { cause });
  }

  #explained(error: unknown): unknown {
    if (!(error instanceof StreamError) || !PASSING.has(error.code)) return error;
    return this.#dead(error.message, error);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#die();
    this.#onClosed();
  }
}

/**
 * After these the fate of a transaction is unknown, or (log-unsupported) a broker of another version took over in the
 * middle: being initialised again finds out.
 */
const PASSING = new Set(['log-unavailable', 'log-timeout', 'log-protocol', 'log-unsupported']);

function endVersion(broker: Connection): 3 | 5 {
  return broker.transactionVersion >= 2 && broker.supports(API_END_TXN, 5) ? 5 : 3;
}

function pauseMs(attempt: number): number {
  return Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** attempt);
}
