// `npm run sim` as a person or a pipeline has it: what it prints, and how it ends.

import { execFile } from 'node:child_process';
import { expect, test } from 'vitest';
import { attemptSeed, type SeedKept } from '#test/simulation/seed-attempt.ts';

const MAIN = new URL('main.ts', import.meta.url).pathname;

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function sim(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

test('a seed in a process of its own is the same run', async () => {
  const { code, stdout } = await sim('--seed', '3', '--json');
  const here = (await attemptSeed({ seed: 3, only: null })) as SeedKept;
  expect(code).toBe(0);
  const { counts, ...rest } = JSON.parse(stdout);
  expect(rest).toEqual({ ...here, counts: undefined });
  expect(new Map(Object.entries(counts))).toEqual(new Map([...here.counts].sort()));
});

test('several seeds end with a summary and counters', async () => {
  const { code, stdout } = await sim('--seeds', '4', '--workers', '1', '--coverage');
  expect(code).toBe(0);
  expect(stdout).toMatch(/4 seeds, \d+ steps, \d+ rows, \d+ states compared\n[\d.]+ s, [\d.]+ seeds\/s in 1 workers/);
  expect(stdout).toMatch(/ {2}drained\n/);
});

test('what cannot be done is refused with the help', async () => {
  const { code, stderr, stdout } = await sim('--sede', '4');
  expect(code).toBe(2);
  expect(stdout).toBe('');
  expect(stderr).toContain("Unknown option '--sede'");
  expect(stderr).toContain('usage: npm run sim');
  expect((await sim('--help')).code).toBe(0);
});
