// Owns the continuous load: samples at a given rate, written by an idempotent producer of its own, each partition in
// order and on through every fault of a broker, because the same batch goes out again with the same sequence until it is
// acknowledged. Says to the script what was written and where. What it may be behind is bounded.

import { setTimeout as sleep } from 'node:timers/promises';
import { RecordBatchBuilder } from '#runtime/log/record-batch.ts';
import { crc32c } from '#runtime/std/crc32c.ts';
import { body, int16, int32, RawConnection, text } from '#test/harness/kafka-raw-wire.ts';
import type { DataRecord } from '#test/integration/oracle/data-set.ts';
import type { Script } from '#test/integration/rollups-scenario.ts';
import type { ClusterView } from './cluster-view.ts';

const BATCH_RECORDS_MAX = 500;
/** Of all partitions: while so many wait, nothing is generated. */
const QUEUED_RECORDS_MAX = 30_000;
const TICK_MS = 20;
const ANSWER_MS = 10_000;
const PATIENCE_MS = 120_000;
const DUPLICATE_SEQUENCE = 46;
/** Out of order, unknown producer, fenced, invalid epoch: sending again cannot mend these. */
const HOPELESS: readonly number[] = [45, 59, 90, 47];

export interface FeedOptions {
  readonly view: ClusterView;
  readonly topic: string;
  readonly script: Script;
  readonly recordsPerSecond: number;
}

export class SteadyFeed {
  readonly #options: FeedOptions;
  readonly #lanes: Lane[];
  readonly #stopping = new AbortController();
  #running: Promise<unknown> = Promise.resolve();
  #fault: unknown = null;
  #atFullSpeed = false;

  private constructor(options: FeedOptions, producerId: bigint) {
    this.#options = options;
    const { partitionCount } = options.script.options;
    const { signal } = this.#stopping;
    this.#lanes = Array.from({ length: partitionCount }, (_, index) => new Lane(options, producerId, index, signal));
  }

  /** `topic` must be empty and written by nobody else. */
  static async start(options: FeedOptions): Promise<SteadyFeed> {
    await options.view.refresh();
    const feed = new SteadyFeed(options, await newProducerId(options.view.addresses[0]));
    const note = (error: unknown) => {
      feed.#fault ??= error;
      feed.#stopping.abort();
    };
    feed.#running = Promise.all([feed.#generate(), ...feed.#lanes.map((lane) => lane.run())]).catch(note);
    return feed;
  }

  /** Samples that are acknowledged. */
  get written(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.written, 0);
  }

  /** Throws what ended the load. */
  check(): void {
    if (this.#fault !== null) throw this.#fault;
  }

  /** Writes what is left of the round and the closing samples, and waits until all is acknowledged. */
  async finish(): Promise<void> {
    this.#options.script.end();
    this.#atFullSpeed = true;
    await this.#running;
    this.check();
  }

  /** Ends at once; what is on its way may be written. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #generate(): Promise<void> {
    const { recordsPerSecond, script } = this.#options;
    const { signal } = this.#stopping;
    let due = 0;
    let lastMs = performance.now();
    while (!script.done && !signal.aborted) {
      await sleep(TICK_MS);
      const nowMs = performance.now();
      const room = QUEUED_RECORDS_MAX - this.#lanes.reduce((sum, { queue }) => sum + queue.length, 0);
      due = this.#atFullSpeed ? room : due + ((nowMs - lastMs) * recordsPerSecond) / 1000;
      lastMs = nowMs;
      const count = Math.min(Math.floor(due), room);
      if (count > 0) for (const record of script.next(count)) this.#lanes[record.partition].queue.push(record);
      // What found no room is not caught up: the load is held back.
      due = Math.min(due - Math.max(0, count), recordsPerSecond);
    }
    for (const lane of this.#lanes) lane.ended = true;
  }
}

/** One partition: one batch on its way. */
class Lane {
  readonly queue: DataRecord[] = [];
  ended = false;
  written = 0;
  readonly #options: FeedOptions;
  readonly #producerId: bigint;
  readonly #partition: number;
  readonly #signal: AbortSignal;
  #connection: RawConnection | null = null;

  constructor(options: FeedOptions, producerId: bigint, partition: number, signal: AbortSignal) {
    this.#options = options;
    this.#producerId = producerId;
    this.#partition = partition;
    this.#signal = signal;
  }

  async run(): Promise<void> {
    const { script, topic } = this.#options;
    while (!this.#signal.aborted) {
      if (this.queue.length === 0) {
        if (this.ended) break;
        await sleep(TICK_MS);
        continue;
      }
      const records = this.queue.splice(0, BATCH_RECORDS_MAX);
      await this.#deliver(this.#batch(records));
      const partition = this.#partition;
      const placed = records.map(({ key, value }, at) => ({ topic, partition, offset: this.written + at, key, value }));
      this.written += records.length;
      script.written(placed);
    }
    this.#connection?.close();
  }

  #batch(records: readonly DataRecord[]): Buffer {
    const builder = new RecordBatchBuilder(this.#options.topic, this.#partition);
    for (const { headers, key, timestampMs, value } of records) {
      const named = headers.map(([name, bytes]) => ({ key: name, value: bytes }));
      builder.append(timestampMs, key, 0, key?.length ?? 0, value, 0, value?.length ?? 0, named);
    }
    const { bytes } = builder.finish();
    bytes.writeBigInt64BE(this.#producerId, 43);
    bytes.writeInt16BE(0, 51);
    bytes.writeInt32BE(this.written, 53);
    bytes.writeUInt32BE(crc32c(bytes, 21), 17);
    return bytes;
  }

  async #deliver(bytes: Buffer): Promise<void> {
    const sinceMs = performance.now();
    for (let attempt = 1; !this.#signal.aborted; attempt++) {
      const refused = await this.#send(bytes).catch((error: unknown) => {
        if (error instanceof Misplaced) throw error;
        return String(error);
      });
      if (refused === null) return;
      if (performance.now() - sinceMs > PATIENCE_MS) {
        throw new Error(`${this.#options.topic}-${this.#partition}: not written ${attempt} times, at last: ${refused}`);
      }
      this.#connection?.close();
      this.#connection = null;
      await this.#options.view.refresh();
    }
  }

  /** Produce v7, acknowledged by all in sync; null: written. */
  async #send(bytes: Buffer): Promise<string | null> {
    const { topic, view } = this.#options;
    const address = view.leader(topic, this.#partition);
    if (address === null) return 'no leader';
    this.#connection ??= new RawConnection(address);
    const data = body(int32(1), int32(this.#partition), int32(bytes.length), bytes);
    const head = body(text(null), int16(-1), int32(ANSWER_MS), int32(1), text(topic));
    const answer = await this.#connection.request(0, 7, body(head, data), ANSWER_MS * 2);
    answer.int32();
    answer.text();
    answer.int32();
    answer.int32();
    const error = answer.int16();
    const offset = Number(answer.int64());
    const where = `${topic}-${this.#partition}`;
    if (HOPELESS.includes(error)) throw new Misplaced(`${where}: error ${error} at offset ${this.written}`);
    if (error === DUPLICATE_SEQUENCE) return null;
    if (error !== 0) return `error ${error}`;
    if (offset === this.written) return null;
    throw new Misplaced(`${where}: records expected at ${this.written} were written at ${offset}`);
  }
}

class Misplaced extends Error {}

/** InitProducerId v1 without a transactional id. */
async function newProducerId(address: string): Promise<bigint> {
  const connection = new RawConnection(address);
  try {
    for (;;) {
      const answer = await connection.request(22, 1, body(text(null), int32(60_000)), ANSWER_MS);
      answer.int32();
      const error = answer.int16();
      const producerId = answer.int64();
      if (error === 0 && answer.int16() === 0) return producerId;
      await sleep(TICK_MS);
    }
  } finally {
    connection.close();
  }
}
