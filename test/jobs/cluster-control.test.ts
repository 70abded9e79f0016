// In which state a job is found by the process that begins to change it, whatever that process had heard of it before.

import { expect, test } from 'vitest';
import { stateTaken } from '#jobs/cluster-control.ts';
import type { JobState } from '#jobs/running-jobs.ts';
import type { ControlRecord } from '#runtime/control/control-log.ts';
import { configured, type WantedJob } from '#runtime/control/desired-state.ts';

const SETTINGS = { parallelism: 1, checkpointIntervalMs: 1_000, commitIntervalMs: 100 };
const RUNS = configured(undefined, { job: 'a', modulePath: '/a.ts', settings: SETTINGS, atMs: 1 });
const PAUSED: WantedJob = { ...RUNS, state: 'PAUSED' };
const word = (run: 'go' | 'hold'): ControlRecord => ({ kind: 'job-run', job: 'a', run, failure: null, atMs: 2 });
const found = (state: JobState, wanted: WantedJob, ...words: ControlRecord[]) =>
  stateTaken({ name: 'a', state, wanted }, [wanted, ...words]);

test.each(['CREATED', 'RUNNING', 'STOPPING'] as const)('a job that was %s is what the control log says', (state) => {
  expect(found(state, RUNS)).toBe('RUNNING');
  expect(found(state, RUNS, word('hold'), word('go'))).toBe('RUNNING');
  expect(found(state, RUNS, word('hold')), 'nothing of it runs, and nobody is to wait for that').toBe('CREATED');
  expect(found(state, PAUSED, word('hold'))).toBe('PAUSED');
});

test('one that failed or ended stays so', () => {
  for (const state of ['FAILED', 'CANCELED', 'STOPPED'] as const) expect(found(state, RUNS)).toBe(state);
});
