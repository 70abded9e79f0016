// Owns reading the simulated log the way a careful client does: one fetch under way, bounded read-ahead, metadata again
// after an error and now and then. What is handed out is a copy that is overwritten at release, so that nobody keeps a
// view.

import type { FetchedBatch, LogReader, PartitionReader, ReaderStatus, TopicPartition } from '#runtime/log/contract.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';
import type { FetchAnswer, SimulatedCluster, TopicMetadata } from '#test/simulation/world/log-cluster.ts';
import { KAFKA, type StoredBatch } from '#test/simulation/world/log-partition.ts';
import type { Process } from '#test/simulation/world/process.ts';
import { bodyOf } from '#test/suites/log/bytes.ts';

const READ_AHEAD_BATCHES_MAX = 16;
const FETCH_BYTES_MAX = 65_536;
const BACKOFF_MS = 50;
const METADATA_AGE_MAX_MS = 10_000;

type OpenAt = TopicPartition & { readonly topicId: string; readonly offset: bigint };

/** What lies ahead of the position: a batch or a part of one, or something invisible. */
interface Ahead {
  readonly batch: StoredBatch | null;
  /** Records of the batch to hand out; all when -1. */
  readonly count: number;
  readonly nextOffset: number;
}

export class SimulatedLogReader implements LogReader {
  readonly #cluster: SimulatedCluster;
  readonly #process: Process;
  readonly #open = new Set<SimulatedPartitionReader>();

  constructor(cluster: SimulatedCluster, process: Process) {
    this.#cluster = cluster;
    this.#process = process;
  }

  open(at: OpenAt): PartitionReader {
    const reader = new SimulatedPartitionReader(this.#cluster, this.#process, at);
    this.#open.add(reader);
    return reader;
  }

  async close(): Promise<void> {
    for (const reader of this.#open) reader.close();
    this.#open.clear();
  }
}

class SimulatedPartitionReader implements PartitionReader {
  readonly topic: string;
  readonly partition: number;
  readonly #cluster: SimulatedCluster;
  readonly #process: Process;
  readonly #topicId: string;
  /** The same batch of the log may be ahead in two parts. */
  readonly #ahead: Ahead[] = [];
  #position: number;
  #fetchOffset: number;
  #answer: FetchAnswer | null = null;
  #fetches = 0;
  #fault: string | null = null;
  #error: StreamError | null = null;
  #out: { readonly size: number } | null = null;
  #closed = false;
  #metadata: TopicMetadata | null = null;
  #metadataMs = 0;
  #waiting: (() => void)[] = [];
  #drained: (() => void) | null = null;
  #copy = Buffer.alloc(0);

  constructor(cluster: SimulatedCluster, process: Process, at: OpenAt) {
    this.#cluster = cluster;
    this.#process = process;
    this.topic = at.topic;
    this.partition = at.partition;
    this.#topicId = at.topicId;
    this.#position = Number(at.offset);
    this.#fetchOffset = this.#position;
    this.#run().catch((error: unknown) => {
      if (error instanceof StreamError) this.#stop(error);
      else process.scheduler.fail(error);
    });
  }

  get position(): bigint {
    return BigInt(this.#position);
  }

  status(): ReaderStatus {
    const answer = this.#answer;
    return {
      position: BigInt(this.#position),
      logStart: BigInt(answer?.logStart ?? -1),
      lastStable: BigInt(answer?.lastStable ?? -1),
      highWatermark: BigInt(answer?.highWatermark ?? -1),
      fetches: this.#fetches,
      fault: this.#fault,
    };
  }

  poll(): FetchedBatch | null {
    invariant(this.#out === null, 'poll while a batch is out');
    const next = this.#ahead.shift();
    if (next === undefined) {
      if (this.#error !== null) throw this.#error;
      return null;
    }
    const from = this.#position;
    this.#position = next.nextOffset;
    this.#passInvisible();
    this.#drained?.();
    this.#drained = null;
    return this.#handOut(next, from);
  }

  ready(): Promise<void> {
    if (!this.#process.alive) return this.#process.never;
    if (this.#ahead.length > 0 || this.#error !== null || this.#closed) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    this.#closed = true;
    this.#ahead.length = 0;
    this.#drained?.();
    this.#wake();
  }

  #handOut(next: Ahead, from: number): FetchedBatch {
    const batch = next.batch!;
    const { bytes, start } = bodyOf(batch.bytes);
    const all = batch.bytes.readInt32BE(57);
    const count = next.count < 0 ? all : next.count;
    const end = count === all ? bytes.length : partEnd(bytes, start, count);
    const size = end - start;
    // Records begin at an odd place, so that nobody counts on a header before them.
    if (this.#copy.length < size + 7) this.#copy = Buffer.allocUnsafeSlow(2 * size + 7);
    bytes.copy(this.#copy, 7, start, end);
    const out = { size };
    this.#out = out;
    return {
      bytes: this.#copy,
      start: 7,
      end: 7 + size,
      count,
      baseOffset: BigInt(batch.baseOffset),
      baseTimestampMs: Number(batch.bytes.readBigInt64BE(27)),
      skipBelowDelta: Math.max(0, from - batch.baseOffset),
      nextOffset: BigInt(next.nextOffset),
      release: () => {
        invariant(this.#out === out, 'a batch was released twice');
        this.#copy.fill(0xdb, 0, 7 + size);
        this.#out = null;
      },
    };
  }

  async #run(): Promise<void> {
    while (!this.#closed && this.#error === null) {
      if (this.#ahead.length >= READ_AHEAD_BATCHES_MAX) {
        await new Promise<void>((resolve) => {
          this.#drained = resolve;
        });
        continue;
      }
      const answer = await this.#fetch();
      if (this.#closed) return;
      if (answer === null) await this.#process.after(BACKOFF_MS, 'backoff', () => undefined);
      else if (answer.error === KAFKA.none) this.#take(answer);
      else await this.#refused(answer);
    }
  }

  /** Null when there was no answer; what keeps the reader is in `#fault` then. */
  async #fetch(): Promise<FetchAnswer | null> {
    const { channel } = this.#cluster;
    const { topic, partition } = this;
    try {
      const age = this.#process.scheduler.nowMs - this.#metadataMs;
      if (this.#metadata === null || age > METADATA_AGE_MAX_MS) await this.#refresh();
      const leaderEpoch = this.#metadata?.leaderEpochs[partition] ?? -1;
      const offset = this.#fetchOffset;
      return await channel.request(this.#process, 'fetch', (answer) =>
        this.#cluster.fetch({ topic, partition, offset, leaderEpoch, bytesMax: FETCH_BYTES_MAX }, answer),
      );
    } catch (error) {
      if (!(error instanceof StreamError && error.retryable)) throw error;
      this.#fault = error.message;
      return null;
    }
  }

  async #refresh(): Promise<void> {
    const { channel } = this.#cluster;
    const metadata = await channel.request<TopicMetadata | null>(this.#process, 'metadata', (answer) =>
      answer(this.#cluster.describe(this.topic)),
    );
    if (metadata === null || this.partition >= metadata.partitionCount) {
      throw new StreamError('topic-unknown', `topic ${this.topic} does not exist`, 'create the topic');
    }
    if (metadata.topicId !== this.#topicId) {
      const message = `topic ${this.topic} was created again: id ${metadata.topicId} instead of ${this.#topicId}`;
      throw new StreamError('topic-recreated', message, 'deploy the job again');
    }
    this.#metadata = metadata;
    this.#metadataMs = this.#process.scheduler.nowMs;
  }

  #take(answer: FetchAnswer): void {
    this.#fault = null;
    this.#answer = answer;
    this.#fetches++;
    const { random, faults } = this.#cluster.channel;
    for (const batch of answer.batches) {
      const { nextOffset } = batch;
      if (nextOffset <= this.#fetchOffset) continue;
      const count = batch.bytes.readInt32BE(57);
      const invisible = batch.control || batch.fate !== 'committed' || count === 0;
      if (invisible) this.#ahead.push({ batch: null, count: 0, nextOffset });
      else {
        const first = Math.max(0, this.#fetchOffset - batch.baseOffset);
        const splits = count === nextOffset - batch.baseOffset && count - first > 1;
        if (splits && faults.recordByRecord && random.happens('record-by-record', 1)) {
          for (let part = first + 1; part < count; part++) {
            this.#ahead.push({ batch, count: part, nextOffset: batch.baseOffset + part });
          }
        } else if (splits && random.happens('batch-split', faults.batchSplit)) {
          const part = random.range(first + 1, count - 1);
          this.#ahead.push({ batch, count: part, nextOffset: batch.baseOffset + part });
        }
        this.#ahead.push({ batch, count: -1, nextOffset });
      }
      this.#fetchOffset = nextOffset;
    }
    const before = this.#position;
    this.#passInvisible();
    if (this.#ahead.length > 0 || this.#position > before) this.#wake();
  }

  /** An error answer: what it means is known after a look at the metadata. */
  async #refused(answer: FetchAnswer): Promise<void> {
    this.#fault = `fetch of ${this.topic}/${this.partition} answered error ${answer.error}`;
    this.#metadata = null;
    await this.#process.after(BACKOFF_MS, 'backoff', () => undefined);
    if (answer.error !== KAFKA.offsetOutOfRange) return;
    for (;;) {
      try {
        await this.#refresh();
        break;
      } catch (error) {
        if (!(error instanceof StreamError && error.retryable)) throw error;
        await this.#process.after(BACKOFF_MS, 'backoff', () => undefined);
      }
    }
    const { logStart, highWatermark } = answer;
    const lost = this.#fetchOffset < logStart ? `offsets [${this.#fetchOffset}, ${logStart}) are gone` : null;
    const what = lost ?? `offset ${this.#fetchOffset} lies behind the end ${highWatermark}`;
    const remedy = 'raise the retention of the topic, or start again from what is left';
    throw new StreamError('offset-out-of-range', `${this.topic}/${this.partition}: ${what}`, remedy);
  }

  #passInvisible(): void {
    while (this.#ahead.length > 0 && this.#ahead[0].batch === null) this.#position = this.#ahead.shift()!.nextOffset;
  }

  #stop(error: StreamError): void {
    this.#error = error;
    this.#fault = error.message;
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** Where the first `count` records end: each begins with its size, a zigzag varint. */
function partEnd(bytes: Buffer, start: number, count: number): number {
  let at = start;
  for (let i = 0; i < count; i++) {
    let size = 0;
    let scale = 0.5;
    let byte: number;
    do {
      byte = bytes[at++];
      size += (byte & 127) * scale;
      scale *= 128;
    } while (byte > 127);
    at += size;
  }
  return at;
}
