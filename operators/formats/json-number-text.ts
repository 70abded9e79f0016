// Owns writing numbers as JSON text into bytes, exactly as JSON.stringify writes them: the shortest digits that read
// back to the same number, 0 for -0, null for what JSON has no number for. No string is made for the usual numbers.

import { writeDigits, writeInteger } from '#operators/formats/decimal-digits.ts';
import { writeShortest } from '#operators/formats/shortest-decimal.ts';

/** Most bytes that one number takes. */
export const NUMBER_BYTES_MAX = 32;

const INTEGER_MAX = 9007199254740992;
/** Decimals of at most 15 digits are all different numbers, so one that reads back right is the shortest one. */
const EXACT_MAX = 1e15;

/** Writes `value` at `at` and returns the index behind it; NUMBER_BYTES_MAX bytes must be free. */
export function writeNumber(bytes: Uint8Array, at: number, value: number): number {
  let p = at;
  let rest = value;
  if (rest < 0) {
    rest = -rest;
    bytes[p++] = 0x2d;
  }
  if (rest < INTEGER_MAX) {
    if (Math.floor(rest) === rest) return writeInteger(bytes, p, rest);
    const thousands = Math.floor(rest * 1000 + 0.5);
    if (thousands < EXACT_MAX && thousands / 1000 === rest) return writeDecimal(bytes, p, thousands, 3);
    const millionths = Math.floor(rest * 1e6 + 0.5);
    if (millionths < EXACT_MAX && millionths / 1e6 === rest) return writeDecimal(bytes, p, millionths, 6);
    const end = rest >= 1e-6 ? writeShortest(bytes, p, rest) : -1;
    if (end >= 0) return end;
  }
  return writeText(bytes, at, Number.isFinite(value) ? String(value) : 'null');
}

// `scaled` / 10^`scale`, not an integer, with the zeros at the end left out.
function writeDecimal(bytes: Uint8Array, at: number, scaled: number, scale: number): number {
  const unit = scale === 3 ? 1000 : 1000000;
  const whole = Math.floor(scaled / unit);
  let fraction = (scaled - whole * unit) | 0;
  let digits = scale;
  while (fraction % 10 === 0) {
    fraction = (fraction / 10) | 0;
    digits--;
  }
  const point = writeInteger(bytes, at, whole);
  bytes[point] = 0x2e;
  return writeDigits(bytes, point + 1, fraction, digits);
}

function writeText(bytes: Uint8Array, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
  return at + text.length;
}
