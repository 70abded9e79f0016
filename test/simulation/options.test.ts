// What may be said to `npm run sim`, and what is refused.

import { expect, test } from 'vitest';
import { HELP, readCommand } from '#test/simulation/options.ts';

const USUAL = {
  kind: 'seeds',
  from: 1,
  count: null,
  only: null,
  golden: null,
  points: null,
  mutant: null,
  workers: null,
  verbose: false,
  coverage: false,
  json: false,
};

test('seeds, from where, and one alone', () => {
  expect(readCommand([])).toEqual(USUAL);
  expect(readCommand(['--seeds', '50', '--from', '7'])).toEqual({ ...USUAL, from: 7, count: 50 });
  expect(readCommand(['--seeds', '50', '--seed', '7'])).toEqual({ ...USUAL, from: 7, count: 50 });
  expect(readCommand(['--seed', '7', '--verbose'])).toEqual({ ...USUAL, from: 7, count: 1, verbose: true });
  expect(readCommand(['--seed', '7', '--only', 'a@1,b'])).toEqual({ ...USUAL, from: 7, count: 1, only: ['a@1', 'b'] });
  expect(readCommand(['--seed', '7', '--only', 'none'])).toMatchObject({ only: [] });
  expect(readCommand(['--sweep', '--golden', 'tiny', '--point', '17-before'])).toMatchObject({
    kind: 'sweep',
    golden: 'tiny',
    points: [{ operation: 17, side: 'before' }],
  });
  expect(readCommand(['--mutant', 'clock'])).toMatchObject({ kind: 'mutants', mutant: 'clock' });
  expect(readCommand(['--help'])).toBe('help');
});

test.each([
  [['--bogus'], 'Unknown option'],
  [['12'], 'positional'],
  [['--seeds', '0'], 'whole number'],
  [['--seeds', 'many'], 'whole number'],
  [['--seed', '1', '--from', '2'], 'not both'],
  [['--mutants', '--sweep'], 'not both'],
  [['--mutants', '--seed', '3'], 'their own seeds'],
  [['--only', 'a@1'], 'one alone'],
  [['--seeds', '3', '--verbose'], 'one alone'],
  [['--sweep', '--point', '3-after'], '--golden'],
  [['--golden', 'tiny'], '--sweep'],
  [['--sweep', '--golden', 'huge'], 'small or tiny'],
  [['--sweep', '--golden', 'tiny', '--point', '3'], 'no point'],
] as const)('%j is refused', (args, why) => {
  expect(() => readCommand([...args])).toThrow(why);
});

test('the help names every option', () => {
  for (const name of [
    'seeds',
    'seed',
    'from',
    'only',
    'workers',
    'coverage',
    'json',
    'mutants',
    'mutant',
    'sweep',
    'golden',
    'point',
  ]) {
    expect(HELP).toContain(`--${name} `);
  }
});
