// Whole records in Avro by the schema whose id stands in front: as they were written, or as the source's schema says by
// Avro's rules. What a schema cannot become is refused with its reason.

import avsc from 'avsc';
import { expect, test } from 'vitest';
import { samplePlan } from '#operators/formats/avro-sample-plan.ts';
import { parseAvroSchema } from '#operators/formats/avro-schema.ts';
import { framedAvro } from '#operators/formats/record-format.ts';
import type { SchemaAnswer } from '#operators/formats/schema-lookup.ts';
import { RecordFault, type RecordReader } from '#operators/formats/whole-record.ts';
import { varint } from '#test/operators/formats/protobuf-bytes.ts';

const field = (name: string, type: unknown, fallback?: unknown) =>
  fallback === undefined ? { name, type } : { name, type, default: fallback };
const record = (...fields: object[]) => ({ type: 'record', name: 'Order', fields });

const FIRST = record(field('id', 'string'), field('euros', 'int'));
/** Of later: another field, a wider number, another order. */
const SECOND = record(field('euros', 'double'), field('note', 'string'), field('id', 'string'));
const WITHOUT_ID = record(field('euros', 'int'));
const WANTED = record(field('id', 'string'), field('euros', 'double'), field('note', 'string', 'none'));

const WRITTEN = new Map<number, object>([
  [1, FIRST],
  [2, SECOND],
  [3, WITHOUT_ID],
]);

function framed(id: number, value: object, schema = WRITTEN.get(id)): Buffer {
  const head = Buffer.alloc(5);
  head.writeInt32BE(id, 1);
  return Buffer.concat([head, avsc.Type.forSchema(schema as avsc.Schema).toBuffer(value)]);
}

function answerFor(id: number): SchemaAnswer {
  const schema = parseAvroSchema(WRITTEN.get(id));
  if (id === 4) return { problem: 'is of type PROTOBUF, not AVRO' };
  if (id === 5) return 'pending';
  return typeof schema === 'string' ? 'missing' : { schema, plan: samplePlan(schema) };
}

function readerOf(wanted?: object): { readonly read: (bytes: Buffer) => unknown; readonly format: RecordReader } {
  const answers = new Map<number, SchemaAnswer>([1, 2, 3, 4, 5, 9].map((id) => [id, answerFor(id)]));
  const format = framedAvro({ get: (id) => answers.get(id) ?? 'missing' }, wanted);
  const read = (bytes: Buffer) => {
    const value = format.decode(Buffer.concat([Buffer.from('..'), bytes]), 2, 2 + bytes.length);
    return typeof value === 'object' ? { ...value } : value;
  };
  return { read, format };
}

function faultOf(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (error instanceof RecordFault) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'none';
}

test('without a schema of the source records are as they were written', () => {
  const { read } = readerOf();
  expect(read(framed(1, { id: 'a', euros: 5 }))).toEqual({ id: 'a', euros: 5 });
  expect(read(framed(2, { id: 'a', euros: 5.5, note: 'n' }))).toEqual({ id: 'a', euros: 5.5, note: 'n' });
  const plain = framed(1, { id: 'a', euros: 5 }).subarray(5);
  expect(faultOf(() => read(plain))).toBe('record-invalid: does not begin with 0 and a schema id');
});

test('with one they are as it says: wider, with its defaults, without what it does not know; those without an id are of it', () => {
  const { read } = readerOf(WANTED);
  expect(read(framed(1, { id: 'a', euros: 5 }))).toEqual({ id: 'a', euros: 5, note: 'none' });
  expect(read(framed(2, { id: 'a', euros: 5.5, note: 'n' }))).toEqual({ id: 'a', euros: 5.5, note: 'n' });
  expect(Object.keys(readerOf(WITHOUT_ID).read(framed(1, { id: 'a', euros: 5 })) as object)).toEqual(['euros']);
  const plain = framed(1, { id: 'a', euros: 1.5, note: 'n' }, WANTED).subarray(5);
  expect(read(plain)).toEqual({ id: 'a', euros: 1.5, note: 'n' });
});

test('what cannot be read is refused with its code, and what is not known yet leaves nothing', () => {
  const { read, format } = readerOf(WANTED);
  expect(faultOf(() => read(framed(3, { euros: 5 })))).toMatch(
    /^schema-mismatch: names schema 3: it cannot be read as/,
  );
  expect(faultOf(() => read(framed(3, { euros: 5 })))).toMatch(/^schema-mismatch/);
  expect(faultOf(() => read(Buffer.from([0, 0, 0, 0, 4, 1])))).toMatch(/^schema-mismatch: .* is of type PROTOBUF/);
  expect(faultOf(() => read(Buffer.from([0, 0, 0, 0, 9, 1])))).toMatch(/^schema-unknown: names schema 9/);
  expect(faultOf(() => read(framed(1, { id: 'a', euros: 5 }).subarray(0, -1)))).toMatch(/^record-invalid/);
  expect(faultOf(() => read(Buffer.concat([framed(1, { id: 'a', euros: 5 }), Buffer.from('x')])))).toMatch(
    /^record-invalid/,
  );
  expect(format.waitsFor).toBe(-1);
  expect([read(Buffer.from([0, 0, 0, 0, 5, 1])), format.waitsFor]).toEqual([undefined, 5]);
  read(framed(1, { id: 'a', euros: 5 }));
  expect(format.waitsFor).toBe(-1);
});

test('a length of gigabytes is refused before it is believed, read as another schema too', () => {
  const bomb = Buffer.concat([Buffer.from([0, 0, 0, 0, 1]), varint(2n ** 33n)]);
  for (const wanted of [undefined, WANTED]) {
    expect(faultOf(() => readerOf(wanted).read(bomb))).toMatch(/^record-invalid/);
  }
});
