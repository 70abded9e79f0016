// The open windows of the rollup job can be read: of one key, and of all, through a crash.

import { expect, test } from 'vitest';
import rollups from '#jobs/rollups.ts';
import { JobDriver } from '#test/harness/driver.ts';

const MINUTE_MS = 60_000;

test('the rollup job shows its open windows by series, and the same after a crash and after a restart', async () => {
  const driver = await JobDriver.start(rollups({ allowedLateness: '1m', idleness: '1h' }));
  const { nowMs } = driver;
  const sample = (host: string, value: number, timestamp: number) =>
    driver.send('metrics.raw', { metric_name: 'cpu', labels: { host }, value, timestamp });
  for (const [at, value] of [3, 1, 2].entries()) await sample('a', value, nowMs + at);
  await sample('b', 8, nowMs);
  await sample('a', 7, nowMs + 2 * MINUTE_MS);
  await driver.settle();
  const key = 'cpu{host="a"}';
  const look = () => [driver.state('1m', 'windows', key), driver.state('1d', 'windows', key), driver.timers('1h', key)];
  const first = { count: 3, sum: 6, min: 1, max: 3, avg: 2, p50: expect.closeTo(2, 1), p95: 3, p99: 3 };
  const day = Math.floor(nowMs / 86_400_000) * 86_400_000;
  expect(look()).toEqual([
    [
      { start: nowMs, end: nowMs + MINUTE_MS, firings: 1, ...first },
      {
        start: nowMs + 2 * MINUTE_MS,
        end: nowMs + 3 * MINUTE_MS,
        firings: 0,
        ...{ count: 1, sum: 7, min: 7, max: 7, avg: 7, p50: 7, p95: 7, p99: 7 },
      },
    ],
    [{ start: day, end: day + 86_400_000, firings: 0, ...first }],
    { eventTimeMs: [Math.floor(nowMs / 3_600_000) * 3_600_000 + 3_600_000], clockMs: [] },
  ]);
  expect(driver.keys('1m')).toEqual([key, 'cpu{host="b"}']);
  const seen = look();
  await driver.crash();
  await driver.restore();
  expect(look()).toEqual(seen);
  await driver.restart();
  expect(look()).toEqual(seen);
  await driver.stop();
});
