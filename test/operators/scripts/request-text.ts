// Owns reading remote-write requests for scripts: snappy by the npm package, protobuf by the slow reader of the tests,
// series as they stand in the message. Shares no code with what writes them.

import { uncompressSync } from 'snappy';
import { type Field, fieldsOf } from '#test/operators/formats/protobuf-bytes.ts';
import { valueText } from '#test/operators/scripts/script-rows.ts';
import { clockText } from '#test/operators/scripts/script-time.ts';

/** A line for each TimeSeries: `__name__=up host=a: 0:01 1, 0:02 stale`. */
export function requestLines(body: Uint8Array): string[] {
  const message = uncompressSync(Buffer.from(body), { asBuffer: true }) as Buffer;
  return fieldsOf(message).map((field) => seriesLine(fieldsOf(expected(field, 1, 2).bytes)));
}

function seriesLine(fields: readonly Field[]): string {
  const labels = fields.filter(({ number }) => number === 1).map((field) => labelText(expected(field, 1, 2).bytes));
  const samples = fields.filter(({ number }) => number !== 1).map((field) => sampleText(expected(field, 2, 2).bytes));
  return `${labels.join(' ')}: ${samples.join(', ')}`;
}

function labelText(label: Buffer): string {
  const [name, value] = fieldsOf(label);
  return `${expected(name, 1, 2).bytes}=${expected(value, 2, 2).bytes}`;
}

function sampleText(sample: Buffer): string {
  const [value, time] = fieldsOf(sample);
  const { bytes } = expected(value, 1, 1);
  const timeMs = Number(BigInt.asIntN(64, expected(time, 2, 0).varint));
  return `${clockText(timeMs)} ${valueText(bytes.readDoubleLE(), bytes.readBigUInt64LE())}`;
}

function expected(field: Field, number: number, wire: number): Field {
  if (field.number === number && field.wire === wire) return field;
  throw new Error(`field ${field.number} of wire type ${field.wire} where ${number} of ${wire} belongs`);
}
