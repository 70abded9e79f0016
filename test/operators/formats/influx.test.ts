import { expect, test } from 'vitest';
import { InfluxDecoder } from '#operators/formats/influx-decoder.ts';
import { type InfluxPrecision, influxTimestampMs } from '#operators/formats/influx-value.ts';
import {
  compare,
  type Decoding,
  decodeRecord,
  decoding,
  faultTexts,
  rowTexts,
} from '#test/operators/formats/decoder-comparison.ts';
import { influxRecord } from '#test/operators/formats/influx-generator.ts';
import { referenceInflux } from '#test/operators/formats/reference-influx.ts';
import { seeded } from '#test/operators/formats/sample-generator.ts';

function influx(): Decoding {
  return decoding((options) => new InfluxDecoder(options));
}

test.each([
  [1, 50_000, undefined],
  [2, 45_000, undefined],
  [3, 5_000, 96 * 1024],
])(
  'decodes what a slow reader reads (seed %i, %i records, cache %s)',
  { timeout: 120_000 },
  (seed, count, bytesMax) => {
    const { rows, faults } = compare({
      seed,
      count,
      bytesMax,
      make: (options) => new InfluxDecoder(options),
      record: influxRecord,
      reference: (record, skewLimitMs) => referenceInflux(record, skewLimitMs, 1700000050000),
    });
    expect(rows).toBeGreaterThan(count);
    expect(faults).toBeGreaterThan(count / 10);
  },
);

test('every number and boolean is a sample of measurement_field with the tags as labels; strings are none', () => {
  const state = influx();
  decodeRecord(
    state,
    'cpu,host=web\\ 1,dc=a\\,b user=1.5,n=7i,up=true,note="x, y=\\"z\\" 2",big=18446744073709551615u 1700000000123456789\n',
  );
  const labels = '{dc="a,b",host="web 1"} ';
  expect(rowTexts(state)).toEqual([
    `cpu_user${labels}1.5 @1700000000123`,
    `cpu_n${labels}7 @1700000000123`,
    `cpu_up${labels}1 @1700000000123`,
    `cpu_big${labels}18446744073709552000 @1700000000123`,
  ]);
  expect(state.decoder.outcome.faultCount).toBe(0);
});

test('a line without a timestamp has that of its record', () => {
  const state = influx();
  decodeRecord(state, 'up value=1');
  expect(rowTexts(state)).toEqual(['up_value 1 @1700000050000']);
});

test('a broken line or field costs itself only', () => {
  const state = influx();
  decodeRecord(
    state,
    '# telegraf\nm a=1,b=x,c=3 1\nm\nm,t=1,t=2 a=1\n\nm a="open\nm a=4 2\nm a=5 x\nm a=6 9999999999999999999\n',
  );
  expect(rowTexts(state)).toEqual(['m_a 1 @0', 'm_c 3 @0', 'm_a 4 @0']);
  expect(faultTexts(state)).toEqual([
    'sample-invalid $.lines[1].fields.b',
    'line-invalid $.lines[2]',
    'line-invalid $.lines[3]',
    'line-invalid $.lines[5]',
    'sample-invalid $.lines[7].timestamp',
    'timestamp-ahead $.lines[8].timestamp',
  ]);
  expect(state.decoder.outcome.hasParts).toBe(true);
});

test('timestamps of every unit are the millisecond they lie in, before 1970 too', () => {
  const next = seeded(5);
  const units: [InfluxPrecision, bigint, bigint][] = [
    ['ns', 1000000n, 1n],
    ['us', 1000n, 1n],
    ['ms', 1n, 1n],
    ['s', 1n, 1000n],
  ];
  for (let i = 0; i < 20_000; i++) {
    for (const [precision, divisor, factor] of units) {
      const stamp = BigInt(Math.floor((next() - 0.5) * 10 ** Math.floor(next() * 24)));
      const text = Buffer.from(String(stamp));
      const quotient = (stamp * factor) / divisor;
      const ms = quotient * divisor > stamp * factor ? quotient - 1n : quotient;
      const expected = ms <= 8640000000000000n && ms >= -8640000000000000n ? Number(ms) : Number.NaN;
      expect(influxTimestampMs(text, 0, text.length, precision)).toBe(expected);
    }
  }
});

test('megabytes of quotes, backslashes, spaces or one endless field are read once', () => {
  const state = influx();
  for (const text of ['"', '\\', ' ', 'a b="', 'a b="\n', ',', '=', 'a=1,', '\n', 'm a=1 1\n']) {
    decodeRecord(state, `m x=${text.repeat((2 << 20) / text.length)}`);
    decodeRecord(state, text.repeat((1 << 20) / text.length));
  }
  expect(state.table.size).toBeLessThanOrEqual(2);
});
