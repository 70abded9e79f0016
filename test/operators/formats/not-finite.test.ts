// Samples that no number says: NaN, stale markers, infinities. Kept with every bit where somebody asks for them, counted
// where nobody does. The bits are looked at as integers, on both sides.

import { compressSync } from 'snappy';
import { expect, test } from 'vitest';
import type { SampleDecoderOptions } from '#operators/formats/sample-decoder.ts';
import { type SampleFormatName, sampleDecoder } from '#operators/formats/sample-format.ts';
import {
  type Decoding,
  decodeRecord,
  decoding,
  faultTexts,
  rowTexts,
} from '#test/operators/formats/decoder-comparison.ts';
import { avroRecord, SCHEMAS } from './avro-generator.ts';
import { influxRecord } from './influx-generator.ts';
import { otlpRequest } from './otlp-generator.ts';
import { otlpProtobuf, otlpJson as otlpText } from './otlp-wire.ts';
import { bytesField, doubleBytes, fixed64, fixed64Bytes, integer, zigzag } from './protobuf-bytes.ts';
import { label, remoteWriteRecord } from './remote-write-generator.ts';
import { type Random, recordBytes, seeded } from './sample-generator.ts';

const AT = 1_700_000_000_000;
const STALE = 0x7ff0000000000002n;
const PLAIN = 0x7ff8000000000001n;
const INFINITE = 0x7ff0000000000000n;
const AVRO = {
  type: 'record',
  name: 'Sample',
  fields: [
    { name: 'metric_name', type: 'string' },
    { name: 'timestamp', type: 'long' },
    { name: 'value', type: ['null', 'double', 'float'] },
  ],
};

function reading(name: SampleFormatName, keepsNotFinite: boolean): Decoding {
  const make = (options: SampleDecoderOptions) =>
    sampleDecoder({ name, avroSchema: AVRO }, { ...options, keepsNotFinite });
  return decoding(make);
}

/** Values of the last record, as the integers that their bits are. */
function bitsOf({ batch }: Decoding): bigint[] {
  const bits = new BigUint64Array(batch.value.buffer, batch.value.byteOffset, batch.count);
  return [...bits];
}

function remoteWrite(name: string, values: readonly bigint[]): Buffer {
  const samples = values.map((bits, i) => bytesField(2, fixed64(1, bits), integer(2, AT + i)));
  return compressSync(bytesField(1, label('__name__', name), ...samples)) as Buffer;
}

function avro(value: Buffer, branch: number): Buffer {
  return Buffer.concat([zigzag(1), Buffer.from('m'), zigzag(AT), zigzag(branch), value]);
}

function otlp(point: Buffer): Buffer {
  const gauge = bytesField(5, bytesField(1, fixed64(3, BigInt(AT) * 1_000_000n), point));
  return bytesField(1, bytesField(2, bytesField(2, bytesField(1, 'm'), gauge)));
}

function otlpJson(point: object): string {
  const dataPoints = [{ timeUnixNano: `${AT}000000`, ...point }];
  return JSON.stringify({
    resourceMetrics: [{ scopeMetrics: [{ metrics: [{ name: 'm', gauge: { dataPoints } }] }] }],
  });
}

function json(value: string): string {
  return `{"metric_name":"m","timestamp":${AT},"value":${value},"labels":{}}`;
}

const floatNaN = Buffer.alloc(4);
floatNaN.writeFloatLE(Number.NaN);

const CASES: readonly (readonly [string, SampleFormatName, Buffer | string, bigint])[] = [
  ['a stale marker', 'remote-write', remoteWrite('m', [STALE]), STALE],
  ['NaN', 'remote-write', remoteWrite('m', [PLAIN]), PLAIN],
  ['a NaN with bits of its own', 'remote-write', remoteWrite('m', [0xfff4_dead_beef_cafen]), 0xfff4_dead_beef_cafen],
  ['-Infinity', 'remote-write', remoteWrite('m', [INFINITE | (1n << 63n)]), INFINITE | (1n << 63n)],
  ['null', 'json', json('null'), STALE],
  ['null in an array', 'json', `[${json('null')}]`, STALE],
  ['null with spaces', 'json', ` ${json(' null ')} `, STALE],
  ['"NaN"', 'json', json('"NaN"'), PLAIN],
  ['"+Inf"', 'json', json('"+Inf"'), INFINITE],
  ['null', 'avro', avro(Buffer.alloc(0), 0), STALE],
  ['a stale double', 'avro', avro(fixed64Bytes(STALE), 1), STALE],
  ['a NaN float', 'avro', avro(floatNaN, 2), PLAIN],
  ['-Infinity', 'avro', avro(doubleBytes(Number.NEGATIVE_INFINITY), 1), INFINITE | (1n << 63n)],
  ['no recorded value', 'otlp', otlp(integer(8, 1)), STALE],
  ['NaN', 'otlp', otlp(fixed64(4, 0x7ff8000000000000n)), PLAIN],
  ['no recorded value in JSON', 'otlp', otlpJson({ flags: 1 }), STALE],
  ['"Infinity"', 'otlp', otlpJson({ asDouble: 'Infinity' }), INFINITE],
];

test.each(CASES)('%s of %s is kept with its bits, or counted', (_, format, record, bits) => {
  const keeping = reading(format, true);
  const counting = reading(format, false);
  // The first look at a series and later ones go different ways.
  for (let look = 0; look < 3; look++) {
    decodeRecord(keeping, record);
    expect(bitsOf(keeping)).toEqual([bits]);
    expect([keeping.decoder.outcome.notFinite, keeping.decoder.outcome.faultCount]).toEqual([0, 0]);
    expect(keeping.batch.maxTimestampMs).toBe(AT);
    decodeRecord(counting, record);
    expect([counting.batch.count, counting.decoder.outcome.notFinite]).toEqual([0, 1]);
    expect([counting.decoder.outcome.faultCount, counting.table.slotCount]).toEqual([0, 0]);
  }
});

test.each<SampleFormatName>(['remote-write', 'auto'])('what lies around a NaN in %s stays what it is', (format) => {
  const state = reading(format, true);
  const bits = [0x3ff0000000000000n, STALE, 0x4000000000000000n, PLAIN, 0x8000000000000000n];
  for (let i = 0; i < 2_000; i++) {
    decodeRecord(state, remoteWrite(`m${i % 7}`, bits));
    if (bitsOf(state).join() !== bits.join()) expect(bitsOf(state)).toEqual(bits);
  }
});

test('an array of JSON samples keeps its order around those that are no numbers', () => {
  const state = reading('json', true);
  for (let look = 0; look < 2; look++) {
    decodeRecord(state, `[${['1', 'null', '"NaN"', '2.5', '"-Inf"'].map(json).join()}]`);
    const minusInfinite = INFINITE | (1n << 63n);
    expect(bitsOf(state)).toEqual([0x3ff0000000000000n, STALE, PLAIN, 0x4004000000000000n, minusInfinite]);
  }
});

const GENERATORS: readonly (readonly [SampleFormatName, (next: Random) => Buffer])[] = [
  ['json', recordBytes],
  ['avro', avroRecord],
  ['remote-write', remoteWriteRecord],
  ['influx', influxRecord],
  ['otlp', (next) => otlpProtobuf(next, otlpRequest(next))],
  ['otlp', (next) => otlpText(next, otlpRequest(next))],
  ['auto', remoteWriteRecord],
];

test.each(GENERATORS)('%s: what is kept beside the numbers is what is counted without it', (name, make) => {
  const next = seeded(23);
  const reader = (keepsNotFinite: boolean) =>
    decoding((options) => sampleDecoder({ name, avroSchema: SCHEMAS.get(1) }, { ...options, keepsNotFinite }));
  const [keeping, counting] = [reader(true), reader(false)];
  let kept = 0;
  for (let i = 0; i < 4_000; i++) {
    const record = make(next);
    decodeRecord(keeping, record);
    decodeRecord(counting, record);
    const rows = rowTexts(keeping);
    const finite = rows.filter((_, row) => Number.isFinite(keeping.batch.value[row]));
    kept += rows.length - finite.length;
    if (finite.join() !== rowTexts(counting).join()) expect(finite, record.toString('hex')).toEqual(rowTexts(counting));
    expect(rows.length - finite.length).toBe(counting.decoder.outcome.notFinite);
    expect(keeping.decoder.outcome.notFinite).toBe(0);
    expect(faultTexts(keeping)).toEqual(faultTexts(counting));
  }
  if (name !== 'influx') expect(kept).toBeGreaterThan(10);
});
