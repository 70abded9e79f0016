// Owns the digits of integers as ASCII bytes: the part that all number texts share. Knows no sign, point or exponent.

const DIGIT_PAIRS = Uint8Array.from(
  Buffer.from(Array.from({ length: 100 }, (_, i) => String(i).padStart(2, '0')).join('')),
);

/** Writes a non-negative integer below 2^53. */
export function writeInteger(bytes: Uint8Array, at: number, value: number): number {
  if (value < 1e9) return writeDigits(bytes, at, value, digitCount(value));
  const high = Math.floor(value / 1e8);
  const low = value - high * 1e8;
  return writeDigits(bytes, writeDigits(bytes, at, high, digitCount(high)), low, 8);
}

/** Writes exactly `digits` digits of an integer below 2^31, zeros in front. */
export function writeDigits(bytes: Uint8Array, at: number, value: number, digits: number): number {
  const end = at + digits;
  let p = end;
  let rest = value | 0;
  while (p - at >= 2) {
    const next = (rest / 100) | 0;
    const pair = (rest - next * 100) << 1;
    bytes[--p] = DIGIT_PAIRS[pair + 1];
    bytes[--p] = DIGIT_PAIRS[pair];
    rest = next;
  }
  if (p > at) bytes[at] = 0x30 + rest;
  return end;
}

function digitCount(value: number): number {
  if (value < 1e4) {
    if (value < 100) return value < 10 ? 1 : 2;
    return value < 1000 ? 3 : 4;
  }
  if (value < 1e6) return value < 1e5 ? 5 : 6;
  if (value < 1e8) return value < 1e7 ? 7 : 8;
  return value < 1e9 ? 9 : 10;
}
