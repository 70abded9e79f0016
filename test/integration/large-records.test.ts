// Records that came in compressed batches and are larger than their topic takes uncompressed: bad ones go to the dead
// letters, good ones through, as they came. One of them must not stop a job for good.

import { randomBytes } from 'node:crypto';
import kafkajs from 'kafkajs';
import { expect, test } from 'vitest';
import { connectKafka } from '#runtime/log/kafka/kafka-client.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { kafkaJs } from '#test/harness/kafkajs-client.ts';
import { sharedKafka, uniqueName } from '#test/harness/shared-kafka.ts';
import { createTopic } from './oracle/kafka-feed.ts';
import { readTopic } from './oracle/log-port.ts';
import { until } from './oracle/until.ts';
import { Installation } from './process-harness.ts';

const MINUTE_MS = 60_000;

test('a record of 3 MB in a topic that takes 1 MB does not stop its job: bad ones are put aside as they came', async () => {
  const { brokers } = await sharedKafka();
  const namespace = uniqueName('large');
  const source = `${namespace}.raw`;
  await createTopic(kafkaJs(brokers), source, 1);
  const minute = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 5 * MINUTE_MS;
  const sample = (timestamp: number, padding = '') =>
    Buffer.from(JSON.stringify({ metric_name: 'cpu', timestamp, value: 1, labels: { h: 'a' }, padding }));
  // As dense as it may be: what comes out is compressed no better than what came in.
  const dense = randomBytes(700_000).toString('base64');
  const bad = [Buffer.alloc(3 << 20, 'not JSON '), Buffer.from(`{"metric_name":"${dense}`)];
  const good = [sample(minute, 'x'.repeat(3 << 20)), sample(minute + 1), sample(minute + 3 * MINUTE_MS)];
  const producer = kafkaJs(brokers).producer();
  await producer.connect();
  for (const value of [...bad, ...good]) {
    const messages = [{ value, partition: 0 }];
    await producer.send({ topic: source, compression: kafkajs.CompressionTypes.GZIP, messages });
  }
  await producer.disconnect();
  const options = { topic: source, outputPrefix: namespace, outOfOrderness: '0s' };
  const rollups = { module: 'jobs/rollups.ts', options };
  const installation = await Installation.create({ brokers, namespace, jobs: { rollups } });
  const client = connectKafka({ brokers, replication: 1, clientId: 'large-test', clock: systemClock });
  try {
    const product = installation.start();
    const rows = async () => (product.running ? (await readTopic(client, `${namespace}.1m`)).length : 1);
    await product.waitForLine(/installation claimed/, 60_000);
    await until(
      async () => (await rows()) > 0,
      'the row of the minute',
      60_000,
      () => product.tail(),
    );
    expect((await product.stop()).code, product.tail()).toBe(0);
    const [row] = await readTopic(client, `${namespace}.1m`);
    expect(JSON.parse(String(row.value))).toMatchObject({ metric_name: 'cpu', count: 2, window_start: minute });
    const letters = await readTopic(client, `${source}.dead-letter`);
    expect(letters.map(({ value }, at) => value?.equals(bad[at]))).toEqual([true, true]);
  } finally {
    await installation.remove();
    await client.close();
  }
}, 180_000);
