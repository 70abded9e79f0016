// What the process drops of its embedded log: records that were written long ago go when the jobs have read them, and
// not before, however long the process was away.

import { utimesSync } from 'node:fs';
import { expect, test } from 'vitest';
import { openEmbeddedLog } from '#runtime/log/embedded/embedded-log.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { segmentPaths } from '#test/runtime/log/embedded/stored-bytes.ts';
import { LogFeed, readTopic } from './oracle/log-port.ts';
import { until } from './oracle/until.ts';
import { Installation } from './process-harness.ts';
import { finishWork, withLog } from './rollups-embedded-log.ts';

const MINUTES = 30;
const START_MS = 1_700_000_040_000;
const DAY_MS = 86_400_000;

test('a process that was away reads what is old first, and drops it at its next start', async () => {
  const installation = await Installation.create({ jobs: { rollups: { module: 'jobs/rollups.ts' } } });
  const segments = () => segmentPaths(installation.logDirectory, { topic: 'metrics.raw', partition: 0 });
  try {
    // Small segments, so that there are closed ones.
    const log = await openEmbeddedLog({ directory: installation.logDirectory, clock: systemClock, segmentBytesMax: 1 });
    const client = log.client();
    const feed = await LogFeed.open(client, 'metrics.raw', 1);
    for (let minute = 0; minute < MINUTES; minute++) {
      const timestamp = START_MS + minute * 60_000;
      const value = JSON.stringify({ metric_name: 'm', timestamp, value: minute, labels: {} });
      const record = { partition: 0, timestampMs: timestamp, key: null, value: Buffer.from(value), headers: [] };
      await feed.write([{ ...record, intent: { finite: 1, notFinite: 0, bad: 0 } }]);
    }
    await feed.close();
    await client.close();
    await log.close();
    const long = new Date(Date.now() - 2 * DAY_MS);
    for (const path of segments()) utimesSync(path, long, long);
    expect(segments().length).toBe(MINUTES);

    await finishWork(installation.start(), installation);
    const rows = await withLog(installation, (reader) => readTopic(reader, 'metrics.rollup.1m'));
    const sums = rows.map(({ value }) => JSON.parse(`${value}`).sum as number).toSorted((a, b) => a - b);
    // The last minutes wait for what comes after them.
    expect(sums.length, 'old records were read before they could go').toBeGreaterThan(MINUTES - 3);
    expect(sums).toEqual(sums.map((_, minute) => minute));

    const second = installation.start();
    await until(
      () => segments().length === 1,
      'the segments that were read to go',
      60_000,
      () => second.tail(),
    );
    expect(await second.stop()).toEqual({ code: 0, signal: null });
  } finally {
    await installation.remove();
  }
}, 150_000);
