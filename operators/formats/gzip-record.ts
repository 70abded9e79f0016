// Owns looking into records that a producer compressed by itself with gzip: found by their magic bytes, which begin no
// record of any format. Invariant: what comes out is bounded before it is made.

import { gunzipSync } from 'node:zlib';
import { RECORD_BYTES_MAX, RecordRefusal } from '#operators/formats/sample-decoder.ts';

const MAGIC_1 = 0x1f;
const MAGIC_2 = 0x8b;

export function isGzip(bytes: Buffer, start: number, end: number): boolean {
  return end - start > 2 && bytes[start] === MAGIC_1 && bytes[start + 1] === MAGIC_2;
}

/** The content of a gzip file bytes[start, end). Error: RecordRefusal gzip-invalid. */
export function gunzipRecord(bytes: Buffer, start: number, end: number): Buffer {
  try {
    return gunzipSync(bytes.subarray(start, end), { maxOutputLength: RECORD_BYTES_MAX });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const isLarge = code === 'ERR_BUFFER_TOO_LARGE';
    throw new RecordRefusal(
      'gzip-invalid',
      isLarge ? `holds more than ${RECORD_BYTES_MAX} bytes` : `is no gzip: ${message}`,
    );
  }
}
