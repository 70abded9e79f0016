// Owns writing and reading protobuf for tests, the slow way: fields as arrays, integers as BigInt. Shares nothing with
// the product's reader and writer. Also random damage to bytes.

import { pick, type Random } from '#test/operators/formats/sample-generator.ts';

const SMALL = Array.from({ length: 128 }, (_, value) => Buffer.from([value]));

export function varint(value: bigint | number): Buffer {
  if (value >= 0 && value < 128) return SMALL[Number(value)];
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

export function zigzag(value: number): Buffer {
  return varint(value >= 0 ? value * 2 : -value * 2 - 1);
}

export function integer(field: number, value: bigint | number): Buffer {
  return Buffer.concat([varint(field << 3), varint(value)]);
}

export function bytesField(field: number, ...parts: readonly (Buffer | string)[]): Buffer {
  const list = parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part));
  const size = list.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([varint((field << 3) | 2), varint(size), ...list]);
}

export function double(field: number, value: number): Buffer {
  return Buffer.concat([varint((field << 3) | 1), doubleBytes(value)]);
}

export function fixed64(field: number, value: bigint | number): Buffer {
  return Buffer.concat([varint((field << 3) | 1), fixed64Bytes(value)]);
}

export function doubleBytes(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return bytes;
}

export function fixed64Bytes(value: bigint | number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
  return bytes;
}

/** A field as it came: varints as unsigned 64-bit BigInt, everything else as its bytes. */
export interface Field {
  readonly number: number;
  readonly wire: number;
  readonly varint: bigint;
  readonly bytes: Buffer;
}

/** Fields of one message in their order. Throws RangeError when the bytes are no message. */
export function fieldsOf(message: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const number = (bytesMax: number): bigint => {
    if (message[at] < 128) return BigInt(message[at++]);
    let value = 0n;
    for (let i = 0; i < bytesMax; i++) {
      if (at >= message.length) throw new RangeError('ends');
      const byte = message[at++];
      value |= BigInt(byte & 127) << BigInt(7 * i);
      if (byte < 128) return value;
    }
    throw new RangeError('long varint');
  };
  const take = (size: number): Buffer => {
    if (size > message.length - at) throw new RangeError('runs past its message');
    at += size;
    return message.subarray(at - size, at);
  };
  while (at < message.length) {
    const tag = number(5);
    const wire = Number(tag & 7n);
    if (tag >= 1n << 32n || tag >> 3n === 0n) throw new RangeError('bad tag');
    let value = 0n;
    let bytes: Buffer = Buffer.alloc(0);
    if (wire === 0) value = BigInt.asUintN(64, number(10));
    else if (wire === 1) bytes = take(8);
    else if (wire === 5) bytes = take(4);
    else if (wire === 2) {
      const size = number(5);
      if (size >= 1n << 32n) throw new RangeError('long size');
      bytes = take(Number(size));
    } else throw new RangeError('bad wire type');
    fields.push({ number: Number(tag >> 3n), wire, varint: value, bytes });
  }
  return fields;
}

/** Bytes with something changed, cut out, cut off, doubled or added. */
export function damaged(next: Random, record: Buffer): Buffer {
  const bytes = Buffer.from(record);
  if (bytes.length === 0) return bytes;
  const at = Math.floor(next() * bytes.length);
  const to = Math.min(bytes.length, at + Math.floor(next() * 8));
  switch (Math.floor(next() * 7)) {
    case 0:
      bytes[at] = Math.floor(next() * 256);
      return bytes;
    case 1:
      bytes[at] ^= 1 << Math.floor(next() * 8);
      return bytes;
    case 2:
      return bytes.subarray(0, at);
    case 3:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(to)]);
    case 4:
      return Buffer.concat([bytes.subarray(0, to), bytes.subarray(at)]);
    case 5:
      bytes.fill(pick(next, [0, 0x7f, 0x80, 0xff]), at, to);
      return bytes;
    default:
      return Buffer.concat([bytes, Buffer.from(pick(next, ['\u0000', '\n', '\b\u0001', '\u001a\u0002xx']))]);
  }
}
