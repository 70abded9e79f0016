// Owns reading one JSON number from bytes, correctly rounded. Knows no field and no sample. Invariant: the value is
// the one that JSON.parse gives for the same text, and text that is no JSON number is refused.

const POWERS_OF_TEN = Float64Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));
const ZERO = 0x30;

export class JsonNumberScanner {
  /** Index behind the number; -1 when there was none. */
  end = 0;

  /**
   * The number that starts at `at`. Integers below 2^53 over a power of ten up to 10^22 are one exact division (W. Clinger,
   * "How to read floating point numbers accurately"), everything else goes through Number().
   */
  scan(bytes: Buffer, at: number): number {
    let p = at;
    let byte = bytes[p];
    const negative = byte === 0x2d;
    if (negative) byte = bytes[++p];
    let high = 0;
    let low = 0;
    let digits = 0;
    let scale = 0;
    if (byte === ZERO) byte = bytes[++p];
    else {
      const first = p;
      for (; byte >= ZERO && byte <= 0x39; byte = bytes[++p]) {
        if (digits++ < 9) high = (Math.imul(high, 10) + byte - ZERO) | 0;
        else if (digits <= 17) low = (Math.imul(low, 10) + byte - ZERO) | 0;
      }
      if (p === first) return this.#none();
    }
    if (byte === 0x2e) {
      const first = p + 1;
      for (byte = bytes[++p]; byte >= ZERO && byte <= 0x39; byte = bytes[++p]) {
        if (digits === 0 && byte === ZERO) continue;
        if (digits++ < 9) high = (Math.imul(high, 10) + byte - ZERO) | 0;
        else if (digits <= 17) low = (Math.imul(low, 10) + byte - ZERO) | 0;
      }
      scale = p - first;
      if (scale === 0) return this.#none();
    }
    this.end = p;
    if (byte === 0x65 || byte === 0x45) return this.#exponent(bytes, at, p);
    if (digits > 17 || scale > 22) return Number(bytes.toString('latin1', at, p));
    const integer = digits > 9 ? high * POWERS_OF_TEN[digits - 9] + low : high;
    if (integer >= 9007199254740992) return Number(bytes.toString('latin1', at, p));
    const value = scale === 0 ? integer : integer / POWERS_OF_TEN[scale];
    return negative ? -value : value;
  }

  #exponent(bytes: Buffer, start: number, at: number): number {
    let p = at + 1;
    if (bytes[p] === 0x2b || bytes[p] === 0x2d) p++;
    const first = p;
    while (bytes[p] >= ZERO && bytes[p] <= 0x39) p++;
    if (p === first) return this.#none();
    this.end = p;
    return Number(bytes.toString('latin1', start, p));
  }

  #none(): number {
    this.end = -1;
    return Number.NaN;
  }
}

/** Whether four bytes, read as a little-endian word, are decimal digits. */
export function areDigits(bits: number): boolean {
  return ((bits & 0xf0f0f0f0) | (((bits + 0x06060606) & 0xf0f0f0f0) >>> 4)) === 0x33333333;
}

/** The number that four digits write. */
export function fourDigits(bits: number): number {
  const digits = bits & 0x0f0f0f0f;
  const pairs = (Math.imul(digits, 10) + (digits >>> 8)) & 0x00ff00ff;
  return (pairs & 0xff) * 100 + (pairs >>> 16);
}
