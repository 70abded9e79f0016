// Owns random OTLP metrics requests for tests, as plain objects of proto3's JSON mapping: what SDKs send, what the format
// allows, what is wrong. Writing them as protobuf lies beside it.

import { pick, type Random } from '#test/operators/formats/sample-generator.ts';

export type Json = { [key: string]: unknown };

const KEYS = [
  'host.name',
  'http.method',
  'http_method',
  'a',
  '9lives',
  '_x',
  '__y__',
  '__name__',
  '',
  'ключ',
  'le',
  'job',
  'wide \u{1f600}',
];
const NAMES = [
  'http.server.duration',
  'requests',
  'total.requests.total',
  'cpu..utilization_',
  '2xx',
  'größe',
  'a:b',
  '',
  '…',
  'ratio.x',
  'io seconds',
];
const UNITS = [
  '',
  '1',
  's',
  'ms',
  'By',
  'By/s',
  '{packet}',
  '{req}/s',
  'foo',
  'foo/bar',
  'm/',
  '/s',
  ' s ',
  '%',
  'per.odd unit_',
];
const DOUBLES = [0, -0, 1, 0.1, -2.5, 1e21, 1e-7, 1.5e300, 123456789.125, 'NaN', 'Infinity', '-Infinity'];

export function otlpRequest(next: Random): Json {
  return { resourceMetrics: some(next, 2, () => resourceMetrics(next)) };
}

// Mostly one.
function some<T>(next: Random, most: number, make: () => T): T[] {
  return Array.from({ length: next() < 0.75 ? 1 : 1 + Math.floor(next() * most) }, make);
}

function few<T>(next: Random, most: number, make: () => T): T[] {
  return Array.from({ length: Math.floor(next() * (most + 1)) }, make);
}

function resourceMetrics(next: Random): Json {
  const attributes: Json[] = [];
  const known = (key: string, value: string) => attributes.push({ key, value: { stringValue: value } });
  if (next() < 0.9) known('service.name', pick(next, ['api', 'db', '']));
  if (next() < 0.4) known('service.namespace', pick(next, ['shop', '']));
  if (next() < 0.6) known('service.instance.id', `i-${Math.floor(next() * 4)}`);
  if (next() < 0.6) known('host.name', `h-${Math.floor(next() * 5)}`);
  if (next() < 0.15) attributes.push(...attributeList(next));
  const entry: Json = {
    scopeMetrics: some(next, 2, () => ({ scope: { name: 'lib' }, metrics: some(next, 3, () => metric(next)) })),
  };
  if (next() < 0.92) entry['resource'] = next() < 0.95 ? { attributes, droppedAttributesCount: 1 } : {};
  if (next() < 0.1) entry['schemaUrl'] = 'x';
  return entry;
}

function attributeList(next: Random): Json[] {
  if (next() < 0.005)
    return Array.from({ length: pick(next, [61, 62, 63, 64, 65, 300]) }, (_, i) => ({
      key: `k${i}`,
      value: { stringValue: 'v' },
    }));
  return few(next, 3, () => attribute(next));
}

function attribute(next: Random): Json {
  if (next() < 0.7)
    return { key: pick(next, ['route', 'method']), value: { stringValue: pick(next, ['/', '/x', 'GET', '']) } };
  return { key: pick(next, KEYS), value: anyValue(next, 0) };
}

function anyValue(next: Random, depth: number): Json {
  const kind = next();
  if (kind < 0.25) return { stringValue: pick(next, ['', 'text', 'a"b\\c\n', 'ü', '\u{1f600}']) };
  if (kind < 0.35) return { boolValue: next() < 0.5 };
  if (kind < 0.55)
    return {
      intValue: pick(next, ['0', '-1', '42', '9223372036854775807', '-9223372036854775808', '9007199254740993']),
    };
  if (kind < 0.7) return { doubleValue: pick(next, DOUBLES) };
  if (kind < 0.75) return { bytesValue: Buffer.from('abc?>').toString('base64') };
  if (kind < 0.8 || depth > 3) return {};
  if (kind < 0.9) return { arrayValue: { values: few(next, 2, () => anyValue(next, depth + 1)) } };
  return {
    kvlistValue: { values: few(next, 2, () => ({ key: pick(next, ['x', 'y']), value: anyValue(next, depth + 1) })) },
  };
}

function metric(next: Random): Json {
  const isPlain = next() < 0.6;
  const entry: Json = {
    name: isPlain ? pick(next, ['http.server.duration', 'requests', 'cpu.utilization']) : pick(next, NAMES),
    unit: isPlain ? pick(next, ['s', '1', 'By']) : pick(next, UNITS),
  };
  if (next() < 0.3) entry['description'] = 'what it is';
  const kind = pick(next, ['gauge', 'sum', 'sum', 'histogram', 'exponentialHistogram', 'summary']);
  const make = { gauge: number, sum: number, histogram, exponentialHistogram: exponential, summary }[kind]!;
  const data: Json = { dataPoints: next() < 0.95 ? some(next, 3, () => make(next)) : [] };
  if (next() < 0.97 && kind !== 'gauge' && kind !== 'summary')
    data['aggregationTemporality'] = pick(next, [1, 2, 2, 2, 2]);
  if (kind === 'sum') data['isMonotonic'] = next() < 0.6;
  if (next() < 0.98) entry[kind] = data;
  return entry;
}

function time(next: Random): string {
  if (next() < 0.03) return pick(next, ['0', '1', '999999', '1000000', '18446744073709551615', '1700000090001000000']);
  const ms = 1700000000000 + Math.floor(next() * 92000);
  return `${ms}${String(Math.floor(next() * 1000000)).padStart(6, '0')}`;
}

function point(next: Random): Json {
  const fields: Json = {
    attributes: next() < 0.85 ? plainAttributes(next) : attributeList(next),
    timeUnixNano: time(next),
  };
  if (next() < 0.5) fields['startTimeUnixNano'] = '1699999999000000000';
  if (next() < 0.04) fields['flags'] = pick(next, [1, 2, 3]);
  return fields;
}

function plainAttributes(next: Random): Json[] {
  return [
    { key: 'http.method', value: { stringValue: pick(next, ['GET', 'POST']) } },
    { key: 'http.status_code', value: { intValue: pick(next, ['200', '404', '500']) } },
  ];
}

function double(next: Random): unknown {
  return next() < 0.1 ? pick(next, DOUBLES) : Math.round(next() * 100000) / 100;
}

function count(next: Random): string {
  return next() < 0.02 ? '18446744073709551615' : String(Math.floor(next() * 1000));
}

function number(next: Random): Json {
  const fields = point(next);
  const kind = next();
  if (kind < 0.6) fields['asDouble'] = double(next);
  else if (kind < 0.97) fields['asInt'] = pick(next, ['5', '-7', '9223372036854775807', '123456']);
  return fields;
}

function aggregate(next: Random): Json {
  const fields = point(next);
  fields['count'] = count(next);
  if (next() < 0.9) fields['sum'] = double(next);
  if (next() < 0.2) Object.assign(fields, { min: 1, max: 2 });
  return fields;
}

function histogram(next: Random): Json {
  const fields = aggregate(next);
  const kind = next();
  let bounds = kind < 0.7 ? [0.005, 0.1, 1, 10] : kind < 0.9 ? [-1, 0, 1e-7, 1e21] : [];
  if (next() < 0.03) bounds = pick(next, [[1, 1], [2, 1], [Number.NaN], [1, Number.POSITIVE_INFINITY]]);
  fields['explicitBounds'] = bounds.map((bound) => (Number.isFinite(bound) ? bound : String(bound)));
  const size = bounds.length === 0 && next() < 0.5 ? 0 : bounds.length + 1 + (next() < 0.03 ? 1 : 0);
  fields['bucketCounts'] = Array.from({ length: size }, () => count(next));
  return fields;
}

function exponential(next: Random): Json {
  const fields = aggregate(next);
  fields['scale'] = next() < 0.05 ? pick(next, [-11, -10, 20, 21, -1000]) : Math.floor(next() * 8) - 2;
  if (next() < 0.6) fields['zeroCount'] = count(next);
  if (next() < 0.2) fields['zeroThreshold'] = pick(next, [0, 1e-6, 1, 2, -1, 'NaN', 'Infinity']);
  for (const side of ['positive', 'negative']) {
    if (next() > (side === 'positive' ? 0.8 : 0.3)) continue;
    const offset = next() < 0.05 ? pick(next, [-2147483648, 2147483647, 1023, -1074]) : Math.floor(next() * 40) - 20;
    fields[side] = { offset, bucketCounts: few(next, 5, () => count(next)) };
  }
  return fields;
}

function summary(next: Random): Json {
  const fields = aggregate(next);
  fields['quantileValues'] = few(next, 3, () => ({
    quantile: next() < 0.05 ? pick(next, [-1, 1.5, 'NaN']) : pick(next, [0, 0.5, 0.99, 1]),
    value: double(next),
  }));
  return fields;
}
