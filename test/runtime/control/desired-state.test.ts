// What jobs are told to be, and the changes of it, as folds of the control log.

import { expect, test } from 'vitest';
import type { ControlRecord } from '#runtime/control/control-log.ts';
import { changed, configured, type WantedJob, wantedJobs } from '#runtime/control/desired-state.ts';
import { ended, foldOperations, note, type Operation, operationOf, repeated } from '#runtime/control/operations.ts';

const SETTINGS = { parallelism: 2, commitIntervalMs: 200, checkpointIntervalMs: 60_000 };
const FILE = { job: 'a', modulePath: '/a.ts', settings: SETTINGS, atMs: 1 };
const BY = { requestId: 'r', atMs: 2 };

test('a job that only the file knows is to run as the file says, and stays so', () => {
  const first = configured(undefined, FILE);
  expect(first).toMatchObject({ job: 'a', revision: 1, state: 'RUNNING', settings: SETTINGS, generation: 0 });
  expect(configured(first, { ...FILE, atMs: 9 })).toBe(first);
});

test('what the API changed stays, until the file says something else than before', () => {
  const first = configured(undefined, FILE);
  const rescaled = changed(first, { settings: { parallelism: 8 }, state: 'PAUSED' }, BY);
  expect(rescaled).toMatchObject({ revision: 2, state: 'PAUSED', settings: { ...SETTINGS, parallelism: 8 } });
  expect(configured(rescaled, FILE), 'the same file').toBe(rescaled);
  const other = { ...FILE, settings: { ...SETTINGS, commitIntervalMs: 500 } };
  const anew = configured(rescaled, other);
  expect(anew).toMatchObject({ revision: 3, state: 'PAUSED', requestId: null });
  expect(anew.settings).toEqual({ ...SETTINGS, parallelism: 8, commitIntervalMs: 500 });
  const back = configured(anew, { ...other, settings: { ...other.settings, parallelism: 3 } });
  expect(back.settings.parallelism).toBe(3);
  expect(configured(back, { ...other, settings: { ...other.settings, parallelism: 3 } })).toBe(back);
});

test('the last word on a job counts, and what a newer version wrote beside it is kept', () => {
  const first = configured(undefined, FILE);
  const newer = { ...first, revision: 2, ofTomorrow: { x: 1 } } as WantedJob;
  const unknown = { kind: 'of-tomorrow', job: 'a' } as unknown as ControlRecord;
  const jobs = wantedJobs([first, unknown, configured(undefined, { ...FILE, job: 'b' }), newer]);
  expect([...jobs.keys()]).toEqual(['a', 'b']);
  expect(jobs.get('a')).toBe(newer);
  expect(changed(newer, { state: 'STOPPED' }, BY)).toMatchObject({ ofTomorrow: { x: 1 }, revision: 3 });
});

function operation(requestId: string, more: Partial<Operation> = {}): Operation {
  return {
    kind: 'operation',
    requestId,
    job: 'a',
    operation: 'rescale',
    parameters: { parallelism: 4 },
    phase: 'running',
    acceptedMs: 1,
    atMs: 1,
    outcome: null,
    ...more,
  };
}

test('an operation runs until a record says how it ended', () => {
  const one = operation('one');
  const other = operation('two', { job: 'b' });
  const folded = foldOperations([one, other]);
  expect(operationOf(folded, 'a')).toBe(one);
  expect(operationOf(folded, 'c')).toBeNull();
  note(folded, ended(one, 'done', { message: 'so' }, 5));
  expect(operationOf(folded, 'a')).toBeNull();
  expect(folded.get('one')).toMatchObject({ phase: 'done', outcome: { message: 'so' }, acceptedMs: 1, atMs: 5 });
});

test('an id names one operation: the same words get the same one, others are refused', () => {
  const one = operation('one');
  const folded = foldOperations([ended(one, 'done', { message: '' }, 5)]);
  expect(repeated(folded, { ...one, requestId: 'two' })).toBeNull();
  expect(repeated(folded, one)).toMatchObject({ requestId: 'one', phase: 'done' });
  for (const other of [{ job: 'b' }, { operation: 'stop' as const }, { parameters: { parallelism: 5 } }]) {
    expect(() => repeated(folded, { ...one, ...other })).toThrow(/was used before, to rescale job a/);
  }
});

test('the oldest that have ended are forgotten, one that runs never', () => {
  const folded = new Map<string, Operation>();
  note(folded, operation('runs'));
  for (let i = 0; i < 2_000; i++) note(folded, ended(operation(`${i}`), 'done', { message: '' }, i));
  expect(folded.size).toBe(1_000);
  expect(folded.has('runs')).toBe(true);
  expect([folded.has('0'), folded.has('1999')]).toEqual([false, true]);
});
