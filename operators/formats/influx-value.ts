// Owns the numbers of Influx line protocol: field values (float, integer, unsigned, boolean) and timestamps in their
// units. Knows no line. Invariant: a number is the nearest double of what is written, a timestamp the millisecond it
// lies in, before 1970 too.

import { JsonNumberScanner } from '#operators/formats/json-number.ts';
import { TIMESTAMP_MAX_MS } from '#operators/formats/json-sample-scanner.ts';

export type InfluxPrecision = 'ns' | 'us' | 'ms' | 's';
export const INFLUX_PRECISIONS: readonly InfluxPrecision[] = ['ns', 'us', 'ms', 's'];

/** Decimal digits that a unit has below the millisecond; negative: above. */
const SUB_MS_DIGITS: Readonly<Record<InfluxPrecision, number>> = { ns: 6, us: 3, ms: 0, s: -3 };

const ZERO = 0x30;
const NINE = 0x39;
const MINUS = 0x2d;
const INTEGER = 0x69;
const UNSIGNED = 0x75;
const EXACT_DIGITS = 15;
/** Longest text that is looked at; a double needs 17 digits. */
const TEXT_BYTES_MAX = 400;

const FLOAT = /^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/;
const SIGNED_TEXT = /^[+-]?[0-9]+$/;
const UNSIGNED_TEXT = /^[0-9]+$/;
const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const UINT64_MAX = 2n ** 64n - 1n;

const TRUE = ['t', 'T', 'true', 'True', 'TRUE'];
const FALSE = ['f', 'F', 'false', 'False', 'FALSE'];

export class InfluxValueReader {
  /** Whether the value that was read last is one. */
  ok = false;
  readonly #number = new JsonNumberScanner();

  /** The value bytes[start, end), which is no string: booleans are 1 and 0. */
  read(bytes: Buffer, start: number, end: number): number {
    const last = end > start ? bytes[end - 1] : 0;
    if (last === INTEGER || last === UNSIGNED) return this.#integer(bytes, start, end - 1, last === UNSIGNED);
    const value = this.#number.scan(bytes, start);
    this.ok = this.#number.end === end;
    return this.ok ? value : this.#unusual(bytes, start, end);
  }

  #integer(bytes: Buffer, start: number, end: number, isUnsigned: boolean): number {
    const negative = !isUnsigned && bytes[start] === MINUS;
    const first = negative ? start + 1 : start;
    let value = 0;
    let p = first;
    while (p < end && bytes[p] >= ZERO && bytes[p] <= NINE) value = value * 10 + bytes[p++] - ZERO;
    this.ok = p === end && p > first;
    if (this.ok && p - first <= EXACT_DIGITS) return negative ? -value : value;
    return this.#longInteger(bytes, start, end, isUnsigned);
  }

  #longInteger(bytes: Buffer, start: number, end: number, isUnsigned: boolean): number {
    const text = bytes.toString('latin1', start, Math.min(end, start + TEXT_BYTES_MAX + 1));
    this.ok = text.length <= TEXT_BYTES_MAX && (isUnsigned ? UNSIGNED_TEXT : SIGNED_TEXT).test(text);
    if (!this.ok) return Number.NaN;
    const exact = BigInt(text.replace('+', ''));
    this.ok = isUnsigned ? exact <= UINT64_MAX : exact >= INT64_MIN && exact <= INT64_MAX;
    return Number(exact);
  }

  #unusual(bytes: Buffer, start: number, end: number): number {
    const text = bytes.toString('latin1', start, Math.min(end, start + TEXT_BYTES_MAX + 1));
    this.ok = true;
    if (text.length <= TEXT_BYTES_MAX && FLOAT.test(text)) return Number(text);
    if (TRUE.includes(text)) return 1;
    if (FALSE.includes(text)) return 0;
    this.ok = false;
    return Number.NaN;
  }
}

/** Milliseconds of a timestamp bytes[start, end) in that unit, NaN when it is none or out of range. */
export function influxTimestampMs(bytes: Buffer, start: number, end: number, precision: InfluxPrecision): number {
  const negative = bytes[start] === MINUS;
  let p = negative ? start + 1 : start;
  if (p >= end) return Number.NaN;
  const below = SUB_MS_DIGITS[precision];
  const wholeEnd = Math.max(p, end - Math.max(0, below));
  let ms = 0;
  for (; p < wholeEnd; p++) {
    const digit = bytes[p] - ZERO;
    if (digit < 0 || digit > 9) return Number.NaN;
    if (ms <= TIMESTAMP_MAX_MS) ms = ms * 10 + digit;
  }
  let rest = 0;
  for (; p < end; p++) {
    const digit = bytes[p] - ZERO;
    if (digit < 0 || digit > 9) return Number.NaN;
    rest |= digit;
  }
  if (below < 0) ms *= 1000;
  if (negative) ms = rest === 0 ? 0 - ms : -1 - ms;
  return ms <= TIMESTAMP_MAX_MS && ms >= -TIMESTAMP_MAX_MS ? ms : Number.NaN;
}
