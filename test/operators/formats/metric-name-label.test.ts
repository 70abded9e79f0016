// A label that is named as the one that databases keep a metric's name in: its sample is a fault in every format, its
// neighbours are not, and no series of two names comes into being.

import { compressSync } from 'snappy';
import { expect, test } from 'vitest';
import { type SampleFormatName, sampleDecoder } from '#operators/formats/sample-format.ts';
import { decodeRecord, decoding, faultTexts, rowTexts } from '#test/operators/formats/decoder-comparison.ts';
import { bytesField, double, doubleBytes, fixed64, zigzag } from './protobuf-bytes.ts';
import { label, sample } from './remote-write-generator.ts';

const AT = 1_700_000_000_000;
const AVRO = {
  type: 'array',
  items: {
    type: 'record',
    name: 'Sample',
    fields: [
      { name: 'metric_name', type: 'string' },
      { name: 'timestamp', type: 'long' },
      { name: 'value', type: 'double' },
      { name: 'labels', type: { type: 'map', values: 'string' } },
    ],
  },
};

/** Value of the label of the first sample and of the second. */
type Values = readonly [string, string];

const json = (value: string) =>
  `{"metric_name":"m","timestamp":${AT},"value":1,"labels":{"a":"b","__name__":${JSON.stringify(value)}}}`;

function avroItem(value: string): Buffer {
  const text = (of: string) => Buffer.concat([zigzag(of.length), Buffer.from(of)]);
  const labels = Buffer.concat([zigzag(2), text('a'), text('b'), text('__name__'), text(value), zigzag(0)]);
  return Buffer.concat([text('m'), zigzag(AT), doubleBytes(1), labels]);
}

function otlpPoint(key: string, value: string): Buffer {
  const attribute = (name: string, text: string) =>
    bytesField(7, bytesField(1, name), bytesField(2, bytesField(1, text)));
  return bytesField(1, fixed64(3, BigInt(AT) * 1_000_000n), double(4, 1), attribute('a', 'b'), attribute(key, value));
}

function otlp(points: readonly Buffer[], resource: Buffer = Buffer.alloc(0)): Buffer {
  const metric = bytesField(2, bytesField(1, 'm'), bytesField(5, ...points));
  return bytesField(1, resource, bytesField(2, metric));
}

const otlpJson = (values: Values) => {
  const dataPoints = values.map((stringValue) => ({
    timeUnixNano: `${AT}000000`,
    asDouble: 1,
    attributes: [
      { key: 'a', value: { stringValue: 'b' } },
      { key: '__name__', value: { stringValue } },
    ],
  }));
  return JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics: [{ name: 'm', gauge: { dataPoints } }] }] }] });
};

function remoteWrite(values: Values): Buffer {
  const series = values.map((value) =>
    bytesField(
      1,
      label('__name__', 'm'),
      label('a', 'b'),
      ...(value === '' ? [] : [label('__name__', value)]),
      sample(1, AT),
    ),
  );
  return compressSync(Buffer.concat(series)) as Buffer;
}

const CASES: readonly (readonly [SampleFormatName, string, (values: Values) => Buffer | string])[] = [
  ['json', 'sample-invalid $[0].labels.__name__', (values) => `[${values.map(json).join()}]`],
  ['json', 'sample-invalid $[0].labels.__name__', (values) => `[${values.map(json).join()}]`.replace('m"', '\\u006d"')],
  [
    'avro',
    'sample-invalid $[0].labels.__name__',
    (values) => Buffer.concat([zigzag(2), ...values.map(avroItem), zigzag(0)]),
  ],
  ['remote-write', 'sample-invalid $.timeseries[0].labels.__name__', remoteWrite],
  [
    'otlp',
    'sample-invalid $.resourceMetrics[0].scopeMetrics[0].metrics[0].gauge.dataPoints[0].attributes',
    (values) => otlp(values.map((value) => otlpPoint('__name__', value))),
  ],
  [
    'otlp',
    'sample-invalid $.resourceMetrics[0].scopeMetrics[0].metrics[0].gauge.dataPoints[0].attributes',
    (values) => otlp(values.map((value) => otlpPoint('__name-_', value))),
  ],
  ['otlp', 'sample-invalid $.resourceMetrics[0].scopeMetrics[0].metrics[0].gauge.dataPoints[0].attributes', otlpJson],
];

test.each(CASES)('%s: %s', (name, fault, recordOf) => {
  const state = decoding((options) => sampleDecoder({ name, avroSchema: AVRO }, options));
  // Known series take another way than new ones.
  for (let look = 0; look < 3; look++) {
    decodeRecord(state, recordOf(['other', '']));
    expect(faultTexts(state)).toEqual([fault]);
    expect(rowTexts(state)).toEqual([`m{a="b"} 1 @${AT}`]);
    decodeRecord(state, recordOf(['', '']));
    expect(faultTexts(state)).toEqual([]);
    expect(rowTexts(state)).toHaveLength(2);
  }
  expect(state.table.slotCount).toBe(1);
});

test('influx: a line with such a tag is none', () => {
  const state = decoding((options) => sampleDecoder({ name: 'influx' }, options));
  decodeRecord(state, `m,a=b,__name__=other v=1 ${AT}000000\nm,a=b v=2 ${AT}000000\n`);
  expect(faultTexts(state)).toEqual(['line-invalid $.lines[0]']);
  expect(rowTexts(state)).toEqual([`m_v{a="b"} 2 @${AT}`]);
});

test('otlp: a resource may have such an attribute, target_info goes without', () => {
  const attribute = (key: string, value: string) =>
    bytesField(1, bytesField(1, key), bytesField(2, bytesField(1, value)));
  const resource = bytesField(1, attribute('service.name', 's'), attribute('__name__', 'x'), attribute('zone', 'z'));
  const state = decoding((options) => sampleDecoder({ name: 'otlp' }, options));
  decodeRecord(state, otlp([otlpPoint('c', 'd')], resource));
  expect(faultTexts(state)).toEqual([]);
  expect(rowTexts(state).sort()).toEqual([`m{a="b",c="d",job="s"} 1 @${AT}`, `target_info{job="s",zone="z"} 1 @${AT}`]);
});
