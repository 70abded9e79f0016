// Whole records in Avro are what avsc reads, for schemas and bytes of any kind; and what leads avsc astray, because it
// believes what blocks and lengths claim, is refused first. A bomb that goes off hangs or ends this test.

import avsc from 'avsc';
import { describe, expect, test } from 'vitest';
import { parseAvroSchema } from '#operators/formats/avro-schema.ts';
import { framedAvro, recordFormat } from '#operators/formats/record-format.ts';
import { RecordFault } from '#operators/formats/whole-record.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { avroSchema, avroValue } from '#test/operators/formats/avro-schema-generator.ts';
import { damaged, zigzag } from '#test/operators/formats/protobuf-bytes.ts';
import { seeded } from '#test/operators/formats/sample-generator.ts';

type Outcome = { readonly value: unknown } | { readonly fault: string };

function attempt(read: () => unknown): Outcome {
  try {
    return { value: read() };
  } catch (error) {
    return { fault: (error as Error).message };
  }
}

function ours(read: () => unknown): Outcome {
  const outcome = attempt(() => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof RecordFault)) throw new Error(`no fault but ${String(error)}`);
      throw error;
    }
  });
  if ('fault' in outcome) expect(outcome.fault).not.toMatch(/^no fault/);
  return outcome;
}

/** Where avsc would go on for hours, or mend silently; it is not asked. */
const WE_ALONE = /claims more|64 bits|within an integer|block of|take no bytes|nests deeper|no UTF-8/;

function plainType(schema: unknown): avsc.Type {
  return avsc.Type.forSchema(schema as avsc.Schema);
}

test.each([1, 2, 3])('reads what avsc reads, and refuses what it refuses (seed %i)', { timeout: 120_000 }, (seed) => {
  const next = seeded(seed);
  const seen = { accepted: 0, refused: 0, alone: 0 };
  for (let i = 0; i < 150; i++) {
    const schema = avroSchema(next);
    const type = plainType(schema);
    const format = recordFormat('avro', schema);
    for (let j = 0; j < 40; j++) {
      const good = avroValue(next, schema);
      const isDamaged = next() < 0.6;
      const bytes = isDamaged ? damaged(next, good) : good;
      const outcome = ours(() => format.decode(bytes, 0, bytes.length));
      if (!isDamaged) expect(outcome, JSON.stringify(schema)).toHaveProperty('value');
      if ('fault' in outcome && WE_ALONE.test(outcome.fault)) {
        seen.alone++;
        continue;
      }
      const theirs = attempt(() => type.fromBuffer(Buffer.from(bytes)));
      const about = `${JSON.stringify(schema)} ${bytes.toString('hex')} ${JSON.stringify([outcome, theirs])}`;
      expect('value' in outcome, about).toBe('value' in theirs);
      if ('value' in outcome && 'value' in theirs) expect(outcome.value, about).toEqual(theirs.value);
      seen['value' in outcome ? 'accepted' : 'refused']++;
    }
  }
  expect(seen.accepted).toBeGreaterThan(2500);
  expect(seen.refused).toBeGreaterThan(300);
  expect(seen.alone).toBeGreaterThan(20);
});

test.each([4, 5])('as another schema says, too (seed %i)', { timeout: 120_000 }, (seed) => {
  const next = seeded(seed);
  let accepted = 0;
  for (let i = 0; i < 150; i++) {
    const written = avroSchema(next) as { readonly fields: readonly object[] };
    const fields = [...written.fields.filter(() => next() < 0.6), { name: 'added', type: 'string', default: 'new' }];
    // Types that a field in front of it named would be missing: those schemas are of no use.
    const wanted = { ...written, fields };
    if (typeof parseAvroSchema(wanted) === 'string') continue;
    const parsed = parseAvroSchema(written);
    if (typeof parsed === 'string') throw new Error(parsed);
    const format = framedAvro({ get: () => ({ schema: parsed, plan: '' }) }, wanted);
    const type = plainType(wanted);
    const resolver = type.createResolver(plainType(written));
    for (let j = 0; j < 30; j++) {
      const good = avroValue(next, written as never);
      const bytes = next() < 0.5 ? damaged(next, good) : good;
      const framed = Buffer.concat([Buffer.alloc(5), bytes]);
      const outcome = ours(() => format.decode(framed, 0, framed.length));
      if ('fault' in outcome) continue;
      accepted++;
      expect(outcome.value).toEqual(type.fromBuffer(bytes, resolver));
    }
  }
  expect(accepted).toBeGreaterThan(1500);
});

const WIDE = Array.from({ length: 100 }, (_, at) => ({ name: `f${at}`, type: 'null' }));
/** A record of ten records of ten records …: 10^depth nulls in no byte. */
function tower(depth: number): object {
  if (depth === 0) return { type: 'record', name: 'R0', fields: [{ name: 'x', type: 'null' }] };
  const again = Array.from({ length: 9 }, (_, at) => ({ name: `f${at}`, type: `R${depth - 1}` }));
  return { type: 'record', name: `R${depth}`, fields: [{ name: 'first', type: tower(depth - 1) }, ...again] };
}
const NODE = { type: 'record', name: 'Node', fields: [{ name: 'up', type: ['null', 'Node'] }] };
/** Count 1 with a bit beyond 64, which is 2^63 + 1 for who counts in doubles. */
const WRAPPED = Buffer.from([0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02]);

describe('refuses before it is believed', () => {
  test.each<[string, unknown, Buffer]>([
    ['an array of 2^40 nulls', { type: 'array', items: 'null' }, Buffer.concat([zigzag(2 ** 40), zigzag(0)])],
    ['-2^52 nulls', { type: 'array', items: 'null' }, Buffer.concat([zigzag(-(2 ** 52)), zigzag(0), zigzag(0)])],
    ['blocks of nulls without end', { type: 'array', items: 'null' }, Buffer.concat(Array(9_000).fill(zigzag(100)))],
    ['a count beyond 64 bits', { type: 'array', items: 'null' }, Buffer.concat([WRAPPED, zigzag(0)])],
    ['a count of a map beyond 64 bits', { type: 'map', values: 'null' }, Buffer.concat([WRAPPED, Buffer.alloc(2)])],
    ['a map of a billion', { type: 'map', values: 'int' }, Buffer.concat([zigzag(1e9), Buffer.alloc(100)])],
    ['a string of 4 GiB', '"string"', Buffer.concat([zigzag(2 ** 32), Buffer.from('x')])],
    ['bytes of 2^62', '"bytes"', zigzag(2 ** 62)],
    ['bytes of -1', '"bytes"', zigzag(-1)],
    ['a fixed of 2 GiB', { type: 'fixed', name: 'F', size: 2 ** 31 - 1 }, Buffer.from('x')],
    [
      'an array of wide empty records',
      { type: 'array', items: { type: 'record', name: 'W', fields: WIDE } },
      zigzag(60_000),
    ],
    ['10^9 nulls in no byte', tower(9), Buffer.alloc(0)],
    ['a record that holds itself', { type: 'record', name: 'A', fields: [{ name: 'a', type: 'A' }] }, Buffer.alloc(0)],
    ['a list of 100,000 in a row', NODE, Buffer.concat([Buffer.alloc(100_000, 2), zigzag(0)])],
    ['arrays in arrays', { type: 'array', items: NODE }, Buffer.concat([zigzag(1), Buffer.alloc(50, 2), zigzag(0)])],
  ])('%s', (_, schema, bytes) => {
    const format = recordFormat('avro', schema);
    const before = process.memoryUsage().rss;
    expect(() => format.decode(bytes, 0, bytes.length)).toThrow(RecordFault);
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 2 ** 20);
  });

  test('a block that says it ends before it begins, where avsc passes over blocks by their size', () => {
    const field = (name: string, type: unknown) => ({ name, type });
    const record = (...fields: object[]) => ({ type: 'record', name: 'R', fields });
    const schema = parseAvroSchema(record(field('list', { type: 'array', items: 'int' }), field('id', 'string')));
    if (typeof schema === 'string') throw new Error(schema);
    const format = framedAvro({ get: () => ({ schema, plan: '' }) }, record(field('id', 'string')));
    const bytes = (size: number) =>
      Buffer.concat([Buffer.alloc(5), zigzag(-1), zigzag(size), zigzag(7), zigzag(0), zigzag(1), Buffer.from('a')]);
    expect(format.decode(bytes(1), 0, bytes(1).length)).toEqual({ id: 'a' });
    for (const size of [-2, 0, 2, 2 ** 40]) {
      expect(() => format.decode(bytes(size), 0, bytes(size).length), String(size)).toThrow(/block of/);
    }
  });
});

describe('text and names', () => {
  const MAP = { type: 'map', values: 'string' };
  const record = (type: unknown) => ({ type: 'record', name: 'R', fields: [{ name: 'a', type }] });

  test('a key called __proto__ is a key, in and out, resolved as well', () => {
    const map = JSON.parse('{"__proto__":"x","b":"y"}');
    for (const schema of [MAP, { type: 'map', values: MAP }]) {
      const value = schema === MAP ? map : JSON.parse('{"__proto__":{"__proto__":"x"}}');
      const format = recordFormat('avro', record(schema));
      const out = new ByteWriter(8);
      format.encode({ a: value }, out);
      const read = format.decode(out.toBytes(), 0, out.length) as { readonly a: object };
      expect(JSON.stringify(read)).toBe(JSON.stringify({ a: value }));
      expect(Object.getPrototypeOf(read.a)).toBe(Object.prototype);
      const parsed = parseAvroSchema(record(schema));
      if (typeof parsed === 'string') throw new Error(parsed);
      const framed = framedAvro({ get: () => ({ schema: parsed, plan: '' }) }, record(schema));
      const bytes = Buffer.concat([Buffer.alloc(5), out.toBytes()]);
      expect(JSON.stringify(framed.decode(bytes, 0, bytes.length))).toBe(JSON.stringify({ a: value }));
    }
    expect(({} as { b?: unknown }).b).toBeUndefined();
  });

  test('text that is no UTF-8 is refused, U+FFFD that was written is not', () => {
    const data = (bytes: Buffer) => Buffer.concat([zigzag(bytes.length), bytes]);
    const read = (schema: unknown, bytes: Buffer) => recordFormat('avro', schema).decode(bytes, 0, bytes.length);
    expect(read('"string"', data(Buffer.from('a\ufffd')))).toBe('a\ufffd');
    for (const bad of [Buffer.from([0xff]), Buffer.from([0xc3]), Buffer.from([0xed, 0xa0, 0x80])]) {
      expect(() => read('"string"', data(bad))).toThrow(/no UTF-8/);
      expect(() => read(MAP, Buffer.concat([zigzag(1), data(bad), data(Buffer.from('v')), zigzag(0)]))).toThrow(
        /no UTF-8/,
      );
      expect(read('"bytes"', data(bad))).toEqual(bad);
    }
  });

  test('half a surrogate pair is not written as another text', () => {
    const write = (schema: unknown, value: unknown) => () =>
      recordFormat('avro', schema).encode(value, new ByteWriter(8));
    expect(write('"string"', '\ud800')).toThrow(/half a surrogate pair/);
    expect(write(record(['null', 'string']), { a: 'x\udc00' })).toThrow(/half a surrogate pair/);
    expect(write(MAP, { '\ud800': 'x' })).toThrow(/half a surrogate pair/);
    expect(write(MAP, { '\u{1f600}': '\u{1f600}' })).not.toThrow();
    expect(write(MAP, null)).toThrow(RecordFault);
  });
});
