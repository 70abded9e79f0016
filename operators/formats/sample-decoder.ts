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

export interface SampleDecoder {
  /** NaN, infinite and stale samples of the last record: good samples without a row. */
  readonly notFinite: number;
  /** What was wrong with the last record, by part: the first FAULTS_MAX of `faultCount`. */
  readonly faults: readonly SampleFault[];
  readonly faultCount: number;
  /** Whether the last record had parts: then a fault concerns one part and the other parts became rows. */
  readonly hasParts: boolean;
  /** Event times above this are faults. */
  skewLimitMs: number;
  /**
   * Appends the samples in bytes[start, end) to the batch. Leaves what went wrong in `faults`. Errors: series-limit and
   * what `admit` throws.
   */
  decode(bytes: Buffer, start: number, end: number, originPartition: number, originOffset: number, batch: Batch): void;
}

/** Asked before a series gets its first slot; throws to refuse it. */
export type SeriesAdmission = (canonical: Buffer, hash: number) => void;

export interface SampleDecoderOptions extends RawSeriesCacheOptions {
  readonly table: SeriesTable;
  readonly admit?: SeriesAdmission;
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
