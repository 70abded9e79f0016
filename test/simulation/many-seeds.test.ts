// Thousands of worlds, every promise kept in each, and every trouble and every branch of recovery met in some.

import { availableParallelism } from 'node:os';
import { expect, test } from 'vitest';
import { Coverage } from '#test/simulation/coverage.ts';
import { missing } from '#test/simulation/must-happen.ts';
import { SeedPool } from '#test/simulation/seed-pool.ts';

const SEEDS = 2_000;
/** Only against what hangs: a machine is as busy as it is. */
const TIMEOUT_MS = 5_400_000;

test(`keeps every promise in ${SEEDS} worlds, and every trouble happens`, { timeout: TIMEOUT_MS }, async () => {
  const coverage = new Coverage();
  // Other tests run beside it, some with brokers.
  const pool = new SeedPool({ workers: Math.max(1, Math.min(Math.floor(availableParallelism() / 2), 8)) });
  const seeds = Array.from({ length: SEEDS }, (_, i) => i + 1);
  const startedMs = performance.now();
  const broken = await pool.runAll(seeds, (outcome) => {
    if (!outcome.broken) coverage.addAll(outcome.counts);
  });
  await pool.close();
  const replay = `replay it: npm run sim -- --seed ${broken?.seed}`;
  expect(broken, `${replay}\n${broken?.stack}`).toBeNull();
  console.log(`${SEEDS} seeds in ${((performance.now() - startedMs) / 1000).toFixed(0)} s`);
  expect(missing(coverage)).toEqual([]);
  expect(coverage.get('drained')).toBeGreaterThan(SEEDS * 0.95);
  expect(coverage.get('rows')).toBeGreaterThan(SEEDS * 20);
});
