import { deflateRawSync, gzipSync } from 'node:zlib';
import { compressSync } from 'snappy';
import { expect, test } from 'vitest';
import { samplePlan } from '#operators/formats/avro-sample-plan.ts';
import { parseAvroSchema } from '#operators/formats/avro-schema.ts';
import { type SampleFormatName, sampleDecoder } from '#operators/formats/sample-format.ts';
import type { SchemaAnswer } from '#operators/formats/schema-lookup.ts';
import { RecordBatchBuilder, RecordWalker } from '#runtime/log/record-batch.ts';
import { avroRecord, SCHEMAS } from '#test/operators/formats/avro-generator.ts';
import {
  type Decoding,
  decodeRecord,
  decoding,
  faultTexts,
  originOf,
  rowTexts,
} from '#test/operators/formats/decoder-comparison.ts';
import { influxRecord } from '#test/operators/formats/influx-generator.ts';
import { otlpRequest } from '#test/operators/formats/otlp-generator.ts';
import { otlpJson, otlpProtobuf } from '#test/operators/formats/otlp-wire.ts';
import { bytesField, fieldsOf } from '#test/operators/formats/protobuf-bytes.ts';
import { label, remoteWriteRecord, sample } from '#test/operators/formats/remote-write-generator.ts';
import { type Random, recordBytes, seeded } from '#test/operators/formats/sample-generator.ts';

const ANSWERS = new Map(
  [...SCHEMAS].map(([id, json]): [number, SchemaAnswer] => {
    const schema = parseAvroSchema(json);
    if (typeof schema === 'string') throw new Error(schema);
    return [id, { schema, plan: samplePlan(schema) }];
  }),
);
const schemas = { get: (id: number): SchemaAnswer => ANSWERS.get(id) ?? 'missing' };

function reading(name: SampleFormatName): Decoding {
  return decoding((options) => sampleDecoder({ name, schemas, avroSchema: SCHEMAS.get(1) }, options));
}

const GENERATORS: readonly (readonly [SampleFormatName, (next: Random) => Buffer])[] = [
  ['json', recordBytes],
  ['avro', avroRecord],
  ['remote-write', remoteWriteRecord],
  ['influx', influxRecord],
  ['otlp', (next) => otlpProtobuf(next, otlpRequest(next))],
  ['otlp', (next) => otlpJson(next, otlpRequest(next))],
];

/** Whether all of an OTLP request is fields that it has. */
function isPlain(record: Buffer): boolean {
  return record[0] === 0x7b || fieldsOf(record).every((field) => field.number === 1);
}

test.each(GENERATORS)(
  'auto reads what is good %s as that, in any order of formats',
  { timeout: 60_000 },
  (name, make) => {
    const next = seeded(11);
    const named = reading(name);
    const auto = reading('auto');
    let rows = 0;
    for (let i = 0; i < 3_000; i++) {
      const record = make(next);
      decodeRecord(named, record);
      const { count } = named.batch;
      if (count === 0 || (name === 'otlp' && record[0] !== 0x20 && !isPlain(record))) continue;
      decodeRecord(auto, GENERATORS[i % GENERATORS.length][1](next));
      decodeRecord(auto, i % 50 === 0 ? gzipSync(record) : record);
      if (rowTexts(auto).join() !== rowTexts(named).join())
        expect(rowTexts(auto), record.toString('hex')).toEqual(rowTexts(named));
      expect(faultTexts(auto)).toEqual(faultTexts(named));
      rows += count;
    }
    expect(rows).toBeGreaterThan(1_000);
  },
);

/** Faults and rows of a record with headers. */
function withHeaders(state: Decoding, value: Buffer, headers: Readonly<Record<string, string>>): string {
  const builder = new RecordBatchBuilder('raw', 0);
  const list = Object.entries(headers).map(([key, text]) => ({ key, value: Buffer.from(text) }));
  builder.append(0, null, 0, 0, value, 0, value.length, list);
  const { bytes } = builder.finish();
  const walker = new RecordWalker();
  walker.reset(bytes, 61, bytes.length, 1);
  walker.next();
  state.batch.clear();
  const origin = { ...originOf(0, 1), headersAt: walker.headersAt };
  state.decoder.decode(walker.bytes, walker.valueStart, walker.valueEnd, origin, state.batch);
  return [...faultTexts(state), ...rowTexts(state)].join(' | ');
}

test('a content type decides before the bytes do', () => {
  const state = reading('auto');
  const line = Buffer.from('m v=1 1700000000000000000');
  const json = Buffer.from('{"metric_name":"m","timestamp":5,"value":1}');
  const request = bytesField(1, label('__name__', 'm'), sample(1, 5));
  const block = compressSync(request, { copyOutputData: true });
  expect(withHeaders(state, line, { a: 'b', 'Content-Type': 'text/plain; charset=utf-8' })).toBe(
    'm_v 1 @1700000000000',
  );
  expect(withHeaders(state, line, { 'content-type': 'application/json' })).toBe('json-invalid $');
  expect(withHeaders(state, json, { 'content-type': 'application/json', x: 'y' })).toBe('m 1 @5');
  const protobuf = { 'content-type': 'application/x-protobuf' };
  expect(withHeaders(state, block, { ...protobuf, 'content-encoding': 'snappy' })).toBe('m 1 @5');
  expect(withHeaders(state, block, protobuf)).toBe('m 1 @5');
  expect(withHeaders(state, request, protobuf)).toBe('protobuf-invalid $');
  expect(withHeaders(state, json, { 'content-type': 'application/x-odd' })).toBe('m 1 @5');
  expect(withHeaders(state, json, {})).toBe('m 1 @5');
});

test('spaces and newlines in front of text are no snappy block', () => {
  const state = reading('auto');
  const line = 'cpu,host=h-9,cpu=cpu2 n=96048 1700000044729898518';
  for (const space of ['  \n', ' \n\n', '\t  \n', '\r\n  \n']) {
    decodeRecord(state, `${space}${line}\n`);
    expect(rowTexts(state), JSON.stringify(space)).toEqual(['cpu_n{cpu="cpu2",host="h-9"} 96048 @1700000044729']);
  }
});

test('what no format begins with is said to be unknown, with its content type', () => {
  const state = decoding((options) => sampleDecoder({ name: 'auto' }, options));
  for (const value of [
    Buffer.alloc(0),
    Buffer.from('hello world'),
    Buffer.from([0, 0, 0, 0, 1, 5]),
    Buffer.from([0xff, 0xfe, 1]),
  ]) {
    decodeRecord(state, value);
    expect(faultTexts(state)).toEqual(['format-unknown $']);
  }
  withHeaders(state, Buffer.from('hello'), { 'content-type': 'image/png' });
  expect(state.decoder.outcome.faults[0].message).toContain("its content-type 'image/png' is not known");
});

test('a gzip bomb and what only begins like gzip are refused before memory is taken', () => {
  const state = reading('influx');
  const bomb = gzipSync(Buffer.alloc(64 * 2 ** 20, '#'), { level: 9 });
  expect(bomb.length).toBeLessThan(100_000);
  const before = process.memoryUsage().rss;
  decodeRecord(state, bomb);
  expect(faultTexts(state)).toEqual(['gzip-invalid $']);
  expect(process.memoryUsage().rss - before).toBeLessThan(96 * 2 ** 20);
  decodeRecord(state, Buffer.concat([Buffer.from([0x1f, 0x8b]), deflateRawSync('x')]));
  expect(faultTexts(state)).toEqual(['gzip-invalid $']);
  decodeRecord(state, gzipSync('m v=1 1700000000000000000'));
  expect(rowTexts(state)).toEqual(['m_v 1 @1700000000000']);
});
