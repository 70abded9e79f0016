// What is shown of a job follows from what its tasks said: whether it is ready, and if not, why; what it did and what
// failed. Built from hand-made words, so that every one of them can be said.

import { expect, test } from 'vitest';
import { checkpointsView, exceptionsView } from '#jobs/admin-history.ts';
import { jobDetailView, jobState, jobView, type KnownJob } from '#jobs/admin-jobs.ts';
import { readinessView } from '#jobs/admin-readiness.ts';
import { compileJob } from '#jobs/compile.ts';
import type { PreparedJob } from '#jobs/prepare-job.ts';
import { type JobState, logFull, type RunningJob } from '#jobs/running-jobs.ts';
import { configured } from '#runtime/control/desired-state.ts';
import type { SlotReport, TaskAssignment } from '#runtime/slot/messages.ts';
import { FailureBook } from '#runtime/task/failure-book.ts';
import { TaskMeter } from '#runtime/task/task-meter.ts';
import type { TaskStatus } from '#runtime/task/task-status.ts';
import type { Failure } from '#runtime/task/task-supervisor.ts';
import { exchanged, steady } from '#test/runtime/slot/minute-jobs.ts';

const PROCESS = { namespace: 'n', processId: 'p', nowMs: 100_000 };
const CLOCK = { nowMs: () => 0, monotonicMs: () => 0, sleep: () => Promise.resolve() };
const NO_FIGURES = { ...new TaskMeter(CLOCK).read(), wasLive: true };
const FAILURE: Failure = { code: 'operator-failed', message: 'no number for me', remedy: 'mend it', stack: 'at x' };

function task(partition: number): TaskAssignment {
  return { job: 'steady', run: 'live', generation: 0, stage: 'minute', partition };
}

function status(change: Partial<TaskStatus> = {}): TaskStatus {
  return {
    identity: { namespace: 'n', ...task(0) },
    phase: 'running',
    attempt: 'a',
    entry: 7,
    inputOffset: '10',
    lagRecords: 0,
    inputs: [{ topic: 'metrics.raw', partition: 0, offset: '10', lagRecords: 0, lagMs: 0 }],
    watermarkMs: 90_000,
    watermarkHeldBy: [],
    clockMs: 99_000,
    waitingFor: null,
    transactionsFailed: 0,
    replayedEntries: 0,
    checkpointEntry: null,
    checkpointInProgress: false,
    stateBytes: 0,
    stateKeys: 0,
    seriesInterned: 0,
    stateMemory: null,
    counters: {},
    ...change,
  };
}

function report(partition: number, change: Partial<SlotReport> = {}): SlotReport {
  const words = { status: status(), restarts: 0, failures: [], exceptions: [], figures: NO_FIGURES, stuckMs: 0 };
  return { assignment: task(partition), slot: partition, word: 'fresh', ...words, ...change };
}

/** Null: the task said nothing yet. */
function known(reports: readonly (SlotReport | null)[], change: Partial<RunningJob> = {}): KnownJob {
  const compiled = compileJob(steady);
  const configuration = {
    name: 'steady',
    modulePath: '/steady.ts',
    options: null,
    settings: {},
    state: 'memory' as const,
  };
  const tasks = reports.map((_, partition) => task(partition));
  const prepared = { tasks, assignment: { version: 'v' } } as unknown as PreparedJob;
  const job: RunningJob = {
    name: 'steady',
    original: { configuration, compiled },
    loaded: { configuration, compiled },
    wanted: configured(undefined, {
      job: 'steady',
      modulePath: '/steady.ts',
      settings: { parallelism: 2, commitIntervalMs: 200, checkpointIntervalMs: 60_000 },
      atMs: 0,
    }),
    state: 'RUNNING',
    failure: null,
    failedMs: null,
    prepared,
    exceptions: new FailureBook(),
    ...change,
  };
  const shown = reports.map((one, partition) => ({ assignment: task(partition), report: one }));
  return { job, tasks: shown, paused: null, request: null };
}

function verdict(reports: readonly (SlotReport | null)[], change: Partial<RunningJob> = {}) {
  const { ready, jobs } = readinessView([known(reports, change)]);
  expect(ready).toBe(jobs.length === 0);
  return jobs[0] ?? null;
}

test('a job is ready when every task took new input once and nothing keeps it for long', () => {
  expect(verdict([report(0), report(1)])).toBe(null);
  expect(verdict([report(0, { status: status({ waitingFor: 'the log' }), stuckMs: 4_999 })])).toBe(null);
  const restarting = { status: status({ phase: 'restarting', waitingFor: 'no number for me' }), stuckMs: 1_000 };
  expect(verdict([report(0, restarting)]), 'it comes back by itself').toBe(null);
});

test.each<[string, SlotReport | null, RegExp, RegExp]>([
  ['said nothing yet', null, /task minute\/0 is created: its slot starts/, /by itself/],
  [
    'restores',
    report(0, { status: status({ phase: 'restoring' }), figures: { ...NO_FIGURES, wasLive: false } }),
    /task minute\/0 is restoring$/,
    /none needed/,
  ],
  [
    'waits for long',
    report(0, { status: status({ waitingFor: 'commit entry 8: the broker is away' }), stuckMs: 7_300 }),
    /task minute\/0 waits for 7s: commit entry 8: the broker is away/,
    /bring back/,
  ],
  [
    'fails again and again',
    report(0, {
      status: status({ phase: 'restarting', waitingFor: 'no number for me' }),
      stuckMs: 9_000,
      exceptions: [{ ...FAILURE, firstMs: 1, lastMs: 2, count: 3 }],
    }),
    /task minute\/0 is restarting for 9s: no number for me/,
    /^mend it$/,
  ],
  ['has no slot', report(0, { word: 'down', slot: null }), /restarting: its slot died/, /exceptions of the job/],
  ['is not heard of', report(0, { word: 'silent' }), /waits: its slot does not answer/, /bring back/],
])('a job with a task that %s is not ready, and says why and what to do', (_, one, reason, remedy) => {
  expect(verdict([one])).toMatchObject({
    job: 'steady',
    reason: expect.stringMatching(reason),
    remedy: expect.stringMatching(remedy),
  });
});

test('of several tasks in the way the first is told, and how many more there are', () => {
  expect(verdict([report(0), null, null])?.reason).toMatch(/^task minute\/1 .*; 1 more of its 3 tasks do not either$/);
});

test.each<[JobState, RegExp]>([
  ['CREATED', /prepared/],
  ['STOPPING', /stopping/],
])('a job that is %s is not ready', (state, reason) => {
  expect(verdict([report(0)], { state })).toMatchObject({ state, reason: expect.stringMatching(reason) });
});

test.each<JobState>(['PAUSED', 'STOPPED', 'CANCELED'])('a job that was told to be %s keeps nobody waiting', (state) => {
  expect(jobState(known([report(0)], { state }))).toBe(state);
  expect(verdict([report(0, { word: 'ended', slot: null })], { state })).toBe(null);
});

test('a failed job tells its failure, without the stack', () => {
  const failed = { state: 'FAILED' as const, failure: FAILURE };
  expect(verdict([report(0, { word: 'ended', slot: null })], failed)).toEqual({
    job: 'steady',
    state: 'FAILED',
    reason: 'no number for me',
    remedy: 'mend it',
  });
  const view = jobView(known([report(0)], failed), PROCESS);
  expect(view.failure).toEqual({ code: 'operator-failed', message: 'no number for me', remedy: 'mend it' });
});

test('what pauses the process pauses its running jobs, and no others', () => {
  const paused = { code: 'disk-failed', message: 'the disk is full', remedy: 'make room' };
  const running = { ...known([report(0)]), paused };
  const failed = { ...known([report(0)], { state: 'FAILED', failure: FAILURE }), paused };
  expect([running, failed].map(jobState)).toEqual(['PAUSED', 'FAILED']);
  expect(readinessView([running])).toEqual({
    ready: false,
    jobs: [{ job: 'steady', state: 'PAUSED', reason: 'the disk is full', remedy: 'make room' }],
  });
});

test('a job restarts while one of its tasks does, or its slot is gone', () => {
  expect(jobState(known([report(0), report(1)]))).toBe('RUNNING');
  expect(jobState(known([report(0), report(1, { word: 'down', slot: null })]))).toBe('RESTARTING');
  expect(jobState(known([report(0, { status: status({ phase: 'restarting' }) }), report(1)]))).toBe('RESTARTING');
});

test('figures of a job are those of all its tasks, and unknown while one is', () => {
  const input = (lagRecords: number | null, lagMs: number | null) => [
    { topic: 'metrics.raw', partition: 0, offset: '1', lagRecords, lagMs },
  ];
  const checkpoint = (createdMs: number) => ({ entry: 1, createdMs, sizeBytes: 10 });
  const rates = { in: 1.5, out: 1, late: 0, bad: 0 };
  const one = report(0, {
    status: status({ inputs: input(5, 300), watermarkMs: 80_000 }),
    figures: { ...NO_FIGURES, lastCheckpoint: checkpoint(50), perSecond: rates },
    restarts: 2,
  });
  const two = report(1, {
    status: status({ inputs: input(7, 100) }),
    figures: { ...NO_FIGURES, lastCheckpoint: checkpoint(40), perSecond: rates },
  });
  expect(jobView(known([one, two]), PROCESS)).toMatchObject({
    tasks: { total: 2, running: 2 },
    lagRecords: 12,
    lagMs: 300,
    watermarkMs: 80_000,
    watermarkDelayMs: 20_000,
    lastCheckpoint: checkpoint(40),
    perSecond: { recordsIn: 3, recordsOut: 2 },
    restarts: 2,
  });
  const first = report(1, { status: status({ inputs: input(null, null), watermarkMs: null }) });
  expect(jobView(known([one, first]), PROCESS)).toMatchObject({
    lagRecords: null,
    lagMs: null,
    watermarkMs: null,
    watermarkDelayMs: null,
    lastCheckpoint: null,
  });
  expect(jobView(known([one, null]), PROCESS)).toMatchObject({ tasks: { total: 2, running: 1 }, lagRecords: null });
});

test('what a job reads and gives is counted where it comes in and goes out, not on the way', () => {
  const rates = { in: 100.004, out: 10, late: 1, bad: 2 };
  const figures = { ...NO_FIGURES, perSecond: rates };
  const compiled = compileJob(exchanged);
  const stages = compiled.plan.stages.map(({ id }) => id);
  expect(stages).toEqual(['samples', 'minute']);
  const one = known([report(0)]);
  const tasks = stages.map((stage) => {
    const assignment = { ...task(0), stage };
    return { assignment, report: { ...report(0, { figures }), assignment } };
  });
  const job = { ...one.job, loaded: { ...one.job.loaded, compiled } };
  const { perSecond } = jobView({ ...one, job, tasks }, PROCESS);
  expect(perSecond).toEqual({ recordsIn: 100, recordsOut: 10, recordsLate: 2, recordsBad: 4 });
});

test('a full disk says how much room is needed to go on', () => {
  const log = { kind: 'embedded', directory: '/d', retention: { sourceMs: 1, outputMs: 1, bytes: 1 } } as const;
  const room = { full: true, freeBytes: 3.5 * 2 ** 20, neededBytes: 320 * 2 ** 20 };
  expect(logFull(log, room)?.message).toBe(
    'the disk of the log in /d is full: 3 MiB are free, 320 MiB are needed to go on',
  );
  expect(logFull(log, null)).toBe(null);
});

test('a task without a word is shown, and one that ended is not taken for running', () => {
  const { taskList } = jobDetailView(known([null, report(1, { word: 'ended', slot: null })]), PROCESS);
  expect(taskList[0]).toMatchObject({ partition: 0, phase: 'created', slot: null, entry: -1, inputs: [] });
  expect(taskList[1]).toMatchObject({ partition: 1, slot: null, entry: 7, perSecond: { recordsIn: 0 } });
});

test('checkpoints of all tasks are one history, newest first, with what failed', () => {
  const record = { entry: 3, createdMs: 10, durationMs: 5, writtenBytes: 100, sizeBytes: 400, failure: null };
  const failed = {
    ...record,
    entry: 2,
    createdMs: 20,
    sizeBytes: 0,
    failure: { code: 'disk-failed', message: 'm', remedy: 'r' },
  };
  const of = (partition: number, history: readonly (typeof record | typeof failed)[]) =>
    report(partition, {
      figures: {
        ...NO_FIGURES,
        checkpointsCompleted: 4,
        checkpointsFailed: 1,
        lastCheckpoint: { entry: 3, createdMs: 10, sizeBytes: 400 },
        checkpointHistory: history,
      },
      status: status({ checkpointInProgress: partition === 0 }),
    });
  expect(checkpointsView(known([of(0, [record]), of(1, [failed]), null]))).toEqual({
    counts: { completed: 8, failed: 2, inProgress: 1 },
    stateBytes: 800,
    history: [
      {
        stage: 'minute',
        partition: 1,
        entry: 2,
        result: 'failed',
        createdMs: 20,
        durationMs: 5,
        sizeBytes: 100,
        failure: { code: 'disk-failed', message: 'm', remedy: 'r' },
      },
      {
        stage: 'minute',
        partition: 0,
        entry: 3,
        result: 'completed',
        createdMs: 10,
        durationMs: 5,
        sizeBytes: 100,
        failure: null,
      },
    ],
  });
});

test('what failed in tasks, and in threads under them, is one list, the last first', () => {
  const exceptions = new FailureBook();
  exceptions.note({ ...FAILURE, code: 'slot-died', message: 'exit code 7' }, 50);
  const counted = {
    code: 'operator-failed',
    message: 'no number for me',
    remedy: 'mend it',
    firstMs: 1,
    lastMs: 60,
    count: 3,
  };
  const view = exceptionsView(known([report(0, { exceptions: [counted] })], { exceptions, failure: FAILURE }));
  expect(view.exceptions).toEqual([
    { stage: 'minute', partition: 0, ...counted },
    {
      stage: null,
      partition: null,
      code: 'slot-died',
      message: 'exit code 7',
      remedy: 'mend it',
      firstMs: 50,
      lastMs: 50,
      count: 1,
    },
  ]);
  expect(view.failure).toEqual({ code: 'operator-failed', message: 'no number for me', remedy: 'mend it' });
});
