// Every planted mistake is found by an oracle that should find it: a simulation that finds nothing proves nothing.

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { hunt, huntAll, huntedText } from '#test/simulation/mutant-hunt.ts';
import { MUTANT_SEEDS } from '#test/simulation/mutant-seeds.ts';
import { MUTANTS } from '#test/simulation/mutants.ts';
import { plant } from '#test/simulation/planting.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const SEEDS_MAX = 2_000;
/** Only against a hunt that hangs: seeds bound it, and machines are as busy as they are. */
const TIMEOUT_MS = 2_400_000;
const AT_ONCE = 2;

test('a mistake is planted in exactly one place, or not at all', () => {
  const patch = { file: 'a.ts', find: 'b', replace: 'c' };
  expect(plant('abd', patch)).toBe('acd');
  expect(() => plant('abb', patch)).toThrow('fits 2 times');
  expect(() => plant('a', patch)).toThrow('fits 0 times');
  for (const { patches } of MUTANTS) {
    for (const one of patches) plant(readFileSync(`${ROOT}${one.file}`, 'utf8'), one);
  }
});

test('every mistake has a name of its own, and known seeds are of known mistakes', () => {
  const names = MUTANTS.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(Object.keys(MUTANT_SEEDS).filter((name) => !names.includes(name))).toEqual([]);
});

test('without a mistake, or with one that changes nothing, nothing is found', { timeout: TIMEOUT_MS }, async () => {
  const patches = [{ file: 'runtime/task/committer.ts', find: 'let foreign = 0;', replace: 'let foreign  = 0;' }];
  const same = { name: 'changes nothing', patches, killedBy: ['commit-log'] } as const;
  expect(await hunt(same, 3)).toMatchObject({ seed: null, runs: 3 });
  const unknown = { ...same, patches: [{ ...patches[0], find: 'what is not there' }] };
  expect([...(await hunt(unknown, 3)).others.keys()].join()).toContain('fits 0 times');
});

test(`each of ${MUTANTS.length} planted mistakes is found by its oracle`, { timeout: TIMEOUT_MS }, async () => {
  const hunted = await huntAll(MUTANTS, { seedsMax: SEEDS_MAX, atOnce: AT_ONCE });
  expect(MUTANTS.length).toBeGreaterThanOrEqual(25);
  expect(hunted.filter(({ seed }) => seed === null).map(huntedText)).toEqual([]);
});
