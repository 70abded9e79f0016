// Some hundred worlds, every promise kept in each, and most troubles and branches of recovery met in some. Thousands, in
// which all must happen, are `npm run sim -- --seeds 10000`.

import { availableParallelism } from 'node:os';
import { expect, test } from 'vitest';
import { Coverage } from '#test/simulation/coverage.ts';
import { MUST_HAPPEN, missing } from '#test/simulation/must-happen.ts';
import { SeedPool } from '#test/simulation/seed-pool.ts';

const SEEDS = 300;
/** Only against what hangs: a machine is as busy as it is. */
const TIMEOUT_MS = 5_400_000;

test(`keeps every promise in ${SEEDS} worlds, and troubles happen`, { timeout: TIMEOUT_MS }, async () => {
  const coverage = new Coverage();
  // Other tests run beside it, some with brokers.
  const pool = new SeedPool({ workers: Math.max(1, Math.min(Math.floor(availableParallelism() / 2), 8)) });
  const seeds = Array.from({ length: SEEDS }, (_, i) => i + 1);
  const broken = await pool.runAll(seeds, (outcome) => {
    if (!outcome.broken) coverage.addAll(outcome.counts);
  });
  await pool.close();
  const replay = `replay it: npm run sim -- --seed ${broken?.seed}`;
  expect(broken, `${replay}\n${broken?.stack}`).toBeNull();
  expect(missing(coverage).length, missing(coverage).join()).toBeLessThan(MUST_HAPPEN.length / 8);
  expect(coverage.get('drained')).toBeGreaterThan(SEEDS * 0.95);
  expect(coverage.get('rows')).toBeGreaterThan(SEEDS * 20);
});
