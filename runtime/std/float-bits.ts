// Owns moving NaN with all its bits. The language lets an engine change the bits of a NaN wherever it passes as a number;
// bits that mean something must pass as integers. Knows no meaning of them.

/** Places of the two halves of a number in memory. */
const LOW = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? 0 : 1;
const HIGH = 1 - LOW;

/** Copies the number at `fromAt` bit by bit. Makes an object: for NaN, all others can be assigned. */
export function copyBits(from: Float64Array, fromAt: number, to: Float64Array, toAt: number): void {
  const source = halvesOf(from, fromAt);
  const target = halvesOf(to, toAt);
  target[0] = source[0];
  target[1] = source[1];
}

/** Puts the number with these halves, 32 bits each. */
export function putBits(to: Float64Array, at: number, high: number, low: number): void {
  const halves = halvesOf(to, at);
  halves[HIGH] = high;
  halves[LOW] = low;
}

/** The upper half: sign, exponent and 20 bits, as an unsigned integer. */
export function highBits(from: Float64Array, at: number): number {
  return halvesOf(from, at)[HIGH];
}

/** The lower half, as an unsigned integer. */
export function lowBits(from: Float64Array, at: number): number {
  return halvesOf(from, at)[LOW];
}

function halvesOf(column: Float64Array, at: number): Uint32Array {
  return new Uint32Array(column.buffer, column.byteOffset + at * 8, 2);
}
