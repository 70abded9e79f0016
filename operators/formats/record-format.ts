// Owns how whole records become values and back: JSON, text, bytes, Avro. A value is what functions of a job see.

import { AvroRecord } from '#operators/formats/avro-record.ts';
import { type AvroSchema, parseAvroSchema } from '#operators/formats/avro-schema.ts';
import { FramedAvro } from '#operators/formats/framed-avro.ts';
import { JSON_RECORD } from '#operators/formats/json-record.ts';
import type { SchemaLookup } from '#operators/formats/schema-lookup.ts';
import {
  RecordFault,
  type RecordFormat,
  type RecordReader,
  textOf,
  writeText,
} from '#operators/formats/whole-record.ts';
import { invariant } from '#runtime/std/errors.ts';

export type RecordFormatName = 'json' | 'text' | 'bytes' | 'avro';
export const RECORD_FORMATS: readonly RecordFormatName[] = ['json', 'text', 'bytes', 'avro'];

const TEXT_FORMAT: RecordFormat = {
  decode: textOf,
  encode(value, out) {
    if (typeof value !== 'string') throw new RecordFault(`${typeof value} is no text`);
    if (!value.isWellFormed()) throw new RecordFault('the text holds half a surrogate pair');
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
  json: JSON_RECORD,
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
