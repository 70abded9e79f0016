// Owns what the simulated log holds, as its brokers see it: topics with ids, partitions, leaders, the coordinator. Its
// methods are what a request does when it is carried out; they never wait and know no client.

import type { OffsetSpec, TopicDescription, TopicPartition, TopicSpec } from '#runtime/log/contract.ts';
import { RecordWalker } from '#runtime/log/record-batch.ts';
import { crc32c } from '#runtime/std/crc32c.ts';
import type { LogChannel } from '#test/simulation/world/log-channel.ts';
import { SimulatedCoordinator } from '#test/simulation/world/log-coordinator.ts';
import { SimulatedGroups } from '#test/simulation/world/log-group.ts';
import { KAFKA, SimulatedPartition, type StoredBatch } from '#test/simulation/world/log-partition.ts';
import { bodyOf } from '#test/suites/log/bytes.ts';

const DEFAULT_CONFIG = { 'max.message.bytes': '1048588', 'retention.ms': '604800000', 'cleanup.policy': 'delete' };
/** How long a partition is without a leader after its leader moved. */
const ELECTION_MS = 300;
const FETCH_WAIT_MS = 500;

export interface SimulatedTopic {
  readonly topic: string;
  readonly topicId: string;
  readonly config: Readonly<Record<string, string>>;
  readonly partitions: SimulatedPartition[];
}

/** Topics are asked for by name, as in Fetch v11: nothing here tells that a topic was created again. */
export interface FetchRequest extends TopicPartition {
  readonly offset: number;
  /** Leader epoch as the client's metadata has it; another one means that it asks the wrong broker. */
  readonly leaderEpoch: number;
  readonly bytesMax: number;
}

/** A Metadata answer of one topic. */
export interface TopicMetadata extends TopicDescription {
  readonly leaderEpochs: readonly number[];
}

/** A Fetch answer of one partition; batches are those the log holds. */
export interface FetchAnswer {
  readonly error: number;
  readonly batches: readonly StoredBatch[];
  readonly logStart: number;
  readonly lastStable: number;
  readonly highWatermark: number;
}

export class SimulatedCluster {
  readonly channel: LogChannel;
  readonly coordinator: SimulatedCoordinator;
  readonly groups: SimulatedGroups;
  readonly identity: string;
  readonly topics = new Map<string, SimulatedTopic>();
  /** The first of each name, whether it was deleted since or not; for those who judge afterwards. */
  readonly originals = new Map<string, SimulatedTopic>();
  readonly publishedOffsets = new Map<string, bigint>();
  /** How long a fetch waits for something to come. */
  fetchWaitMs: () => number = () => FETCH_WAIT_MS;
  /** Told before a client has records deleted; for those who judge. */
  onDelete: (at: TopicPartition, before: number) => void = () => {};
  /** Offset of the first record of new partitions. */
  startOffset = 0;
  #topicIds = 0;

  constructor(channel: LogChannel) {
    this.channel = channel;
    this.identity = `simulated-${channel.random.bits().toString(16)}`;
    this.coordinator = new SimulatedCoordinator(channel.scheduler, channel.random.fork(), () => channel.faults);
    this.groups = new SimulatedGroups(channel.scheduler);
  }

  /** No transaction is open anywhere. */
  get quiet(): boolean {
    return this.coordinator.quiet && this.#partitions.every(({ quiet }) => quiet);
  }

  /** All that it holds now, while it is quiet; calling what is returned makes it so again: a cluster that lost its end. */
  copy(): () => void {
    const copies = [this.coordinator.copy(), ...this.#partitions.map((partition) => partition.copy())];
    return () => {
      for (const restore of copies) restore();
    };
  }

  get #partitions(): SimulatedPartition[] {
    return [...this.topics.values()].flatMap(({ partitions }) => partitions);
  }

  createTopics(specs: readonly TopicSpec[]): void {
    for (const { topic, partitionCount, config } of specs) {
      if (this.topics.has(topic)) continue;
      const topicId = `id-${++this.#topicIds}`;
      const created = { topic, topicId, config: { ...DEFAULT_CONFIG, ...config }, partitions: [] };
      this.topics.set(topic, created);
      if (!this.originals.has(topic)) this.originals.set(topic, created);
      this.createPartitions(topic, partitionCount);
    }
  }

  createPartitions(topic: string, partitionCount: number): boolean {
    const found = this.topics.get(topic);
    if (found === undefined) return false;
    while (found.partitions.length < partitionCount) {
      found.partitions.push(new SimulatedPartition(topic, found.partitions.length, this.startOffset));
    }
    return true;
  }

  deleteTopics(topics: readonly string[]): void {
    for (const topic of topics) {
      const found = this.topics.get(topic);
      this.topics.delete(topic);
      for (const partition of found?.partitions ?? []) partition.changed();
    }
  }

  describe(topic: string): TopicMetadata | null {
    const found = this.topics.get(topic);
    if (found === undefined) return null;
    const { topicId, partitions } = found;
    const leaderEpochs = partitions.map((partition) => partition.leaderEpoch);
    return { topic, topicId, partitionCount: partitions.length, leaderEpochs };
  }

  /** What a coordinator that is loading, moved or busy answers to anything; 0 when it is well. */
  coordinatorError(): number {
    const { random, faults } = this.channel;
    if (!random.happens('coordinator-busy', faults.coordinatorBusy)) return KAFKA.none;
    return random.pick([
      KAFKA.coordinatorLoading,
      KAFKA.coordinatorMoved,
      KAFKA.notCoordinator,
      KAFKA.concurrentTransactions,
    ]);
  }

  partition(at: TopicPartition): SimulatedPartition | null {
    return this.topics.get(at.topic)?.partitions[at.partition] ?? null;
  }

  /** Null where there is no such partition, -1 while it has no leader. */
  offset(at: TopicPartition, spec: OffsetSpec): number | null {
    const partition = this.partition(at);
    if (partition === null) return null;
    if (!this.#hasLeader(partition)) return -1;
    if (spec === 'earliest') return partition.logStart;
    if (spec === 'last-stable') return partition.lastStable;
    if (spec === 'high-watermark') return partition.end;
    return offsetByTime(partition, spec.timestampMs);
  }

  deleteRecords(at: TopicPartition, before: number): boolean {
    const partition = this.partition(at);
    this.onDelete(at, before);
    partition?.cut(before);
    return partition !== null;
  }

  /** Appends a plain batch from outside the simulated processes, such as a producer of samples. */
  append(at: TopicPartition, bytes: Buffer): number {
    const partition = this.partition(at);
    if (partition === null) throw new Error(`${at.topic}/${at.partition} does not exist`);
    return partition.append(bytes, 'committed').baseOffset;
  }

  /** Offsets without records, as compaction leaves them: an empty batch. Not for commit logs, which Kafka never compacts. */
  leaveGap(at: TopicPartition, size: number): void {
    const bytes = Buffer.alloc(61);
    bytes.writeInt32BE(49, 8);
    bytes[16] = 2;
    bytes.writeInt32BE(size - 1, 23);
    bytes.writeBigInt64BE(-1n, 27);
    bytes.writeBigInt64BE(-1n, 35);
    bytes.writeBigInt64BE(-1n, 43);
    bytes.writeInt16BE(-1, 51);
    bytes.writeInt32BE(-1, 53);
    bytes.writeUInt32BE(crc32c(bytes, 21), 17);
    this.append(at, bytes);
  }

  /** Produce v12, one batch per partition. The bytes belong to the log from now on. */
  produce(
    id: string,
    at: TopicPartition,
    leaderEpoch: number,
    bytes: Buffer,
  ): { readonly error: number; readonly baseOffset: number } {
    const partition = this.partition(at);
    if (partition === null) return { error: KAFKA.unknownTopic, baseOffset: -1 };
    const { channel } = this;
    if (channel.random.happens('leader-moves', channel.faults.leaderMoves)) this.moveLeader(partition);
    if (!this.#leads(partition, leaderEpoch)) return { error: KAFKA.notLeader, baseOffset: -1 };
    if (bytes.length > Number(this.topics.get(at.topic)?.config['max.message.bytes'])) {
      return { error: KAFKA.messageTooLarge, baseOffset: -1 };
    }
    const producerId = Number(bytes.readBigInt64BE(43));
    const error = this.coordinator.verify(id, producerId, bytes.readInt16BE(51), partition);
    return error === KAFKA.none ? partition.produce(bytes) : { error, baseOffset: -1 };
  }

  moveLeader(partition: SimulatedPartition): void {
    partition.leaderEpoch++;
    partition.electedAtMs = this.channel.scheduler.nowMs + this.channel.random.between(0, ELECTION_MS);
  }

  /** Fetch, read committed: answers when there is something behind `offset`, or after a while with nothing. */
  fetch(at: FetchRequest, answer: (value: FetchAnswer) => void): void {
    const now = this.#fetchNow(at);
    const partition = this.partition(at);
    if (partition === null || now.error !== KAFKA.none || now.batches.length > 0) {
      answer(now);
      return;
    }
    let answered = false;
    const later = () => {
      if (answered) return;
      answered = true;
      this.channel.scheduler.cancel(timer);
      answer(this.#fetchNow(at));
    };
    const timer = this.channel.scheduler.schedule(this.fetchWaitMs(), 'fetch wait', null, later);
    partition.onChange(later);
  }

  #fetchNow(at: FetchRequest): FetchAnswer {
    const { offset } = at;
    const topic = this.topics.get(at.topic);
    const partition = topic?.partitions[at.partition];
    if (topic === undefined || partition === undefined) return fetchError(KAFKA.unknownTopic, null);
    const { random, faults } = this.channel;
    if (random.happens('leader-moves', faults.leaderMoves)) this.moveLeader(partition);
    if (!this.#leads(partition, at.leaderEpoch)) return fetchError(KAFKA.notLeader, partition);
    if (offset < partition.logStart || offset > partition.end) {
      return fetchError(KAFKA.offsetOutOfRange, partition);
    }
    const { lastStable } = partition;
    const lagging = random.happens('fetch-lag', faults.fetchLag);
    const cut = lagging || random.happens('fetch-cut', faults.fetchCut);
    const batches: StoredBatch[] = [];
    let left = at.bytesMax;
    for (let i = partition.indexOf(offset); i < partition.batches.length; i++) {
      const batch = partition.batches[i];
      if (batch.baseOffset >= lastStable) break;
      left -= batch.bytes.length;
      if (batches.length > 0 && (left < 0 || (cut && random.chance(0.4)))) break;
      if (batches.length === 0 && lagging && random.chance(0.3)) break;
      batches.push(batch);
    }
    // By a transaction that is open.
    if (offset >= lastStable && offset < partition.end) this.channel.counts['held-back']++;
    const seen = batches.at(-1)?.nextOffset ?? offset;
    return {
      error: KAFKA.none,
      batches,
      logStart: partition.logStart,
      lastStable: lagging ? Math.min(seen, lastStable) : lastStable,
      highWatermark: lagging ? seen : partition.end,
    };
  }

  #leads(partition: SimulatedPartition, leaderEpoch: number): boolean {
    return partition.leaderEpoch === leaderEpoch && this.#hasLeader(partition);
  }

  #hasLeader(partition: SimulatedPartition): boolean {
    return this.channel.scheduler.nowMs >= partition.electedAtMs;
  }
}

function fetchError(error: number, partition: SimulatedPartition | null): FetchAnswer {
  const { logStart, lastStable, end } = partition ?? { logStart: -1, lastStable: -1, end: -1 };
  return { error, batches: [], logStart, lastStable, highWatermark: end };
}

const walker = new RecordWalker();

function offsetByTime(partition: SimulatedPartition, timestampMs: number): number {
  for (const batch of partition.batches) {
    if (batch.control || batch.maxTimestampMs < timestampMs) continue;
    const { bytes, start } = bodyOf(batch.bytes);
    walker.reset(bytes, start, bytes.length, batch.bytes.readInt32BE(57));
    const base = Number(batch.bytes.readBigInt64BE(27));
    while (walker.next()) {
      const offset = batch.baseOffset + walker.offsetDelta;
      if (base + walker.timestampDelta >= timestampMs && offset >= partition.logStart) return offset;
    }
  }
  return partition.end;
}
