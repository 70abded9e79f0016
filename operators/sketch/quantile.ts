// Owns reading quantiles from a sketch: nearest rank over sorted (bucket code, count) pairs. Changes nothing.

import { estimateOf } from '#operators/sketch/bucket.ts';
import { invariant } from '#runtime/std/errors.ts';

/** Quantiles are taken at a resolution of a millionth, so that 0.95 means 95/100 and not the nearest double. */
const RESOLUTION = 1_000_000;

/** Rank ⌈q·count⌉ of a quantile, from 1. */
export function nearestRank(q: number, count: number): number {
  return Math.max(1, Math.ceil((Math.round(q * RESOLUTION) * count) / RESOLUTION));
}

/**
 * The value at `q` (0 to 1) of `count` values in `pairs` pairs (code, count) at `sketch[start]`, sorted by code: within
 * 0.542 % of the value of that rank, within [min, max], and exact for the first and the last rank.
 */
export function quantile(
  q: number,
  count: number,
  sketch: Int32Array,
  start: number,
  pairs: number,
  min: number,
  max: number,
): number {
  invariant(pairs > 0, 'quantile of an empty sketch');
  const rank = nearestRank(q, count);
  if (rank === 1) return min;
  if (rank >= count) return max;
  const end = start + 2 * pairs;
  let seen = 0;
  let at = start;
  for (; at < end - 2; at += 2) {
    seen += sketch[at + 1];
    if (seen >= rank) break;
  }
  return Math.min(max, Math.max(min, estimateOf(sketch[at])));
}
