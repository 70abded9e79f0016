// Owns a slot's partition readers: which broker each is fetched from, and what happens when that does not work. While
// the log is away it goes on trying; a reader ends with an error only for what will not pass.

import type { LogReader, PartitionReader, TopicPartition } from '#runtime/log/contract.ts';
import { errorName, OFFSET_OUT_OF_RANGE } from '#runtime/log/kafka/broker-error.ts';
import { BrokerFetcher, type FetcherOwner } from '#runtime/log/kafka/broker-fetcher.ts';
import { type Cluster, topicUnknown } from '#runtime/log/kafka/cluster.ts';
import { FramePool } from '#runtime/log/kafka/frame-pool.ts';
import { listOffsets } from '#runtime/log/kafka/offsets.ts';
import { KafkaPartitionReader, type PartitionLimits } from '#runtime/log/kafka/partition-reader.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface ReaderOptions extends PartitionLimits {
  readonly fetchBytesMax: number;
  readonly partitionBytesMax: number;
  readonly fetchWaitMs: number;
  readonly heldBytesMax: number;
}

/** A partition without a fetcher. */
interface Homeless {
  readonly reader: KafkaPartitionReader;
  readonly retryAtMs: number;
  /** What the cluster is known to be may be wrong. */
  readonly stale: boolean;
  /** How often in a row the topic was not there, or was another one. */
  readonly strikes: number;
}

const BACKOFF_MIN_MS = 50;
const BACKOFF_MAX_MS = 1000;
/** A broker that just started may not know the newest topics: one look is no proof. */
const STRIKES_MAX = 5;

export class KafkaReader implements LogReader, FetcherOwner {
  readonly #cluster: Cluster;
  readonly #options: ReaderOptions;
  readonly #pool = new FramePool();
  readonly #readers = new Set<KafkaPartitionReader>();
  readonly #fetchers = new Set<BrokerFetcher>();
  readonly #homeless = new Map<KafkaPartitionReader, Homeless>();
  #closed = false;
  #placing: Promise<void> | null = null;
  #nap: AbortController | null = null;

  readonly #onClosed: () => void;

  constructor(cluster: Cluster, options: ReaderOptions, onClosed: () => void) {
    this.#cluster = cluster;
    this.#options = options;
    this.#onClosed = onClosed;
  }

  open(at: TopicPartition & { readonly topicId: string; readonly offset: bigint }): PartitionReader {
    if (this.#closed) throw new StreamError('log-unavailable', 'the reader was closed', 'open another');
    const reader = new KafkaPartitionReader(at, this.#options, (closed) => this.#forget(closed));
    this.#readers.add(reader);
    this.#settle({ reader, retryAtMs: 0, stale: false, strikes: 0 });
    return reader;
  }

  #forget(reader: KafkaPartitionReader): void {
    this.#readers.delete(reader);
    this.#homeless.delete(reader);
    for (const fetcher of this.#fetchers) fetcher.remove(reader);
  }

  refused(reader: KafkaPartitionReader, error: number): void {
    if (error === OFFSET_OUT_OF_RANGE) void this.#investigate(reader);
    else this.#retry(reader, `${reader.name}: ${errorName(error)}`);
  }

  ended(fetcher: BrokerFetcher, readers: readonly KafkaPartitionReader[], error: unknown): void {
    this.#fetchers.delete(fetcher);
    for (const reader of readers) {
      reader.home = null;
      if (error instanceof StreamError && error.code !== 'log-unsupported') this.#retry(reader, error.message);
      else reader.fail(error);
    }
  }

  #retry(reader: KafkaPartitionReader, fault: string, strikes = 0): void {
    if (!reader.live || this.#closed) return;
    reader.fault = fault;
    const waitMs = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(reader.failures, 10));
    reader.failures++;
    const retryAtMs = this.#cluster.options.clock.monotonicMs() + waitMs;
    this.#settle({ reader, retryAtMs, stale: true, strikes });
  }

  #settle(homeless: Homeless): void {
    this.#homeless.set(homeless.reader, homeless);
    this.#nap?.abort();
    this.#placing ??= this.#place();
  }

  async #place(): Promise<void> {
    const { clock } = this.#cluster.options;
    // Partitions opened in one go are placed in one go.
    await Promise.resolve();
    while (this.#homeless.size > 0 && !this.#closed) {
      const nowMs = clock.monotonicMs();
      const due: Homeless[] = [];
      let nextMs = Number.POSITIVE_INFINITY;
      for (const one of this.#homeless.values()) {
        if (one.retryAtMs <= nowMs) due.push(one);
        else nextMs = Math.min(nextMs, one.retryAtMs);
      }
      if (due.length > 0) await this.#placeDue(due);
      else {
        this.#nap = new AbortController();
        await clock.sleep(nextMs - nowMs, this.#nap.signal);
        this.#nap = null;
      }
    }
    this.#placing = null;
  }

  async #placeDue(due: readonly Homeless[]): Promise<void> {
    const doubtful = due.filter(({ reader, stale }) => stale || !this.#agrees(reader));
    const topics = new Set(doubtful.map(({ reader }) => reader.topic));
    if (topics.size > 0) {
      try {
        await this.#cluster.refresh([...topics]);
      } catch (error) {
        for (const { reader, strikes } of doubtful) {
          this.#homeless.delete(reader);
          if (!(error instanceof StreamError) || error.code === 'log-unsupported') reader.fail(error);
          else this.#retry(reader, error.message, strikes);
        }
      }
    }
    for (const one of due) {
      // Closed meanwhile, or put off by the failure above.
      if (this.#homeless.get(one.reader) !== one) continue;
      this.#homeless.delete(one.reader);
      this.#give(one);
    }
  }

  #agrees(reader: KafkaPartitionReader): boolean {
    const known = this.#cluster.known(reader.topic);
    return known?.topicId === reader.topicId && (known.leaders[reader.partition] ?? -1) >= 0;
  }

  /** Hands a partition to the fetcher of its leader, or finds out why that cannot be. */
  #give({ reader, strikes }: Homeless): void {
    const known = this.#cluster.known(reader.topic);
    const leader = known?.leaders[reader.partition];
    if (known === undefined || (known.topicId === reader.topicId && leader === undefined)) {
      const error = known === undefined ? topicUnknown(reader.topic) : topicUnknown(reader.topic, reader.partition);
      if (strikes + 1 >= STRIKES_MAX) reader.fail(error);
      else this.#retry(reader, error.message, strikes + 1);
    } else if (known.topicId !== reader.topicId) {
      const message = `topic '${reader.topic}' was deleted and created again: its id is ${known.topicId}, not ${reader.topicId}`;
      const remedy = 'start the job anew with another name, or restore the topic';
      if (strikes + 1 >= STRIKES_MAX) reader.fail(new StreamError('topic-recreated', message, remedy));
      else this.#retry(reader, message, strikes + 1);
    } else if (leader === undefined || leader < 0) this.#retry(reader, `${reader.name} has no leader`);
    else this.#fetcherFor(reader, leader).add(reader);
  }

  #fetcherFor(reader: KafkaPartitionReader, nodeId: number): BrokerFetcher {
    for (const fetcher of this.#fetchers) {
      if (fetcher.nodeId === nodeId && !fetcher.reads(reader.topicId, reader.partition)) return fetcher;
    }
    const { fetchBytesMax, partitionBytesMax, fetchWaitMs, heldBytesMax } = this.#options;
    const options = { nodeId, pool: this.#pool, fetchBytesMax, partitionBytesMax, fetchWaitMs, heldBytesMax };
    const fetcher = new BrokerFetcher(this.#cluster, this, options);
    this.#fetchers.add(fetcher);
    void fetcher.run();
    return fetcher;
  }

  /** An offset out of range ends the reader with the range that exists; unless it was the broker that was behind. */
  async #investigate(reader: KafkaPartitionReader): Promise<void> {
    const { topic, partition } = reader;
    try {
      const [first, end] = await listOffsets(this.#cluster, [
        { topic, partition, at: 'earliest' },
        { topic, partition, at: 'high-watermark' },
      ]);
      await this.#cluster.refresh([topic]);
      const asked = reader.fetchOffset;
      if (!this.#agrees(reader) || (first <= asked && asked <= end)) {
        this.#retry(reader, `${reader.name}: ${errorName(OFFSET_OUT_OF_RANGE)}`);
        return;
      }
      const message = `${topic}/${partition} has no offset ${asked}: the topic's partition holds offsets ${first} to ${end}`;
      const remedy = 'start the job from an offset that exists; raise the retention of the topic';
      reader.fail(new StreamError('offset-out-of-range', message, remedy));
    } catch (error) {
      if (error instanceof StreamError) this.#retry(reader, error.message);
      else reader.fail(error);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#nap?.abort();
    for (const reader of [...this.#readers]) reader.close();
    for (const fetcher of this.#fetchers) fetcher.close();
    this.#fetchers.clear();
    this.#onClosed();
  }
}
