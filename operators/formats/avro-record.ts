// Owns whole records in Avro as values: those of avsc. Longs are numbers (beyond 2^53 refused), bytes Buffers, ambiguous
// unions `{ branch: value }`. Invariant: avsc reads only what was walked before, since it believes what blocks claim.

import { AVRO_SLACK_BYTES, AvroReader } from '#operators/formats/avro-reader.ts';
import type { AvroSchema } from '#operators/formats/avro-schema.ts';
import { RecordRefusal } from '#operators/formats/sample-decoder.ts';
import { RecordFault, type RecordFormat } from '#operators/formats/whole-record.ts';
import type { ByteWriter } from '#runtime/std/byte-writer.ts';

export class AvroRecord implements RecordFormat {
  readonly #schema: AvroSchema;
  readonly #read: (bytes: Buffer) => unknown;
  readonly #reader = new AvroReader();

  /** `schema` is what records were written with; `read` makes the value. */
  constructor(schema: AvroSchema, read: (bytes: Buffer) => unknown = schema.decode) {
    this.#schema = schema;
    this.#read = read;
  }

  decode(bytes: Buffer, start: number, end: number): unknown {
    const size = end - start;
    const copy = Buffer.alloc(size + AVRO_SLACK_BYTES);
    bytes.copy(copy, 0, start, end);
    try {
      this.#reader.bind(copy, new DataView(copy.buffer, copy.byteOffset, copy.length), 0, size);
      this.#reader.skip(this.#schema.node);
      return this.#read(copy.subarray(0, size));
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
