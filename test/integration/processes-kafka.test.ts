// Three processes that share a job on a real Kafka while samples come in: any of them is asked for changes, those that
// change jobs die in the middle, others leave cleanly. Every row is there once and right. MILLRACE_TEST_SEED repeats a run.

import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import { sharedKafka } from '#test/harness/shared-kafka.ts';
import { millrace } from '#test/jobs/commands/millrace-command.ts';
import { JobChanges } from './job-changes.ts';
import { BEGAN_AGAIN } from './process-harness.ts';
import { KafkaRun } from './rollups-kafka-run.ts';

const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20260303);
const DATA = { partitionCount: 8, seriesCount: 1_000 };
const TASKS = 16;
const STEPS = 12;

let brokers: readonly string[];

beforeAll(async () => {
  brokers = (await sharedKafka()).brokers;
});

test('shared by processes that join, leave and die in the middle of changes: every row once and right', async () => {
  const run = await KafkaRun.prepare({ brokers, seed: SEED, placement: 'spread', data: DATA, parallelism: 4 });
  const step = Math.floor(run.size / STEPS);
  /** Samples come in while it is done. */
  const meanwhile = async <T>(work: Promise<T>): Promise<T> => (await Promise.all([work, run.write(step)]))[0];
  try {
    const first = await run.start();
    const atFirst = await JobChanges.of(first, 'rollups');
    expect(await atFirst.untilSharedBy(1)).toEqual([TASKS]);

    const second = run.installation.start();
    const atSecond = await JobChanges.through(second, 'rollups');
    const before = first.lines.length;
    const shared = await meanwhile(atSecond.untilSharedBy(2));
    expect(shared[1], 'by their load, which is about the same').toBeGreaterThanOrEqual(TASKS / 4);
    expect(
      first.lines.slice(before).filter((line) => BEGAN_AGAIN.test(line)),
      'a task that stays is not stopped',
    ).toEqual([]);
    expect((await atFirst.job()).taskList, 'each answers for both').toHaveLength(TASKS);

    // Asked where jobs are not changed; whoever changes them dies in the middle.
    await atSecond.begin({ parallelism: 2 }, 'narrower');
    await sleep(run.random.integer(1_000));
    await first.kill();
    await run.write(step);
    expect(await meanwhile(atSecond.end('narrower'))).toMatchObject({ state: 'DONE', failure: null });
    expect(await atSecond.untilSharedBy(1)).toEqual([TASKS]);

    const third = run.installation.start();
    const atThird = await JobChanges.through(third, 'rollups');
    await meanwhile(atThird.untilSharedBy(2));
    await atThird.begin({ state: 'STOPPED' }, 'stop');
    await sleep(run.random.integer(500));
    await second.kill();
    const stopped = await meanwhile(atThird.end('stop'));
    expect(stopped).toMatchObject({ state: 'DONE', failure: null });
    expect(stopped.message).toBe(`stopped; each of its ${TASKS} tasks has a checkpoint at its last entry`);
    expect(await atThird.job()).toMatchObject({ state: 'STOPPED', tasks: { running: 0 } });

    const fourth = run.installation.start();
    const atFourth = await JobChanges.through(fourth, 'rollups');
    await fourth.waitForLine(/one of 2 processes/, 60_000);
    const started = await meanwhile(millrace(['start', 'rollups', '--url', atFourth.url]));
    expect(started).toMatchObject({ status: 0, stderr: '' });
    await meanwhile(atFourth.untilSharedBy(2));
    const [left] = await Promise.all([third.stop(), run.write(step)]);
    expect(left, third.tail()).toEqual({ code: 0, signal: null });
    expect(await atFourth.untilSharedBy(1)).toEqual([TASKS]);
    await run.write(Number.POSITIVE_INFINITY);
    expect(await run.verdict(fourth)).toBe('');
  } finally {
    await run.end();
  }
}, 600_000);
