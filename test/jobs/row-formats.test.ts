// Rollup rows on their way from the job that makes them to the one that brings them to databases, in each format that a
// topic may hold them in.

import { expect, test } from 'vitest';
import { compileJob } from '#jobs/compile.ts';
import { explain } from '#jobs/explain.ts';
import { defineJob, ROLLUP_ROW_SCHEMA, records, rollups, rows, topic, tsdbWriter } from '#jobs/millrace.ts';
import type { RowFormatName } from '#operators/formats/row-encoder.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { JobDriver } from '#test/harness/driver.ts';

const URL = 'http://127.0.0.1:1/never-asked';
const MINUTE = 60_000;
const REPLACEABLE = { name: 'vm', url: URL, mode: 'replaceable' } as const;
const FINAL = { name: 'prometheus', url: URL, mode: 'final', lateness: '1m' } as const;

/** What the rollup job writes of some minutes, one of them corrected, and one whose sum overflows. */
async function rowsOf(rowFormat: RowFormatName): Promise<unknown[]> {
  const driver = await JobDriver.start(rollups({ rowFormat, outOfOrderness: '0s', allowedLateness: '5m' }));
  const at = (minute: number, second: number) => driver.nowMs + minute * MINUTE + second * 1_000;
  const send = (host: string, timestamp: number, value: number) =>
    driver.send('metrics.raw', { metric_name: 'load:x', labels: { host, zone: 'a b' }, timestamp, value });
  for (let minute = 0; minute < 3; minute++) {
    await send('h-1', at(minute, 10), minute + 0.1);
    await send('h-1', at(minute, 20), -minute / 3);
    await send('h-2', at(minute, 20), minute === 1 ? 1.7e308 : 5);
    await send('h-2', at(minute, 30), minute === 1 ? 1.7e308 : 5);
  }
  await send('h-1', at(0, 30), 100);
  await driver.advance('10m');
  const made = driver.output('metrics.rollup.1m').map(({ value }) => value);
  await driver.stop();
  return made;
}

/** What a target takes of rows in a topic. */
async function writtenFrom(
  rowFormat: RowFormatName,
  target: typeof REPLACEABLE | typeof FINAL,
  from: readonly unknown[],
) {
  const options = { targets: [target], rollups: ['rows'], rowFormat, outOfOrderness: '0s' };
  const driver = await JobDriver.start(tsdbWriter(options));
  for (const row of from) await driver.send('rows', row);
  await driver.crash();
  await driver.restore();
  await driver.advance('10m');
  const written = driver.written(target.name);
  expect(driver.deadLetters()).toEqual([]);
  await driver.stop();
  const texts = written.map((of) => `${of.metric_name} ${JSON.stringify(of.labels)} ${of.timestamp} ${of.value}`);
  return [...new Set(texts)].sort();
}

test('a replaceable target takes the same samples out of every format, a final one out of those with revisions', async () => {
  const json = await rowsOf('json');
  const expected = await writtenFrom('json', REPLACEABLE, json);
  const final = await writtenFrom('json', FINAL, json);
  expect(final.length).toBeLessThan(expected.length);
  // JSON has no word for the sum and the average that overflowed.
  const overflowed = ['avg', 'sum'].map(
    (part) => `load:x:1m:${part} {"host":"h-2","zone":"a b"} ${1_767_225_600_000 + 2 * MINUTE} Infinity`,
  );
  for (const format of ['avro', 'remote-write'] as const) {
    const written = await writtenFrom(format, REPLACEABLE, await rowsOf(format));
    expect(written).toEqual([...expected, ...overflowed].sort());
  }
  expect(await writtenFrom('avro', FINAL, await rowsOf('avro'))).toEqual([...final, ...overflowed].sort());
}, 60_000);

test('what is no row of the format is a dead letter', async () => {
  for (const rowFormat of ['avro', 'remote-write'] as const) {
    const driver = await JobDriver.start(tsdbWriter({ targets: [REPLACEABLE], rollups: ['rows'], rowFormat }));
    await driver.send('rows', Buffer.from('{"metric_name":"m"}'));
    await driver.send('rows', null);
    await driver.settle();
    const codes = driver.deadLetters().map(({ headers }) => headers['error-code']);
    expect(codes).toEqual([rowFormat === 'avro' ? 'avro-invalid' : 'snappy-invalid', 'row-invalid']);
    await driver.stop();
  }
});

test('rows in Avro are records by their schema, and may be sent as objects', async () => {
  const [first] = await rowsOf('avro');
  const job = defineJob({
    name: 'own',
    source: records<{ metric_name: string; count: number }>({
      topic: 'rows',
      format: 'avro',
      avroSchema: ROLLUP_ROW_SCHEMA,
    }),
    build: (all) => all.map('short', ({ count, metric_name }) => `${metric_name} ${count}`).to(topic('short')),
  });
  const driver = await JobDriver.start(job);
  await driver.send('rows', first);
  await driver.settle();
  expect(driver.take('short').map(({ value }) => value)).toEqual(['load:x 2']);
  await driver.stop();
  const writer = await JobDriver.start(tsdbWriter({ targets: [REPLACEABLE], rollups: ['rows'], rowFormat: 'avro' }));
  const window = { resolution: '1m', window_start: 0, window_end: MINUTE, run: 0, revision: 0 };
  const values = { count: 1, sum: 2, min: 3, max: 4, avg: 5, p50: 6, p95: 7, p99: 8 };
  await writer.send('rows', { metric_name: 'm', labels: {}, ...window, ...values });
  await writer.settle();
  expect(writer.written('vm').map(({ value }) => value)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  await writer.stop();
});

test('rows as remote write are refused for a final target, with a remedy', () => {
  const compile = (target: typeof REPLACEABLE | typeof FINAL, rowFormat: RowFormatName) =>
    compileJob(tsdbWriter({ targets: [target], rollups: ['rows'], rowFormat }));
  const refused = () => compile(FINAL, 'remote-write');
  expect(refused).toThrow(StreamError);
  expect(refused).toThrow(/target 'prometheus'.mode: is 'final', but rows as remote write do not say which/);
  expect(refused).toThrow(/written as JSON or Avro/);
  expect(() => compileJob(tsdbWriter({ targets: [FINAL], rollups: ['r'], rowFormat: 'csv' as 'json' }))).toThrow(
    /format: 'csv' is not possible/,
  );
  const { plan, settings } = compile(REPLACEABLE, 'remote-write');
  expect(explain(plan, settings)).toContain('format remote-write');
  expect(compile(FINAL, 'json').plan).toEqual(compileJob(tsdbWriter({ targets: [FINAL], rollups: ['rows'] })).plan);
  expect(rows({ topic: 'a', format: 'avro' }).options.format).toBe('avro');
});
