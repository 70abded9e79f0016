import { describe, expect, test } from 'vitest';
import { CODE_MAX, codeOf, estimateOf } from '#operators/sketch/bucket.ts';
import { Random } from '../windows/random.ts';

const ZERO_OFFSET = 1074 * 64 + 2;
const view = new DataView(new ArrayBuffer(8));

function fromBits(bits: bigint): number {
  view.setBigUint64(0, bits);
  return view.getFloat64(0);
}

/** value as mantissa * 2^exponent with an integer mantissa. */
function exactParts(value: number): { readonly mantissa: bigint; readonly exponent: number } {
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const biased = Number((bits >> 52n) & 0x7ffn);
  const fraction = bits & ((1n << 52n) - 1n);
  return biased === 0
    ? { mantissa: fraction, exponent: -1074 }
    : { mantissa: fraction | (1n << 52n), exponent: biased - 1075 };
}

/** Whether value > 2^(index/64), in integers: value^64 > 2^index. */
function exceedsBound(value: number, index: number): boolean {
  const { mantissa, exponent } = exactParts(value);
  const shift = index - exponent * 64;
  const power = mantissa ** 64n;
  return shift >= 0 ? power > 1n << BigInt(shift) : power << BigInt(-shift) > 1n;
}

function expectInBucket(value: number): void {
  const index = codeOf(value) - ZERO_OFFSET;
  expect(exceedsBound(value, index), `${value} lies above the lower bound of bucket ${index}`).toBe(true);
  expect(exceedsBound(value, index + 1), `${value} lies above the upper bound of bucket ${index}`).toBe(false);
}

describe('bucket codes', () => {
  test('follow the exact bounds, upper ones included, in exact arithmetic', () => {
    const random = new Random(1);
    for (let i = 0; i < 3000; i++) {
      const bits = (BigInt(random.below(0x7ff00000)) << 32n) | BigInt(random.below(2 ** 32));
      expectInBucket(bits === 0n ? 1 : fromBits(bits));
    }
  });

  test('are right on both sides of every bound of an octave', () => {
    for (let k = 0; k < 64; k++) {
      view.setFloat64(0, 2 ** (k / 64));
      const near = view.getBigUint64(0);
      for (let ulp = -3n; ulp <= 3n; ulp++) expectInBucket(fromBits(near + ulp));
    }
  });

  test('put powers of two into the bucket they close', () => {
    for (const exponent of [-1074, -1073, -1023, -1022, -1, 0, 1, 10, 1023]) {
      expect(codeOf(2 ** exponent)).toBe(exponent * 64 - 1 + ZERO_OFFSET);
    }
  });

  test('sort as values do, zero in the middle, negative ones mirrored', () => {
    const random = new Random(2);
    const values = [0, -0, Number.MAX_VALUE, -Number.MAX_VALUE, 5e-324, -5e-324, 2.2250738585072014e-308];
    for (let i = 0; i < 2000; i++) values.push((random.next() - 0.5) * 10 ** (random.below(600) - 300));
    values.sort((left, right) => left - right);
    for (let i = 1; i < values.length; i++) expect(codeOf(values[i])).toBeGreaterThanOrEqual(codeOf(values[i - 1]));
    expect(codeOf(0)).toBe(0);
    expect(codeOf(-0)).toBe(0);
    expect(codeOf(-42)).toBe(-codeOf(42));
    expect(codeOf(5e-324)).toBe(1);
    expect(codeOf(Number.MAX_VALUE)).toBe(CODE_MAX);
  });

  test('refuse what has no bucket', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      expect(() => codeOf(value)).toThrow('no bucket');
    }
  });
});

describe('estimates', () => {
  test('are within 0.542 % of every normal value, in six digits', () => {
    const random = new Random(3);
    let worst = 0;
    for (let i = 0; i < 20_000; i++) {
      const value = fromBits((BigInt(0x00100000 + random.below(0x7fe00000)) << 32n) | BigInt(random.below(2 ** 32)));
      const estimate = estimateOf(codeOf(value));
      worst = Math.max(worst, Math.abs(estimate - value) / value);
      expect(Number(estimate.toPrecision(6))).toBe(estimate);
    }
    expect(worst).toBeLessThan(0.00542);
    expect(worst).toBeGreaterThan(0.0053);
  });

  test('are within 0.55 % and one unit of subnormal values, and finite at the top', () => {
    for (let n = 1; n < 2000; n++) {
      const value = n * 5e-324;
      expect(Math.abs(estimateOf(codeOf(value)) - value)).toBeLessThanOrEqual(value * 0.0055 + 5e-324);
    }
    expect(Number.isFinite(estimateOf(CODE_MAX))).toBe(true);
    expect(estimateOf(CODE_MAX)).toBeLessThanOrEqual(Number.MAX_VALUE);
    expect(estimateOf(0)).toBe(0);
    expect(estimateOf(codeOf(-3))).toBe(-estimateOf(codeOf(3)));
  });
});
