// The figures of a real process: all that are promised are there, Prometheus takes them, and they say what happened.

import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { adminPort } from '#jobs/admin-port.ts';
import type { MillraceProcess } from '#jobs/run-process.ts';
import { tsdbBinary } from '#test/harness/tsdb-binaries.ts';
import { AdminWorld, until } from '#test/jobs/admin-world.ts';
import { expected, feedMinutes, PARTITIONS } from '#test/runtime/slot/minute-world.ts';

/** As the contract of the outside face lists them. */
const PROMISED = [
  'records_in_total',
  'records_out_total',
  'records_late_total',
  'records_dead_letter_total',
  'input_lag_records',
  'input_lag_seconds',
  'watermark_delay_seconds',
  'commits_total',
  'commit_duration_seconds_bucket',
  'commit_duration_seconds_sum',
  'commit_duration_seconds_count',
  'transactions_failed_total',
  'checkpoint_duration_seconds_count',
  'checkpoint_size_bytes',
  'state_size_bytes',
  'state_keys',
  'restore_duration_seconds',
  'replayed_entries_total',
  'task_restarts_total',
  'busy_seconds_total',
  'output_latency_seconds_count',
  'series_interned',
];
const OF_PROCESS = [
  'millrace_build_info',
  'process_cpu_seconds_total',
  'process_resident_memory_bytes',
  'process_start_time_seconds',
];

let world: AdminWorld;
let running: MillraceProcess | null = null;

beforeEach(async () => {
  world = await AdminWorld.create();
});

afterEach(async () => {
  await running?.stop();
  running = null;
  await world.remove();
});

interface Sample {
  readonly name: string;
  readonly labels: string;
  readonly value: number;
}

function samplesOf(text: string): Sample[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, name, labels, value] = /^([a-zA-Z0-9_:]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
      return { name, labels: labels ?? '', value: Number(value) };
    });
}

async function promtool(text: string): Promise<{ readonly code: number | null; readonly said: string }> {
  const program = join(dirname(await tsdbBinary('prometheus')), 'promtool');
  return new Promise((resolve) => {
    const child = execFile(program, ['check', 'metrics'], (_error, stdout, stderr) =>
      resolve({ code: child.exitCode, said: `${stdout}${stderr}` }),
    );
    child.stdin?.end(text);
  });
}

test('figures are complete, are taken by Prometheus without a remark, and say what was done', async () => {
  running = await world.start(['steady']);
  const first = adminPort(running);
  await feedMinutes(running.log, 1);
  await until('rows', async () => {
    const tasks = (await first.job('steady'))?.taskList ?? [];
    return tasks.every(({ totals }) => totals.recordsOut === 29);
  });
  // A clean stop ends with a checkpoint of every task.
  await running.stop();
  running = await world.start(['steady']);
  const { log } = running;
  const port = adminPort(running);
  await feedMinutes(log, 1);
  const total = async (name: string) =>
    samplesOf(await port.metrics())
      .filter((sample) => sample.name === name)
      .reduce((sum, { value }) => sum + value, 0);
  // Everything is late: the same minutes came before.
  await until('all samples', async () => (await total('millrace_records_in_total')) === 30 * PARTITIONS);
  let fed = 1;
  await until('checkpoints', async () => {
    await feedMinutes(log, 1);
    fed++;
    return (await total('millrace_checkpoint_duration_seconds_count')) >= PARTITIONS;
  });
  await until('what was fed', async () => (await total('millrace_records_in_total')) === fed * 30 * PARTITIONS);
  const text = await port.metrics();
  const samples = samplesOf(text);
  const names = new Set(samples.map(({ name }) => name));
  for (const name of PROMISED) expect(names, name).toContain(`millrace_${name}`);
  for (const name of OF_PROCESS) expect(names, name).toContain(name);
  for (const result of ['completed', 'failed'])
    expect(text).toContain(`millrace_checkpoints_total{job="steady",stage="minute",partition="0",result="${result}"}`);
  for (const name of PROMISED) {
    const of = samples.filter((sample) => sample.name === `millrace_${name}` && !sample.labels.includes('le="'));
    const labels = of.map((sample) => sample.labels).sort();
    if (of.length > 0)
      expect(labels).toEqual([0, 1, 2, 3].map((partition) => `job="steady",stage="minute",partition="${partition}"`));
  }
  expect(samples.every(({ value }) => Number.isFinite(value))).toBe(true);
  expect(await promtool(text)).toEqual({ code: 0, said: '' });
  // The last minute of each partition is open, and its sample is folded again; all others are late.
  expect(await total('millrace_records_late_total')).toBe(fed * 29 * PARTITIONS);
  expect(await total('millrace_series_interned')).toBe(PARTITIONS);
  expect(await total('millrace_state_keys')).toBe(PARTITIONS);
  expect(await total('millrace_input_lag_records')).toBe(0);
  expect(await total('millrace_replayed_entries_total'), 'it was stopped with a checkpoint').toBe(0);
  expect(await total('millrace_task_running')).toBe(PARTITIONS);
}, 90_000);

test('rows that were put out are counted as such, and commits with how long they took', async () => {
  running = await world.start(['steady']);
  const port = adminPort(running);
  await feedMinutes(running.log, 1);
  const total = async (name: string) =>
    samplesOf(await port.metrics())
      .filter((sample) => sample.name === name)
      .reduce((sum, { value }) => sum + value, 0);
  await until('rows', async () => (await total('millrace_records_out_total')) === expected(1).length);
  expect(await total('millrace_commit_duration_seconds_count')).toBe(await total('millrace_commits_total'));
  expect(await total('millrace_commit_duration_seconds_sum')).toBeGreaterThan(0);
  expect(await total('millrace_output_latency_seconds_count')).toBeGreaterThan(0);
  const view = await port.job('steady');
  expect(view?.taskList.map(({ totals }) => totals.recordsOut)).toEqual([29, 29, 29, 29]);
}, 90_000);
