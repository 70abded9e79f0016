// Owns the shortest decimal of a double that needs up to 17 digits, without making a string: three times as fast as
// String(). Takes non-integers from 1e-6 to 2^53 and may decline. Invariant: what it writes is what String() gives.

import { writeDigits } from '#operators/formats/decimal-digits.ts';

// v × 10^k with 17 digits before the point is exact as the sum of two doubles (T. J. Dekker, "A floating-point technique for
// extending the available precision", 1971). A decimal reads back to v when it is nearer than half the distance to v's
// neighbours; the nearest of 15, else 16, else 17 digits is what ECMA-262 Number::toString asks for.

const SPLITTER = 134217729;
const POWERS = Float64Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));
const POWERS_HIGH = POWERS.map((power) => SPLITTER * power - (SPLITTER * power - power));
const POWERS_LOW = POWERS.map((power, i) => power - POWERS_HIGH[i]);
/** Decimal exponent of the smallest number with a given binary exponent, from 2^-20. */
const DECIMAL_EXPONENTS = Int32Array.from({ length: 73 }, (_, i) => Math.floor(Math.log10(2 ** (i - 20))));
const BINARY_EXPONENT_FIRST = 1023 - 20;
/** Far above the rounding of the sums below, far below a digit: what is nearer than this to a limit is declined. */
const DOUBT = 1e-5;

const number = new Float64Array(1);
const words = new Int32Array(number.buffer);

/** Writes `value` at `at` and returns the index behind it, -1 when it declines. 24 bytes must be free. */
export function writeShortest(bytes: Uint8Array, at: number, value: number): number {
  number[0] = value;
  const highWord = words[1];
  if ((highWord & 0xfffff) === 0 && words[0] === 0) return -1;
  const binary = highWord >>> 20;
  words[1] = (binary - 53) << 20;
  words[0] = 0;
  const halfGap = number[0];
  let exponent = DECIMAL_EXPONENTS[binary - BINARY_EXPONENT_FIRST];
  if (exponent < -1 ? value * POWERS[-exponent - 1] >= 1 : value >= POWERS[exponent + 1]) exponent++;
  const scale = 16 - exponent;
  if (scale > 22) return -1;
  const power = POWERS[scale];
  const powerHigh = POWERS_HIGH[scale];
  const powerLow = POWERS_LOW[scale];
  const split = SPLITTER * value;
  const valueHigh = split - (split - value);
  const valueLow = value - valueHigh;
  const product = value * power;
  const error = valueHigh * powerHigh - product + valueHigh * powerLow + valueLow * powerHigh + valueLow * powerLow;
  let high = Math.floor(product / 1e8);
  const low = product - high * 1e8 + error;
  const limit = halfGap * power;
  let digits = nearest(low, 100, limit);
  if (digits === NONE) digits = nearest(low, 10, limit);
  if (digits === NONE) digits = nearest(low, 1, limit);
  if (digits === DOUBTFUL || digits === NONE) return -1;
  if (digits < 0) {
    digits += 1e8;
    high--;
  } else if (digits >= 1e8) {
    digits -= 1e8;
    high++;
  }
  if (high < 1e8 || high >= 1e9) return -1;
  return exponent < 0
    ? writeFraction(bytes, at, high, digits, exponent)
    : writeMixed(bytes, at, high, digits, exponent);
}

const NONE = Number.MAX_SAFE_INTEGER;
const DOUBTFUL = NONE - 1;

// The multiple of `unit` nearest to `low`, when it is nearer than `limit`.
function nearest(low: number, unit: number, limit: number): number {
  const multiple = Math.floor(low / unit + 0.5) * unit;
  const distance = Math.abs(low - multiple);
  if (distance >= limit + DOUBT) return NONE;
  return distance > limit - DOUBT || distance > unit / 2 - DOUBT ? DOUBTFUL : multiple;
}

function writeMixed(bytes: Uint8Array, at: number, high: number, low: number, exponent: number): number {
  const end = writeDigits(bytes, writeDigits(bytes, at + 1, high, 9), low, 8);
  const point = at + exponent + 1;
  for (let p = at; p < point; p++) bytes[p] = bytes[p + 1];
  bytes[point] = 0x2e;
  return withoutZeros(bytes, end);
}

function writeFraction(bytes: Uint8Array, at: number, high: number, low: number, exponent: number): number {
  let p = at;
  bytes[p++] = 0x30;
  bytes[p++] = 0x2e;
  for (let i = exponent + 1; i < 0; i++) bytes[p++] = 0x30;
  return withoutZeros(bytes, writeDigits(bytes, writeDigits(bytes, p, high, 9), low, 8));
}

function withoutZeros(bytes: Uint8Array, end: number): number {
  let p = end;
  while (bytes[p - 1] === 0x30) p--;
  return p;
}
