// Owns what a format of whole records is: bytes to a value as functions of a job see it, and back; and how text comes
// out of bytes and goes into them. Invariant: text is never mended, for two texts would become one.

import type { ByteWriter } from '#runtime/std/byte-writer.ts';

export type RecordFaultCode = 'record-invalid' | 'schema-unknown' | 'schema-mismatch';

/** Why bytes are no record of a format, or a value cannot be written in it. */
export class RecordFault extends Error {
  override readonly name = 'RecordFault';
  readonly code: RecordFaultCode;

  constructor(message: string, code: RecordFaultCode = 'record-invalid') {
    super(message);
    this.code = code;
  }
}

export interface RecordReader {
  /** Value of bytes[start, end); keeps no view of them. Error RecordFault. */
  decode(bytes: Buffer, start: number, end: number): unknown;
  /** Id of the schema that the record must wait for: what `decode` gave then is nothing. @default NOT_WAITING */
  readonly waitsFor?: number;
}

export interface RecordFormat extends RecordReader {
  /** Error RecordFault, saying what cannot be written. */
  encode(value: unknown, out: ByteWriter): void;
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Error RecordFault. */
export function textOf(bytes: Buffer, start: number, end: number): string {
  try {
    return UTF8.decode(bytes.subarray(start, end));
  } catch {
    throw new RecordFault('is not UTF-8');
  }
}

/** Appends well-formed text. */
export function writeText(text: string, out: ByteWriter): void {
  const size = Buffer.byteLength(text);
  out.ensure(size);
  out.bytes.write(text, out.length, 'utf8');
  out.length += size;
}
