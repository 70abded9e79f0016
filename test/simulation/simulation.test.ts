// A seed is one world and no other: the same whoever runs it and whatever ran before. What many seeds keep is judged in
// many-seeds.test.ts.

import { expect, test } from 'vitest';
import { attemptSeed, type SeedKept } from '#test/simulation/seed-attempt.ts';
import { SeedPool } from '#test/simulation/seed-pool.ts';
import { simulate } from '#test/simulation/simulation.ts';

test('the same seed gives the same trace, another seed another', { timeout: 120_000 }, async () => {
  const pool = new SeedPool({ workers: 2 });
  for (const seed of [1, 2, 3, 4, 5]) {
    const [one, two, elsewhere] = [
      await simulate(seed),
      await simulate(seed),
      (await pool.run({ seed, only: null })) as SeedKept,
    ];
    expect(two.traceHash).toBe(one.traceHash);
    expect(two.steps).toBe(one.steps);
    expect(elsewhere.traceHash).toBe(one.traceHash);
    expect([...elsewhere.counts].sort()).toEqual([...one.coverage.counts].sort());
    expect((await simulate(seed + 1000)).traceHash).not.toBe(one.traceHash);
  }
  await pool.close();
});

test('what happened in a seed, named one by one, is the same run; nothing of it is another', async () => {
  const whole = await attemptSeed({ seed: 3, only: null });
  const named = await attemptSeed({ seed: 3, only: whole.happened });
  const nothing = await attemptSeed({ seed: 3, only: [] });
  expect(whole.happened.length).toBeGreaterThan(5);
  expect(named).toEqual(whole);
  expect(nothing).toMatchObject({ broken: false, happened: [] });
  expect((nothing as SeedKept).traceHash).not.toBe((whole as SeedKept).traceHash);
});
