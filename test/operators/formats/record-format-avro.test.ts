import { expect, test } from 'vitest';
import { recordFormat } from '#operators/formats/record-format.ts';
import { RecordFault } from '#operators/formats/whole-record.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { varint } from '#test/operators/formats/protobuf-bytes.ts';

const SCHEMA = {
  type: 'record',
  name: 'Login',
  fields: [
    { name: 'user', type: 'string' },
    { name: 'at', type: 'long' },
    { name: 'tags', type: { type: 'array', items: 'string' } },
    { name: 'raw', type: ['null', 'bytes'], default: null },
    { name: 'holes', type: { type: 'array', items: 'null' }, default: [] },
  ],
};

function decoded(bytes: Buffer): unknown {
  return recordFormat('avro', SCHEMA).decode(Buffer.concat([Buffer.from('..'), bytes]), 2, 2 + bytes.length);
}

test('what was written is read back, and keeps no view of the log', () => {
  const format = recordFormat('avro', JSON.stringify(SCHEMA));
  const out = new ByteWriter(8);
  const record = { user: 'ü', at: 1_700_000_000_000, tags: ['a', 'b'], raw: Buffer.from([1, 2]), holes: [] };
  format.encode(record, out);
  const bytes = out.toBytes();
  const read = format.decode(bytes, 0, bytes.length);
  bytes.fill(0xff);
  expect({ ...(read as object) }).toEqual(record);
});

test('what does not fit the schema is refused in words', () => {
  const out = new ByteWriter(8);
  const write = (value: unknown) => () => recordFormat('avro', SCHEMA).encode(value, out);
  expect(write({ user: 5, at: 1, tags: [] })).toThrow(RecordFault);
  expect(write({ user: 'a', at: 1, tags: [] })).not.toThrow();
  expect(() => decoded(Buffer.from('nonsense'))).toThrow(RecordFault);
  expect(() => decoded(Buffer.alloc(0))).toThrow(RecordFault);
});

test('claims of gigabytes and of nulls without end are refused before avsc believes them', () => {
  const zigzag = (value: number) => varint(BigInt(value) * 2n);
  const head = Buffer.concat([zigzag(1), Buffer.from('u'), zigzag(1)]);
  const bombs = [
    zigzag(2 ** 31),
    Buffer.concat([head, zigzag(2 ** 40)]),
    Buffer.concat([head, zigzag(0), zigzag(1), zigzag(2 ** 31)]),
    Buffer.concat([head, zigzag(0), zigzag(0), zigzag(2 ** 28), zigzag(0)]),
  ];
  const before = process.memoryUsage().heapUsed;
  for (const bomb of bombs) expect(() => decoded(bomb)).toThrow(RecordFault);
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(50 * 2 ** 20);
});

test('values are plain objects at every level: states and exchanges hold nothing else', () => {
  const point = { type: 'record', name: 'Point', fields: [{ name: 'x', type: 'int' }] };
  const schema = {
    type: 'record',
    name: 'Shape',
    fields: [
      { name: 'first', type: point },
      { name: 'all', type: { type: 'array', items: 'Point' } },
      { name: 'named', type: { type: 'map', values: 'Point' } },
      { name: 'size', type: ['null', 'int', 'double'] },
      { name: 'next', type: ['null', 'Shape'] },
    ],
  };
  const leaf = { first: { x: 1 }, all: [{ x: 2 }], named: { a: { x: 3 } }, size: { int: 4 }, next: null };
  const value = { ...leaf, size: null, next: leaf };
  for (const again of [1, 2]) {
    const format = recordFormat('avro', schema);
    const out = new ByteWriter(8);
    format.encode(value, out);
    const bytes = out.toBytes();
    // Strictly: of the same prototypes.
    expect(format.decode(bytes, 0, bytes.length), `schema ${again}`).toStrictEqual(value);
  }
});
