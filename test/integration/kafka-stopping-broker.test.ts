// Kafka adapter over a single broker that is told to stop while many ids transact: it answers to commits whose markers it
// leaves out, and lets their next transactions begin. What was acknowledged must not be aborted with those.

import { expect, it } from 'vitest';
import type { LogClient, LogWriter } from '#runtime/log/contract.ts';
import { connectKafka } from '#runtime/log/kafka/kafka-client.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { startKafka } from '#test/harness/kafka.ts';
import { RawKafka } from '#test/harness/kafka-raw.ts';
import { readTo } from '#test/suites/log/bench.ts';
import { committedRecords, decodeBatches, encodeBatch, record } from '#test/suites/log/bytes.ts';
import { until } from './oracle/until.ts';

const WRITERS = 24;
const STOPS = 3;
/** Of each id between two stops. */
const TRANSACTIONS_MIN = 5;

class Transactor {
  readonly topic: string;
  acknowledged = 0;
  failures = 0;
  stopped = false;
  readonly #client: LogClient;
  readonly #writer: LogWriter;
  #expectedEntryOffset = 0n;

  constructor(client: LogClient, index: number) {
    this.topic = `own-${index}`;
    this.#client = client;
    this.#writer = client.writer(
      `id-${index}`,
      [0, 1, 2].map((partition) => ({ topic: this.topic, partition })),
    );
  }

  /** Writes 0, 1, 2, … to its three partitions; what is acknowledged is never written again. */
  async run(): Promise<void> {
    await persist(() => this.#writer.fence());
    while (!this.stopped) {
      const value = [record(`${this.acknowledged}`)];
      const batches = [1, 2].map((partition) => encodeBatch(this.topic, partition, value));
      const entry = encodeBatch(this.topic, 0, value);
      try {
        const expectedEntryOffset = this.#expectedEntryOffset;
        const result = await this.#writer.transact({ batches, entry, expectedEntryOffset });
        this.#expectedEntryOffset = result.nextEntryOffset;
        this.acknowledged++;
      } catch (error) {
        if (!(error instanceof StreamError) || !error.retryable) throw error;
        this.failures++;
        await this.#learn();
      }
    }
    await this.#writer.close();
  }

  /** Ready again; the log says whether the last one counts. */
  async #learn(): Promise<void> {
    await persist(() => this.#writer.fence());
    [this.#expectedEntryOffset] = await persist(() =>
      this.#client.admin.listOffsets([{ topic: this.topic, partition: 0, at: 'last-stable' }]),
    );
    const reader = this.#client.reader();
    const [{ topicId }] = (await persist(() => this.#client.admin.describeTopics([this.topic]))).map((one) => one!);
    const entries = await readTo(
      reader.open({ topic: this.topic, partition: 0, topicId, offset: 0n }),
      this.#expectedEntryOffset,
    );
    await reader.close();
    expect([this.acknowledged, this.acknowledged + 1], this.topic).toContain(entries.length);
    this.acknowledged = entries.length;
  }
}

async function persist<T>(action: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof StreamError) || !error.retryable || tries > 600) throw error;
      await systemClock.sleep(100);
    }
  }
}

it.each([1, 2])(
  'aborts nothing that was acknowledged when a single broker is told to stop (transaction.version %i)',
  async (version) => {
    const kafka = await startKafka({ own: true, features: [`transaction.version=${version}`] });
    const client = connectKafka({
      brokers: kafka.brokers,
      clientId: 'stopping',
      clock: systemClock,
      requestTimeoutMs: 5000,
    });
    const transactors = Array.from({ length: WRITERS }, (_, index) => new Transactor(client, index));
    await client.admin.createTopics(transactors.map(({ topic }) => ({ topic, partitionCount: 3 })));
    const runs = transactors.map((one) => one.run());
    try {
      for (let stops = 0; stops < STOPS; stops++) {
        const before = transactors.map(({ acknowledged }) => acknowledged);
        const allWent = () => transactors.every((one, i) => one.acknowledged >= before[i] + TRANSACTIONS_MIN);
        await Promise.race([until(allWent, 'transactions of all ids', 120_000), Promise.all(runs)]);
        await kafka.restartBroker(0);
      }
      for (const one of transactors) one.stopped = true;
      await Promise.all(runs);
      expect(transactors.every(({ failures }) => failures > 0)).toBe(true);
      for (const { topic, acknowledged } of transactors) {
        const expected = Array.from({ length: acknowledged }, (_, i) => `${i}`);
        for (const partition of [0, 1, 2]) {
          const stored = committedRecords(decodeBatches(await new RawKafka(kafka.brokers).dump(topic, partition)));
          expect(stored.map(({ value }) => String(value))).toEqual(expected);
        }
      }
    } finally {
      for (const one of transactors) one.stopped = true;
      await Promise.allSettled(runs);
      await client.close();
      await kafka.stop();
    }
  },
  300_000,
);
