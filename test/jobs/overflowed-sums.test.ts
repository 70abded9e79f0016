// Samples that are finite alone and not together, through the whole job: the rows say so at every resolution, keep what is
// right, and a replay gives the same.

import { expect, test } from 'vitest';
import { defineJob } from '#jobs/define-job.ts';
import { mergedStats, samples, series, stats, topic, tumbling } from '#jobs/descriptions.ts';
import { JobDriver } from '#test/harness/driver.ts';

const LARGEST = Number.MAX_VALUE;

test('sums beyond the range of numbers are null in rows of every resolution, and everything else stands', async () => {
  const job = defineJob({
    name: 'large',
    source: samples({ topic: 'raw' }),
    build: (raw) => {
      const minute = raw.keyBy(series).window('1m', tumbling('1m')).aggregate(stats());
      minute.to(topic('1m'));
      minute.window('5m', tumbling('5m')).aggregate(mergedStats()).to(topic('5m'));
    },
  });
  const driver = await JobDriver.start(job);
  const at = driver.nowMs;
  const send = (minute: number, values: readonly number[]) =>
    driver.send(
      'raw',
      values.map((value) => ({ metric_name: 'up', labels: {}, timestamp: at + minute * 60_000, value })),
    );
  await send(0, [LARGEST, LARGEST]);
  await driver.advance('1m');
  await send(1, [-LARGEST, -LARGEST]);
  await driver.crash();
  await driver.restore();
  await driver.advance('1m');
  await send(2, [1, 2]);
  await driver.advance('10m');
  const rows = (name: string) => driver.output<Record<string, unknown>>(name).map(({ value }) => value);
  expect(rows('1m')).toMatchObject([
    { count: 2, sum: null, avg: null, min: LARGEST, max: LARGEST, p50: LARGEST },
    { count: 2, sum: null, avg: null, min: -LARGEST, max: -LARGEST, p50: -LARGEST },
    { count: 2, sum: 3, avg: 1.5, min: 1, max: 2 },
  ]);
  // Infinity and -Infinity meet here: no number either.
  expect(rows('5m')).toMatchObject([{ count: 6, sum: null, avg: null, min: -LARGEST, max: LARGEST }]);
  await driver.stop();
});
