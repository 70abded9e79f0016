// Owns a slow, plain Kafka client for tests, written from the protocol's layouts alone in their oldest usable versions:
// it opens transactions and leaves them open, appends finished batches as they are, and dumps a partition as stored.
// Shares no code with the product.

import { setTimeout as sleep } from 'node:timers/promises';
import {
  body,
  describeCluster,
  int8,
  int16,
  int32,
  int64,
  RawConnection,
  RawKafkaError,
  text,
} from '#test/harness/kafka-raw-wire.ts';

interface RawBatch {
  readonly topic: string;
  readonly partition: number;
  readonly bytes: Buffer;
}

export class RawKafka {
  readonly #brokers: readonly string[];

  constructor(brokers: readonly string[]) {
    this.#brokers = brokers;
  }

  /** A connection to the leader of a partition. */
  async leader(topic: string, partition: number): Promise<RawConnection> {
    for (let attempt = 0; attempt < 100; attempt++) {
      const { brokers, topics } = await describeCluster(this.#brokers[0], [topic]);
      const address = brokers.get(topics.get(topic)?.[partition]?.leader ?? -1);
      if (address !== undefined) return new RawConnection(address);
      await sleep(50);
    }
    throw new Error(`${topic}/${partition} has no leader`);
  }

  async coordinator(transactionalId: string): Promise<RawConnection> {
    for (let attempt = 0; attempt < 200; attempt++) {
      const any = new RawConnection(this.#brokers[0]);
      const answer = await any.request(10, 1, body(text(transactionalId), int8(1)));
      any.close();
      answer.int32();
      const error = answer.int16();
      answer.text();
      answer.int32();
      if (error === 0) return new RawConnection(`${answer.text()}:${answer.int32()}`);
      await sleep(50);
    }
    throw new Error(`${transactionalId} has no coordinator`);
  }

  /** Produce v7; returns the base offset. */
  async produce(batch: RawBatch, transactionalId: string | null): Promise<bigint> {
    const connection = await this.leader(batch.topic, batch.partition);
    try {
      const data = body(int32(1), int32(batch.partition), int32(batch.bytes.length), batch.bytes);
      const payload = body(text(transactionalId), int16(-1), int32(10_000), int32(1), text(batch.topic), data);
      const answer = await connection.request(0, 7, payload);
      answer.int32();
      answer.text();
      answer.int32();
      answer.int32();
      const error = answer.int16();
      if (error !== 0) throw new RawKafkaError('Produce', error);
      return answer.int64();
    } finally {
      connection.close();
    }
  }

  /** All batches of a partition from its start to its high watermark, as stored (Fetch v4, read uncommitted). */
  async dump(topic: string, partition: number): Promise<Buffer> {
    const connection = await this.leader(topic, partition);
    try {
      const parts: Buffer[] = [];
      let offset = await this.#earliest(connection, topic, partition);
      for (;;) {
        const limits = body(int32(-1), int32(0), int32(1), int32(1 << 24), int8(0));
        const asked = body(int32(1), text(topic), int32(1), int32(partition), int64(offset), int32(1 << 23));
        const answer = await connection.request(1, 4, body(limits, asked));
        answer.int32();
        answer.int32();
        answer.text();
        answer.int32();
        answer.int32();
        const error = answer.int16();
        if (error !== 0) throw new RawKafkaError('Fetch', error);
        const end = answer.int64();
        answer.int64();
        for (let left = answer.int32(); left > 0; left--) answer.at += 16;
        const size = answer.int32();
        const records = answer.bytes.subarray(answer.at, answer.at + Math.max(0, size));
        for (let at = 0; at + 12 <= records.length; ) {
          const next = at + 12 + records.readInt32BE(at + 8);
          if (next > records.length) break;
          parts.push(records.subarray(at, next));
          offset = records.readBigInt64BE(at) + BigInt(records.readInt32BE(at + 23)) + 1n;
          at = next;
        }
        if (offset >= end) return Buffer.concat(parts);
      }
    } finally {
      connection.close();
    }
  }

  async #earliest(connection: RawConnection, topic: string, partition: number): Promise<bigint> {
    const payload = body(int32(-1), int32(1), text(topic), int32(1), int32(partition), int64(-2n));
    const answer = await connection.request(2, 1, payload);
    answer.int32();
    answer.text();
    answer.int32();
    answer.int32();
    const error = answer.int16();
    if (error !== 0) throw new RawKafkaError('ListOffsets', error);
    answer.int64();
    return answer.int64();
  }

  /**
   * Uses up epochs of an id (transaction.version 2) by aborting empty transactions, EndTxn v5; returns the last epoch.
   * Ids of at most 100 characters.
   */
  async wearOut(transactionalId: string, epoch: number): Promise<number> {
    const { connection, producerId, epoch: first } = await this.initialise(transactionalId, 60_000);
    let own = first;
    const name = body(uvarint(transactionalId.length + 1), Buffer.from(transactionalId));
    while (own < epoch) {
      // The header of a flexible version ends with tags as well, in front of what follows.
      const answer = await connection.request(
        26,
        5,
        body(int8(0), name, int64(producerId), int16(own), int8(0), int8(0)),
      );
      answer.int8();
      answer.int32();
      const refused = answer.int16();
      if (refused === 51) continue;
      if (refused !== 0) throw new RawKafkaError('EndTxn', refused);
      answer.int64();
      own = answer.int16();
    }
    connection.close();
    return own;
  }

  /** InitProducerId v1, again while the coordinator loads or moves. */
  async initialise(
    transactionalId: string,
    timeoutMs: number,
  ): Promise<{ readonly connection: RawConnection; readonly producerId: bigint; readonly epoch: number }> {
    for (;;) {
      const connection = await this.coordinator(transactionalId);
      const answer = await connection.request(22, 1, body(text(transactionalId), int32(timeoutMs)));
      answer.int32();
      const error = answer.int16();
      if (error === 0) return { connection, producerId: answer.int64(), epoch: answer.int16() };
      connection.close();
      if (![51, 14, 15, 16].includes(error)) throw new RawKafkaError('InitProducerId', error);
      await sleep(20);
    }
  }

  /** Fences the id and begins a transaction. */
  async begin(transactionalId: string, timeoutMs: number): Promise<RawKafkaTransaction> {
    const { connection, producerId, epoch } = await this.initialise(transactionalId, timeoutMs);
    return new RawKafkaTransaction(this, connection, transactionalId, producerId, epoch);
  }
}

const uvarint = (value: number) => Buffer.from([value]);

/** A transaction step by step, in the style before transaction.version 2. */
export class RawKafkaTransaction {
  readonly #kafka: RawKafka;
  readonly #coordinator: RawConnection;
  readonly #id: string;
  readonly #producerId: bigint;
  readonly #epoch: number;
  readonly #sequences = new Map<string, number>();

  constructor(kafka: RawKafka, coordinator: RawConnection, id: string, producerId: bigint, epoch: number) {
    this.#kafka = kafka;
    this.#coordinator = coordinator;
    this.#id = id;
    this.#producerId = producerId;
    this.#epoch = epoch;
  }

  /** `stamp` writes producer id, epoch, sequence and the transactional bit into the batch. */
  async append(
    batch: RawBatch,
    stamp: (bytes: Buffer, producerId: bigint, epoch: number, sequence: number) => Buffer,
  ): Promise<bigint> {
    const { topic, partition } = batch;
    const name = `${topic}/${partition}`;
    const own = body(text(this.#id), int64(this.#producerId), int16(this.#epoch));
    await this.#patiently('AddPartitionsToTxn', async () => {
      const payload = body(own, int32(1), text(topic), int32(1), int32(partition));
      const answer = await this.#coordinator.request(24, 1, payload);
      answer.int32();
      answer.int32();
      answer.text();
      answer.int32();
      answer.int32();
      return answer.int16();
    });
    const sequence = this.#sequences.get(name) ?? 0;
    const bytes = stamp(Buffer.from(batch.bytes), this.#producerId, this.#epoch, sequence);
    const offset = await this.#kafka.produce({ topic, partition, bytes }, this.#id);
    this.#sequences.set(name, sequence + bytes.readInt32BE(57));
    return offset;
  }

  commit(): Promise<void> {
    return this.#end(1);
  }

  abort(): Promise<void> {
    return this.#end(0);
  }

  async #end(commit: number): Promise<void> {
    const own = body(text(this.#id), int64(this.#producerId), int16(this.#epoch));
    await this.#patiently('EndTxn', async () => {
      const answer = await this.#coordinator.request(26, 1, body(own, int8(commit)));
      answer.int32();
      return answer.int16();
    });
    this.#coordinator.close();
  }

  async #patiently(what: string, send: () => Promise<number>): Promise<void> {
    for (;;) {
      const error = await send();
      if (error === 0) return;
      if (error !== 51) throw new RawKafkaError(what, error);
      await sleep(5);
    }
  }
}
