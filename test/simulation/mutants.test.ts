// Every planted mistake is found by an oracle that should find it: a simulation that finds nothing proves nothing.

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { MUTANTS } from '#test/simulation/mutants.ts';
import { plant } from '#test/simulation/planting.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const MAIN = new URL('mutant-main.ts', import.meta.url).pathname;
const SEEDS = 300;
/** Only against a hunt that hangs: seeds bound it, and machines are as busy as they are. */
const TIMEOUT_MS = 1_200_000;
const AT_ONCE = 2;

const run = promisify(execFile);

interface Found {
  readonly seed: number | null;
  readonly oracle: string | null;
  readonly message: string;
}

async function hunt(name: string): Promise<Found> {
  const { stdout } = await run(process.execPath, [MAIN, name, '1', String(SEEDS)], { cwd: ROOT, timeout: TIMEOUT_MS });
  return JSON.parse(stdout);
}

test('a mistake is planted in exactly one place, or not at all', () => {
  const patch = { file: 'a.ts', find: 'b', replace: 'c' };
  expect(plant('abd', patch)).toBe('acd');
  expect(() => plant('abb', patch)).toThrow('fits 2 times');
  expect(() => plant('a', patch)).toThrow('fits 0 times');
  for (const { patches } of MUTANTS) {
    for (const one of patches) plant(readFileSync(`${ROOT}${one.file}`, 'utf8'), one);
  }
});

test('without a mistake the same child finds nothing', { timeout: TIMEOUT_MS }, async () => {
  const { stdout } = await run(process.execPath, [MAIN, '', '1', '3'], { cwd: ROOT });
  expect(JSON.parse(stdout)).toMatchObject({ seed: null, seeds: 3 });
});

test(`each of ${MUTANTS.length} planted mistakes is found by its oracle`, { timeout: 2 * TIMEOUT_MS }, async () => {
  const waiting = [...MUTANTS];
  const missed: string[] = [];
  const work = async () => {
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const { seed, oracle, message } = await hunt(mutant.name);
      if (mutant.killedBy.some((one) => one === oracle)) continue;
      missed.push(`'${mutant.name}': ${oracle ?? 'no oracle'} at seed ${seed} ${message}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  expect(missed).toEqual([]);
});
