// Versions of a job that are deployed on a real Kafka while two processes share its tasks and samples come in: another number
// of partitions of its exchange, a hand-over in the middle of which the process that changes jobs is killed, and back again.
// Every row is there once and right. MILLRACE_TEST_SEED repeats a run.

import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import { sharedKafka } from '#test/harness/shared-kafka.ts';
import { millrace } from '#test/jobs/commands/millrace-command.ts';
import { JobChanges } from './job-changes.ts';
import { KafkaRun } from './rollups-kafka-run.ts';

const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20261122);
const MODULE = new URL('../../jobs/rollups.ts', import.meta.url).pathname;
const DATA = { partitionCount: 4, seriesCount: 500 };
const STEPS = 8;

let brokers: readonly string[];

beforeAll(async () => {
  brokers = (await sharedKafka()).brokers;
});

test('deployed, killed in the middle and rolled back under load in two processes: every row once and right', async () => {
  const run = await KafkaRun.prepare({ brokers, seed: SEED, placement: 'spread', data: DATA, parallelism: 2 });
  const step = Math.floor(run.size / STEPS);
  /** Samples come in while it is done. */
  const meanwhile = async <T>(work: Promise<T>): Promise<T> => (await Promise.all([work, run.write(step)]))[0];
  const deploy = (options: object, url: string) =>
    millrace(['deploy', MODULE, '--options', JSON.stringify({ ...run.options, ...options }), '--url', url]);
  try {
    const first = await run.start();
    const atFirst = await JobChanges.of(first, 'rollups');
    const second = run.installation.start();
    const atSecond = await JobChanges.through(second, 'rollups');
    await meanwhile(atSecond.untilSharedBy(2));

    const taken = await meanwhile(millrace(['savepoint', 'rollups', '--url', atSecond.url]));
    expect(taken).toMatchObject({ status: 0, stderr: '' });
    const wider = await meanwhile(deploy({ exchangePartitions: 7 }, atSecond.url));
    expect(wider.status, wider.stderr).toBe(0);
    expect(wider.stdout).toContain('begins a new generation');
    expect(wider.stdout).toContain('began generation 1 with savepoint');
    await meanwhile(atSecond.untilSharedBy(2));
    expect((await atFirst.job()).tasks.total).toBe(DATA.partitionCount + 7);

    const cutOff = deploy({ exchangePartitions: 7, seriesMax: 900_000 }, atSecond.url);
    await sleep(500 + run.random.integer(2_500));
    await first.kill();
    const handedOver = await meanwhile(cutOff);
    expect([0, 1], handedOver.stderr).toContain(handedOver.status);
    if (handedOver.status === 1) expect(handedOver.stderr).toContain('all is as it was before');
    expect(await meanwhile(atSecond.untilSharedBy(1))).toEqual([DATA.partitionCount + 7]);

    const third = run.installation.start();
    const atThird = await JobChanges.through(third, 'rollups');
    await meanwhile(atThird.untilSharedBy(2));
    const back = await meanwhile(millrace(['rollback', 'rollups', '--url', atThird.url]));
    expect(back.status, back.stderr).toBe(0);
    await run.write(Number.POSITIVE_INFINITY);
    expect(await third.stop(), third.tail()).toEqual({ code: 0, signal: null });
    await atSecond.untilSharedBy(1);
    expect(await run.verdict(second)).toBe('');
  } finally {
    await run.end();
  }
}, 600_000);
