// Owns the snappy codec of whole blocks, for everybody: the door of the package. Limits are the caller's: a block says
// in front what it claims to hold.

import { createRequire } from 'node:module';
import { lazily } from '#runtime/std/lazily.ts';

const snappy = lazily<typeof import('snappy')>(() => createRequire(import.meta.url)('snappy'));

/** A snappy block of bytes[start, end). */
export function compressSnappy(bytes: Buffer, start = 0, end = bytes.length): Buffer {
  return snappy().compressSync(bytes.subarray(start, end), { copyOutputData: true });
}

/**
 * The content of a block, whose size the caller has looked at. Copying out is eight times faster than memory made
 * outside of the heap (3.1 against 0.37 GB/s for 128 KiB).
 */
export function uncompressSnappy(block: Buffer): Buffer {
  const output = snappy().uncompressSync(block, { asBuffer: true, copyOutputData: true });
  return typeof output === 'string' ? Buffer.from(output) : output;
}
