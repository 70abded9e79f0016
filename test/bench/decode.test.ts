import { expect, test } from 'vitest';
import { decodeFigures } from '#test/bench/decode.ts';
import { formatFigures } from '#test/bench/formats.ts';

test('the decoding benchmark runs and computes the same each time', () => {
  const figures = decodeFigures(3000, 1);
  expect(figures.map((figure) => figure.check)).toEqual(decodeFigures(3000, 2).map((figure) => figure.check));
  for (const figure of figures) {
    expect(figure.nsPerItem).toBeGreaterThan(0);
    expect(Number.isFinite(figure.check)).toBe(true);
  }
});

test('the benchmark of formats runs, computes the same each time and finds no fault', () => {
  const figures = formatFigures(3000, 1);
  expect(figures.map((figure) => figure.check)).toEqual(formatFigures(3000, 2).map((figure) => figure.check));
  for (const figure of figures) expect(figure.nsPerItem).toBeGreaterThan(0);
  // The same samples in other formats: OTLP adds a target_info to each request.
  const check = (name: string) => figures.find((figure) => figure.name.includes(name))?.check;
  expect(check('avro, one')).toBe(check('auto, json'));
});
