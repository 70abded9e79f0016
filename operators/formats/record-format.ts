// Owns how whole records become values and back: JSON, text, bytes, Avro. A value is what functions of a job see.

import { AvroRecord } from '#operators/formats/avro-record.ts';
import { type AvroSchema, parseAvroSchema } from '#operators/formats/avro-schema.ts';
import { FramedAvro } from '#operators/formats/framed-avro.ts';
import { jsonLoss } from '#operators/formats/json-loss.ts';
import { nestsDeeperThan, parseJson } from '#operators/formats/json-value.ts';
import { NESTING_MAX } from '#operators/formats/sample-decoder.ts';
import type { SchemaLookup } from '#operators/formats/schema-lookup.ts';
import { RecordFault, type RecordFormat, type RecordReader } from '#operators/formats/whole-record.ts';
import type { ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant } from '#runtime/std/errors.ts';

export type RecordFormatName = 'json' | 'text' | 'bytes' | 'avro';
export const RECORD_FORMATS: readonly RecordFormatName[] = ['json', 'text', 'bytes', 'avro'];

const UTF8 = new TextDecoder('utf-8', { fatal: true });

function textOf(bytes: Buffer, start: number, end: number): string {
  try {
    return UTF8.decode(bytes.subarray(start, end));
  } catch {
    throw new RecordFault('is not UTF-8');
  }
}

const JSON_FORMAT: RecordFormat = {
  decode(bytes, start, end) {
    if (nestsDeeperThan(bytes.subarray(start, end), NESTING_MAX)) {
      throw new RecordFault(`nests deeper than ${NESTING_MAX}`);
    }
    const text = textOf(bytes, start, end);
    try {
      return parseJson(text);
    } catch (error) {
      throw new RecordFault(`is no JSON: ${(error as Error).message}`);
    }
  },
  encode(value, out) {
    const loss = jsonLoss(value);
    if (loss !== null) throw new RecordFault(`${loss}, which JSON would lose`);
    const text = JSON.stringify(value);
    if (text === undefined) throw new RecordFault(`${typeof value} has no JSON`);
    writeText(text, out);
  },
};

const TEXT_FORMAT: RecordFormat = {
  decode: textOf,
  encode(value, out) {
    if (typeof value !== 'string') throw new RecordFault(`${typeof value} is no text`);
    writeText(value, out);
  },
};

const BYTES_FORMAT: RecordFormat = {
  decode: (bytes, start, end) => Buffer.from(bytes.subarray(start, end)),
  encode(value, out) {
    if (!(value instanceof Uint8Array)) throw new RecordFault(`${typeof value} is no bytes`);
    out.raw(value);
  },
};

const FORMATS: Readonly<Record<Exclude<RecordFormatName, 'avro'>, RecordFormat>> = {
  json: JSON_FORMAT,
  text: TEXT_FORMAT,
  bytes: BYTES_FORMAT,
};

/** `avroSchema` is JSON that `parseAvroSchema` takes; only Avro needs it. */
export function recordFormat(name: RecordFormatName, avroSchema?: unknown): RecordFormat {
  return name === 'avro' ? new AvroRecord(checkedSchema(avroSchema)) : FORMATS[name];
}

/** Whole records in Avro whose schemas are asked for by their id; `avroSchema`, if there is one, says how they come. */
export function framedAvro(lookup: SchemaLookup, avroSchema: unknown): RecordReader {
  return new FramedAvro(lookup, avroSchema === undefined ? null : checkedSchema(avroSchema));
}

function checkedSchema(json: unknown): AvroSchema {
  const schema = parseAvroSchema(json);
  invariant(typeof schema !== 'string', `the Avro schema was not checked: ${String(schema)}`);
  return schema;
}

function writeText(text: string, out: ByteWriter): void {
  const size = Buffer.byteLength(text);
  out.ensure(size);
  out.bytes.write(text, out.length, 'utf8');
  out.length += size;
}
