// What jobs, job and state print for people: everything of interest, aligned, and nothing that a terminal would obey.

import { describe, expect, test } from 'vitest';
import { jobsText, jobText } from '#jobs/commands/jobs-text.ts';
import { paintFor } from '#jobs/commands/paint.ts';
import { operatorsText, stateText } from '#jobs/commands/state-text.ts';
import { textWidth } from '#jobs/commands/text-table.ts';
import type { StateView } from '#runtime/http/contract.ts';
import { HandMadePort } from '#test/runtime/http/hand-made-port.ts';

const NOW = Date.UTC(2026, 10, 21, 18, 30);
const PLAIN = { nowMs: NOW, paint: paintFor(false, {}) };
const MINUTE = 60_000;
const port = new HandMadePort();
const job = (await port.job('rollups'))!;
const jobs = await port.jobs();

test('jobs', () => {
  const checkpointed = { ...jobs[0], lastCheckpoint: { entry: 1, createdMs: NOW - 12_000, sizeBytes: 1 } };
  expect(jobsText([checkpointed, jobs[1]], PLAIN)).toBe(`\
JOB          STATE    TASKS  SLOTS   IN/S     LAG  BEHIND  CHECKPOINT  RESTARTS
rollups      RUNNING    8/8      2  1,001  12,345    5.3s     12s ago         1
tsdb-writer  FAILED     0/0      2  1,001       -       -           -         1

job tsdb-writer: window threw
  remedy: correct it
`);
  expect(jobsText([], PLAIN)).toBe('the process has no job yet\n');
});

test('a job', () => {
  const [first, second] = job.taskList;
  const tasks = [
    {
      ...first,
      watermarkMs: NOW - 5_000,
      lastCheckpoint: null,
      inputs: first.inputs.slice(0, 1),
      totals: { ...first.totals, recordsLate: 0, recordsBad: 0 },
    },
    {
      ...second,
      lastCheckpoint: { entry: 40, createdMs: NOW - 9_000, sizeBytes: 8_192 },
      waitingFor: 'the log\u001b[2J',
    },
  ];
  const checkpoint = { entry: 41, createdMs: NOW - 90_000, sizeBytes: 4_096 };
  const shown = { ...job, watermarkMs: NOW - 5_250, lastCheckpoint: checkpoint, taskList: tasks };
  expect(jobText(shown, PLAIN)).toBe(
    `\
rollups  RUNNING
  tasks       8 of 8 run, on 2 slots
  module      ./jobs/rollups.ts
  version     a1b2c3
  lag         12,345 records, 1.3s
  watermark   2026-11-21 18:29:54 UTC, 5.3s behind
  checkpoint  1m 30s ago, or later, of each task, 8.0 KiB in all
  per second  1,001 in, 20 out, 0.25 late, 0 bad
  restarts    1

TASK  SLOT  PHASE    ENTRY   IN/S  OUT/S  LAG  BEHIND  CHECKPOINT  LATE  BAD
1m/0     1  running     42  1,001     20    7    5.0s           -
1m/1     -  running     42  1,001     20    -       -      9s ago     3    1
1m/1 waits: the log\\u001b[2J
1m/1 watermark held by writers 3
`.replace('5.0s', '  5s'),
  );
});

test('a job that failed, or knows nothing yet', () => {
  const failure = { code: 'x', message: 'job rollups: it is so', remedy: 'do that' };
  const nothing = { version: null, lagRecords: null, lagMs: null, watermarkMs: null, watermarkDelayMs: null };
  const text = jobText({ ...job, ...nothing, lastCheckpoint: null, failure, taskList: [] }, PLAIN);
  expect(text).toContain('\njob rollups: it is so\n  remedy: do that\n');
  for (const name of ['version', 'lag', 'watermark', 'checkpoint'])
    expect(text).toMatch(new RegExp(`^  ${name} +-$`, 'm'));
});

describe('state', () => {
  const windows = [
    { start: NOW, end: NOW + MINUTE, firings: 0, count: 3, sum: 6.5, min: 1, p50: null },
    { start: NOW + MINUTE, end: NOW + 2 * MINUTE, firings: 1, count: 1_234, sum: 1e9 + 0.5, min: -1, p50: 2 },
  ];
  const key = (name: string, states: Readonly<Record<string, unknown>>) => ({
    key: name,
    partition: 2,
    states,
    eventTimersMs: [NOW + 5 * MINUTE],
    clockTimersMs: [],
  });
  const view = (keys: StateView['keys'], next: string | null = null): StateView => ({
    job: 'rollups',
    stage: '1m',
    operator: '1m',
    readAt: [{ partition: 0, entry: 4_200, watermarkMs: NOW }],
    keys,
    next,
  });
  const text = (state: StateView, operators = ['1m'], more: string | null = null) =>
    stateText(state, { ...PLAIN, operators, more });

  test('open windows stand below their key', () => {
    const keys = [
      key('cpu{host="a"}', { windows }),
      key('cpu{host="b"}', { windows: windows.slice(1), seen: { x: 1 } }),
    ];
    expect(text(view(keys), ['1m', '1h'], 'millrace state …')).toBe(`\
1m of rollups, partition 0 at entry 4,200; --operator shows others: 1h
  START    END  FIRINGS  COUNT  SUM  MIN  P50
cpu{host="a"}
  18:30  18:31               3  6.5    1    -
  18:31  18:32        1  1,234   1G   -1    2
cpu{host="b"}
  18:31  18:32        1  1,234   1G   -1    2
  seen: {"x":1}
more: millrace state …
`);
  });

  test('other states stand in columns', () => {
    const keys = [
      key('h-1', { lastMs: 1_700_000_000_000, tags: ['a'], name: 'x\u0007' }),
      { ...key('', { lastMs: 5, extra: null }), eventTimersMs: [], clockTimersMs: [NOW + 1_000] },
    ];
    expect(text(view(keys))).toBe(`\
1m of rollups, partition 0 at entry 4,200
KEY  PARTITION         lastMs  tags   name     extra  NEXT TIMER
h-1          2  1700000000000  ["a"]  x\\u0007      -    18:35:00
''           2              5  -      -            -    18:30:01
`);
  });

  test('long and hostile keys and values stay on their line', () => {
    const keys = [key(`k\u001b]0;evil\u0007${'x'.repeat(500)}`, { value: { text: 'y\n'.repeat(500) } })];
    const lines = text(view(keys)).trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    for (const line of lines) expect(textWidth(line)).toBeLessThan(140);
    const windowed = text(view([key('k\u001b[2J\nl', { windows })]));
    expect(windowed).toContain('\nk\\u001b[2J\\u000al\n');
  });

  test('pages over several tasks, without keys', () => {
    const readAt = [5, 3, 9].map((entry, partition) => ({ partition, entry, watermarkMs: null }));
    expect(text({ ...view([]), readAt })).toBe('1m of rollups, 3 partitions at entries 3 to 9\nno keys\n');
    expect(text({ ...view([]), readAt: [] })).toBe('1m of rollups, no task was read\nno keys\n');
  });

  test('operators', () => {
    expect(operatorsText('j', [])).toBe('job j has no operator whose state can be read\n');
    expect(operatorsText('j', ['a', 'b'])).toBe('a\nb\n');
  });
});

test('rollups fit 80 columns', async () => {
  const samples: Readonly<Record<string, readonly number[]>> = {
    cpu_usage: [928.97, 17.708, 63.76, 23.82, 22.505, 29.824, 63.76],
    http_request_duration_seconds: [1.9014, 0.025659, 0.26092, 0.048753, 0.031761, 0.19382, 0.26092],
    memory_used_bytes: [116_553_128_960, 2_933_912_345, 3_034_812_345, 2_988_612_345, 2_988_012_345, 3e9, 3e9],
  };
  const keys = Object.entries(samples).map(([name, [sum, min, max, avg, p50, p95, p99]]) => {
    const window = { start: NOW, end: NOW + MINUTE, firings: 0, count: 60, sum, min, max, avg, p50, p95, p99 };
    const key = `${name}{host="api-gateway-1",region="eu-west"}`;
    return { key, partition: 0, states: { windows: [window] }, eventTimersMs: [], clockTimersMs: [] };
  });
  const state = { job: 'rollups', stage: '1m', operator: '1m', readAt: [], keys, next: null };
  for (const line of stateText(state, { ...PLAIN, operators: [], more: null }).split('\n')) {
    expect(textWidth(line), line).toBeLessThanOrEqual(80);
  }
  for (const line of jobsText(jobs, { ...PLAIN, nowMs: 1_700_000_100_000 }).split('\n'))
    expect(textWidth(line), line).toBeLessThanOrEqual(80);
});

test('colours are for terminals of people who want them', () => {
  const colours = (isTerminal: boolean, environment = {}) =>
    jobsText(jobs, { nowMs: NOW, paint: paintFor(isTerminal, environment) }).includes('\u001b[');
  expect(colours(true)).toBe(true);
  expect(colours(true, { NO_COLOR: '' })).toBe(true);
  expect(colours(false)).toBe(false);
  expect(colours(true, { NO_COLOR: '1' })).toBe(false);
  expect(colours(true, { TERM: 'dumb' })).toBe(false);
});
