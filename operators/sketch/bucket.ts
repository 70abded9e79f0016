// Owns the mapping between values and buckets of the base-2 exponential histogram of scale 6 (OpenTelemetry's
// mapping: bucket i holds (2^(i/64), 2^((i+1)/64)]), from the double's bits and without logarithms. A bucket code is
// positive for positive values, 0 for zero and mirrored for negative ones. Invariant: codes sort as values do.

import { invariant } from '#runtime/std/errors.ts';

/** Buckets per power of two: 2^6. */
const BUCKETS_PER_OCTAVE = 64;
/** Added to the bucket index of a positive value; the smallest subnormal gets code 1. */
const CODE_OFFSET = 1074 * BUCKETS_PER_OCTAVE + 2;
const CELLS = 128;
const CELL_SHIFT = 13;
const EXPONENT_BIAS = 1023;
const CODE_OF_EXPONENT_0 = CODE_OFFSET - EXPONENT_BIAS * BUCKETS_PER_OCTAVE;
const NO_BOUND = 0x7fffffffn << 32n;
/** Width of a bucket, and what brings its lower bound to its centre: 2b / (1 + b). */
const BASE = 2 ** (1 / BUCKETS_PER_OCTAVE);
const CENTRE = (2 * BASE) / (1 + BASE);
const TWO_54 = 2 ** 54;

/** Largest code there is: that of Number.MAX_VALUE. The smallest is its negative. */
export const CODE_MAX = 1023 * BUCKETS_PER_OCTAVE + 63 + CODE_OFFSET;

const BOUNDS = Array.from({ length: BUCKETS_PER_OCTAVE }, (_, k) => exactBound(k));
// The mantissa is cut into 128 cells, narrower than any bucket, so a cell holds at most one bound. For each cell: the
// bucket (within its octave, -1: last of the octave below) at its start, and the bound within it in two halves.
const CELL_BUCKET = Int32Array.from({ length: CELLS }, (_, cell) => bucketAt(cell));
const CELL_BOUND_HIGH = Int32Array.from({ length: CELLS }, (_, cell) => Number(boundIn(cell) >> 32n));
const CELL_BOUND_LOW = Uint32Array.from({ length: CELLS }, (_, cell) => Number(boundIn(cell) & 0xffffffffn));
/** Estimate of the buckets of the octave [1, 2): halfway in relative terms. */
const ESTIMATE = Float64Array.from(BOUNDS, (bound) => (Number(bound) / 2 ** 52) * CENTRE);

const scratch = new Float64Array(1);
const scratchBits = new Int32Array(scratch.buffer);

// Bounds are the integers floor(2^52 * 2^(k/64)), found exactly: m is one when m^64 <= 2^(52*64 + k) < (m+1)^64.
function exactBound(k: number): bigint {
  let bound = BigInt(Math.floor(2 ** (k / BUCKETS_PER_OCTAVE) * 2 ** 52));
  const target = 1n << BigInt(52 * BUCKETS_PER_OCTAVE + k);
  while (bound ** 64n > target) bound--;
  while ((bound + 1n) ** 64n <= target) bound++;
  return bound;
}

function cellStart(cell: number): bigint {
  return (1n << 52n) + (BigInt(cell) << 45n);
}

function bucketAt(cell: number): number {
  return BOUNDS.filter((bound) => bound < cellStart(cell)).length - 1;
}

/** Mantissa bits of the bound within a cell, or more than any mantissa has. */
function boundIn(cell: number): bigint {
  const bound = BOUNDS[bucketAt(cell) + 1];
  return bound === undefined || bound >= cellStart(cell + 1) ? NO_BOUND : bound - (1n << 52n);
}

/** Bucket code of a finite value, given its bits as two halves (signed or unsigned). */
export function codeOfBits(high: number, low: number): number {
  const exponent = (high >>> 20) & 0x7ff;
  if (exponent === 0) return codeOfTiny(high, low);
  const mantissa = high & 0xfffff;
  const cell = mantissa >>> CELL_SHIFT;
  const bound = CELL_BOUND_HIGH[cell];
  let code = CELL_BUCKET[cell] + exponent * BUCKETS_PER_OCTAVE + CODE_OF_EXPONENT_0;
  if (mantissa > bound || (mantissa === bound && low >>> 0 > CELL_BOUND_LOW[cell])) code++;
  return high < 0 ? -code : code;
}

/** Zero and subnormal values; scaling by 2^54 is exact. */
function codeOfTiny(high: number, low: number): number {
  if ((high & 0x7fffffff) === 0 && low === 0) return 0;
  const magnitude = (high & 0x7fffffff) * 2 ** 32 + (low >>> 0);
  scratch[0] = magnitude * 2 ** -1074 * TWO_54;
  const code = codeOfBits(scratchBits[1], scratchBits[0]) - 54 * BUCKETS_PER_OCTAVE;
  return high < 0 ? -code : code;
}

/** Bucket code of a finite value; the bits' halves are those of a little-endian machine, as everywhere here. */
export function codeOf(value: number): number {
  invariant(Number.isFinite(value), `value ${value} has no bucket`);
  scratch[0] = value;
  return codeOfBits(scratchBits[1], scratchBits[0]);
}

// Direct-mapped memory of estimates: a bucket's decimal is costly to find (0.3 µs) and asked for again and again.
const KNOWN = 1024;
const knownCode = new Int32Array(KNOWN);
const knownEstimate = new Float64Array(KNOWN);

/**
 * The value that stands for a bucket: within 0.542 % of every value in it (subnormal ones round to what there is). It
 * has six significant digits, because more say nothing and cost time and bytes wherever they are printed.
 */
export function estimateOf(code: number): number {
  if (code === 0) return 0;
  const place = code & (KNOWN - 1);
  if (knownCode[place] === code) return knownEstimate[place];
  const estimate = Number(centreOf(code).toPrecision(6));
  knownCode[place] = code;
  knownEstimate[place] = estimate;
  return estimate;
}

function centreOf(code: number): number {
  const index = (code < 0 ? -code : code) - CODE_OFFSET;
  const exponent = index >> 6;
  const mantissa = ESTIMATE[index & 63];
  const value =
    exponent >= -1022 ? mantissa * powerOfTwo(exponent) : mantissa * 2 ** -1022 * powerOfTwo(exponent + 1022);
  return code < 0 ? -value : value;
}

function powerOfTwo(exponent: number): number {
  scratchBits[0] = 0;
  scratchBits[1] = (exponent + EXPONENT_BIAS) << 20;
  return scratch[0];
}
