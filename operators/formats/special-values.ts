// Owns what NaN means in a sample: Prometheus tells stale markers (its series ended) from other NaN by their bits. Invariant:
// a NaN goes from column to column by its bits, never as a number.

import type { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import { copyBits, highBits, lowBits, putBits } from '#runtime/std/float-bits.ts';

export const STALE_HIGH = 0x7ff00000;
export const STALE_LOW = 2;
/** The NaN that Prometheus writes for one that was counted. */
export const NAN_HIGH = 0x7ff80000;
export const NAN_LOW = 1;

/** Copies a value; faster than `copyBits` where it is a number. */
export function copyValue(from: Float64Array, fromAt: number, to: Float64Array, toAt: number): void {
  const value = from[fromAt];
  if (Number.isNaN(value)) copyBits(from, fromAt, to, toAt);
  else to[toAt] = value;
}

/** Appends a value, eight bytes, little end first. */
export function writeValue(out: ByteWriter, from: Float64Array, at: number): void {
  if (!Number.isNaN(from[at])) {
    out.f64(from[at]);
    return;
  }
  out.ensure(8);
  out.length = out.bytes.writeUInt32LE(lowBits(from, at), out.length);
  out.length = out.bytes.writeUInt32LE(highBits(from, at), out.length);
}

/** Reads what `writeValue` wrote. */
export function readValue(input: ByteReader, to: Float64Array, at: number): void {
  const from = input.at;
  to[at] = input.f64();
  if (Number.isNaN(to[at])) putBits(to, at, input.bytes.readUInt32LE(from + 4), input.bytes.readUInt32LE(from));
}

export function putStaleMarker(to: Float64Array, at: number): void {
  putBits(to, at, STALE_HIGH, STALE_LOW);
}

/** A NaN that means no more than that. */
export function putNaN(to: Float64Array, at: number): void {
  putBits(to, at, NAN_HIGH, NAN_LOW);
}

export function isStaleMarker(from: Float64Array, at: number): boolean {
  return Number.isNaN(from[at]) && highBits(from, at) === STALE_HIGH && lowBits(from, at) === STALE_LOW;
}
