// Processes that share tasks by the production membership, through every trouble that their group knows: no task has two
// owners that were asked at the same moment, nothing stops that need not, and a healed cluster settles.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { MEMBER_MUTANTS } from '#test/simulation/member-mutants.ts';
import { simulateMembers } from '#test/simulation/members.ts';

const SEEDS = 150;
const MUTANT_SEEDS = 100;
const ROOT = new URL('../../', import.meta.url).pathname;
const MAIN = new URL('member-mutant-main.ts', import.meta.url).pathname;
/** Only against a hunt that hangs. */
const TIMEOUT_MS = 600_000;

const run = promisify(execFile);

test(`${SEEDS} seeds break no promise, and every trouble happens`, { timeout: TIMEOUT_MS }, async () => {
  const happened = new Map<string, number>();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { counts, faults, group, troubles } = await simulateMembers(seed);
    const all = [...Object.entries(counts), ...Object.entries(faults), ...Object.entries(group), ...troubles];
    for (const [what, count] of all) happened.set(what, (happened.get(what) ?? 0) + count);
  }
  // An owner's word is there before anybody reads it.
  happened.delete('held-back');
  for (const [what, count] of happened) expect(count, what).toBeGreaterThan(0);
  expect(happened.get('shared'), 'tasks in two processes at once, both asked').toBeGreaterThan(20);
});

test('the same seed gives the same steps', async () => {
  for (const seed of [3, 14]) {
    const [one, other] = [await simulateMembers(seed), await simulateMembers(seed)];
    expect(other.traceHash).toBe(one.traceHash);
    expect(other.counts).toEqual(one.counts);
  }
});

test(`each of ${MEMBER_MUTANTS.length} planted mistakes is found by its oracle`, { timeout: TIMEOUT_MS }, async () => {
  const missed: string[] = [];
  for (const { name, killedBy } of MEMBER_MUTANTS) {
    const { stdout } = await run(process.execPath, [MAIN, name, String(MUTANT_SEEDS)], { cwd: ROOT });
    const { seed, oracle, message } = JSON.parse(stdout) as { seed: number | null; oracle: string; message: string };
    if (!killedBy.some((one) => one === oracle)) missed.push(`'${name}': ${oracle} at seed ${seed} ${message}`);
  }
  expect(missed).toEqual([]);
});
