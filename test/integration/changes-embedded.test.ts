// A job that is rescaled from 1 to 8 to 3 slots, stopped and started on the embedded log while it works off what waits, its
// process killed in the middle: every row is there once and right. MILLRACE_TEST_SEED repeats a run.

import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { LogClient } from '#runtime/log/contract.ts';
import { JobChanges } from './job-changes.ts';
import { FULL_DATA_SET, midnightBefore } from './oracle/data-set.ts';
import { LogFeed } from './oracle/log-port.ts';
import { Random } from './oracle/random.ts';
import { Installation } from './process-harness.ts';
import { readPublished, withLog } from './rollups-embedded-log.ts';
import { Script, verdict } from './rollups-scenario.ts';

const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20260303);
const TOPICS = { source: 'metrics.raw', outputPrefix: 'metrics.rollup' };
const CHUNK_RECORDS = 5_000;

test('rescaled, stopped and killed in between with a backlog: every row once and right, on the embedded log', async () => {
  const nowMs = Date.now();
  const data = { ...FULL_DATA_SET, seed: SEED, midnightMs: midnightBefore(nowMs), placement: 'spread' } as const;
  const script = new Script(data, nowMs);
  const random = new Random(SEED);
  const options = { topic: TOPICS.source, outputPrefix: TOPICS.outputPrefix };
  const job = { module: 'jobs/rollups.ts', parallelism: 1, checkpointInterval: '1s', options };
  const installation = await Installation.create({ slots: 1, jobs: { rollups: job } });
  try {
    await withLog(installation, (client) => feedAll(client, script));
    const first = installation.start();
    const changes = await JobChanges.of(first, 'rollups');
    const wide = await changes.change({ parallelism: 8 }, 'wider');
    expect(wide).toMatchObject({ state: 'DONE', failure: null });
    expect(new Set((await changes.job()).taskList.map(({ slot }) => slot)).size).toBe(8);
    await changes.begin({ parallelism: 3 }, 'narrower');
    await sleep(random.integer(300));
    await first.kill();

    const second = installation.start();
    const again = await JobChanges.of(second, 'rollups');
    expect(await again.end('narrower')).toMatchObject({ state: 'DONE', failure: null });
    expect(new Set((await again.job()).taskList.map(({ slot }) => slot)).size).toBe(3);
    expect(await again.change({ state: 'STOPPED' }, 'stop')).toMatchObject({ state: 'DONE', failure: null });
    expect(await again.job()).toMatchObject({ state: 'STOPPED', tasks: { running: 0 } });
    await again.begin({ state: 'RUNNING' }, 'start');
    await sleep(random.integer(300));
    await second.kill();

    const third = installation.start();
    const last = await JobChanges.of(third, 'rollups');
    expect(await last.end('start')).toMatchObject({ state: 'DONE', failure: null });
    await last.untilReadToEnd();
    expect(await third.stop()).toEqual({ code: 0, signal: null });
    const published = await withLog(installation, (client) => readPublished(client, TOPICS));
    const differences = verdict(script.expectation(), TOPICS, published, { rowPartitionCount: data.partitionCount });
    expect(differences === '' ? '' : `${differences}\nseed ${SEED}\n${installation.report()}`).toBe('');
  } finally {
    await installation.remove();
  }
}, 600_000);

async function feedAll(client: LogClient, script: Script): Promise<void> {
  const feed = await LogFeed.open(client, TOPICS.source, script.options.partitionCount);
  while (!script.done) script.written(await feed.write(script.next(CHUNK_RECORDS)));
  await feed.close();
}
