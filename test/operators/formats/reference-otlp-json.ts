// Owns reading an OTLP metrics request from JSON into the plain objects of the reference. A field of a wrong type costs
// the part it stands in; only the part is told, not the field.

import type {
  Attributes,
  Buckets,
  Kind,
  Metric,
  Point,
  Request,
  Resource,
} from '#test/operators/formats/reference-otlp.ts';

const KINDS: Kind[] = ['gauge', 'sum', 'histogram', 'exponentialHistogram', 'summary'];

class Wrong extends Error {}

type Json = Record<string, unknown>;

/** Null when the text is no request at all. */
export function fromJson(parsed: unknown): Request | null {
  if (!isObject(parsed)) return null;
  if (!isList(parsed['resourceMetrics']) && Object.keys(parsed).length > 0) return null;
  return { resources: parts(parsed['resourceMetrics'], resourceOf) };
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isList(value: unknown): boolean {
  return value === null || Array.isArray(value);
}

function listOf(value: unknown): unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new Wrong();
  return value;
}

function objectOf(value: unknown): Json {
  if (!isObject(value)) throw new Wrong();
  return value;
}

/** Each entry read, or '' where it is wrong. */
function parts<T>(list: unknown, read: (entry: Json) => T): (T | string)[] {
  return listOf(list).map((entry) => {
    try {
      return read(objectOf(entry));
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      return '';
    }
  });
}

function resourceOf(entry: Json): Resource {
  const described = entry['resource'] ?? {};
  const attributes = attributesOf(objectOf(described)['attributes']);
  const scopes = listOf(entry['scopeMetrics']).map((scope): (Metric | string)[] | string => {
    if (!isObject(scope) || !(scope['metrics'] === undefined || isList(scope['metrics']))) return '';
    return parts(scope['metrics'], metricOf);
  });
  return { attributes, scopes };
}

function text(value: unknown): string {
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string' || /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(value))
    throw new Wrong();
  return value;
}

function flag(value: unknown): boolean {
  if (value !== undefined && value !== null && typeof value !== 'boolean') throw new Wrong();
  return value === true;
}

function integer(value: unknown, bits: number, signed: boolean): bigint {
  if (value === undefined || value === null) return 0n;
  const isText = typeof value === 'string' && /^(-?[1-9]\d*|-?0)$/.test(value);
  if (!isText && !(typeof value === 'number' && Number.isInteger(value))) throw new Wrong();
  const exact = BigInt(value as string);
  const wrapped = signed ? BigInt.asIntN(bits, exact) : BigInt.asUintN(bits, exact);
  if (wrapped !== exact) throw new Wrong();
  return exact;
}

function double(value: unknown): number {
  if (typeof value === 'number') return value;
  if (value === 'NaN' || value === 'Infinity' || value === '-Infinity') return Number(value);
  if (typeof value !== 'string' || !/^-?\d/.test(value)) throw new Wrong();
  try {
    return Number(JSON.parse(value));
  } catch {
    throw new Wrong();
  }
}

function attributesOf(value: unknown): Attributes {
  const list = listOf(value).map((entry) => {
    const { key, value: member } = objectOf(entry);
    return [text(key), textOf(member)] as const;
  });
  if (list.length > 256) throw new Wrong();
  return list;
}

function textOf(value: unknown): string {
  const json = jsonOf(value);
  const { stringValue, bytesValue, doubleValue } = (value ?? {}) as Json;
  if (json === 'null') return '';
  if ((stringValue ?? bytesValue) != null) return JSON.parse(json);
  return doubleValue != null ? json.replaceAll('"', '') : json;
}

/** JSON of a value as it is written in a label. */
function jsonOf(value: unknown): string {
  if (value === undefined || value === null) return 'null';
  const members = Object.entries(objectOf(value)).filter(([, member]) => member !== null);
  if (members.length > 1) throw new Wrong();
  if (members.length === 0) return 'null';
  const [[kind, member]] = members;
  if (kind === 'stringValue') return JSON.stringify(text(member));
  if (kind === 'boolValue') return String(flag(member));
  if (kind === 'intValue') return String(integer(member, 64, true));
  if (kind === 'bytesValue') return JSON.stringify(Buffer.from(text(member), 'base64').toString('base64'));
  if (kind === 'doubleValue') {
    const number = double(member);
    if (Number.isNaN(number)) return '"NaN"';
    if (Object.is(number, -0)) return '-0';
    return Number.isFinite(number) ? String(number) : number > 0 ? '"+Inf"' : '"-Inf"';
  }
  const inner = listOf(objectOf(member)['values']);
  if (kind === 'arrayValue') return `[${inner.map(jsonOf).join()}]`;
  if (kind !== 'kvlistValue') throw new Wrong();
  const pairs = new Map(
    inner.map((entry) => [text(objectOf(entry)['key']), jsonOf(objectOf(entry)['value'])] as const),
  );
  return `{${[...pairs].map(([key, json]) => `${JSON.stringify(key)}:${json}`).join()}}`;
}

function metricOf(metric: Json): Metric {
  const kinds = KINDS.filter((kind) => metric[kind] !== undefined && metric[kind] !== null);
  if (kinds.length > 1) throw new Wrong();
  const kind = kinds[0] ?? null;
  const data = kind === null ? {} : objectOf(metric[kind]);
  const list = listOf(data['dataPoints']);
  if (list.length === 0) return { name: '', unit: '', kind, temporality: 0, monotonic: false, points: [] };
  const temporality = data['aggregationTemporality'];
  const named = /^AGGREGATION_TEMPORALITY_(DELTA|CUMULATIVE)$/.exec(String(temporality))?.[1];
  return {
    name: text(metric['name']),
    unit: text(metric['unit']),
    kind,
    temporality: named === undefined ? (temporality as number) : named === 'DELTA' ? 1 : 2,
    monotonic: kind === 'sum' && flag(data['isMonotonic']),
    points: parts(list, (point) => pointOf(kind as Kind, point)),
  };
}

function pointOf(kind: Kind, fields: Json): Point {
  const isNumber = kind === 'gauge' || kind === 'sum';
  const { asDouble = null, asInt = null, timeUnixNano } = fields;
  if (isNumber && asDouble !== null && asInt !== null) throw new Wrong();
  const time = integer(timeUnixNano, 64, false);
  const value = asDouble !== null ? double(asDouble) : asInt !== null ? Number(integer(asInt, 64, true)) : null;
  const base = {
    timeNs: typeof timeUnixNano === 'number' && timeUnixNano > 2 ** 53 ? time + 128n : time,
    stale: (integer(fields['flags'], 32, false) & 1n) === 1n,
    attributes: attributesOf(fields['attributes']),
    value: null,
    count: 0n,
    sum: null,
    bounds: [],
    counts: [],
    scale: 0,
    zeroCount: 0,
    zeroThreshold: 0,
    positive: { offset: 0, counts: [] },
    negative: { offset: 0, counts: [] },
  };
  if (isNumber) return { ...base, value };
  const count = integer(fields['count'], 64, false);
  const sum = fields['sum'] === undefined || fields['sum'] === null ? null : double(fields['sum']);
  return { ...base, count, sum, ...restOf(kind, fields) };
}

function restOf(kind: Kind, fields: Json): Partial<Point> {
  const counts = (list: unknown) => listOf(list).map((count) => Number(integer(count, 64, false)));
  if (kind === 'histogram') {
    return { counts: counts(fields['bucketCounts']), bounds: listOf(fields['explicitBounds']).map(double) };
  }
  if (kind === 'summary') {
    const quantiles = listOf(fields['quantileValues']).map(objectOf);
    const read = (value: unknown) => (value === undefined || value === null ? 0 : double(value));
    return { bounds: quantiles.map((q) => read(q['quantile'])), counts: quantiles.map((q) => read(q['value'])) };
  }
  const buckets = (value: unknown): Buckets => {
    const { offset, bucketCounts } = objectOf(value ?? {});
    return { offset: Number(integer(offset, 32, true)), counts: counts(bucketCounts) };
  };
  return {
    scale: Number(integer(fields['scale'], 32, true)),
    zeroCount: Number(integer(fields['zeroCount'], 64, false)),
    zeroThreshold: double(fields['zeroThreshold'] ?? 0),
    positive: buckets(fields['positive']),
    negative: buckets(fields['negative']),
  };
}
