// Owns what every decoder of samples has in common to the outside: one record's bytes in, rows and faults out. The
// formats themselves lie beside it. Invariant: a record is atomic; either all of its good parts become rows, in their
// order, or none does.

import type { RawSeriesCacheOptions } from '#operators/formats/raw-series-cache.ts';
import type { SeriesTable } from '#operators/series/series-table.ts';
import type { Batch } from '#runtime/task/contract.ts';

/** Faults of one record that are kept with their reasons; the rest is counted. */
export const FAULTS_MAX = 100;
/** Samples of one record at most; a compressed record could hold millions of empty ones. */
export const RECORD_ROWS_MAX = 1 << 20;
/** Bytes of one record after decompression at most. */
export const RECORD_BYTES_MAX = 32 * 1024 * 1024;
/** Deepest nesting of objects, arrays and messages in a record. */
export const NESTING_MAX = 32;

export type FaultCode =
  | 'json-invalid'
  | 'snappy-invalid'
  | 'gzip-invalid'
  | 'protobuf-invalid'
  | 'avro-invalid'
  | 'line-invalid'
  | 'schema-unknown'
  | 'schema-mismatch'
  | 'format-unknown'
  | 'sample-invalid'
  | 'timestamp-ahead';

/** Why a record, or a part of it, is no sample. `path` is a JSON path such as `$[3].value`; `$` is all of the record. */
export interface SampleFault {
  readonly code: FaultCode;
  readonly message: string;
  readonly path: string;
}

/** What became of the record that was decoded last. */
export interface RecordOutcome {
  /** NaN, infinite and stale samples without a row: good samples that nobody asked for. */
  readonly notFinite: number;
  /** What was wrong, by part: the first FAULTS_MAX of `faultCount`. */
  readonly faults: readonly SampleFault[];
  readonly faultCount: number;
  /** Whether the record had parts: then a fault concerns one part and the other parts became rows. */
  readonly hasParts: boolean;
  /**
   * Id of the schema that the record must wait for, else NOT_WAITING. Then it has left nothing and is decoded again once
   * the schema is known, or is known to be missing.
   */
  readonly waitsFor: number;
}

export const NOT_WAITING = -1;

/** The log record that is decoded; one object, filled anew for each. */
export interface RecordOrigin {
  partition: number;
  offset: number;
  /** The record's own timestamp, for formats whose samples may come without. */
  timestampMs: number;
  /** Where the record's headers begin in its bytes, -1 when it has none to look at. */
  headersAt: number;
  /** Event times above this are faults. */
  skewLimitMs: number;
}

export interface SampleDecoder {
  readonly outcome: RecordOutcome;
  /**
   * Appends the samples in bytes[start, end) to the batch; bytes beyond `end` are readable, never believed. Leaves what
   * went wrong in `outcome`. Errors: series-limit and what `admit` throws.
   */
  decode(bytes: Buffer, start: number, end: number, origin: RecordOrigin, batch: Batch): void;
}

/** Asked before a series gets its first slot; throws to refuse it. */
export type SeriesAdmission = (canonical: Buffer, hash: number) => void;

export interface SampleDecoderOptions extends RawSeriesCacheOptions {
  readonly table: SeriesTable;
  readonly admit?: SeriesAdmission;
  /** NaN, infinite and stale samples become rows, NaN with its bits. @default false: they are counted */
  readonly keepsNotFinite?: boolean;
}

/** Thrown inside a decoder: the record as a whole is refused. Never leaves `decode`. */
export class RecordRefusal extends Error {
  readonly code: FaultCode;
  override readonly name = 'RecordRefusal';

  constructor(code: FaultCode, message: string) {
    super(message);
    this.code = code;
  }
}
