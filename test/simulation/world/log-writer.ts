// Owns writing to the simulated log by the rules that a transactional producer of Kafka must keep: only busy
// coordinators are asked again in place, every other error makes the writer dead, a commit is sent only after all
// answers are in, the entry's offset is checked before it. What is sent is a copy: late requests keep their bytes. What
// becomes of ends that were left out is the product's decision, of the Kafka adapter.

import type { LogWriter, StagedBatch, TopicPartition, Transaction, TransactionResult } from '#runtime/log/contract.ts';
import { type EndsPort, TransactionEnds, type WrittenPartition } from '#runtime/log/kafka/transaction-ends.ts';
import type { OpenTransaction } from '#runtime/log/kafka/wire/producers.ts';
import { stampBatch } from '#runtime/log/record-batch.ts';
import { type ErrorCode, invariant, StreamError } from '#runtime/std/errors.ts';
import type { RequestKind } from '#test/simulation/world/log-channel.ts';
import type { SimulatedCluster, TopicMetadata } from '#test/simulation/world/log-cluster.ts';
import type { ProducerAnswer } from '#test/simulation/world/log-coordinator.ts';
import { KAFKA, type SimulatedPartition } from '#test/simulation/world/log-partition.ts';
import type { Process } from '#test/simulation/world/process.ts';

const BROKERS = 3;
const TRANSACTION_TIMEOUT_MS = 15_000;
const RETRY_MS = 5;
const RETRY_MAX_MS = 20_000;

const BUSY: readonly number[] = [
  KAFKA.coordinatorLoading,
  KAFKA.coordinatorMoved,
  KAFKA.notCoordinator,
  KAFKA.concurrentTransactions,
];

interface ProduceAnswer {
  readonly error: number;
  readonly baseOffset: number;
}

interface TakenBatch extends WrittenPartition {
  readonly baseOffset: number;
}

export class SimulatedLogWriter implements LogWriter {
  readonly transactionalId: string;
  readonly #cluster: SimulatedCluster;
  readonly #process: Process;
  #state: 'new' | 'ready' | 'dead' = 'new';
  #busy = false;
  #producerId = -1;
  #epoch = -1;
  /** Grows with every state change: what a dead attempt still has under way stops there. */
  #attempt = 0;
  readonly #ends: TransactionEnds<null>;
  readonly #metadata = new Map<string, TopicMetadata>();

  constructor(
    cluster: SimulatedCluster,
    process: Process,
    transactionalId: string,
    outputs: readonly TopicPartition[] = [],
  ) {
    this.#cluster = cluster;
    this.#process = process;
    this.transactionalId = transactionalId;
    this.#ends = new TransactionEnds(outputs, this.#endsPort());
  }

  fence(): Promise<number> {
    return this.#once(() => this.#initialise(-1, -1));
  }

  initialiseAgain(): Promise<number> {
    invariant(this.#state !== 'new' && this.#producerId >= 0, 'initialiseAgain before the first fence');
    return this.#once(() => this.#initialise(this.#producerId, this.#epoch));
  }

  transact(transaction: Transaction): Promise<TransactionResult> {
    return this.#once(async () => {
      invariant(this.#state !== 'new', 'transact before fence');
      if (this.#state === 'dead') throw this.#error('writer-dead', 'a transaction of it failed before');
      return await this.#transact(transaction);
    });
  }

  abortOpen(): Promise<void> {
    return this.#once(async () => {
      this.#die();
      const { epoch, producerId, state } = await this.#ask('offsets', () =>
        this.#cluster.coordinator.describe(this.transactionalId),
      );
      if (state === 'Ongoing') await this.#abort(Number(producerId), epoch);
    });
  }

  /** EndTxn, for whoever has it open. */
  #abort(producerId: number, epoch: number): Promise<void> {
    const { channel, coordinator } = this.#cluster;
    return channel.request<void>(this.#process, 'commit', (answer) => {
      coordinator.endTransaction(this.transactionalId, producerId, epoch, false);
      answer();
    });
  }

  /** What the writer of the Kafka adapter decides with, too. */
  #endsPort(): EndsPort<null> {
    const { channel, coordinator } = this.#cluster;
    return {
      describe: () =>
        channel.request(this.#process, 'offsets', (answer) => answer(coordinator.describe(this.transactionalId))),
      abort: (_, { epoch, producerId }) => this.#abort(Number(producerId), epoch),
      describeNow: () => this.#ask('offsets', () => coordinator.describe(this.transactionalId)),
      unreadable: (written) => this.#unreadable(written),
      open: (partitions, producerId) => this.#open(partitions, Number(producerId)),
      commit: (open) => this.#commitOpen(open),
      endWithoutRecords: async (partitions, commit) => {
        await this.#addPartitions(partitions);
        const answer = await this.#end(commit);
        if (answer.error !== KAFKA.none) throw this.#refused('EndTxn', answer.error);
        this.#take(answer);
      },
      identity: () => ({ producerId: BigInt(this.#producerId), epoch: this.#epoch }),
      pause: (ms) => this.#process.after(ms, 'marker lag', () => {}),
      fenced: (what) => this.#error('writer-fenced', what),
      dead: (what) => this.#error('writer-dead', what),
    };
  }

  /** ListOffsets, read committed. */
  #unreadable(written: readonly WrittenPartition[]): Promise<readonly WrittenPartition[]> {
    return this.#cluster.channel.request<readonly WrittenPartition[]>(this.#process, 'offsets', (answer) =>
      answer(written.filter((one) => (this.#cluster.partition(one)?.lastStable ?? -1) <= Number(one.lastOffset))),
    );
  }

  /** DescribeProducers. */
  #open(partitions: readonly TopicPartition[], producerId: number): Promise<readonly OpenTransaction[]> {
    return this.#cluster.channel.request<readonly OpenTransaction[]>(this.#process, 'offsets', (answer) =>
      answer(
        partitions.flatMap(({ topic, partition }) => {
          const epoch = this.#cluster.partition({ topic, partition })?.openEpoch(producerId) ?? null;
          if (epoch === null) return [];
          return [{ topic, partition, producerId: BigInt(producerId), epoch, coordinatorEpoch: -1 }];
        }),
      ),
    );
  }

  /** WriteTxnMarkers: each leader refuses the marker of an epoch that is older than what it has seen. */
  #commitOpen(open: readonly OpenTransaction[]): Promise<boolean> {
    const { channel } = this.#cluster;
    return channel.request<boolean>(this.#process, 'offsets', (answer) => {
      if (channel.faults.markersRefused) {
        this.#cluster.coordinator.counts.markersRefused++;
        return answer(false);
      }
      for (const at of open) {
        const partition = this.#cluster.partition(at);
        const producerId = Number(at.producerId);
        if (partition === null || partition.epochOf(producerId) > at.epoch) continue;
        partition.writeMarker(producerId, at.epoch, true, Math.floor(channel.scheduler.nowMs));
      }
      answer(true);
    });
  }

  async close(): Promise<void> {
    this.#die();
  }

  async #once<T>(work: () => Promise<T>): Promise<T> {
    invariant(!this.#busy, `two calls at once of writer ${this.transactionalId}`);
    this.#busy = true;
    try {
      return await work();
    } catch (error) {
      this.#die();
      throw error;
    } finally {
      this.#busy = false;
    }
  }

  #die(): void {
    this.#state = 'dead';
    this.#attempt++;
    this.#metadata.clear();
  }

  async #initialise(producerId: number, epoch: number): Promise<number> {
    const { coordinator } = this.#cluster;
    const serve = () => coordinator.initProducerId(this.transactionalId, TRANSACTION_TIMEOUT_MS, producerId, epoch);
    this.#ends.begin();
    const answer = await this.#ask('fence', serve, () => {
      const own = producerId < 0 ? null : { producerId: BigInt(producerId), epoch };
      return this.#ends.completeCommitted(null, own);
    });
    if (answer.error !== KAFKA.none) throw this.#refused('InitProducerId', answer.error);
    this.#take(answer);
    await this.#ends.initialised();
    this.#state = 'ready';
    this.#attempt++;
    return this.#ends.byHand;
  }

  #take(answer: ProducerAnswer): void {
    this.#producerId = answer.producerId;
    this.#epoch = answer.epoch;
  }

  async #transact({ batches, entry, expectedEntryOffset }: Transaction): Promise<TransactionResult> {
    const all = [...batches, entry];
    await this.#learn(all);
    await this.#addPartitions(all);
    const taken = await this.#produce(all);
    const offset = taken[all.length - 1].baseOffset;
    if (BigInt(offset) !== expectedEntryOffset) {
      await this.#end(false);
      const message = `the commit log ${entry.topic}/${entry.partition} took the entry at offset ${offset}, expected was ${expectedEntryOffset}`;
      throw this.#error('foreign-writer', message, `stop what else writes to ${entry.topic}/${entry.partition}`);
    }
    const identity = { producerId: BigInt(this.#producerId), epoch: this.#epoch };
    const answer = await this.#end(true);
    if (answer.error !== KAFKA.none) throw this.#refused('EndTxn', answer.error);
    this.#take(answer);
    const endedByHand = await this.#ends.untilEnded(taken, identity);
    // The marker takes an offset.
    return { entryOffset: BigInt(offset), nextEntryOffset: BigInt(offset + entry.recordCount + 1), endedByHand };
  }

  async #addPartitions(batches: readonly TopicPartition[]): Promise<void> {
    const [producerId, epoch] = [this.#producerId, this.#epoch];
    const serve = () => ({ error: this.#added(batches, producerId, epoch) });
    const { error } = await this.#ask('add-partitions', serve);
    if (error !== KAFKA.none) throw this.#refused('AddPartitionsToTxn', error);
  }

  async #learn(batches: readonly StagedBatch[]): Promise<void> {
    for (const { topic, partition } of batches) {
      let known = this.#metadata.get(topic);
      if (known === undefined || partition >= known.partitionCount) {
        const found = await this.#cluster.channel.request<TopicMetadata | null>(this.#process, 'metadata', (answer) =>
          answer(this.#cluster.describe(topic)),
        );
        if (found === null || partition >= found.partitionCount) {
          throw this.#error('topic-unknown', `${topic}/${partition} does not exist`, 'create the topic');
        }
        known = found;
        this.#metadata.set(topic, known);
      }
    }
  }

  #added(batches: readonly TopicPartition[], producerId: number, epoch: number): number {
    const partitions: SimulatedPartition[] = [];
    for (const batch of batches) {
      const partition = this.#cluster.partition(batch);
      if (partition === null) return KAFKA.unknownTopic;
      if (!partitions.includes(partition)) partitions.push(partition);
    }
    return this.#cluster.coordinator.addPartitions(this.transactionalId, producerId, epoch, partitions);
  }

  /** Sends every batch, one request after the other to each leader; what was taken, in the order of the batches. */
  async #produce(batches: readonly StagedBatch[]): Promise<TakenBatch[]> {
    const leaders: StagedBatch[][] = Array.from({ length: BROKERS }, () => []);
    for (const batch of batches) leaders[(batch.partition + this.#leaderEpoch(batch)) % BROKERS].push(batch);
    const sequences = new Map<string, number>();
    const attempt = this.#attempt;
    const taken: TakenBatch[] = [];
    const send = async (own: StagedBatch[]) => {
      for (let at = 0; at < own.length && this.#attempt === attempt; ) {
        const round: StagedBatch[] = [];
        while (at < own.length && !round.some((one) => samePartition(one, own[at]))) round.push(own[at++]);
        const answers = await this.#write(round, sequences);
        for (let i = 0; i < round.length; i++) {
          const { error, baseOffset } = answers[i];
          if (error !== KAFKA.none) throw this.#refused('Produce', error);
          const { topic, partition, recordCount } = round[i];
          const lastOffset = BigInt(baseOffset + recordCount - 1);
          taken[batches.indexOf(round[i])] = { topic, partition, baseOffset, lastOffset };
        }
      }
    };
    await Promise.all(leaders.filter((own) => own.length > 0).map(send));
    invariant(taken.filter(() => true).length === batches.length, 'a batch was not sent');
    return taken;
  }

  #write(round: readonly StagedBatch[], sequences: Map<string, number>): Promise<ProduceAnswer[]> {
    const sent = round.map((batch) => {
      const place = `${batch.topic}/${batch.partition}`;
      const sequence = sequences.get(place) ?? 0;
      sequences.set(place, sequence + batch.recordCount);
      const bytes = Buffer.from(batch.bytes);
      stampBatch(bytes, BigInt(this.#producerId), this.#epoch, sequence);
      return { topic: batch.topic, partition: batch.partition, leaderEpoch: this.#leaderEpoch(batch), bytes };
    });
    return this.#cluster.channel.request(this.#process, 'write', (answer) =>
      answer(sent.map((one) => this.#cluster.produce(this.transactionalId, one, one.leaderEpoch, one.bytes))),
    );
  }

  #leaderEpoch(batch: StagedBatch): number {
    return this.#metadata.get(batch.topic)?.leaderEpochs[batch.partition] ?? -1;
  }

  #end(commit: boolean): Promise<ProducerAnswer> {
    const [producerId, epoch] = [this.#producerId, this.#epoch];
    return this.#ask('commit', () =>
      this.#cluster.coordinator.endTransaction(this.transactionalId, producerId, epoch, commit),
    );
  }

  /** Asks the coordinator, again while it is busy; `first` before each time. */
  async #ask<T extends { readonly error: number }>(
    kind: RequestKind,
    serve: () => T,
    first?: () => Promise<number>,
  ): Promise<T> {
    const { channel } = this.#cluster;
    const givenUpMs = channel.scheduler.nowMs + RETRY_MAX_MS;
    for (;;) {
      const unready = await first?.();
      const answer =
        unready !== undefined && unready !== KAFKA.none
          ? { error: unready }
          : await channel.request<T | { readonly error: number }>(this.#process, kind, (give) => {
              const error = this.#cluster.coordinatorError();
              give(error === KAFKA.none ? serve() : { error });
            });
      if (!BUSY.includes(answer.error)) return answer as T;
      if (channel.scheduler.nowMs > givenUpMs) throw this.#error('log-timeout', `${kind} found the coordinator busy`);
      await this.#process.after(RETRY_MS, 'retry', () => undefined);
    }
  }

  #refused(request: string, error: number): StreamError {
    const codes: Readonly<Record<number, ErrorCode>> = {
      [KAFKA.producerFenced]: 'writer-fenced',
      [KAFKA.invalidEpoch]: 'writer-fenced',
      [KAFKA.messageTooLarge]: 'record-too-large',
      [KAFKA.unknownTopic]: 'topic-unknown',
    };
    return this.#error(codes[error] ?? 'writer-dead', `${request} answered error ${error}`);
  }

  #error(code: ErrorCode, what: string, remedy = 'initialise the writer again and read the log'): StreamError {
    return new StreamError(code, `writer ${this.transactionalId}: ${what}`, remedy);
  }
}

function samePartition(a: StagedBatch, b: StagedBatch): boolean {
  return a.partition === b.partition && a.topic === b.topic;
}
