// Owns reading an OTLP metrics request from protobuf and JSON into the plain objects of the reference, the slow way.

import { type Field, fieldsOf } from '#test/operators/formats/protobuf-bytes.ts';
import type {
  Attributes,
  Buckets,
  Kind,
  Metric,
  Point,
  Request,
  Resource,
} from '#test/operators/formats/reference-otlp.ts';

const KINDS = new Map<number, Kind>([
  [5, 'gauge'],
  [7, 'sum'],
  [9, 'histogram'],
  [10, 'exponentialHistogram'],
  [11, 'summary'],
]);

/** A value as JavaScript has it; integers are BigInt, undefined is text that is none. */
type Value = string | bigint | number | boolean | null | Value[] | Map<string, Value>;

class NoText extends Error {}

const all = (fields: Field[], number: number, wire = 2) => fields.filter((f) => f.number === number && f.wire === wire);
const last = (fields: Field[], number: number, wire = 2) => all(fields, number, wire).pop();
const doubles = (fields: Field[], number: number) =>
  fields.flatMap((f) => (f.number === number ? packed(f, 1, (bytes) => bytes.readDoubleLE()) : []));
const fixed = (fields: Field[], number: number) =>
  fields.flatMap((f) => (f.number === number ? packed(f, 1, (bytes) => bytes.readBigUInt64LE()) : []));

function packed<T>(field: Field, wire: number, read: (bytes: Buffer) => T): T[] {
  if (field.wire === wire) return [read(field.bytes)];
  if (field.wire !== 2) return [];
  if (field.bytes.length % 8 !== 0) throw new RangeError('packed fields break off');
  return Array.from({ length: field.bytes.length / 8 }, (_, i) => read(field.bytes.subarray(i * 8, i * 8 + 8)));
}

function textOf(bytes: Buffer | undefined): string {
  const text = (bytes ?? Buffer.alloc(0)).toString();
  if (Buffer.compare(Buffer.from(text), bytes ?? Buffer.alloc(0)) !== 0) throw new NoText();
  return text;
}

/** Throws RangeError when the bytes are no such message. */
export function fromProtobuf(message: Buffer): Request {
  return { resources: all(fieldsOf(message), 1).map((field) => resourceOf(fieldsOf(field.bytes))) };
}

function resourceOf(fields: Field[]): Resource {
  const described = last(fields, 1);
  const attributes = described === undefined ? [] : attributesOf(all(fieldsOf(described.bytes), 1));
  const scopes = all(fields, 2).map((scope) => all(fieldsOf(scope.bytes), 2).map((f) => metricOf(fieldsOf(f.bytes))));
  return { attributes: attributes ?? '', scopes };
}

// Null when some text in them is none. All are read to the end, for what is wrong with their structure.
function attributesOf(fields: Field[]): Attributes | null {
  const pairs = fields.map((field) => pairOf(fieldsOf(field.bytes), 1));
  if (pairs.some((pair) => pair === null)) return null;
  return pairs.map((pair) => [pair![0], valueText(pair![1])] as const);
}

function pairOf(fields: Field[], depth: number): [string, Value] | null {
  let key: string | null = '';
  let value: Value | undefined = null;
  for (const field of fields) {
    if (field.wire === 2 && field.number === 1) key = tryText(field.bytes) ?? null;
    if (field.wire === 2 && field.number === 2) value = anyOf(field.bytes, depth);
  }
  return key === null || value === undefined ? null : [key, value];
}

function tryText(bytes: Buffer): string | undefined {
  try {
    return textOf(bytes);
  } catch (error) {
    if (error instanceof NoText) return undefined;
    throw error;
  }
}

function anyOf(bytes: Buffer, depth: number): Value | undefined {
  if (depth > 32) throw new RangeError('too deep');
  let value: Value | undefined = null;
  for (const field of fieldsOf(bytes)) {
    const kind = `${field.number}/${field.wire}`;
    if (kind === '1/2') value = tryText(field.bytes);
    else if (kind === '2/0') value = field.varint !== 0n;
    else if (kind === '3/0') value = BigInt.asIntN(64, field.varint);
    else if (kind === '4/1') value = field.bytes.readDoubleLE();
    else if (kind === '7/2') value = field.bytes.toString('base64');
    else if (kind === '5/2') {
      const values = all(fieldsOf(field.bytes), 1).map((member) => anyOf(member.bytes, depth + 1));
      value = values.includes(undefined) ? undefined : (values as Value[]);
    } else if (kind === '6/2') {
      const pairs = all(fieldsOf(field.bytes), 1).map((member) => pairOf(fieldsOf(member.bytes), depth + 1));
      value = pairs.includes(null) ? undefined : new Map(pairs as [string, Value][]);
    }
  }
  return value;
}

/** Text of a value in a label. */
function valueText(value: Value): string {
  if (value === null) return '';
  if (typeof value === 'string') return value;
  if (typeof value === 'number' && Object.is(value, -0)) return '-0';
  if (typeof value === 'number')
    return String(value)
      .replace(/^Infinity/, '+Inf')
      .replace('-Infinity', '-Inf');
  return jsonOf(value);
}

function jsonOf(value: Value): string {
  if (typeof value === 'bigint' || typeof value === 'boolean') return value.toString();
  if (typeof value === 'number') return Number.isFinite(value) ? valueText(value) : `"${valueText(value)}"`;
  if (value instanceof Map) return `{${[...value].map(([k, v]) => `${JSON.stringify(k)}:${jsonOf(v)}`).join()}}`;
  return Array.isArray(value) ? `[${value.map(jsonOf).join()}]` : JSON.stringify(value);
}

function metricOf(fields: Field[]): Metric {
  const data = fields.filter((field) => field.wire === 2 && KINDS.has(field.number)).pop();
  const inner = data === undefined ? [] : fieldsOf(data.bytes);
  const kind = data === undefined ? null : KINDS.get(data.number)!;
  const temporality = last(inner, 2, 0)?.varint ?? 0n;
  return {
    name: tryText(last(fields, 1)?.bytes ?? Buffer.alloc(0)) ?? null,
    unit: tryText(last(fields, 3)?.bytes ?? Buffer.alloc(0)) ?? null,
    kind,
    temporality: Number(BigInt.asIntN(32, temporality)),
    monotonic: (last(inner, 3, 0)?.varint ?? 0n) !== 0n,
    points: all(inner, 1).map((field) => pointOf(kind as Kind, fieldsOf(field.bytes))),
  };
}

const ATTRIBUTES: Readonly<Record<Kind, number>> = {
  gauge: 7,
  sum: 7,
  histogram: 9,
  exponentialHistogram: 1,
  summary: 7,
};
const FLAGS: Readonly<Record<Kind, number>> = { gauge: 8, sum: 8, histogram: 10, exponentialHistogram: 10, summary: 8 };

function pointOf(kind: Kind, fields: Field[]): Point {
  const unsigned = (number: number) => last(fields, number, 1)?.bytes.readBigUInt64LE() ?? 0n;
  const values = fields.filter((f) => f.wire === 1 && (f.number === 4 || f.number === 6));
  const value = values.pop();
  const isNumber = kind === 'gauge' || kind === 'sum';
  const quantiles = kind === 'summary' ? all(fields, 6).map((f) => fieldsOf(f.bytes)) : [];
  const number = (of: Field[], n: number) => last(of, n, 1)?.bytes.readDoubleLE() ?? 0;
  const exponential = kind === 'exponentialHistogram';
  const flags = last(fields, FLAGS[kind], 0)?.varint ?? 0n;
  return {
    timeNs: unsigned(3),
    stale: (flags & 1n) === 1n,
    // Looked into only when the rest of the point is good; then their structure counts too.
    get attributes() {
      return attributesOf(all(fields, ATTRIBUTES[kind]));
    },
    value:
      !isNumber || value === undefined
        ? null
        : value.number === 4
          ? value.bytes.readDoubleLE()
          : Number(value.bytes.readBigInt64LE()),
    count: unsigned(4),
    sum: last(fields, 5, 1)?.bytes.readDoubleLE() ?? null,
    bounds: kind === 'histogram' ? doubles(fields, 7) : quantiles.map((q) => number(q, 1)),
    counts: kind === 'histogram' ? fixed(fields, 6).map(Number) : quantiles.map((q) => number(q, 2)),
    scale: exponential ? unzigzag(last(fields, 6, 0)?.varint ?? 0n) : 0,
    zeroCount: exponential ? Number(unsigned(7)) : 0,
    zeroThreshold: exponential ? number(fields, 14) : 0,
    positive: bucketsOf(exponential ? all(fields, 8) : []),
    negative: bucketsOf(exponential ? all(fields, 9) : []),
  };
}

function unzigzag(value: bigint): number {
  const low = BigInt.asUintN(32, value);
  return Number(BigInt.asIntN(32, (low >> 1n) ^ -(low & 1n)));
}

function bucketsOf(fields: Field[]): Buckets {
  const read = fields.map((field) => fieldsOf(field.bytes));
  let buckets: Buckets = { offset: 0, counts: [] };
  for (const inner of read) {
    const counts = inner.flatMap((f) => {
      if (f.number !== 2 || f.wire === 1 || f.wire === 5) return [];
      return f.wire === 0 ? [Number(f.varint)] : varints(f.bytes);
    });
    buckets = { offset: unzigzag(last(inner, 1, 0)?.varint ?? 0n), counts };
  }
  return buckets;
}

function varints(bytes: Buffer): number[] {
  const values: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    let value = 0n;
    let shift = 0n;
    for (;;) {
      if (at >= bytes.length || shift > 63n) throw new RangeError('bad varint');
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      shift += 7n;
      if (byte < 128) break;
    }
    values.push(Number(BigInt.asUintN(64, value)));
  }
  return values;
}
