// Samples in Avro with a schema id: while the registry does not answer, records wait and nothing is lost, through a kill
// -9; a schema that does not exist makes dead letters; a schema that lost a field does too.

import { expect, test } from 'vitest';
import { LogFeed, readTopic } from './oracle/log-port.ts';
import { until } from './oracle/until.ts';
import { Installation, type Product } from './process-harness.ts';
import { finishWork, withLog } from './rollups-embedded-log.ts';
import { SchemaServer } from './schema-server.ts';

const TOPIC = 'metrics.raw';
const MINUTE_MS = 60_000;
const KNOWN = 7;
const WITHOUT_VALUE = 8;
const UNKNOWN = 9;

const SAMPLE = {
  type: 'record',
  name: 'Sample',
  fields: [
    { name: 'metric_name', type: 'string' },
    { name: 'timestamp', type: 'long' },
    { name: 'value', type: 'double' },
    { name: 'labels', type: { type: 'map', values: 'string' } },
  ],
} as const;
const SCHEMAS = {
  [KNOWN]: SAMPLE,
  [WITHOUT_VALUE]: { ...SAMPLE, fields: SAMPLE.fields.filter(({ name }) => name !== 'value') },
};

const record = (partition: number, value: Buffer) => {
  const intent = { finite: 0, notFinite: 0, bad: 0 };
  return { partition, key: null, value, headers: [], timestampMs: Date.now(), intent };
};

test('samples wait for the registry that has their schemas, and those without one are dead letters', async () => {
  const registry = new SchemaServer(SCHEMAS);
  registry.ill = true;
  await registry.start();
  const options = { topic: TOPIC, format: 'auto', registry: registry.url };
  const job = { module: 'jobs/rollups.ts', checkpointInterval: '1s', options };
  const installation = await Installation.create({ jobs: { rollups: job } });
  try {
    const minute = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 5 * MINUTE_MS;
    const sampleAt = (number: number) => {
      return {
        metric_name: 'cpu',
        timestamp: minute + number * 100,
        value: number,
        labels: { host: `h-${number % 3}` },
      };
    };
    const json = (number: number) => Buffer.from(JSON.stringify({ ...sampleAt(number), metric_name: 'plain' }));
    await withLog(installation, async (client) => {
      const feed = await LogFeed.open(client, TOPIC, 2);
      const numbers = Array.from({ length: 300 }, (_, number) => number);
      await feed.write([
        ...numbers.map((number) => record(0, json(number))),
        ...numbers.map((number) => record(0, registry.framed(KNOWN, sampleAt(number)))),
        record(0, registry.framed(UNKNOWN, sampleAt(1), SAMPLE)),
        record(0, registry.framed(WITHOUT_VALUE, sampleAt(1))),
        ...numbers.map((number) => record(0, registry.framed(KNOWN, sampleAt(300 + number)))),
        // What closes the minute, on both partitions.
        record(0, Buffer.from(JSON.stringify({ ...sampleAt(1), timestamp: minute + 3 * MINUTE_MS }))),
        record(1, Buffer.from(JSON.stringify({ ...sampleAt(1), timestamp: minute + 3 * MINUTE_MS }))),
      ]);
      await feed.close();
    });
    const asked = async (product: Product, more: number) => {
      const before = registry.asked;
      await until(
        () => !product.running || registry.asked >= before + more,
        'questions',
        60_000,
        () => installation.report(),
      );
      expect(product.running).toBe(true);
    };
    const first = installation.start();
    await asked(first, 3);
    await first.kill();
    const second = installation.start();
    await asked(second, 2);
    // A clean stop while records wait.
    expect((await second.stop()).code).toBe(0);
    const third = installation.start();
    await asked(third, 1);
    registry.ill = false;
    await finishWork(third, installation);
    await withLog(installation, async (client) => {
      const rows = await readTopic(client, 'metrics.rollup.1m');
      const counts = rows
        .map(({ value }) => JSON.parse(String(value)) as { metric_name: string; count: number; window_start: number })
        .filter(({ window_start: start }) => start === minute)
        .map(({ metric_name: name, count }) => `${name} ${count}`)
        .sort();
      expect(counts).toEqual([...Array(3).fill('cpu 200'), ...Array(3).fill('plain 100')]);
      const letters = await readTopic(client, `${TOPIC}.dead-letter`);
      const codes = letters.map(({ headers, value }) => [String(headers.get('error-code')), value?.readInt32BE(1)]);
      expect(codes).toEqual([
        ['schema-unknown', UNKNOWN],
        ['schema-mismatch', WITHOUT_VALUE],
      ]);
    });
  } finally {
    await installation.remove();
    await registry.stop();
  }
}, 180_000);
