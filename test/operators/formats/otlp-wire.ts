// Owns writing generated OTLP requests as protobuf (in any order, packed or not, with fields nobody knows) and as JSON
// (integers as texts or numbers, now and then something of a wrong type).

import type { Json } from '#test/operators/formats/otlp-generator.ts';
import {
  bytesField,
  double,
  doubleBytes,
  fixed64,
  fixed64Bytes,
  integer,
  varint,
  zigzag,
} from '#test/operators/formats/protobuf-bytes.ts';
import { pick, type Random } from '#test/operators/formats/sample-generator.ts';

const KINDS: readonly (readonly [string, number])[] = [
  ['gauge', 5],
  ['sum', 7],
  ['histogram', 9],
  ['exponentialHistogram', 10],
  ['summary', 11],
];

const list = (value: unknown): Json[] => (value ?? []) as Json[];
const num = (value: unknown): number => Number(value);

export function otlpProtobuf(next: Random, request: Json): Buffer {
  return join(
    next,
    list(request['resourceMetrics']).map((entry) => bytesField(1, resourceMetrics(next, entry))),
  );
}

// Order is kept where it has a meaning: by far most of the time.
function join(next: Random, fields: Buffer[]): Buffer {
  if (next() < 0.04)
    fields.push(pick(next, [integer(90, 7), double(91, 1), bytesField(92, 'x'), Buffer.from([0xfd, 5, 1, 2, 3, 4])]));
  if (next() < 0.05) fields.sort(() => next() - 0.5);
  return Buffer.concat(fields);
}

function resourceMetrics(next: Random, entry: Json): Buffer {
  const fields: Buffer[] = [];
  const { resource } = entry as { resource?: Json };
  if (resource !== undefined) fields.push(bytesField(1, join(next, [...attributes(next, 1, resource), integer(2, 1)])));
  for (const scope of list(entry['scopeMetrics'])) {
    const metrics = list(scope['metrics']).map((metric) => bytesField(2, metricFields(next, metric)));
    fields.push(bytesField(2, join(next, [bytesField(1, bytesField(1, 'lib')), ...metrics])));
  }
  return join(next, fields);
}

function attributes(next: Random, field: number, of: Json): Buffer[] {
  return list(of['attributes']).map((attribute) => bytesField(field, pair(next, attribute)));
}

function pair(next: Random, { key, value }: Json): Buffer {
  const text = next() < 0.002 ? Buffer.from([0xc3, 0x28]) : Buffer.from(key as string);
  return join(next, [bytesField(1, text), bytesField(2, anyValue(next, (value ?? {}) as Json))]);
}

function anyValue(next: Random, value: Json): Buffer {
  if ('stringValue' in value)
    return bytesField(1, next() < 0.002 ? Buffer.from([0xff]) : (value['stringValue'] as string));
  if ('boolValue' in value) return integer(2, value['boolValue'] === true ? 1 : 0);
  if ('intValue' in value) return integer(3, BigInt(value['intValue'] as string));
  if ('doubleValue' in value) return double(4, num(value['doubleValue']));
  if ('bytesValue' in value) return bytesField(7, Buffer.from(value['bytesValue'] as string, 'base64'));
  const members = (of: string) => list((value[of] as Json)['values']);
  if ('arrayValue' in value)
    return bytesField(5, ...members('arrayValue').map((v) => bytesField(1, anyValue(next, v))));
  if ('kvlistValue' in value) return bytesField(6, ...members('kvlistValue').map((v) => bytesField(1, pair(next, v))));
  return Buffer.alloc(0);
}

function metricFields(next: Random, metric: Json): Buffer {
  const fields = [bytesField(1, metric['name'] as string), bytesField(3, (metric['unit'] ?? '') as string)];
  if (metric['description'] !== undefined) fields.splice(1, 0, bytesField(2, 'what it is'));
  for (const [kind, field] of KINDS) {
    const data = metric[kind] as Json | undefined;
    if (data === undefined) continue;
    const inner = list(data['dataPoints']).map((point) => bytesField(1, join(next, pointFields(next, kind, point))));
    if (data['aggregationTemporality'] !== undefined) inner.push(integer(2, num(data['aggregationTemporality'])));
    if (data['isMonotonic'] === true) inner.push(integer(3, 1));
    fields.push(bytesField(field, join(next, inner)));
    if (next() < 0.01) fields.push(bytesField(5, Buffer.alloc(0)));
  }
  return join(next, fields);
}

function pointFields(next: Random, kind: string, point: Json): Buffer[] {
  const at = { gauge: 7, sum: 7, histogram: 9, exponentialHistogram: 1, summary: 7 }[kind]!;
  const flags = { gauge: 8, sum: 8, histogram: 10, exponentialHistogram: 10, summary: 8 }[kind]!;
  const fields = [fixed64(3, BigInt(point['timeUnixNano'] as string))];
  if (next() < 0.8) fields.unshift(...attributes(next, at, point));
  else fields.push(...attributes(next, at, point));
  if (point['startTimeUnixNano'] !== undefined) fields.push(fixed64(2, 5));
  if (point['flags'] !== undefined) fields.push(integer(flags, num(point['flags'])));
  if (point['asDouble'] !== undefined) fields.push(double(4, num(point['asDouble'])));
  if (point['asInt'] !== undefined) fields.push(fixed64(6, BigInt(point['asInt'] as string)));
  if (point['count'] !== undefined) fields.push(fixed64(4, BigInt(point['count'] as string)));
  if (point['sum'] !== undefined) fields.push(double(5, num(point['sum'])));
  if (kind === 'histogram') fields.push(...histogram(next, point));
  if (kind === 'exponentialHistogram') fields.push(...exponential(next, point));
  for (const { quantile, value } of list(point['quantileValues'])) {
    fields.push(bytesField(6, join(next, [double(1, num(quantile)), double(2, num(value))])));
  }
  return fields;
}

function histogram(next: Random, point: Json): Buffer[] {
  const counts = list(point['bucketCounts']).map((count) => BigInt(count as unknown as string));
  const bounds = list(point['explicitBounds']).map(num);
  if (next() < 0.1) return [...counts.map((count) => fixed64(6, count)), ...bounds.map((bound) => double(7, bound))];
  return [bytesField(6, ...counts.map(fixed64Bytes)), bytesField(7, ...bounds.map(doubleBytes))];
}

function exponential(next: Random, point: Json): Buffer[] {
  const signed = (field: number, value: unknown) => Buffer.concat([varint(field << 3), zigzag(num(value))]);
  const fields: Buffer[] = [signed(6, point['scale'])];
  if (point['zeroCount'] !== undefined) fields.push(fixed64(7, BigInt(point['zeroCount'] as string)));
  if (point['zeroThreshold'] !== undefined) fields.push(double(14, num(point['zeroThreshold'])));
  for (const [side, field] of [
    ['positive', 8],
    ['negative', 9],
  ] as const) {
    const buckets = point[side] as Json | undefined;
    if (buckets === undefined) continue;
    const counts = list(buckets['bucketCounts']).map((count) => BigInt(count as unknown as string));
    const body = next() < 0.1 ? counts.map((count) => integer(2, count)) : [bytesField(2, ...counts.map(varint))];
    fields.push(bytesField(field, join(next, [signed(1, buckets['offset']), ...body])));
  }
  return fields;
}

const ODD = [
  null,
  true,
  'text',
  5,
  -1,
  1.5,
  '7',
  '1e3',
  '-0',
  [],
  {},
  [1],
  { a: 1 },
  '99999999999999999999',
  '\ud800',
  1e40,
];

/** The request as JSON text, of which now and then a value is of a wrong type. */
export function otlpJson(next: Random, request: Json): Buffer {
  const odd = next() < 0.3 ? 0.01 : 0;
  const text = JSON.stringify(request, (key, value: unknown) => {
    if (next() < odd) return key === '' ? request : pick(next, ODD);
    if (typeof value !== 'string' || !/^-?\d+$/.test(value)) return value;
    return next() < 0.05 ? Number(value) : value;
  });
  return Buffer.from(next() < 0.1 ? `  ${text}\n` : text);
}
