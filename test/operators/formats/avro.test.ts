import { expect, test } from 'vitest';
import { AvroDecoder } from '#operators/formats/avro-decoder.ts';
import { samplePlan } from '#operators/formats/avro-sample-plan.ts';
import { type AvroSchema, parseAvroSchema } from '#operators/formats/avro-schema.ts';
import type { SchemaAnswer } from '#operators/formats/schema-lookup.ts';
import { avroRecord, SCHEMAS } from '#test/operators/formats/avro-generator.ts';
import {
  compare,
  type Decoding,
  decodeRecord,
  decoding,
  faultTexts,
  rowTexts,
} from '#test/operators/formats/decoder-comparison.ts';
import { varint } from '#test/operators/formats/protobuf-bytes.ts';
import { referenceAvro } from '#test/operators/formats/reference-avro.ts';
import type { ReferenceResult } from '#test/operators/formats/reference-decoder.ts';

function schemaOf(json: unknown): AvroSchema {
  const schema = parseAvroSchema(json);
  if (typeof schema === 'string') throw new Error(schema);
  return schema;
}

function known(json: unknown): SchemaAnswer {
  const schema = schemaOf(json);
  return { schema, plan: samplePlan(schema) };
}

const LOST_FIELD = {
  type: 'record',
  name: 'Sample',
  fields: [
    { name: 'metric_name', type: 'string' },
    { name: 'timestamp', type: 'long' },
  ],
};

const ANSWERS = new Map<number, SchemaAnswer>([
  ...[...SCHEMAS].map(([id, json]): [number, SchemaAnswer] => [id, known(json)]),
  [90, known(LOST_FIELD)],
  [91, { problem: 'is of type PROTOBUF, not AVRO' }],
]);

const lookup = { get: (id: number): SchemaAnswer => ANSWERS.get(id) ?? 'missing' };
const PLAIN = samplePlan(schemaOf(SCHEMAS.get(1)));

function avro(answers: { get(id: number): SchemaAnswer } | null = lookup): Decoding {
  if (typeof PLAIN === 'string') throw new Error(PLAIN);
  return decoding((options) => new AvroDecoder({ ...options, plan: PLAIN, lookup: answers }));
}

function reference(record: Buffer, skewLimitMs: number): ReferenceResult {
  if (record[0] !== 0 || record.length < 5) return referenceAvro(record, SCHEMAS.get(1)!, skewLimitMs);
  const id = record.readInt32BE(1);
  const schema = SCHEMAS.get(id);
  if (schema !== undefined) return referenceAvro(record.subarray(5), schema, skewLimitMs);
  return { rows: [], notFinite: 0, faults: [id === 90 || id === 91 ? 'schema-mismatch $' : 'schema-unknown $'] };
}

test.each([
  [1, 50_000, undefined],
  [2, 45_000, undefined],
  [3, 5_000, 96 * 1024],
])(
  'decodes what a slow reader reads (seed %i, %i records, cache %s)',
  { timeout: 120_000 },
  (seed, count, bytesMax) => {
    const { rows, faults } = compare({
      seed,
      count,
      bytesMax,
      make: (options) => new AvroDecoder({ ...options, plan: PLAIN as never, lookup }),
      record: avroRecord,
      reference,
    });
    expect(rows).toBeGreaterThan(count / 2);
    expect(faults).toBeGreaterThan(count / 10);
  },
);

test('schemas that cannot be samples say which field is wrong', () => {
  const problem = (json: unknown) => samplePlan(schemaOf(json));
  const fields = (change: Record<string, unknown>) => {
    const types: Record<string, unknown> = {
      metric_name: 'string',
      timestamp: 'long',
      value: 'double',
      labels: { type: 'map', values: 'string' },
      ...change,
    };
    const list = Object.entries(types).filter(([, type]) => type !== undefined);
    return { type: 'record', name: 'Sample', fields: list.map(([name, type]) => ({ name, type })) };
  };
  expect(problem(fields({ value: undefined }))).toBe("the schema has no field 'value'");
  expect(problem(fields({ metric_name: 'bytes' }))).toBe("field 'metric_name' of the schema is not a string");
  expect(problem(fields({ timestamp: ['null', 'string'] }))).toBe("field 'timestamp' of the schema is not a long");
  expect(problem(fields({ labels: { type: 'map', values: 'long' } }))).toBe(
    "field 'labels' of the schema is not a map of strings",
  );
  const micros = { type: 'long', logicalType: 'timestamp-micros' };
  expect(problem(fields({ timestamp: ['null', micros] }))).toBe(
    "field 'timestamp' of the schema is 'timestamp-micros', not milliseconds",
  );
  expect(problem({ type: 'array', items: 'string' })).toBe(
    'the schema is a string, not a record or an array of records',
  );
  expect(parseAvroSchema('{"type":"record"}')).toMatch(/^is no Avro schema: /);
  expect(parseAvroSchema('{')).toMatch(/^is no Avro schema: /);
  expect(typeof problem(fields({ labels: undefined, unit: ['null', 'string'] }))).toBe('object');
});

test('a schema that lost a field, one that is missing and one that is none are told apart', () => {
  const state = avro();
  const messages = [90, 91, 92].map((id) => {
    const frame = Buffer.alloc(8);
    frame.writeInt32BE(id, 1);
    decodeRecord(state, frame);
    return `${faultTexts(state)[0]}: ${state.decoder.outcome.faults[0].message}`;
  });
  expect(messages).toEqual([
    "schema-mismatch $: names schema 90: the schema has no field 'value'",
    'schema-mismatch $: names schema 91, which is of type PROTOBUF, not AVRO',
    'schema-unknown $: names schema 92, which the registry does not have',
  ]);
});

test('a record whose schema is pending leaves nothing and is decoded once it is known', () => {
  let answer: SchemaAnswer = 'pending';
  const state = avro({ get: () => answer });
  const body = schemaOf(SCHEMAS.get(1)).encode({ metric_name: 'up', timestamp: 5, value: 1, labels: {} });
  const record = Buffer.concat([Buffer.from([0, 0, 0, 0, 7]), body]);
  decodeRecord(state, record);
  expect([state.batch.count, state.decoder.outcome.faultCount, state.decoder.outcome.waitsFor]).toEqual([0, 0, 7]);
  answer = known(SCHEMAS.get(1));
  decodeRecord(state, record);
  expect(rowTexts(state)).toEqual(['up 1 @5']);
  expect(state.decoder.outcome.waitsFor).toBe(-1);
});

test('claims of gigabytes, of nulls without end and of nesting without end are refused', () => {
  const state = avro();
  const framed = (id: number, ...parts: Buffer[]) => Buffer.concat([Buffer.from([0, 0, 0, 0, id]), ...parts]);
  const zigzag = (value: number) => varint(BigInt(value) * 2n);
  const before = process.memoryUsage().arrayBuffers;
  const start = [Buffer.from('abc'), zigzag(1), Buffer.from('m'), zigzag(0)];
  const claims = [
    framed(1, zigzag(2 ** 32), Buffer.from('x')),
    framed(1, zigzag(1), Buffer.from('m'), zigzag(5), Buffer.alloc(8), zigzag(2 ** 40)),
    framed(5, zigzag(2 ** 50)),
    framed(4, ...start, zigzag(0), zigzag(0), ...Array.from({ length: 1000 }, () => zigzag(2 ** 20))),
    framed(
      4,
      ...start,
      zigzag(0),
      zigzag(0),
      zigzag(0),
      zigzag(0),
      ...Array.from({ length: 1000 }, () => Buffer.from([2, 0])),
      Buffer.from([0, 0]),
    ),
  ];
  for (const claim of claims) {
    decodeRecord(state, claim);
    expect(faultTexts(state)).toEqual(['avro-invalid $']);
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
  expect(state.table.size).toBe(0);
});
