// Owns the log port: partitioned logs of record batches with transactions, as Kafka has them. Bytes in, bytes out;
// offsets are bigint. Adapters (kafka/, embedded/, the simulated one) hold no decisions: they do one thing or throw a
// StreamError. All of them store and hand out Kafka record batches of version 2 (record-batch.ts).

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

export interface TopicDescription {
  readonly topic: string;
  /** Changes when the topic is deleted and created again. */
  readonly topicId: string;
  readonly partitionCount: number;
}

export interface TopicSpec {
  readonly topic: string;
  readonly partitionCount: number;
  /** Kafka topic configuration: `retention.ms`, `max.message.bytes`, `cleanup.policy`, … Unknown ones may be ignored. */
  readonly config?: Readonly<Record<string, string>>;
}

/**
 * Where to look in a partition: the first offset still there, the end of what is committed (last stable offset), the
 * end of what is written (high watermark), or the first record whose timestamp is at or after a time (milliseconds; the
 * high watermark when there is none).
 */
export type OffsetSpec = 'earliest' | 'last-stable' | 'high-watermark' | { readonly timestampMs: number };

export interface OffsetQuery extends TopicPartition {
  readonly at: OffsetSpec;
}

export interface LogAdmin {
  /** Names the installation of the log (Kafka's cluster id). */
  identity(): Promise<string>;
  /** In the order asked; null where a topic does not exist. */
  describeTopics(topics: readonly string[]): Promise<(TopicDescription | null)[]>;
  /** Topic configuration as stored, with defaults filled in; at least `max.message.bytes` and `retention.ms`. */
  describeConfig(topic: string): Promise<Readonly<Record<string, string>>>;
  /** Returns when the topics can be used. One that exists already is left alone. */
  createTopics(specs: readonly TopicSpec[]): Promise<void>;
  createPartitions(topic: string, partitionCount: number): Promise<void>;
  /** A topic that does not exist is no error. */
  deleteTopics(topics: readonly string[]): Promise<void>;
  listTopics(): Promise<string[]>;
  /** In the order asked. Errors: topic-unknown, log-unavailable, log-timeout. */
  listOffsets(queries: readonly OffsetQuery[]): Promise<bigint[]>;
  /** Removes records below `before` in each partition. */
  deleteRecords(cuts: readonly (TopicPartition & { readonly before: bigint })[]): Promise<void>;
  /** Publishes consumed offsets under a consumer group, for people's tools. Nothing reads them back. */
  publishOffsets(group: string, offsets: readonly (TopicPartition & { readonly offset: bigint })[]): Promise<void>;
  close(): Promise<void>;
}

/**
 * The visible records of one record batch: decompressed, committed, not control. `bytes[start, end)` holds `count`
 * records in Kafka's format (RecordWalker reads them). Records below `skipBelow` were not asked for.
 * The bytes die at `release()`: copy what outlives it.
 */
export interface FetchedBatch {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  readonly count: number;
  readonly baseOffset: bigint;
  readonly baseTimestampMs: number;
  /** Records with an offset delta below this are not for this reader. */
  readonly skipBelowDelta: number;
  /** Offset after the last record of the batch, invisible ones included. */
  readonly nextOffset: bigint;
  release(): void;
}

/** How far a partition reader got. Offsets are those of the last successful fetch, -1n before the first. */
export interface ReaderStatus {
  readonly position: bigint;
  readonly logStart: bigint;
  readonly lastStable: bigint;
  readonly highWatermark: bigint;
  /** Successful fetch answers of this partition so far; grows while the log answers, also without data. */
  readonly fetches: number;
  /** The fault that keeps the reader from fetching (it goes on trying), or null. */
  readonly fault: string | null;
}

/**
 * Reads one partition, read committed, in order, with bounded read-ahead. Retries by itself while the log is away
 * (with backoff, visible in `status().fault`); throws only what will not pass: offset-out-of-range (names the range),
 * topic-unknown, topic-recreated, log-corrupt, log-unsupported.
 */
export interface PartitionReader extends TopicPartition {
  /** The next batch, or null when none is at hand. At most one batch is out at a time: release it before the next. */
  poll(): FetchedBatch | null;
  /** Resolves when poll() has a batch or an error to give, or when `position` moved over invisible records. */
  ready(): Promise<void>;
  /** Offset after everything handed out so far and the invisible records right behind it. Never goes back. */
  readonly position: bigint;
  status(): ReaderStatus;
  close(): void;
}

/** Many partition readers over shared connections; one per slot. */
export interface LogReader {
  open(at: TopicPartition & { readonly topicId: string; readonly offset: bigint }): PartitionReader;
  close(): Promise<void>;
}

/** Complete record batch of version 2 for one partition, producer fields and CRC not stamped yet (record-batch.ts). */
export interface StagedBatch extends TopicPartition {
  readonly bytes: Buffer;
  readonly recordCount: number;
}

export interface Transaction {
  readonly batches: readonly StagedBatch[];
  /** For the commit log, which takes one record at a time; a control log may take more. */
  readonly entry: StagedBatch;
  /** Base offset the entry must get; anything else aborts with `foreign-writer`. */
  readonly expectedEntryOffset: bigint;
}

export interface TransactionResult {
  readonly entryOffset: bigint;
  /** Base offset the next entry must get. */
  readonly nextEntryOffset: bigint;
  /** Partitions in which the log had left out the end of this transaction, and the writer wrote it. */
  readonly endedByHand: number;
}

/**
 * One transactional id. States: new, ready, dead. `fence` and `initialiseAgain` make it ready; any error of `transact`
 * makes it dead, and its transaction's fate is unknown until it is ready again and the log was read. Several calls at
 * once are a bug of the caller.
 */
export interface LogWriter {
  readonly transactionalId: string;
  /**
   * InitProducerId with -1/-1: shuts out every older writer of the id and ends its open transaction. Returns in how many
   * partitions an earlier transaction had to be ended by hand: a Kafka broker that stops or starts can hold one for
   * ended and leave that out in all or some of its partitions (seen with 4.3.1).
   */
  fence(): Promise<number>;
  /** InitProducerId with the own producer id and epoch, otherwise as `fence`. Error `writer-fenced`: somebody fenced since. */
  initialiseAgain(): Promise<number>;
  /** Aborts what the id has open, whoever opened it; nothing when nothing is. This writer is not ready then. */
  abortOpen(): Promise<void>;
  /**
   * All or nothing over all partitions; returns when it is committed and ended in all of them: readers see it, unless an
   * older transaction of somebody else holds them back. Where the log left out the end, it is written before.
   */
  transact(transaction: Transaction): Promise<TransactionResult>;
  close(): Promise<void>;
}

export interface GroupOptions {
  /** Name of the group; Kafka keeps it among its consumer groups, with a protocol type of its own. */
  readonly group: string;
  /** A member that says nothing for so long is out. Brokers take 6000 and more by default. @default 10000 */
  readonly sessionTimeoutMs?: number;
  /** A round waits so long for members of the one before; who comes later is out. @default 10000 */
  readonly rebalanceTimeoutMs?: number;
}

export interface GroupMember {
  readonly memberId: string;
  readonly metadata: Buffer;
}

/** One round of a group: who takes part is settled, who gets what is not. */
export interface GroupRound {
  readonly generation: number;
  readonly memberId: string;
  readonly leaderId: string;
  /** All that take part, with what they brought; only the leader is told, null for the others. */
  readonly members: readonly GroupMember[] | null;
}

/**
 * `stable`: the generation asked about is the group's. `rebalance`: it still is, but a new round has begun: join again.
 */
export type GroupState = 'stable' | 'rebalance';

/**
 * One member of a group that agrees in rounds on who does what (Kafka's group protocol, type `millrace`). The group
 * carries bytes and knows nothing of what they mean. Every call has a deadline; a coordinator that moved is looked up and
 * asked again inside it. Errors of all calls: log-unavailable, log-timeout, log-protocol (the coordinator cannot be
 * reached: nobody knows whether the call was carried out), group-refused, member-unknown (`memberId` is null then: the
 * group went on without this member, whatever it held may be others' by now).
 */
export interface GroupSession {
  /** What the group calls this member; null before it joins and after the group forgot it. */
  readonly memberId: string | null;
  /**
   * Takes part in the next round with this metadata. Answers when the round has begun: when all members of the one
   * before came or were given up, so it may take as long as `rebalanceTimeoutMs`. One `join` or `sync` at a time.
   * A leader that joins, and anybody whose metadata changed, begins a new round; others may be told the one under way.
   * `signal` ends the wait with log-unavailable; what was sent stands, and the same may be sent again.
   */
  join(metadata: Uint8Array, signal?: AbortSignal): Promise<GroupRound>;
  /**
   * Gives everybody's assignment by member id (leader) and answers with the own one (everybody), empty if the leader
   * gave none. What the leader gave first stands. Errors: rebalance-in-progress (a new round has begun: join again),
   * generation-ended.
   */
  sync(generation: number, assignments: ReadonlyMap<string, Uint8Array>, signal?: AbortSignal): Promise<Buffer>;
  /**
   * Says that the member lives; at any time, while a `join` waits too. The answer is of a moment after the call.
   * Error: generation-ended (another round was settled: join again to learn of it).
   */
  heartbeat(generation: number): Promise<GroupState>;
  /** Gives up the place at once: the others hear of it with their next heartbeat. Nothing when there is none. */
  leave(): Promise<void>;
  /** Gives up the place of another member, which is dead for sure: nobody waits for the end of its session then. */
  dismiss(memberId: string): Promise<void>;
  /** Ends the connections, and calls on their way with log-unavailable; without `leave` the place stays until it times out. */
  close(): Promise<void>;
}

/** A connection to one log. Cheap to make; each slot has its own. */
export interface LogClient {
  readonly kind: 'kafka' | 'embedded' | 'simulated';
  readonly admin: LogAdmin;
  reader(): LogReader;
  /** `outputs`: every partition that the id may ever write, now and in earlier lives; the default: none to look after. */
  writer(transactionalId: string, outputs?: readonly TopicPartition[]): LogWriter;
  /** A member of a group, not yet joined. */
  group(options: GroupOptions): GroupSession;
  close(): Promise<void>;
}
