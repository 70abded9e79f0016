import { expect, test } from 'vitest';
import { JsonNumberScanner } from '#operators/formats/json-number.ts';
import { NUMBER_BYTES_MAX, writeNumber } from '#operators/formats/json-number-text.ts';
import { numberText, seeded } from '#test/operators/formats/sample-generator.ts';

const scanner = new JsonNumberScanner();

function scan(text: string): { value: number; end: number } {
  const bytes = Buffer.from(`xx${text},1`);
  const value = scanner.scan(bytes, 2);
  return { value, end: scanner.end < 0 ? -1 : scanner.end - 2 };
}

test('reads every number as JSON.parse does, bit by bit', () => {
  const next = seeded(11);
  for (let i = 0; i < 200_000; i++) {
    const text = numberText(next);
    const { value, end } = scan(text);
    if (!Object.is(value, JSON.parse(text)) || end !== text.length) expect({ text, value, end }).toBe(JSON.parse(text));
  }
});

test.each([
  '0',
  '-0',
  '-0.0',
  '0.000001',
  '9007199254740991',
  '9007199254740992',
  '9007199254740993',
  '90071992547409.91',
  '123456789012345678',
  '0.1e-400',
  '1E400',
  '0.00000000000000000000001',
  '1e22',
  '1e23',
  '1.7976931348623157e308',
])('reads %s exactly', (text) => {
  expect(scan(text)).toEqual({ value: JSON.parse(text), end: text.length });
});

test.each(['', '-', '.5', '1.', '1.e5', '1e', '1e+', '+1', 'x', '-x', '--1'])('refuses %j', (text) => {
  expect(scan(text).end).toBe(-1);
});

test.each(['01', '-01', '00'])('stops in %s where the JSON number ends', (text) => {
  expect(scan(text).end).toBe(text.lastIndexOf('0') === 0 ? 1 : text.length - 1);
});

function written(value: number): string {
  const bytes = Buffer.alloc(NUMBER_BYTES_MAX + 4, 0xff);
  const end = writeNumber(bytes, 2, value);
  if (end - 2 > NUMBER_BYTES_MAX) throw new RangeError(`${value} takes ${end - 2} bytes`);
  return bytes.toString('latin1', 2, end);
}

function expectAsStringify(value: number): void {
  const text = written(value);
  if (text !== JSON.stringify(value)) expect(text).toBe(JSON.stringify(value));
}

test('writes every number as JSON.stringify does', () => {
  const next = seeded(12);
  const bits = new DataView(new ArrayBuffer(8));
  for (let i = 0; i < 150_000; i++) {
    expectAsStringify(Number(numberText(next)));
    expectAsStringify((next() - 0.5) * 10 ** Math.floor(next() * 12));
    expectAsStringify(Math.round(next() * 1e6) / 10 ** Math.floor(next() * 8));
    expectAsStringify(Math.floor(next() * 10 ** Math.floor(next() * 17)));
    expectAsStringify(
      (Math.round(next() * 1e5) / 100 + Math.round(next() * 1e5) / 100 + Math.round(next() * 1e5) / 100) / 3,
    );
    bits.setInt32(0, next() * 2 ** 32);
    bits.setInt32(4, next() * 2 ** 32);
    expectAsStringify(bits.getFloat64(0));
  }
});

test('writes the neighbours of powers of two and ten as JSON.stringify does', () => {
  const bits = new DataView(new ArrayBuffer(8));
  const powers = [];
  for (let exponent = -40; exponent < 80; exponent++)
    powers.push(2 ** exponent, Number(`1e${exponent}`), 3 * 2 ** exponent);
  for (const power of powers) {
    bits.setFloat64(0, power);
    const middle = bits.getBigInt64(0);
    for (let step = -40n; step <= 40n; step++) {
      bits.setBigInt64(0, middle + step);
      expectAsStringify(bits.getFloat64(0));
      expectAsStringify(-bits.getFloat64(0));
    }
  }
});

test.each([
  [-0, '0'],
  [Number.NaN, 'null'],
  [Number.POSITIVE_INFINITY, 'null'],
  [Number.NEGATIVE_INFINITY, 'null'],
  [9007199254740991, '9007199254740991'],
  [1e21, '1e+21'],
  [5e-324, '5e-324'],
  [0.1 + 0.2, '0.30000000000000004'],
  [-1.5, '-1.5'],
])('writes %d as %s', (value, text) => {
  expect(written(value)).toBe(text);
});
