// A process may die at any point of what it does to the world, and again while it comes back.

import { expect, test } from 'vitest';
import { MUTANTS } from '#test/simulation/mutants.ts';
import { attemptSeed, type SeedOrder } from '#test/simulation/seed-attempt.ts';
import { SeedPool } from '#test/simulation/seed-pool.ts';
import { sweep, sweepText } from '#test/simulation/sweep.ts';
import { readPoint } from '#test/simulation/world/operations.ts';

const TIMEOUT_MS = 1_800_000;

function order(golden: 'small' | 'tiny', ...points: string[]): SeedOrder {
  return { seed: 1, only: null, sweep: { golden, points: points.map(readPoint) } };
}

test('a small run keeps every promise, whichever request or disk operation is its last', {
  timeout: TIMEOUT_MS,
}, async () => {
  const pool = new SeedPool({ workers: 2 });
  const result = await sweep(pool, 'small', []);
  await pool.close();
  console.log(sweepText(result));
  expect(result.broken, sweepText(result)).toBeNull();
  expect(result.operations).toBeGreaterThan(200);
  expect(result.runs).toBe(1 + 2 * result.operations);
  // Not every request of the run without a crash is carried out before it ends.
  expect(result.crashed).toBeGreaterThan(result.runs * 0.98);
});

test('a tiny run keeps them, whichever two are', { timeout: TIMEOUT_MS }, async () => {
  const pool = new SeedPool({ workers: 2 });
  const result = await sweep(pool, 'tiny', ['before']);
  await pool.close();
  console.log(sweepText(result));
  expect(result.broken, sweepText(result)).toBeNull();
  expect(result.operations).toBeGreaterThan(40);
  expect(result.runs).toBeGreaterThan((result.operations * result.operations) / 2);
  expect(result.crashed).toBeGreaterThan(result.runs * 0.98);
});

test('a mistake is found at its point, and the same point finds it again', { timeout: TIMEOUT_MS }, async () => {
  const mutant = MUTANTS.find(({ name }) => name === 'copies a page after it has changed');
  const pool = new SeedPool({ workers: 2, patches: mutant?.patches ?? [] });
  const { broken } = await sweep(pool, 'small', []);
  const points = broken?.points ?? [];
  const again = await pool.run({ seed: 1, only: null, sweep: { golden: 'small', points } });
  await pool.close();
  expect(broken?.outcome.oracle).toBe('digest');
  expect(again).toEqual(broken?.outcome);
});

test('the operation before which a process dies is not done, the one after which it dies is', async () => {
  const [whole, before, after] = [
    await attemptSeed(order('tiny')),
    await attemptSeed(order('tiny', '30-before')),
    await attemptSeed(order('tiny', '30-after')),
  ];
  expect(whole).toMatchObject({ broken: false, crashes: 0 });
  expect(before).toMatchObject({ broken: false, crashes: 1 });
  expect(after).toMatchObject({ broken: false, crashes: 1 });
  expect(await attemptSeed(order('tiny', '30-after'))).toEqual(after);
  expect(() => readPoint('0-before')).toThrow('no point');
});
