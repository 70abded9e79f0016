// Owns reading OTLP attributes from protobuf as keys and texts. For bytes not seen before, so it may allocate. Invariant:
// what it makes is bounded by the bytes it reads, and it goes no deeper than NESTING_MAX.

import { utf8Text } from '#operators/formats/label-set.ts';
import type { Attribute } from '#operators/formats/otlp-labels.ts';
import { type AnyValue, ATTRIBUTES_MAX, attributeText } from '#operators/formats/otlp-value.ts';
import { BYTES, FIXED64, type ProtobufReader, VARINT } from '#operators/formats/protobuf-reader.ts';
import { NESTING_MAX, RecordRefusal } from '#operators/formats/sample-decoder.ts';

const KEY = (1 << 3) | BYTES;
const KEY_VALUE = (2 << 3) | BYTES;
const STRING = (1 << 3) | BYTES;
const BOOL = (2 << 3) | VARINT;
const INT = (3 << 3) | VARINT;
const DOUBLE = (4 << 3) | FIXED64;
const ARRAY = (5 << 3) | BYTES;
const MAP = (6 << 3) | BYTES;
const RAW = (7 << 3) | BYTES;
const REPEATED = (1 << 3) | BYTES;

/**
 * The attributes in bytes[start, end) of the reader: repeated fields with that tag, others are passed over. A text tells
 * what is wrong with them. Error: RecordRefusal protobuf-invalid.
 */
export function readAttributes(reader: ProtobufReader, start: number, end: number, tag: number): Attribute[] | string {
  const attributes: Attribute[] = [];
  let count = 0;
  let isText = true;
  reader.at = start;
  while (reader.at < end) {
    const found = reader.tag(end);
    if (found !== tag) {
      reader.skip(found, end);
      continue;
    }
    const [key, value] = keyValue(reader, reader.fieldEnd(end), 1);
    if (key === null || value === undefined) isText = false;
    else if (count < ATTRIBUTES_MAX) attributes.push([key, attributeText(value)]);
    count++;
  }
  if (count > ATTRIBUTES_MAX) return `has more than ${ATTRIBUTES_MAX} attributes`;
  return isText ? attributes : 'holds text that is no valid UTF-8';
}

// Key null, value undefined: some text in it is no UTF-8.
function keyValue(
  reader: ProtobufReader,
  end: number,
  depth: number,
): [key: string | null, value: AnyValue | undefined] {
  let key: string | null = '';
  let value: AnyValue | undefined = null;
  while (reader.at < end) {
    const tag = reader.tag(end);
    if (tag === KEY) key = text(reader, end);
    else if (tag === KEY_VALUE) value = anyValue(reader, reader.fieldEnd(end), depth);
    else reader.skip(tag, end);
  }
  return [key, value];
}

function text(reader: ProtobufReader, end: number): string | null {
  const stop = reader.fieldEnd(end);
  const found = utf8Text(reader.bytes, reader.at, stop);
  reader.at = stop;
  return found;
}

function anyValue(reader: ProtobufReader, end: number, depth: number): AnyValue | undefined {
  if (depth > NESTING_MAX) throw new RecordRefusal('protobuf-invalid', `nests deeper than ${NESTING_MAX}`);
  let value: AnyValue | undefined = null;
  while (reader.at < end) {
    const tag = reader.tag(end);
    if (tag === STRING) value = text(reader, end) ?? undefined;
    else if (tag === BOOL) {
      reader.int64(end);
      value = reader.low !== 0 || reader.high !== 0;
    } else if (tag === INT) {
      const rounded = reader.int64(end);
      value = { integer: Number.isSafeInteger(rounded) ? String(rounded) : exactInteger(reader.high, reader.low) };
    } else if (tag === DOUBLE) value = reader.double(end);
    else if (tag === ARRAY) value = arrayValue(reader, reader.fieldEnd(end), depth + 1);
    else if (tag === MAP) value = mapValue(reader, reader.fieldEnd(end), depth + 1);
    else if (tag === RAW) {
      const stop = reader.fieldEnd(end);
      value = reader.bytes.toString('base64', reader.at, stop);
      reader.at = stop;
    } else reader.skip(tag, end);
  }
  return value;
}

function exactInteger(high: number, low: number): string {
  return String((BigInt(high) << 32n) | BigInt(low >>> 0));
}

function arrayValue(reader: ProtobufReader, end: number, depth: number): AnyValue | undefined {
  const values: AnyValue[] = [];
  let isText = true;
  while (reader.at < end) {
    const tag = reader.tag(end);
    if (tag !== REPEATED) {
      reader.skip(tag, end);
      continue;
    }
    const value = anyValue(reader, reader.fieldEnd(end), depth);
    if (value === undefined) isText = false;
    else values.push(value);
  }
  return isText ? values : undefined;
}

function mapValue(reader: ProtobufReader, end: number, depth: number): AnyValue | undefined {
  const members = new Map<string, AnyValue>();
  let isText = true;
  while (reader.at < end) {
    const tag = reader.tag(end);
    if (tag !== REPEATED) {
      reader.skip(tag, end);
      continue;
    }
    const [key, value] = keyValue(reader, reader.fieldEnd(end), depth);
    if (key === null || value === undefined) isText = false;
    else members.set(key, value);
  }
  return isText ? members : undefined;
}
