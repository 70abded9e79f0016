// A process that is stopped (SIGSTOP) and replaced, and wakes up beside its successor: it ends by itself, and the
// successor's rows are all there once and right. MILLRACE_TEST_SEED repeats a run.

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

test('a process that was asleep beside its successor ends and disturbs nothing', async () => {
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
    await run.write(10_000);
    await until(
      () => !sleeper.running,
      'the end of the process that was asleep',
      60_000,
      () => sleeper.tail(),
    );
    expect(successor.running, successor.tail()).toBe(true);
    await run.write(run.size);
    expect(await run.verdict(successor)).toBe('');
    const disturbed = successor.lines.slice(said).filter((line) => TRANSACTION_FAILED.test(line));
    expect(disturbed, 'nobody shut the successor out').toEqual([]);
    const began = successor.lines.filter((line) => BEGAN_AGAIN.test(line)).map((line) => JSON.parse(line).task);
    expect(began.length, 'each task of the successor began').toBeGreaterThanOrEqual(DATA.partitionCount);
    expect(began.toSorted(), 'and began once').toEqual([...new Set(began)].toSorted());
    expect(await sleeper.exited, sleeper.tail()).toEqual({ code: 1, signal: null });
    const last = sleeper.lines.filter((line) => /^(millrace| {2}remedy): /.test(line));
    expect(last).toEqual([
      expect.stringMatching(/^millrace: .*a newer process/),
      expect.stringMatching(/^ {2}remedy: none needed: the newer process goes on/),
    ]);
  } finally {
    await run.end();
  }
}, 240_000);
