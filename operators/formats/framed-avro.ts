// Owns whole records in Avro whose schema lies in a registry (Confluent framing: 0, id, value). Where the job names a
// schema, records come as that one says, whatever they were written with; those without an id are of it too. Invariant: a
// record whose schema is not known yet gives nothing and says so.

import { AvroRecord } from '#operators/formats/avro-record.ts';
import type { AvroSchema } from '#operators/formats/avro-schema.ts';
import { NOT_WAITING } from '#operators/formats/sample-decoder.ts';
import type { SchemaLookup } from '#operators/formats/schema-lookup.ts';
import { RecordFault, type RecordReader } from '#operators/formats/whole-record.ts';

export const FRAME_BYTES = 5;

export class FramedAvro implements RecordReader {
  waitsFor = NOT_WAITING;
  readonly #lookup: SchemaLookup;
  /** Null: values are as they were written. */
  readonly #wanted: AvroSchema | null;
  readonly #plain: AvroRecord | null;
  /** By the schema of the writer; a text says why it cannot be read. */
  readonly #known = new WeakMap<AvroSchema, AvroRecord | string>();

  constructor(lookup: SchemaLookup, wanted: AvroSchema | null) {
    this.#lookup = lookup;
    this.#wanted = wanted;
    this.#plain = wanted === null ? null : new AvroRecord(wanted);
  }

  decode(bytes: Buffer, start: number, end: number): unknown {
    this.waitsFor = NOT_WAITING;
    if (end - start < FRAME_BYTES || bytes[start] !== 0) {
      if (this.#plain === null) throw new RecordFault('does not begin with 0 and a schema id');
      return this.#plain.decode(bytes, start, end);
    }
    const id = bytes.readInt32BE(start + 1);
    const found = this.#lookup.get(id);
    if (found === 'pending') {
      this.waitsFor = id;
      return undefined;
    }
    if (found === 'missing') {
      throw new RecordFault(`names schema ${id}, which the registry does not have`, 'schema-unknown');
    }
    if ('problem' in found) throw new RecordFault(`names schema ${id}, which ${found.problem}`, 'schema-mismatch');
    const reader = this.#readerOf(found.schema);
    if (typeof reader === 'string') throw new RecordFault(`names schema ${id}: ${reader}`, 'schema-mismatch');
    return reader.decode(bytes, start + FRAME_BYTES, end);
  }

  #readerOf(written: AvroSchema): AvroRecord | string {
    const known = this.#known.get(written);
    if (known !== undefined) return known;
    const read = this.#wanted === null ? written.decode : this.#wanted.decoderOf(written);
    const reader = typeof read === 'string' ? read : new AvroRecord(written, read);
    this.#known.set(written, reader);
    return reader;
  }
}
