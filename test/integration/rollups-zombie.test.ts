// A process that is stopped (SIGSTOP) for longer than its session, and wakes up beside the one that has its tasks now: it
// gives them up, joins again, and every row is there once and right. MILLRACE_TEST_SEED repeats a run.

import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { sharedKafka } from '#test/harness/shared-kafka.ts';
import { until } from './oracle/until.ts';
import { BEGAN_AGAIN, TRANSACTION_FAILED } from './process-harness.ts';
import { KafkaRun } from './rollups-kafka-run.ts';

const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20260301);
/** Longer than a transaction may stay open. */
const ASLEEP_MS = Number(process.env['MILLRACE_TEST_ASLEEP_MS'] ?? 60_000);
const DATA = { seriesCount: 1000, rounds: 100, partitionCount: 6 };

test('a process that was asleep wakes up as a stranger, joins again and disturbs nothing', async () => {
  const { brokers } = await sharedKafka();
  const run = await KafkaRun.prepare({ brokers, seed: SEED, placement: 'spread', data: DATA });
  try {
    const sleeper = await run.start();
    await run.write(20_000);
    sleeper.signal('SIGSTOP');
    const asleepSince = performance.now();
    const successor = await run.start();
    await run.write(20_000);
    while (performance.now() - asleepSince < ASLEEP_MS) {
      await run.write(500);
      await sleep(1000);
    }
    const said = successor.lines.length;
    sleeper.signal('SIGCONT');
    await sleeper.waitForLine(/the group went on without this process/, 60_000);
    const woken = sleeper.lines.length;
    await run.write(10_000);
    await until(
      () => sleeper.lines.slice(woken).some((line) => BEGAN_AGAIN.test(line)),
      'tasks in the process that was asleep',
      60_000,
      () => sleeper.tail(),
    );
    expect(successor.running, successor.tail()).toBe(true);
    await run.write(run.size);
    expect(await sleeper.stop(), sleeper.tail()).toEqual({ code: 0, signal: null });
    expect(await run.verdict(successor)).toBe('');
    const disturbed = successor.lines.slice(said).filter((line) => TRANSACTION_FAILED.test(line));
    expect(disturbed, 'nobody shut the successor out').toEqual([]);
  } finally {
    await run.end();
  }
}, 240_000);
