// Rollup rows and raw samples of a real Kafka in a real VictoriaMetrics and a real Prometheus: fed while the writer runs,
// dies and comes back.

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LogClient } from '#runtime/log/contract.ts';
import { connectKafka } from '#runtime/log/kafka/kafka-client.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { kafkaJs } from '#test/harness/kafkajs-client.ts';
import { sharedKafka, uniqueName } from '#test/harness/shared-kafka.ts';
import type { StoredSamples } from '#test/harness/tsdb.ts';
import { type DataRecord, midnightBefore } from './oracle/data-set.ts';
import { createTopic, KafkaFeed } from './oracle/kafka-feed.ts';
import { readTopic } from './oracle/log-port.ts';
import { until } from './oracle/until.ts';
import { exactly, GeneratedRows, oneOfRoughly, storedDifferences, takenDifferences } from './tsdb-rows.ts';
import {
  outOfOrder,
  removeTarget,
  startTarget,
  type Target,
  troubled,
  untilStored,
  writerInstallation,
} from './tsdb-run.ts';
import { GeneratedSamples } from './tsdb-samples.ts';

const PARTITIONS = 2;
const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 11);
let brokers: string[];
let client: LogClient;

beforeAll(async () => {
  ({ brokers } = await sharedKafka());
  client = connectKafka({ brokers, replication: 1, clientId: 'tsdb-test', clock: systemClock });
});

afterAll(() => client.close());

/** Every topic bit by bit, in step; `between` after each bit. */
async function feed(
  topics: ReadonlyMap<string, readonly DataRecord[]>,
  bits: number,
  between: (bit: number) => Promise<void>,
) {
  const feeds = new Map<string, KafkaFeed>();
  for (const topic of topics.keys()) feeds.set(topic, await KafkaFeed.open(brokers, topic, PARTITIONS));
  for (let bit = 0; bit < bits; bit++) {
    for (const [topic, records] of topics) {
      const at = (share: number) => Math.floor((records.length * share) / bits);
      const part = records.slice(at(bit), at(bit + 1));
      if (part.length > 0) await feeds.get(topic)?.write(part);
    }
    await between(bit);
  }
  for (const log of feeds.values()) await log.close();
}

function withSamples(rows: StoredSamples, samples: StoredSamples): StoredSamples {
  return new Map([...rows, ...samples]);
}

test('rows and samples arrive once and right while the writer is killed and both receivers make trouble', async () => {
  const namespace = uniqueName('tsdb');
  const prefix = `${namespace}.rollup`;
  const raw = `${namespace}.raw`;
  const midnightMs = midnightBefore(Date.now());
  const shape = { seed: SEED, partitionCount: PARTITIONS };
  const rows = new GeneratedRows({ ...shape, seriesCount: 20, midnightMs, prefix, correctedShare: 0.1 });
  const samples = new GeneratedSamples({ ...shape, seriesCount: 20, fromMs: midnightMs - 300_000, rounds: 120 });
  const prometheus = await startTarget('prometheus');
  const victoria = await startTarget('victoria-metrics');
  const installation = await writerInstallation(
    {
      targets: [
        { name: 'prometheus', url: prometheus.proxy.url, mode: 'final', lateness: '2m' },
        { name: 'victoria', url: victoria.proxy.url, mode: 'replaceable' },
      ],
      rollups: prefix,
      raw,
      group: namespace,
    },
    { brokers, namespace },
  );
  try {
    // Topics are there before the writer asks for them.
    const topics = new Map([...rows.records, [raw, samples.records]]);
    for (const topic of topics.keys()) await createTopic(kafkaJs(brokers), topic, PARTITIONS);
    const calm = () => false;
    prometheus.proxy.judge = troubled(calm);
    victoria.proxy.judge = troubled(calm);
    let product = installation.start();
    await feed(topics, 8, async (bit) => {
      await progress([prometheus, victoria], () => product.tail());
      if (bit % 3 !== 1) return;
      await product.kill();
      product = installation.start();
    });
    const expected = withSamples(rows.newest, samples.inTime);
    const everything = withSamples(rows.every, samples.all);
    await untilStored(prometheus.server, (stored) => storedDifferences(expected, stored, exactly), product);
    await untilStored(victoria.server, (stored) => storedDifferences(everything, stored, oneOfRoughly), product);
    expect((await product.stop()).code).toBe(0);
    expect(takenDifferences(expected, prometheus.proxy.taken)).toBe('');
    expect(takenDifferences(everything, victoria.proxy.taken)).toBe('');
    expect(outOfOrder(prometheus.proxy.taken)).toEqual([]);
    const late = await readTopic(client, `${raw}.late.prometheus`);
    const dead = await readTopic(client, `${raw}.dead-letter`);
    expect([late.length, dead.length]).toEqual([samples.late, 2 * samples.bad]);
    expect(samples.late).toBeGreaterThan(0);
    expect(samples.bad).toBeGreaterThan(0);
    await expectOffsets(namespace, raw);
  } finally {
    await installation.remove();
    await removeTarget(prometheus);
    await removeTarget(victoria);
  }
}, 300_000);

/** Until each of them took something more. */
async function progress(targets: readonly Target[], state: () => string): Promise<void> {
  for (const { proxy, server } of targets) {
    const before = proxy.taken.length;
    await until(() => proxy.taken.length > before, `${server.program} to take something`, 60_000, state);
  }
}

/** What Kafka's own tools see after the clean stop: each target's group at the end of the topic. */
async function expectOffsets(group: string, topic: string): Promise<void> {
  const admin = kafkaJs(brokers).admin();
  await admin.connect();
  try {
    for (const target of ['prometheus', 'victoria']) {
      const [{ partitions }] = await admin.fetchOffsets({ groupId: `${group}.${target}`, topics: [topic] });
      const ends = await admin.fetchTopicOffsets(topic);
      const published = new Map(partitions.map(({ offset, partition }) => [partition, offset]));
      expect(ends.map(({ partition }) => published.get(partition))).toEqual(ends.map(({ high }) => high));
    }
  } finally {
    await admin.disconnect();
  }
}
