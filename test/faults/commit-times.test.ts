import { expect, test } from 'vitest';
import { longestGap, quantile, silenceAround } from './commit-times.ts';

test('a silence begins with the fault and ends with the first commit after it', () => {
  expect(silenceAround([100, 900, 3000, 3200], 1000, 1500)).toEqual({ fromMs: 1000, toMs: 3000 });
});

test('what was on its way when the fault came does not end the silence', () => {
  expect(silenceAround([900, 1100, 5000, 5200], 1000, 1500)).toEqual({ fromMs: 1100, toMs: 5000 });
});

test('who was not hit has a short silence', () => {
  expect(silenceAround([900, 1100, 1300, 1450, 1700, 9000], 1000, 1500)).toEqual({ fromMs: 1450, toMs: 1700 });
});

test('a silence that is not over is not told', () => {
  expect(silenceAround([900, 1100], 1000, 1500)).toBeNull();
  expect(silenceAround([], 1000, 1500)).toBeNull();
  expect(silenceAround([500, 800], 1000, 1000)).toBeNull();
});

test('the longest silence of a time counts, wherever it lies', () => {
  expect(silenceAround([1000, 1200, 4000, 4100, 5000, 6000], 1000, 4500)).toEqual({ fromMs: 1200, toMs: 4000 });
});

test('a gap is cut at both ends', () => {
  expect(longestGap([0, 100, 2000, 2100, 9000], 1000, 3000)).toBe(1000);
  expect(longestGap([1100, 2900], 1000, 3000)).toBe(1800);
  expect(longestGap([], 1000, 3000)).toBe(2000);
  expect(longestGap([1500, 1600, 8000], 1000, 3000)).toBe(1400);
});

test('quantiles are values that were seen', () => {
  const values = Array.from({ length: 200 }, (_, index) => index + 1).toReversed();
  expect([0, 0.5, 0.99, 1].map((share) => quantile(values, share))).toEqual([1, 100, 198, 200]);
  expect(quantile([], 0.5)).toBeNull();
});
