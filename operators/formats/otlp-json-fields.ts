// Owns reading single fields of OTLP in JSON (proto3's JSON mapping: 64-bit integers as texts or numbers, NaN and
// infinities as texts, null for absent). Knows no message. Invariant: a field of another type is a PartFault with its
// name, never a guess.

import type { Attribute } from '#operators/formats/otlp-labels.ts';
import { type AnyValue, ATTRIBUTES_MAX, attributeText } from '#operators/formats/otlp-value.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

const INTEGER = /^-?(?:0|[1-9][0-9]*)$/;
const DOUBLE = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;
const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const UINT64_MAX = 2n ** 64n - 1n;
const EXACT_MAX = 2 ** 53;

/** A part of a request that is wrong; `path` stands behind that of the part. */
export class PartFault extends Error {
  readonly path: string;
  override readonly name = 'PartFault';

  constructor(message: string, path: string) {
    super(message);
    this.path = path;
  }
}

export function objectOf(value: unknown, path: string): JsonObject {
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as JsonObject;
  throw new PartFault('must be an object', path);
}

export function listOf(value: unknown, path: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw new PartFault('must be an array', path);
}

/** A text; '' when absent. */
export function textOf(value: unknown, path: string): string {
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') throw new PartFault('must be a string', path);
  if (!value.isWellFormed()) throw new PartFault('holds half a surrogate pair', path);
  return value;
}

export function doubleOf(value: unknown, path: string): number {
  if (typeof value === 'number') return value;
  if (value === 'NaN') return Number.NaN;
  if (value === 'Infinity') return Number.POSITIVE_INFINITY;
  if (value === '-Infinity') return Number.NEGATIVE_INFINITY;
  if (typeof value === 'string' && DOUBLE.test(value)) return Number(value);
  throw new PartFault('must be a number', path);
}

function integerOf(value: unknown, min: bigint, max: bigint, path: string): bigint {
  if (typeof value === 'string' && INTEGER.test(value) && value.length <= 20) {
    const integer = BigInt(value);
    if (integer >= min && integer <= max) return integer;
  } else if (typeof value === 'number' && Number.isInteger(value) && Math.abs(value) < 2 ** 65) {
    const integer = BigInt(value);
    if (integer >= min && integer <= max) return integer;
  }
  throw new PartFault(`must be a whole number from ${min} to ${max}`, path);
}

export function int64Of(value: unknown, path: string): bigint {
  return integerOf(value, INT64_MIN, INT64_MAX, path);
}

/** A count; 0 when absent. */
export function countOf(value: unknown, path: string): number {
  return value === undefined || value === null ? 0 : Number(integerOf(value, 0n, UINT64_MAX, path));
}

/** 0 when absent. */
export function int32Of(value: unknown, path: string): number {
  return value === undefined || value === null ? 0 : Number(integerOf(value, -(2n ** 31n), 2n ** 31n - 1n, path));
}

export function uint32Of(value: unknown, path: string): number {
  return value === undefined || value === null ? 0 : Number(integerOf(value, 0n, 2n ** 32n - 1n, path));
}

/** Milliseconds of nanoseconds, NaN when absent or 0. A number beyond 2^53 was rounded to 256 ns by whoever wrote it. */
export function millisecondsOf(value: unknown, path: string): number {
  if (value === undefined || value === null) return Number.NaN;
  const ns = integerOf(value, 0n, UINT64_MAX, path);
  if (ns === 0n) return Number.NaN;
  const rounded = typeof value === 'number' && value > EXACT_MAX ? 128n : 0n;
  return Number((ns + rounded) / 1_000_000n);
}

export function booleanOf(value: unknown, path: string): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value === 'boolean') return value;
  throw new PartFault('must be true or false', path);
}

/** 1 delta, 2 cumulative, 0 anything else; by number or by name. */
export function temporalityOf(value: unknown): number {
  if (value === 1 || value === 'AGGREGATION_TEMPORALITY_DELTA') return 1;
  return value === 2 || value === 'AGGREGATION_TEMPORALITY_CUMULATIVE' ? 2 : 0;
}

/** Attributes of a point or resource. */
export function attributesOf(value: unknown, path: string): Attribute[] {
  const list = listOf(value, path);
  if (list.length > ATTRIBUTES_MAX) throw new PartFault(`has more than ${ATTRIBUTES_MAX} attributes`, path);
  return list.map((entry): Attribute => {
    const attribute = objectOf(entry, path);
    return [textOf(attribute['key'], path), attributeText(anyValueOf(attribute['value'], path))];
  });
}

function anyValueOf(value: unknown, path: string): AnyValue {
  if (value === undefined || value === null) return null;
  const members = Object.entries(objectOf(value, path)).filter(([, member]) => member !== null);
  if (members.length === 0) return null;
  if (members.length > 1) throw new PartFault('has an attribute with more than one value', path);
  const [kind, member] = members[0];
  switch (kind) {
    case 'stringValue':
      return textOf(member, path);
    case 'boolValue':
      return booleanOf(member, path);
    case 'intValue':
      return { integer: String(int64Of(member, path)) };
    case 'doubleValue':
      return doubleOf(member, path);
    case 'bytesValue':
      return Buffer.from(textOf(member, path), 'base64').toString('base64');
    case 'arrayValue':
      return listOf(objectOf(member, path)['values'], path).map((entry) => anyValueOf(entry, path));
    case 'kvlistValue':
      return new Map(
        listOf(objectOf(member, path)['values'], path).map((entry) => {
          const pair = objectOf(entry, path);
          return [textOf(pair['key'], path), anyValueOf(pair['value'], path)] as const;
        }),
      );
    default:
      throw new PartFault(`has an attribute value of an unknown kind`, path);
  }
}
