// Owns how whole records become values and back: JSON, text, bytes. A value is what functions of a job see.

import { nestsDeeperThan, parseJson } from '#operators/formats/json-value.ts';
import { NESTING_MAX } from '#operators/formats/sample-decoder.ts';
import type { ByteWriter } from '#runtime/std/byte-writer.ts';

export type RecordFormatName = 'json' | 'text' | 'bytes';
export const RECORD_FORMATS: readonly RecordFormatName[] = ['json', 'text', 'bytes'];

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

const FORMATS: Readonly<Record<RecordFormatName, RecordFormat>> = {
  json: JSON_FORMAT,
  text: TEXT_FORMAT,
  bytes: BYTES_FORMAT,
};

export function recordFormat(name: RecordFormatName): RecordFormat {
  return FORMATS[name];
}

function writeText(text: string, out: ByteWriter): void {
  const size = Buffer.byteLength(text);
  out.ensure(size);
  out.bytes.write(text, out.length, 'utf8');
  out.length += size;
}
