// A list of faults becomes as small as it can be: no part of what is left breaks alone.

import { expect, test } from 'vitest';
import { MUTANTS } from '#test/simulation/mutants.ts';
import { progressText } from '#test/simulation/progress.ts';
import type { SeedBroken } from '#test/simulation/seed-attempt.ts';
import { SeedPool } from '#test/simulation/seed-pool.ts';
import { type FirstBroken, smallerFaults, smallestPart } from '#test/simulation/smaller-faults.ts';
import { Random } from '#test/simulation/world/random.ts';

/** Breaks where all of `needed` are there, and counts how often it was asked. */
function breaking(needed: readonly string[]): { readonly first: FirstBroken; asked: number } {
  const counted = {
    asked: 0,
    first: (async (candidates) => {
      for (const one of candidates) {
        counted.asked++;
        if (needed.every((name) => one.includes(name))) return one;
      }
      return null;
    }) satisfies FirstBroken,
  };
  return counted;
}

test('what is needed is left and nothing else, in its order', async () => {
  const random = new Random(1);
  for (let round = 0; round < 200; round++) {
    const items = Array.from({ length: random.range(1, 60) }, (_, i) => `fault@${i}`);
    const needed = items.filter(() => random.chance(0.08));
    const counted = breaking(needed);
    expect(await smallestPart(items, counted.first)).toEqual(needed);
    expect(counted.asked).toBeLessThan(items.length * 12 + 20);
  }
});

test('faults that any of several kinds would do are brought down to one', async () => {
  const first: FirstBroken = async (candidates) => candidates.find((one) => one.length > 0) ?? null;
  expect(await smallestPart(['a', 'b', 'c', 'd', 'e'], first)).toHaveLength(1);
});

test('a broken seed is replayed by a short list of its faults', { timeout: 300_000 }, async () => {
  const mutant = MUTANTS.find(({ name }) => name === 'takes a failed commit for committed');
  const pool = new SeedPool({ workers: 2, patches: mutant?.patches ?? [] });
  const seeds = Array.from({ length: 300 }, (_, i) => i + 1);
  const broken = (await pool.runAll(seeds, () => {})) as SeedBroken;
  const smaller = await smallerFaults(pool, broken, 120_000);
  const only = smaller?.only ?? [];
  expect(only.length).toBeGreaterThan(0);
  expect(only.length).toBeLessThan(broken.happened.length);
  const again = await pool.run({ seed: broken.seed, only });
  expect(again).toMatchObject({ broken: true, oracle: broken.oracle });
  const whole = new SeedPool({ workers: 1 });
  expect(await whole.run({ seed: broken.seed, only })).toMatchObject({ broken: false });
  await Promise.all([pool.close(), whole.close()]);
});

test('a worker that is lost breaks its seed and no other', { timeout: 60_000 }, async () => {
  const find = 'const content = await committer.takeOver();';
  const endless = [{ file: 'runtime/task/task-attempt.ts', find, replace: 'const content = null as never; for (;;);' }];
  const pool = new SeedPool({ workers: 1, patches: endless, seedMaxMs: 4_000 });
  const outcome = await pool.run({ seed: 1, only: null });
  await pool.close();
  expect(outcome).toMatchObject({ broken: true, seed: 1, oracle: null, message: 'its thread: not done within 4 s' });
});

test('says how long it will take', () => {
  expect(progressText('seeds', 500, 1000, 10_000)).toBe('500 of 1000 seeds, 50.0/s, 10 s left');
  expect(progressText('seeds', 10, 10_000, 10_000)).toBe('10 of 10000 seeds, 1.0/s, 167 min left');
});
