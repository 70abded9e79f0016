// A job that is rescaled from 1 to 8 to 3 slots, paused, stopped and started on a real Kafka while samples come in, its
// process killed in the middle of two of these: every row is there once and right. MILLRACE_TEST_SEED repeats a run.

import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import { sharedKafka } from '#test/harness/shared-kafka.ts';
import { millrace } from '#test/jobs/commands/millrace-command.ts';
import { JobChanges } from './job-changes.ts';
import { KafkaRun } from './rollups-kafka-run.ts';

const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20260302);
const DATA = { partitionCount: 8, seriesCount: 1_000 };
const STEPS = 10;

let brokers: readonly string[];

beforeAll(async () => {
  brokers = (await sharedKafka()).brokers;
});

test('rescaled, paused, stopped and killed in between under load: every row once and right', async () => {
  const run = await KafkaRun.prepare({ brokers, seed: SEED, placement: 'spread', data: DATA, parallelism: 1 });
  const step = Math.floor(run.size / STEPS);
  /** Samples come in while it is done. */
  const meanwhile = async <T>(work: Promise<T>): Promise<T> => (await Promise.all([work, run.write(step)]))[0];
  try {
    const first = await run.start();
    const changes = await JobChanges.of(first, 'rollups');
    const wide = await meanwhile(changes.change({ parallelism: 8 }, 'wider'));
    expect(wide).toMatchObject({ state: 'DONE', failure: null });
    // Tasks that have little to do may stay together.
    expect(wide.pauses.length).toBeGreaterThanOrEqual(7);
    expect(wide.pauses.length).toBeLessThan(16);
    for (const { pauseMs } of wide.pauses) expect(pauseMs).toBeGreaterThan(0);
    const job = await changes.job();
    expect(job).toMatchObject({ state: 'RUNNING', parallelism: 8, restarts: 0, tasks: { running: 16 } });
    expect(new Set(job.taskList.map(({ slot }) => slot)).size).toBe(8);
    expect((await meanwhile(changes.change({ state: 'PAUSED' }, 'pause'))).state).toBe('DONE');
    expect(await changes.job()).toMatchObject({ state: 'PAUSED', tasks: { running: 0 } });
    await run.write(step);
    const resumed = await meanwhile(millrace(['resume', 'rollups', '--url', changes.url]));
    expect(resumed).toMatchObject({ status: 0, stderr: '' });
    await changes.begin({ parallelism: 3 }, 'narrower');
    await sleep(run.random.integer(1_000));
    await first.kill();

    await run.write(step);
    const second = run.installation.start();
    const again = await JobChanges.of(second, 'rollups');
    expect(await meanwhile(again.end('narrower'))).toMatchObject({ state: 'DONE', failure: null });
    const narrow = await again.job();
    expect(narrow).toMatchObject({ parallelism: 3, tasks: { running: 16 } });
    expect(new Set(narrow.taskList.map(({ slot }) => slot)).size).toBe(3);
    await again.begin({ state: 'STOPPED' }, 'stop');
    await sleep(run.random.integer(300));
    await second.kill();

    const third = run.installation.start();
    const last = await JobChanges.of(third, 'rollups');
    const stopped = await last.end('stop');
    expect(stopped).toMatchObject({ state: 'DONE', failure: null });
    expect(stopped.message).toBe('stopped; each of its 16 tasks has a checkpoint at its last entry');
    expect(await last.job()).toMatchObject({ state: 'STOPPED', tasks: { running: 0 } });
    const started = await meanwhile(millrace(['start', 'rollups', '--url', last.url]));
    expect(started).toMatchObject({ status: 0, stderr: '' });
    await run.write(Number.POSITIVE_INFINITY);
    expect(await run.verdict(third)).toBe('');
    const told = wide.pauses.map(({ pauseMs }) => pauseMs ?? 0).sort((a, b) => a - b);
    const median = told[Math.floor(told.length / 2)];
    console.info(`pauses of ${told.length} tasks from 1 to 8 slots: median ${median} ms, longest ${told.at(-1)} ms`);
  } finally {
    await run.end();
  }
}, 600_000);
