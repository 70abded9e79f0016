// `npm start` with KAFKA_BROKERS set: it creates what is missing on that Kafka and rolls up what Kafka's own console
// producer writes, and the first row can be looked at soon, by command and by HTTP. `up` without the topic says so.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { javaProduce } from '#test/harness/java-producer.ts';
import { startKafka } from '#test/harness/kafka.ts';
import { until } from './oracle/until.ts';
import { Product } from './process-harness.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const FIRST_ROW_MS = 120_000;
const MINUTE_MS = 60_000;
const KEY = 'door_openings{door="cellar"}';

test('samples of the console producer can be seen in the state, by HTTP and by command, and what is none is counted', async () => {
  const kafka = await startKafka({ own: true });
  const data = mkdtempSync(join(tmpdir(), 'millrace-start-kafka-'));
  const env = { KAFKA_BROKERS: kafka.brokers.join(','), MILLRACE_DATA: data, MILLRACE_PORT: '0', LOG_LEVEL: 'info' };
  const products: Product[] = [];
  const run = (command: string) => {
    const product = new Product(['jobs/main.ts', command], env);
    products.push(product);
    return product;
  };
  try {
    const early = run('up');
    expect(await early.exited).toEqual({ code: 1, signal: null });
    expect(early.tail()).toMatch(/source topic 'metrics\.raw' does not exist\n.*remedy: create it/);

    const product = run('start');
    const url = /http:\S+/.exec(await product.waitForLine(/the admin API answers at http/, 60_000))?.[0] ?? '';
    const address = url.replace(/[",].*/, '');
    await product.waitForLine(/^1m .* 120 rows$/, FIRST_ROW_MS);
    // Their window shall be open for a while.
    await until(() => Date.now() % MINUTE_MS < MINUTE_MS / 2, 'the next minute', MINUTE_MS);
    const nowMs = Date.now();
    const sample = (timestamp: number, value: number) =>
      JSON.stringify({ metric_name: 'door_openings', timestamp, value, labels: { door: 'cellar' } });
    await javaProduce(kafka.brokers, 'metrics.raw', [sample(nowMs, 3), 'no sample', sample(nowMs, 4)]);

    const path = `/jobs/rollups/state/1m?key=${encodeURIComponent(KEY)}`;
    const windows = async () => {
      const answer = await fetch(`${address}${path}`);
      const { keys } = (await answer.json()) as { keys: { states: { windows: { count: number; sum: number }[] } }[] };
      return keys.flatMap(({ states }) => states.windows);
    };
    await until(async () => (await windows()).length > 0, 'the window of the samples', FIRST_ROW_MS);
    expect(await windows()).toMatchObject([{ count: 2, sum: 7 }]);
    const words = ['jobs/main.ts', 'state', 'rollups', '--key', KEY];
    const told = spawnSync(process.execPath, [...words, '--url', address], { cwd: ROOT, encoding: 'utf8' });
    expect(told.stderr).toBe('');
    expect(told.stdout).toContain(KEY);
    const metrics = await (await fetch(`${address}/metrics`)).text();
    const bad = [...metrics.matchAll(/^millrace_records_dead_letter_total\{.*\} (\d+)$/gm)].map(([, count]) =>
      Number(count),
    );
    expect(bad.reduce((sum, count) => sum + count, 0)).toBe(1);
    expect(await product.stop()).toEqual({ code: 0, signal: null });
  } finally {
    await Promise.all(products.map((product) => product.kill()));
    await kafka.stop();
    rmSync(data, { recursive: true, force: true });
  }
}, 300_000);
