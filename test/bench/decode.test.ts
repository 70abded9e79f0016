import { expect, test } from 'vitest';
import { decodeFigures } from '#test/bench/decode.ts';

test('the decoding benchmark runs and computes the same each time', () => {
  const figures = decodeFigures(3000, 1);
  expect(figures.map((figure) => figure.check)).toEqual(decodeFigures(3000, 2).map((figure) => figure.check));
  for (const figure of figures) {
    expect(figure.nsPerItem).toBeGreaterThan(0);
    expect(Number.isFinite(figure.check)).toBe(true);
  }
});
