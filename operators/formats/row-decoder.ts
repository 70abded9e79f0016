// Owns what decoders of rollup rows have in common: what a row is in numbers, when it is sound, and its way into a batch.
// Knows no format. Invariant: a record is one row or one fault.

import { isTimestamp } from '#operators/formats/json-sample-scanner.ts';
import { type Batch, ROLLUP_VALUES } from '#runtime/task/contract.ts';

/** Why a record is no row. */
export interface RowFault {
  readonly code:
    | 'json-invalid'
    | 'avro-invalid'
    | 'snappy-invalid'
    | 'protobuf-invalid'
    | 'row-invalid'
    | 'timestamp-ahead';
  readonly message: string;
}

/** Where a row comes from, and how far ahead it may be. */
export interface RowOrigin {
  partition: number;
  offset: number;
  skewLimitMs: number;
}

export interface RowDecoder {
  /**
   * Appends the row in bytes[start, end) to a batch with rollup columns; what is wrong with it, or null. The slot is that
   * of the series whose metric name is followed by `:<resolution>`. Error: series-limit.
   */
  decode(bytes: Buffer, start: number, end: number, origin: RowOrigin, batch: Batch): RowFault | null;
}

const RESOLUTION = /^[0-9A-Za-z_]{1,16}$/;
const VALUES = ROLLUP_VALUES.length;

/** Places in the numbers of a row: the window, the values as ROLLUP_VALUES names them, run and revision. */
export const FROM = 0;
export const TO = 1;
export const FIRST_VALUE = 2;
export const RUN = FIRST_VALUE + VALUES;
export const REVISION = RUN + 1;
export const ROW_NUMBERS = REVISION + 1;

export function rowInvalid(message: string): RowFault {
  return { code: 'row-invalid', message: `the record is no rollup row: ${message}` };
}

export const OUT_OF_RANGE = 'its window, run or revision is out of range';
const AHEAD: RowFault = {
  code: 'timestamp-ahead',
  message: 'its window ends further ahead of the clock than maxSkew',
};

export function isResolution(text: unknown): text is string {
  return typeof text === 'string' && RESOLUTION.test(text);
}

/** Whether window, run and revision can be those of a row. */
export function isSoundRow(numbers: Float64Array): boolean {
  const { [FROM]: from, [TO]: to } = numbers;
  if (!isTimestamp(from) || !isTimestamp(to) || from >= to) return false;
  return isCounter(numbers[RUN]) && isCounter(numbers[REVISION]);
}

function isCounter(value: number): boolean {
  return value >= 0 && value === (value | 0);
}

/** The fault of a row that ends further ahead than it may, else null. */
export function aheadFault(numbers: Float64Array, origin: RowOrigin): RowFault | null {
  return numbers[TO] - 1 > origin.skewLimitMs ? AHEAD : null;
}

export function appendRow(slot: number, numbers: Float64Array, origin: RowOrigin, batch: Batch): void {
  const row = batch.count;
  if (row === batch.capacity) batch.grow();
  const rollups = batch.rollups!;
  const timestampMs = numbers[TO] - 1;
  batch.count = row + 1;
  batch.timestampMs[row] = timestampMs;
  batch.key[row] = slot;
  batch.originPartition[row] = origin.partition;
  batch.originOffset[row] = origin.offset;
  rollups.windowStartMs[row] = numbers[FROM];
  rollups.windowEndMs[row] = numbers[TO];
  for (let v = 0; v < VALUES; v++) rollups.values[row * VALUES + v] = numbers[FIRST_VALUE + v];
  rollups.run[row] = numbers[RUN];
  rollups.revision[row] = numbers[REVISION];
  if (timestampMs > batch.maxTimestampMs) batch.maxTimestampMs = timestampMs;
}
