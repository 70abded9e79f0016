// Owns how whole records become values and back: JSON, text, bytes, Avro. A value is what functions of a job see.

import { AVRO_SLACK_BYTES, AvroReader } from '#operators/formats/avro-reader.ts';
import { type AvroSchema, parseAvroSchema } from '#operators/formats/avro-schema.ts';
import { jsonLoss } from '#operators/formats/json-loss.ts';
import { nestsDeeperThan, parseJson } from '#operators/formats/json-value.ts';
import { NESTING_MAX, RecordRefusal } from '#operators/formats/sample-decoder.ts';
import type { ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant } from '#runtime/std/errors.ts';

export type RecordFormatName = 'json' | 'text' | 'bytes' | 'avro';
export const RECORD_FORMATS: readonly RecordFormatName[] = ['json', 'text', 'bytes', 'avro'];

/** Why bytes are no record of a format, or a value cannot be written in it. */
export class RecordFault extends Error {
  override readonly name = 'RecordFault';
}

export interface RecordFormat {
  /** Value of bytes[start, end); keeps no view of them. Error RecordFault. */
  decode(bytes: Buffer, start: number, end: number): unknown;
  /** Error RecordFault, saying what cannot be written. */
  encode(value: unknown, out: ByteWriter): void;
}

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
  return name === 'avro' ? new AvroFormat(avroSchema) : FORMATS[name];
}

/** Values are those of avsc: longs are numbers (beyond 2^53 refused), bytes Buffers, ambiguous unions `{ branch: value }`. */
class AvroFormat implements RecordFormat {
  readonly #schema: AvroSchema;
  readonly #reader = new AvroReader();

  constructor(json: unknown) {
    const schema = parseAvroSchema(json);
    invariant(typeof schema !== 'string', `the Avro schema was not checked: ${String(schema)}`);
    this.#schema = schema;
  }

  decode(bytes: Buffer, start: number, end: number): unknown {
    const size = end - start;
    const copy = Buffer.alloc(size + AVRO_SLACK_BYTES);
    bytes.copy(copy, 0, start, end);
    try {
      // avsc believes what blocks claim: it reads what was walked before.
      this.#reader.bind(copy, new DataView(copy.buffer, copy.byteOffset, copy.length), 0, size);
      this.#reader.skip(this.#schema.node);
      return this.#schema.decode(copy.subarray(0, size));
    } catch (error) {
      throw new RecordFault(
        error instanceof RecordRefusal ? error.message : `is no such Avro value: ${messageOf(error)}`,
      );
    }
  }

  encode(value: unknown, out: ByteWriter): void {
    try {
      out.raw(this.#schema.encode(value));
    } catch (error) {
      throw new RecordFault(`does not fit its Avro schema: ${messageOf(error)}`);
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function writeText(text: string, out: ByteWriter): void {
  const size = Buffer.byteLength(text);
  out.ensure(size);
  out.bytes.write(text, out.length, 'utf8');
  out.length += size;
}
