// Jobs that write to time-series databases, driven: what their receivers take, once, and again only after a crash.

import { expect, test } from 'vitest';
import { defineJob, remoteWrite, samples, tsdbWriter } from '#jobs/millrace.ts';
import { JobDriver } from '#test/harness/driver.ts';

const URL = 'http://127.0.0.1:1/never-asked';
const MINUTE = 60_000;

function row(minute: number, value: number, revision = 0): string {
  const numbers = { count: value, sum: value, min: value, max: value, avg: value, p50: value, p95: value, p99: value };
  const window = { resolution: '1m', window_start: (minute - 1) * MINUTE, window_end: minute * MINUTE };
  return JSON.stringify({ metric_name: 'load', labels: { host: 'h-1' }, ...window, ...numbers, run: 0, revision });
}

test('a final target gets the newest row when its time is over, a replaceable one every row at once', async () => {
  const targets = [
    { name: 'final', url: URL, mode: 'final', lateness: '2m' },
    { name: 'fast', url: URL, mode: 'replaceable' },
  ] as const;
  const driver = await JobDriver.start(tsdbWriter({ targets, rollups: ['rows'], outOfOrderness: '0s' }));
  const minute = driver.nowMs / MINUTE;
  const counts = (target: string) =>
    driver
      .written(target)
      .filter((sample) => sample.metric_name === 'load:1m:count')
      .map(({ timestamp, value }) => [timestamp / MINUTE - minute, value]);
  for (const text of [row(minute, 1), row(minute, 2, 1), row(minute + 1, 3)])
    await driver.send('rows', Buffer.from(text));
  await driver.settle();
  expect(counts('fast')).toEqual([
    [0, 1],
    [0, 2],
    [1, 3],
  ]);
  expect(counts('final')).toEqual([]);
  await driver.crash();
  await driver.restore();
  await driver.advance('2m');
  expect(counts('final')).toEqual([[0, 2]]);
  await driver.advance('2m');
  expect(counts('final')).toEqual([
    [0, 2],
    [1, 3],
  ]);
  expect(counts('fast')).toHaveLength(3);
  expect(driver.written('final')[0].labels).toEqual({ host: 'h-1' });
  expect(() => driver.written('other')).toThrow(/no target 'other'/);
  await driver.stop();
});

test('a crash at any step loses no sample and changes none', async () => {
  const job = () =>
    defineJob({
      name: 'own',
      source: samples({ topic: 'raw' }),
      build: (raw) =>
        raw
          .filter('even', ({ value }) => value % 2 === 0)
          .to(remoteWrite({ name: 'db', url: URL, mode: 'replaceable' })),
    });
  for (let steps = 0; ; steps += 7) {
    const driver = await JobDriver.start(job());
    const nowMs = driver.nowMs;
    driver.crashAfter(steps);
    for (let value = 0; value < 10; value++) {
      await driver.send('raw', { metric_name: 'm', labels: {}, timestamp: nowMs + value, value });
      await driver.settle();
      if (!driver.running) await driver.restore();
    }
    const came = driver.written('db').map(({ timestamp, value }) => `${timestamp - nowMs}=${value}`);
    expect([...new Set(came)], `after ${steps} steps`).toEqual(['0=0', '2=2', '4=4', '6=6', '8=8']);
    await driver.stop();
    if (driver.crashes === 0) break;
  }
});
