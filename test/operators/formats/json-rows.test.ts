import { expect, test } from 'vitest';
import { JsonRowEncoder } from '#operators/formats/json-rows.ts';
import { writeSample } from '#operators/formats/json-sample.ts';
import { SeriesTable } from '#operators/series/series-table.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { seeded } from '#test/operators/formats/sample-generator.ts';

const registry = { register: () => ({ epoch: 1, touch: () => {} }) };

function tableOf(...series: string[]): SeriesTable {
  const table = new SeriesTable({ stateId: 'test/series' });
  table.open(registry);
  for (const text of series) table.slotOfText(text);
  return table;
}

test('a row is the JSON of the contract, field for field', () => {
  const table = tableOf('cpu_usage{host="h-1"}');
  const out = new ByteWriter(8);
  const end = 1700000060000;
  new JsonRowEncoder('1m').encode(
    out,
    table.jsonBytes(0),
    end - 60000,
    end,
    60,
    4530.5,
    70.1,
    81,
    75.508,
    75.4,
    79.9,
    80.8,
    0,
    0,
  );
  expect(out.toBytes().toString()).toBe(
    '{"metric_name":"cpu_usage","labels":{"host":"h-1"},"resolution":"1m","window_start":1700000000000,"window_end":1700000060000,' +
      '"count":60,"sum":4530.5,"min":70.1,"max":81,"avg":75.508,"p50":75.4,"p95":79.9,"p99":80.8,"run":0,"revision":0}',
  );
});

test('rows are what JSON.stringify writes, side by side in one buffer', () => {
  const next = seeded(21);
  const series = ['up', 'größe{ü="\\"\\\\\\n"}', '{"a{b",le="+Inf"}', `long{a="${'x'.repeat(3000)}"}`];
  const table = tableOf(...series);
  const out = new ByteWriter(64);
  const encoder = new JsonRowEncoder('5m');
  let expected = '';
  for (let i = 0; i < 3000; i++) {
    const n = Array.from({ length: 8 }, (_, k) => (k === 0 ? i : (next() - 0.3) * 10 ** Math.floor(next() * 9)));
    const slot = i % series.length;
    encoder.encode(
      out,
      table.jsonBytes(slot),
      -i * 300000,
      i * 300000,
      n[0],
      n[1],
      n[2],
      n[3],
      n[4],
      n[5],
      n[6],
      n[7],
      i % 3,
      i % 2,
    );
    const row = {
      metric_name: table.metricName(slot),
      labels: Object.fromEntries(table.labels(slot)),
      resolution: '5m',
      window_start: -i * 300000,
      window_end: i * 300000,
      ...{ count: n[0], sum: n[1], min: n[2], max: n[3], avg: n[4], p50: n[5], p95: n[6], p99: n[7] },
      run: i % 3,
      revision: i % 2,
    };
    expected += JSON.stringify(row);
  }
  expect(out.toBytes().toString() === expected).toBe(true);
});

test.each([
  [1.5, '1.5'],
  [Number.NaN, '"NaN"'],
  [Number.POSITIVE_INFINITY, '"+Inf"'],
  [Number.NEGATIVE_INFINITY, '"-Inf"'],
])('a sample of %d is written in the order of the contract', (value, text) => {
  const table = tableOf('{"q\\"\\\\,{",labels="x"}', 'up');
  const out = new ByteWriter(8);
  writeSample(out, table.jsonBytes(0), -5, Float64Array.of(value), 0);
  writeSample(out, table.jsonBytes(1), 1700000000000, Float64Array.of(0, value), 1);
  expect(out.toBytes().toString()).toBe(
    `{"metric_name":"q\\"\\\\,{","timestamp":-5,"value":${text},"labels":{"labels":"x"}}{"metric_name":"up","timestamp":1700000000000,"value":${text},"labels":{}}`,
  );
});
