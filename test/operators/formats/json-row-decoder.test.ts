// Rollup rows read back: what our encoder writes, what others write in another order, and what is no row.

import { expect, test } from 'vitest';
import { JsonRowDecoder } from '#operators/formats/json-row-decoder.ts';
import { JsonRowEncoder } from '#operators/formats/json-rows.ts';
import { SeriesTable } from '#operators/series/series-table.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { Batch, rollupColumns } from '#runtime/task/contract.ts';

const ROW = {
  metric_name: 'cpu_usage',
  labels: { host: 'h-1', zone: 'a "b"' },
  resolution: '1m',
  window_start: 1_700_000_000_000,
  window_end: 1_700_000_060_000,
  count: 60,
  sum: 4530.5,
  min: -70.1,
  max: 8.1e300,
  avg: 75.508_333_333_333_33,
  p50: 0,
  p95: 1e-7,
  p99: 80.8,
  run: 0,
  revision: 0,
};

function decoder(slack = 64) {
  const table = new SeriesTable({ stateId: 'rows/series' });
  table.open({ register: () => ({ epoch: 1, touch: () => {} }) });
  const rows = new JsonRowDecoder(table);
  const batch = new Batch(2);
  batch.rollups = rollupColumns(2);
  const read = (text: string | Buffer, skewLimitMs = Number.POSITIVE_INFINITY) => {
    const value = Buffer.from(text);
    // Whatever stands around a record must not matter.
    const bytes = Buffer.concat([Buffer.from('{"x"'), value, Buffer.alloc(slack, 0x31)]);
    return rows.decode(bytes, 4, 4 + value.length, { partition: 3, offset: 77, skewLimitMs }, batch);
  };
  const rowAt = (i: number) => {
    const { rollups } = batch;
    if (rollups === null) throw new Error('no rows');
    const [name, ...rest] = table.canonicalBytes(batch.key[i]).toString().split('{');
    return {
      name,
      labels: rest.join('{'),
      window: [rollups.windowStartMs[i], rollups.windowEndMs[i]],
      values: [...rollups.values.subarray(i * 8, i * 8 + 8)],
      run: rollups.run[i],
      revision: rollups.revision[i],
      timestampMs: batch.timestampMs[i],
    };
  };
  return { rows, table, batch, read, rowAt };
}

test('a row comes back with every number, under its series with the resolution behind the name', () => {
  const { batch, read, rowAt } = decoder();
  expect(read(JSON.stringify(ROW))).toBeNull();
  expect(rowAt(0)).toEqual({
    name: 'cpu_usage:1m',
    labels: 'host="h-1",zone="a \\"b\\""}',
    window: [1_700_000_000_000, 1_700_000_060_000],
    values: [60, 4530.5, -70.1, 8.1e300, 75.508_333_333_333_33, 0, 1e-7, 80.8],
    run: 0,
    revision: 0,
    timestampMs: 1_700_000_059_999,
  });
  expect([batch.originPartition[0], batch.originOffset[0]]).toEqual([3, 77]);
  expect(batch.maxTimestampMs).toBe(1_700_000_059_999);
});

test('what our encoder writes is parsed in full once for each series, and means the same then', () => {
  const { batch, read, rowAt, rows } = decoder();
  const encoder = new JsonRowEncoder('5m');
  const out = new ByteWriter();
  let seed = 1;
  const number = () => {
    seed = Math.imul(seed, 1_103_515_245) + 12_345;
    return ((seed >>> 8) / 2 ** 24 - 0.5) * 10 ** (seed & 7);
  };
  for (let i = 0; i < 200; i++) {
    const series = Buffer.from(
      `"metric_name":"m${i % 4}","labels":{"window_start":"a,\\"window_start\\":1","l":"${i % 4}"}`,
    );
    const values = Array.from({ length: 8 }, number);
    const [count, sum, min, max, avg, p50, p95, p99] = values;
    out.clear();
    encoder.encode(out, series, i * 300_000, (i + 1) * 300_000, count, sum, min, max, avg, p50, p95, p99, i % 3, i % 5);
    const text = out.toBytes();
    expect(read(text)).toBeNull();
    expect(rowAt(i)).toMatchObject({ name: `m${i % 4}:5m`, values, run: i % 3, revision: i % 5 });
    expect(JSON.parse(text.toString())).toMatchObject({ count, sum, run: i % 3 });
  }
  expect(batch.count).toBe(200);
  expect(rows.parsedRows).toBe(4);
});

test('a label named as the field behind the labels only costs the shortcut', () => {
  const { read, rowAt, rows } = decoder();
  const text = JSON.stringify({ ...ROW, labels: { a: 'b', window_start: '1', z: 'c' } });
  for (let i = 0; i < 3; i++) {
    expect(read(text)).toBeNull();
    expect(rowAt(i).labels).toBe('a="b",window_start="1",z="c"}');
  }
  expect(rows.parsedRows).toBe(3);
});

test('another order of fields, spaces, fields we do not know and missing run and revision are all the same row', () => {
  const { read, rowAt, rows } = decoder();
  const { resolution, run, revision, ...rest } = ROW;
  expect([run, revision]).toEqual([0, 0]);
  read(JSON.stringify(ROW));
  read(JSON.stringify({ later: [1], resolution, ...rest }));
  read(JSON.stringify(ROW, null, 2));
  read(` ${JSON.stringify(ROW)} `);
  read(JSON.stringify(ROW).replace('"p99"', '"p98":1,"p99"'));
  for (let i = 1; i < 5; i++) expect(rowAt(i), `row ${i}`).toEqual(rowAt(0));
  expect(rows.parsedRows).toBe(5);
});

test('a number that JSON cannot say is none', () => {
  const { read, rowAt } = decoder();
  expect(read(JSON.stringify({ ...ROW, sum: Number.POSITIVE_INFINITY, avg: null }))).toBeNull();
  expect(rowAt(0).values[1]).toBeNaN();
  expect(rowAt(0).values[4]).toBeNaN();
});

test.each<[string, string | Buffer]>([
  ['no JSON', '{"metric_name"'],
  ['JSON cut off', JSON.stringify(ROW).slice(0, -1)],
  ['something behind it', `${JSON.stringify(ROW)}}`],
  ['a list', '[]'],
  ['nothing', ''],
  ['no UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
  ['a sample', '{"metric_name":"a","timestamp":1,"value":1,"labels":{}}'],
  ['a resolution that is none', JSON.stringify({ ...ROW, resolution: 'a:b' })],
  ['a name that is none', JSON.stringify({ ...ROW, metric_name: '' })],
  ['labels that are none', JSON.stringify({ ...ROW, labels: { a: 1 } })],
  ['text for a number', JSON.stringify({ ...ROW, p50: '1' })],
  ['a window that ends before it begins', JSON.stringify({ ...ROW, window_start: ROW.window_end })],
  ['a fraction of a millisecond', JSON.stringify({ ...ROW, window_end: ROW.window_end + 0.5 })],
  ['a negative revision', JSON.stringify({ ...ROW, revision: -1 })],
  ['a run beyond counting', JSON.stringify({ ...ROW, run: 2 ** 40 })],
])('%s is no row, and leaves nothing behind', (_, text) => {
  for (const first of [false, true]) {
    const { batch, read, table } = decoder();
    if (first) read(JSON.stringify(ROW));
    const before = [batch.count, table.size];
    expect(read(text)?.code).toMatch(/^(json|row)-invalid$/);
    expect([batch.count, table.size]).toEqual(before);
  }
});

test('a window that ends too far ahead is refused, the first and the second time', () => {
  const { batch, read } = decoder();
  const text = JSON.stringify(ROW);
  expect(read(text, ROW.window_end - 2)?.code).toBe('timestamp-ahead');
  expect(read(text, ROW.window_end - 1)).toBeNull();
  expect(read(text, ROW.window_end - 2)?.code).toBe('timestamp-ahead');
  expect(batch.count).toBe(1);
});

test('a record at the very end of its memory is read as any other', () => {
  const { read, rowAt } = decoder(0);
  expect(read(JSON.stringify(ROW))).toBeNull();
  expect(read(JSON.stringify(ROW))).toBeNull();
  expect(rowAt(1)).toEqual(rowAt(0));
});
