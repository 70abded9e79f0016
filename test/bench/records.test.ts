import { expect, test } from 'vitest';
import { recordFigures } from '#test/bench/records.ts';

test('the benchmark of operators over records runs and gives the same results each time', () => {
  const figures = recordFigures(20_000);
  const results = (of: typeof figures) => of.map(({ name, results }) => [name, results]);
  expect(results(recordFigures(20_000))).toEqual(results(figures));
  for (const { nsPerRecord } of figures) expect(nsPerRecord).toBeGreaterThan(0);
  expect(figures.find(({ name }) => name.startsWith('interval join'))?.results).toBeGreaterThan(0);
});
