// Kafka adapter over brokers that go away: restarted, killed, replaced as leaders. What is read and written meanwhile is
// neither lost nor doubled, readers recover by themselves, writers by the rules of the port.

import { describe, expect, it } from 'vitest';
import type { LogClient, PartitionReader } from '#runtime/log/contract.ts';
import { connectKafka } from '#runtime/log/kafka/kafka-client.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { type KafkaHandle, startKafka } from '#test/harness/kafka.ts';
import { RawKafka } from '#test/harness/kafka-raw.ts';
import { readTo, texts } from '#test/suites/log/bench.ts';
import { decodeBatches, decodeRecords, encodeBatch, record, type StoredBatch } from '#test/suites/log/bytes.ts';
import { until } from './oracle/until.ts';

interface Scene {
  readonly kafka: KafkaHandle;
  readonly client: LogClient;
  readonly topic: string;
  readonly commits: string;
  readonly topicIds: ReadonlyMap<string, string>;
}

async function scene(brokers: 1 | 3, partitionCount: number, features?: string[]): Promise<Scene> {
  const kafka = await startKafka({ own: true, brokers, ...(features === undefined ? {} : { features }) });
  const client = connectKafka({
    brokers: kafka.brokers,
    clientId: 'outage',
    clock: systemClock,
    requestTimeoutMs: 5000,
  });
  const [topic, commits] = ['out', 'commits'];
  await client.admin.createTopics([
    { topic, partitionCount },
    { topic: commits, partitionCount: 1 },
  ]);
  const described = await client.admin.describeTopics([topic, commits]);
  return { kafka, client, topic, commits, topicIds: new Map(described.map((one) => [one!.topic, one!.topicId])) };
}

async function persist<T>(action: () => Promise<T>): Promise<T> {
  const givenUp = Date.now() + 60_000;
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof StreamError) || !error.retryable || Date.now() > givenUp) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** All committed values of a partition once nothing in it is undecided. */
async function settledValues({ client, topicIds }: Scene, topic: string, partition: number): Promise<string[]> {
  const end = await persist(async () => {
    for (;;) {
      const [stable, high] = await client.admin.listOffsets([
        { topic, partition, at: 'last-stable' },
        { topic, partition, at: 'high-watermark' },
      ]);
      if (stable === high) return high;
    }
  });
  const reader = client.reader();
  const seen = await readTo(reader.open({ topic, partition, topicId: topicIds.get(topic)!, offset: 0n }), end);
  await reader.close();
  return texts(seen).map(String);
}

/** Writes 0, 1, 2, … to every partition in transactions of their own until told to stop; returns how many. */
async function writeOn(
  at: Scene,
  partitionCount: number,
  stopped: () => boolean,
): Promise<{ count: number; failures: number }> {
  const outputs = Array.from({ length: partitionCount }, (_, partition) => ({ topic: at.topic, partition }));
  const writer = at.client.writer('outage-writer', [...outputs, { topic: at.commits, partition: 0 }]);
  await persist(() => writer.fence());
  let failures = 0;
  let expectedEntryOffset = 0n;
  let count = 0;
  while (!stopped()) {
    const value = [record(`${count}`)];
    const batches = Array.from({ length: partitionCount }, (_, partition) => encodeBatch(at.topic, partition, value));
    try {
      const result = await writer.transact({ batches, entry: encodeBatch(at.commits, 0, value), expectedEntryOffset });
      expectedEntryOffset = result.nextEntryOffset;
      count++;
    } catch (error) {
      if (!(error instanceof StreamError) || !error.retryable) throw error;
      failures++;
      await persist(() =>
        writer.initialiseAgain().catch((again: StreamError) => {
          // Below transaction.version 2 the brokers take an own open transaction for somebody else's. Nobody else is here.
          if (again.code !== 'writer-fenced') throw again;
          return writer.fence();
        }),
      );
      const entries = await settledValues(at, at.commits, 0);
      [expectedEntryOffset] = await persist(() =>
        at.client.admin.listOffsets([{ topic: at.commits, partition: 0, at: 'last-stable' }]),
      );
      expect([count - 1, count]).toContain(entries.length - 1);
      count = entries.length;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return { count, failures };
}

/** Reads on and on; what it saw, in order. */
async function readOn(
  reader: PartitionReader,
  stopped: (seen: number) => boolean,
  faults: Set<string>,
): Promise<string[]> {
  const seen: string[] = [];
  while (!stopped(seen.length)) {
    const batch = reader.poll();
    const { fault } = reader.status();
    if (fault !== null) faults.add(fault);
    if (batch === null) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      continue;
    }
    const body = batch.bytes.subarray(batch.start, batch.end);
    for (const one of decodeRecords(body, batch.count, batch.baseOffset, batch.baseTimestampMs))
      seen.push(String(one.value));
    batch.release();
  }
  return seen;
}

const WRITES_MIN = 60;
/** The outage comes while transactions are on their way, however slow the machine. */
const WRITES_BEFORE = 20;

async function outage(
  at: Scene,
  partitionCount: number,
  happen: () => Promise<void>,
  check: (stored: readonly StoredBatch[]) => void = () => {},
): Promise<void> {
  let over = false;
  let written = Number.POSITIVE_INFINITY;
  const log = at.client.reader();
  const faults = new Set<string>();
  const reading = Array.from({ length: partitionCount }, (_, partition) => {
    const reader = log.open({ topic: at.topic, partition, topicId: at.topicIds.get(at.topic)!, offset: 0n });
    return readOn(reader, (seen) => seen >= written, faults);
  });
  // However slow the machine: enough transactions to judge by.
  let asked = 0;
  const writing = writeOn(at, partitionCount, () => ++asked > WRITES_MIN && over);
  try {
    await until(() => asked > WRITES_BEFORE, 'the first transactions', 60_000);
    await happen();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    over = true;
    const { count, failures } = await writing;
    written = count;
    const expected = Array.from({ length: count }, (_, i) => `${i}`);
    expect(failures).toBeGreaterThan(0);
    expect(faults.size).toBeGreaterThan(0);
    for (const seen of await Promise.all(reading)) expect(seen).toEqual(expected);
    expect(await settledValues(at, at.commits, 0)).toEqual(expected);
    check(decodeBatches(await new RawKafka(at.kafka.brokers).dump(at.topic, 0)));
  } finally {
    over = true;
    written = 0;
    await Promise.allSettled([writing, ...reading]);
    await at.client.close();
    await at.kafka.stop();
  }
}

describe('kafka adapter over an outage', () => {
  it('loses and doubles nothing when the broker is restarted and when it is killed', async () => {
    const at = await scene(1, 2);
    await outage(at, 2, async () => {
      await at.kafka.restartBroker(0);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      await at.kafka.killBroker(0);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      await at.kafka.startBroker(0);
    });
  }, 120_000);

  it('keeps its word below transaction.version 2 too', async () => {
    const at = await scene(1, 2, ['transaction.version=1']);
    const happen = async () => {
      await at.kafka.restartBroker(0);
      await at.kafka.restartBroker(0);
    };
    await outage(at, 2, happen, (stored) => {
      const epochs = new Set(stored.map(({ producerEpoch }) => producerEpoch));
      expect(epochs.size, 'epochs change only with InitProducerId').toBeLessThan(stored.length / 4);
      const sequences = stored.filter(({ control }) => control === null).map(({ baseSequence }) => baseSequence);
      expect(Math.max(...sequences), 'sequences go on over transactions').toBeGreaterThan(3);
    });
  }, 120_000);

  it('follows leaders and coordinators to other brokers', async () => {
    const at = await scene(3, 3);
    await outage(at, 3, async () => {
      await at.kafka.killBroker(1);
      await new Promise((resolve) => setTimeout(resolve, 9000));
      await at.kafka.startBroker(1);
      await at.kafka.restartBroker(2);
    });
  }, 180_000);
});
