// The rollup job through every trouble the simulated world has, judged by oracles that share no code with the engine.

import { expect, test } from 'vitest';
import { Coverage } from '#test/simulation/coverage.ts';
import { simulate } from '#test/simulation/simulation.ts';

const SEEDS = 500;

/** What must have happened in some seed, or the simulation proves nothing. */
const MUST_HAPPEN: readonly string[] = [
  'checkpoint of another chain refused',
  'clean stop',
  'closed by idle time',
  'corrections',
  'dead letters',
  'disk: bitsFlipped',
  'disk: powerFailures',
  'disk: refused',
  'down for an hour',
  'ended: superseded (not the owner)',
  'entries that never were',
  'entry cut within a firing',
  'transaction ended by hand',
  'idle entries',
  'initialised again with the own epoch',
  'killed while fencing',
  'killed while replaying',
  'killed while restoring',
  'killed while running',
  'late samples',
  'own epoch refused',
  'producer: epochRanOut',
  'producer: fenced',
  'producer: abortMarkersLost',
  'producer: commitMarkersLost',
  'producer: markersLostInPart',
  'producer: markersRefused',
  'producer: refused',
  'producer: timedOut',
  'replays of several entries',
  'request: answer-lost',
  'request: closed-after',
  'request: closed-before',
  'request: refused',
  'request: request-late',
  'request: request-lost',
  'said: checkpoint has segments and no manifest',
  'said: checkpoint is damaged and passed over',
  'said: deleting files that no checkpoint of this task needs',
  'same records sent again',
  'shape: exchange',
  'shape: producer',
  'shape: series',
  'shut its successor out, and heard so',
  'slot died',
  'started with another version',
  'states compared',
];

test(`keeps every promise in ${SEEDS} worlds, and every trouble happens`, { timeout: 1_800_000 }, async () => {
  const coverage = new Coverage();
  for (let seed = 1; seed <= SEEDS; seed++) {
    try {
      coverage.addAll((await simulate(seed)).coverage);
    } catch (error) {
      throw new Error(`replay it: npm run sim -- --seed ${seed}`, { cause: error });
    }
  }
  expect(MUST_HAPPEN.filter((name) => coverage.get(name) === 0)).toEqual([]);
  expect(coverage.get('drained')).toBeGreaterThan(SEEDS * 0.95);
  expect(coverage.get('rows')).toBeGreaterThan(SEEDS * 20);
});

test('the same seed gives the same trace, another seed another', { timeout: 60_000 }, async () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const [one, two] = [await simulate(seed), await simulate(seed)];
    expect(two.traceHash).toBe(one.traceHash);
    expect(two.steps).toBe(one.steps);
    expect((await simulate(seed + 1000)).traceHash).not.toBe(one.traceHash);
  }
});
