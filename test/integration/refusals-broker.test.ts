// The broker is not there at start, comes, goes again and comes again: the process waits visibly, goes on by itself, and
// every row is there once and right. It gives up at start only when it was told how long to wait, with a remedy.

import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { freePorts } from '#test/harness/kafka.ts';
import { KafkaProxy } from '#test/harness/kafka-proxy.ts';
import { sharedKafka } from '#test/harness/shared-kafka.ts';
import { Installation } from './process-harness.ts';
import { refusalOf, USER_VIEW } from './refusal.ts';
import { KafkaRun } from './rollups-kafka-run.ts';

const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20260301);
const DATA = { seriesCount: 60, rounds: 100, partitionCount: 2 };
const JOBS = { rollups: { module: 'jobs/rollups.ts' } };

test('a broker that is away at start and later is waited for visibly and costs nothing', async () => {
  const { brokers } = await sharedKafka();
  const proxy = await KafkaProxy.start(brokers);
  const run = await KafkaRun.prepare({ brokers: proxy.brokers, seed: SEED, placement: 'spread', data: DATA });
  try {
    expect((await (await run.start()).stop()).code).toBe(0);
    proxy.down();
    const product = run.installation.start();
    const waiting = await product.waitForLine(/waiting for the log/, 120_000);
    expect(waiting).toMatch(/no broker answers: broker 127\.0\.0\.1:\d+.*; trying for another \d+s/);
    const before = await run.entries();
    proxy.up();
    await run.write(500);
    await run.untilEntriesAbove(before, product);
    proxy.down();
    await run.write(500);
    expect(await product.waitForLine(/the log is away/, 120_000)).toMatch(/"remedy":"check that the brokers run/);
    proxy.up();
    await product.waitForLine(/the log answers again/, 120_000);
    await run.write(run.size);
    expect(await run.verdict(product)).toBe('');
  } finally {
    await run.end();
    await proxy.close();
  }
}, 120_000);

test('a broker that never comes is given up with a remedy, and Ctrl-C ends the waiting at once', async () => {
  const [port] = await freePorts(1);
  const installation = await Installation.create({ brokers: [`127.0.0.1:${port}`], jobs: JOBS, env: USER_VIEW });
  try {
    const interrupted = installation.start();
    await interrupted.waitForLine(/waiting for the log.*trying for another 60s/, 120_000);
    expect(await interrupted.stop(5_000)).toEqual({ code: 0, signal: null });
    await setStartTimeout(installation, '1s');
    const refusal = await refusalOf(installation.start());
    expect(refusal).toMatchObject({ code: 1, stack: [] });
    expect(refusal.what).toEqual([
      expect.stringMatching(/^gave up after 1s, the log cannot be used: no broker answers: /),
    ]);
    expect(refusal.remedies).toEqual([
      expect.stringMatching(
        new RegExp(`^check that the brokers \\(127\\.0\\.0\\.1:${port}\\) run, .* then start again; startTimeout`),
      ),
    ]);
  } finally {
    await installation.remove();
  }
}, 60_000);

test('something that is no Kafka is given up with a remedy', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const installation = await Installation.create({ brokers: [`127.0.0.1:${port}`], jobs: JOBS, env: USER_VIEW });
  try {
    await setStartTimeout(installation, '1s');
    const refusal = await refusalOf(installation.start());
    expect(refusal).toMatchObject({ code: 1, stack: [] });
    expect(refusal.what).toEqual([expect.stringMatching(/^gave up after 1s, the log cannot be used: /)]);
    expect(refusal.remedies).toEqual([expect.stringMatching(/ speak Kafka without TLS, then start again/)]);
  } finally {
    await installation.remove();
    server.close();
  }
}, 60_000);

async function setStartTimeout(installation: Installation, startTimeout: string): Promise<void> {
  const path = join(installation.directory, 'jobs.config.ts');
  const text = await readFile(path, 'utf8');
  await writeFile(path, text.replace('replication: 1', `replication: 1, startTimeout: '${startTimeout}'`));
}
