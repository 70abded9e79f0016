// The broker goes away under load, cleanly and by SIGKILL, and comes back: the process stays, no task starts again, and
// every row is there once and right. Also with one broker, which alone can end a transaction with only some of its
// markers while it stops (runtime/log/kafka/README.md). MILLRACE_TEST_SEED repeats a run.

import { expect, test } from 'vitest';
import { startKafka } from '#test/harness/kafka.ts';
import { BEGAN_AGAIN, TRANSACTION_FAILED } from './process-harness.ts';
import { KafkaRun } from './rollups-kafka-run.ts';

const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20260301);
const DATA = { seriesCount: 1000, rounds: 100, partitionCount: 6 };

test.each([1, 3] as const)(
  'one of %i brokers restarted and killed under load costs neither a row nor a restart of a task',
  async (brokers) => {
    const kafka = await startKafka({ own: true, brokers });
    const run = await KafkaRun.prepare({ brokers: kafka.brokers, seed: SEED, placement: 'spread', data: DATA });
    try {
      const product = await run.start();
      for (const away of [() => kafka.restartBroker(0), () => kafka.killBroker(0).then(() => kafka.startBroker(0))]) {
        await run.write(25_000);
        await away();
        await run.reconnectFeed();
        const before = await run.entries();
        await run.write(1000);
        await run.untilEntriesAbove(before, product);
      }
      await run.write(run.size);
      expect(await run.verdict(product)).toBe('');
      expect(
        product.lines.some((line) => TRANSACTION_FAILED.test(line)),
        'the broker was missed',
      ).toBe(true);
      expect(product.lines.filter((line) => BEGAN_AGAIN.test(line))).toEqual([]);
      // A process that does restore says what was looked for.
      await run.installation.start().waitForLine(BEGAN_AGAIN, 120_000);
    } finally {
      await run.end();
      await kafka.stop();
    }
  },
  240_000,
);
