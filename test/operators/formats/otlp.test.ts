import { describe, expect, test } from 'vitest';
import { OtlpDecoder } from '#operators/formats/otlp-decoder.ts';
import {
  compare,
  type Decoding,
  decodeRecord,
  decoding,
  faultTexts,
  rowTexts,
} from '#test/operators/formats/decoder-comparison.ts';
import { otlpRequest } from '#test/operators/formats/otlp-generator.ts';
import { otlpJson, otlpProtobuf } from '#test/operators/formats/otlp-wire.ts';
import { bytesField, damaged, double, fixed64, varint } from '#test/operators/formats/protobuf-bytes.ts';
import type { ReferenceResult } from '#test/operators/formats/reference-decoder.ts';
import { referenceOtlp } from '#test/operators/formats/reference-otlp.ts';
import { fromJson } from '#test/operators/formats/reference-otlp-json.ts';
import { fromProtobuf } from '#test/operators/formats/reference-otlp-wire.ts';
import type { Random } from '#test/operators/formats/sample-generator.ts';

function otlp(): Decoding {
  return decoding((options) => new OtlpDecoder(options));
}

function refused(code: string): ReferenceResult {
  return { rows: [], notFinite: 0, faults: [`${code} $`] };
}

function protobufRecord(next: Random): Buffer {
  const record = otlpProtobuf(next, otlpRequest(next));
  return next() < 0.15 ? damaged(next, record) : record;
}

function referenceProtobuf(record: Buffer, skewLimitMs: number): ReferenceResult {
  if (/^[ \t\r]*\{/.test(record.toString('latin1'))) return referenceJson(record, skewLimitMs);
  try {
    return referenceOtlp(fromProtobuf(record), skewLimitMs);
  } catch (error) {
    if (error instanceof RangeError) return refused('protobuf-invalid');
    throw error;
  }
}

function referenceJson(record: Buffer, skewLimitMs: number): ReferenceResult {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(record));
  } catch {
    return refused('json-invalid');
  }
  const request = fromJson(parsed);
  return request === null ? refused('sample-invalid') : referenceOtlp(request, skewLimitMs);
}

describe('decodes what a slow reader reads', () => {
  test.each([
    [1, 40_000, undefined],
    [2, 30_000, undefined],
    [3, 10_000, 96 * 1024],
  ])('from protobuf (seed %i, %i requests, cache %s)', { timeout: 180_000 }, (seed, count, bytesMax) => {
    const make = (options: ConstructorParameters<typeof OtlpDecoder>[0]) => new OtlpDecoder(options);
    const seen = compare({ seed, count, bytesMax, make, record: protobufRecord, reference: referenceProtobuf });
    expect(seen.rows).toBeGreaterThan(count * 2);
    expect(seen.faults).toBeGreaterThan(count / 10);
  });

  test('from JSON (20,000 requests), naming the part where something is wrong', { timeout: 180_000 }, () => {
    const seen = compare({
      seed: 4,
      count: 20_000,
      make: (options) => new OtlpDecoder(options),
      record: (next) => {
        const record = otlpJson(next, otlpRequest(next));
        return next() < 0.03 && !record.includes('\\') ? damaged(next, record) : record;
      },
      reference: (record, skewLimitMs) => {
        const isJson = /^[ \t\r]*\{/.test(record.toString('latin1'));
        return isJson ? referenceJson(record, skewLimitMs) : referenceProtobuf(record, skewLimitMs);
      },
      faultText: (text) => text.replace(/\](?!.*\]).*$/, ']'),
    });
    expect(seen.rows).toBeGreaterThan(30_000);
    expect(seen.faults).toBeGreaterThan(1_000);
  });
});

const SERVICE = {
  attributes: [
    { key: 'service.name', value: { stringValue: 'api' } },
    { key: 'service.namespace', value: { stringValue: 'shop' } },
    { key: 'service.instance.id', value: { stringValue: 'i-1' } },
    { key: 'host.name', value: { stringValue: 'h-1' } },
  ],
};
const ATTRIBUTES = [{ key: 'http.method', value: { stringValue: 'GET' } }];
const TIME = { timeUnixNano: '1700000000123456789', attributes: ATTRIBUTES };

/** Rows of one metric of a service, without its labels job and instance. */
function rowsOf(metric: object): string[] {
  const state = otlp();
  const request = { resourceMetrics: [{ resource: SERVICE, scopeMetrics: [{ metrics: [metric] }] }] };
  decodeRecord(state, JSON.stringify(request));
  expect(faultTexts(state)).toEqual([]);
  const asProtobuf = otlp();
  decodeRecord(
    asProtobuf,
    otlpProtobuf(() => 0.5, request as never),
  );
  expect(rowTexts(asProtobuf)).toEqual(rowTexts(state));
  return rowTexts(state).map((row) => row.replace(',instance="i-1",job="shop/api"', '').replace(' @1700000000123', ''));
}

describe('series are those of Prometheus', () => {
  const target = 'target_info{host_name="h-1"} 1';

  test('a monotonic sum is a counter: _total behind the unit', () => {
    const sum = { aggregationTemporality: 2, isMonotonic: true, dataPoints: [{ ...TIME, asInt: '7' }] };
    expect(rowsOf({ name: 'http.server.io', unit: 'By', sum })).toEqual([
      'http_server_io_bytes_total{http_method="GET"} 7',
      target,
    ]);
  });

  test('a sum that may fall and a gauge keep their names, a ratio says so', () => {
    const sum = { aggregationTemporality: 2, dataPoints: [{ ...TIME, asDouble: -1.5 }] };
    expect(rowsOf({ name: 'queue.size', unit: '{job}', sum })).toEqual(['queue_size{http_method="GET"} -1.5', target]);
    const gauge = { dataPoints: [{ ...TIME, asDouble: 0.25 }] };
    expect(rowsOf({ name: 'cpu.utilization', unit: '1', gauge })).toEqual([
      'cpu_utilization_ratio{http_method="GET"} 0.25',
      target,
    ]);
  });

  test('deltas are taken as they are and told apart by a label', () => {
    const sum = { aggregationTemporality: 1, isMonotonic: true, dataPoints: [{ ...TIME, asInt: 3 }] };
    expect(rowsOf({ name: 'hits', sum })).toEqual(['hits_total{__temporality__="delta",http_method="GET"} 3', target]);
  });

  test('a histogram is sum, count and cumulative buckets up to +Inf', () => {
    const dataPoints = [{ ...TIME, count: '6', sum: 9.5, explicitBounds: [0.5, 1e21], bucketCounts: ['1', '2', '3'] }];
    expect(rowsOf({ name: 'latency', unit: 's', histogram: { aggregationTemporality: 2, dataPoints } })).toEqual([
      'latency_seconds_sum{http_method="GET"} 9.5',
      'latency_seconds_count{http_method="GET"} 6',
      'latency_seconds_bucket{http_method="GET",le="0.5"} 1',
      'latency_seconds_bucket{http_method="GET",le="1000000000000000000000"} 3',
      'latency_seconds_bucket{http_method="GET",le="+Inf"} 6',
      target,
    ]);
  });

  test('an exponential histogram is one whose bounds are those of its scale', () => {
    const positive = { offset: 0, bucketCounts: ['1', '2', '4'] };
    const negative = { offset: 1, bucketCounts: ['8', '16'] };
    const point = { ...TIME, count: '63', scale: 1, zeroCount: '32', zeroThreshold: 0.5, positive, negative };
    expect(rowsOf({ name: 'size', exponentialHistogram: { aggregationTemporality: 2, dataPoints: [point] } })).toEqual([
      'size_count{http_method="GET"} 63',
      'size_bucket{http_method="GET",le="-2"} 16',
      'size_bucket{http_method="GET",le="-1.41421356237"} 24',
      'size_bucket{http_method="GET",le="0.5"} 56',
      'size_bucket{http_method="GET",le="1"} 56',
      'size_bucket{http_method="GET",le="1.41421356237"} 57',
      'size_bucket{http_method="GET",le="2"} 59',
      'size_bucket{http_method="GET",le="2.82842712474"} 63',
      'size_bucket{http_method="GET",le="+Inf"} 63',
      target,
    ]);
  });

  test('a summary is sum, count and quantiles', () => {
    const dataPoints = [{ ...TIME, count: '2', sum: 3, quantileValues: [{ quantile: 0.99, value: 2 }] }];
    expect(rowsOf({ name: 'rpc', unit: 'ms', summary: { dataPoints } })).toEqual([
      'rpc_milliseconds_sum{http_method="GET"} 3',
      'rpc_milliseconds_count{http_method="GET"} 2',
      'rpc_milliseconds{http_method="GET",quantile="0.99"} 2',
      target,
    ]);
  });
});

test('a wrong point costs itself, with all its series; its neighbours become rows', () => {
  const state = otlp();
  const good = { ...TIME, count: '1', explicitBounds: [1], bucketCounts: ['1', '0'] };
  const dataPoints = [
    good,
    { ...good, explicitBounds: [1, 1], bucketCounts: ['1', '0', '0'] },
    { ...good, timeUnixNano: '0' },
    { ...good, count: 'x' },
  ];
  const metrics = [
    { name: '…', gauge: { dataPoints: [{ ...TIME, asInt: 1 }] } },
    { name: 'h', histogram: { aggregationTemporality: 2, dataPoints } },
  ];
  decodeRecord(state, JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics }] }] }));
  expect(state.batch.count).toBe(3);
  expect(faultTexts(state)).toEqual([
    'sample-invalid $.resourceMetrics[0].scopeMetrics[0].metrics[0].name',
    'sample-invalid $.resourceMetrics[0].scopeMetrics[0].metrics[1].histogram.dataPoints[1].explicitBounds',
    'sample-invalid $.resourceMetrics[0].scopeMetrics[0].metrics[1].histogram.dataPoints[2].timeUnixNano',
    'sample-invalid $.resourceMetrics[0].scopeMetrics[0].metrics[1].histogram.dataPoints[3].count',
  ]);
});

test('4 GiB lengths, nesting without end and megabytes of brackets are refused', () => {
  const state = otlp();
  const claim = Buffer.concat([Buffer.from([10]), varint(2 ** 32 - 1), Buffer.from('x')]);
  const before = process.memoryUsage().arrayBuffers;
  decodeRecord(state, claim);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
  expect(faultTexts(state)).toEqual(['protobuf-invalid $']);
  let value = bytesField(1, 'x');
  for (let depth = 0; depth < 5000; depth++) value = bytesField(5, bytesField(1, value));
  const point = bytesField(
    1,
    fixed64(3, 1700000000000000000n),
    double(4, 1),
    bytesField(7, bytesField(1, 'k'), bytesField(2, value)),
  );
  const metric = bytesField(2, bytesField(1, 'm'), bytesField(5, point));
  decodeRecord(state, bytesField(1, bytesField(2, metric)));
  expect(faultTexts(state)).toEqual(['protobuf-invalid $']);
  decodeRecord(state, `{"resourceMetrics":${'['.repeat(5 << 20)}`);
  expect(faultTexts(state)).toEqual(['json-invalid $']);
  expect(state.table.size).toBe(0);
});
