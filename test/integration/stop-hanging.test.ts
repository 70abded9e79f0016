// A broker that takes requests and answers none: whoever stops a process wants it to end all the same, soon, and to be
// told what was not done. The next start goes on exactly.

import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { KafkaProxy } from '#test/harness/kafka-proxy.ts';
import { sharedKafka } from '#test/harness/shared-kafka.ts';
import { KafkaRun } from './rollups-kafka-run.ts';

const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20260302);
const DATA = { seriesCount: 60, rounds: 100, partitionCount: 2 };
/** What is promised is ten seconds; the machine may be slow. */
const STOP_MS = 12_000;
const AT_ONCE_MS = 3_000;
/** What comes sooner after the first wish for the end is taken for the same. */
const ECHO_MS = 250;

test('a stop ends within its bound although the broker hangs, says what is missing, and nothing is lost', async () => {
  const { brokers } = await sharedKafka();
  const proxy = await KafkaProxy.start(brokers);
  const run = await KafkaRun.prepare({ brokers: proxy.brokers, seed: SEED, placement: 'spread', data: DATA });
  try {
    const first = await run.start();
    proxy.hang();
    expect(await first.stop(STOP_MS)).toEqual({ code: 0, signal: null });
    const missing = first.lines.filter((line) => line.includes('without a checkpoint at its last entry'));
    // Tasks that had nothing to commit end well, and that may be all of them.
    for (const line of missing) expect(line).toMatch(/"remedy":"start it again: it goes on from its last checkpoint"/);
    proxy.up();
    const second = await run.start();
    proxy.hang();
    second.signal('SIGINT');
    await second.waitForLine(/once more to end at once/, AT_ONCE_MS);
    await sleep(ECHO_MS);
    expect(await second.stop(AT_ONCE_MS)).toEqual({ code: 130, signal: null });
    proxy.up();
    const third = await run.start();
    await run.write(run.size);
    expect(await run.verdict(third)).toBe('');
  } finally {
    await run.end();
    await proxy.close();
  }
}, 180_000);

test('Ctrl-C ends the start of a process at once that waits for a broker that hangs', async () => {
  const { brokers } = await sharedKafka();
  const proxy = await KafkaProxy.start(brokers);
  const run = await KafkaRun.prepare({ brokers: proxy.brokers, seed: SEED, placement: 'spread', data: DATA });
  try {
    proxy.hang();
    const product = run.installation.start();
    await product.waitForLine(/waiting for the log/, 120_000);
    expect(await product.stop(AT_ONCE_MS)).toEqual({ code: 0, signal: null });
  } finally {
    await run.end();
    await proxy.close();
  }
}, 90_000);
