// Owns the figures that Prometheus scrapes: which there are, what they mean, and where their values come from. Names are
// promises; each carries its unit. Pure but for the figures of the process itself.

import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isRunning, jobState, type KnownJob, type KnownTask } from '#jobs/admin-jobs.ts';
import { engineVersion } from '#jobs/version.ts';
import type { SlotCounts } from '#runtime/slot/slot.ts';
import { lazily } from '#runtime/std/lazily.ts';
import { type Labels, MetricsText, type MetricType } from '#runtime/std/metrics-text.ts';
import type { TaskFigures } from '#runtime/task/task-meter.ts';
import type { TaskStatus } from '#runtime/task/task-status.ts';

export interface MetricsParts {
  readonly jobs: readonly KnownJob[];
  readonly slots: SlotCounts;
  readonly startedMs: number;
  readonly nowMs: number;
}

/** What a task said; only of those that said something. */
interface Said {
  readonly status: TaskStatus;
  readonly figures: TaskFigures;
  readonly restarts: number;
  readonly running: boolean;
  /** Whether it runs somewhere, so that its words are about now. */
  readonly current: boolean;
  readonly nowMs: number;
}

type Value = (said: Said) => number | null;

const total =
  (name: string): Value =>
  ({ figures }) =>
    figures.totals[name] ?? 0;

const swap =
  (name: keyof NonNullable<TaskStatus['stateMemory']>): Value =>
  ({ status }) =>
    status.stateMemory?.[name] ?? null;

const seconds = (ms: number | null | undefined) => (ms === null || ms === undefined ? null : ms / 1_000);

/** By task: name without `millrace_`, type, help, value; null: left out. */
const OF_TASK: readonly (readonly [name: string, type: MetricType, help: string, value: Value])[] = [
  ['task_running', 'gauge', '1 while the task takes new input, else 0.', ({ running }) => (running ? 1 : 0)],
  ['records_in_total', 'counter', 'Log records read and committed.', total('records-in')],
  ['records_out_total', 'counter', 'Log records written, all topics together.', total('records-out')],
  ['records_late_total', 'counter', 'Rows that came after their windows had closed for good.', total('late')],
  ['records_dead_letter_total', 'counter', 'Records set aside as bad, in full or in part.', total('dead-letter')],
  [
    'input_lag_records',
    'gauge',
    'Records in the input that are not read yet.',
    ({ status, current }) => (current ? status.lagRecords : null),
  ],
  [
    'input_lag_seconds',
    'gauge',
    'Age of the oldest record in the input that is not read yet, by its timestamp, in seconds; 0 at the end.',
    ({ status, current }) => (current ? seconds(status.inputs[0]?.lagMs) : null),
  ],
  [
    'watermark_delay_seconds',
    'gauge',
    'How far the watermark is behind the clock, in seconds.',
    ({ status, nowMs }) => (status.watermarkMs === null ? null : Math.max(0, nowMs - status.watermarkMs) / 1_000),
  ],
  ['entry', 'gauge', 'Number of the last committed entry.', ({ status }) => status.entry],
  ['commits_total', 'counter', 'Entries committed.', ({ figures }) => figures.commits],
  ['transactions_failed_total', 'counter', 'Transactions whose fate had to be read.', total('transactions-failed')],
  [
    'transaction_ends_written_total',
    'counter',
    'Partitions in which the log had left out the end of a transaction, and got it by hand.',
    total('transaction-ends-written'),
  ],
  [
    'checkpoint_size_bytes',
    'gauge',
    'All files of the last checkpoint, in bytes.',
    ({ figures }) => figures.lastCheckpoint?.sizeBytes ?? null,
  ],
  [
    'checkpoint_age_seconds',
    'gauge',
    'Since the last checkpoint was taken, in seconds.',
    ({ figures, nowMs }) =>
      figures.lastCheckpoint === null ? null : Math.max(0, nowMs - figures.lastCheckpoint.createdMs) / 1_000,
  ],
  ['state_size_bytes', 'gauge', 'State, as it was written last, in bytes.', ({ status }) => status.stateBytes],
  ['state_keys', 'gauge', 'Keys that operators with keyed state know.', ({ status }) => status.stateKeys],
  ['series_interned', 'gauge', 'Series and other keys in the tables.', ({ status }) => status.seriesInterned],
  [
    'restore_duration_seconds',
    'gauge',
    'What the last restore of a checkpoint took, without the replay behind it, in seconds.',
    ({ figures }) => figures.restoreSeconds,
  ],
  ['replayed_entries_total', 'counter', 'Entries replayed after restarts.', total('replayed-entries')],
  ['task_restarts_total', 'counter', 'Restarts after failures.', ({ restarts }) => restarts],
  [
    'busy_seconds_total',
    'counter',
    'Time spent at work, not waiting, in seconds.',
    ({ figures }) => figures.busySeconds,
  ],
  [
    'state_memory_budget_bytes',
    'gauge',
    'What keyed state of all tasks of the slot may have in memory.',
    swap('budgetBytes'),
  ],
  ['state_memory_bytes', 'gauge', 'Keyed state in memory, in bytes, where it may leave it.', swap('bytesInMemory')],
  ['state_memory_pages', 'gauge', 'Pages of keyed state in memory.', swap('pagesInMemory')],
  ['state_swapped_bytes', 'gauge', 'Keyed state on disk, in bytes.', swap('bytesSwapped')],
  ['state_swapped_pages', 'gauge', 'Pages of keyed state on disk.', swap('pagesSwapped')],
  ['state_page_hits_total', 'counter', 'Uses of pages that were in memory.', swap('hits')],
  ['state_page_misses_total', 'counter', 'Uses of pages that had to come back from disk.', swap('misses')],
];

const DISTRIBUTIONS: readonly (readonly [
  name: string,
  help: string,
  value: 'commitSeconds' | 'checkpointSeconds' | 'outputLatencySeconds',
])[] = [
  ['commit_duration_seconds', 'From sending an entry to knowing that it is committed, in seconds.', 'commitSeconds'],
  ['checkpoint_duration_seconds', 'From capturing a checkpoint to its last file, in seconds.', 'checkpointSeconds'],
  [
    'output_latency_seconds',
    'From the timestamp of the newest record of an entry to its commit, in seconds.',
    'outputLatencySeconds',
  ],
];

/** What came in and entered no result. */
const SET_ASIDE = ['late', 'dead-letter', 'not-finite', 'sum-overflow', 'bad-samples', 'bad-records'];
/** Those that have a name of their own. */
const NAMED = new Set(['records-in', 'records-out', 'entries-committed', 'replayed-entries', 'checkpoints-failed']);
const OWN_NAMES = new Set([...NAMED, ...SET_ASIDE, 'transactions-failed', 'transaction-ends-written']);

export function metricsText(parts: MetricsParts): string {
  const text = new MetricsText();
  tellProcess(text, parts);
  tellJobs(text, parts);
  for (const [name, type, help] of OF_TASK) text.declare(`millrace_${name}`, type, help);
  for (const [name, help] of DISTRIBUTIONS) text.declare(`millrace_${name}`, 'histogram', help);
  text.declare('millrace_checkpoints_total', 'counter', 'Checkpoints by their result.');
  text.declare('millrace_set_aside_total', 'counter', 'What came in and entered no result, by the reason.');
  text.declare('millrace_operator_events_total', 'counter', 'What operators counted, by its name.');
  for (const { job, tasks } of parts.jobs) {
    for (const task of tasks) {
      const { stage, partition } = task.assignment;
      const said = saidBy(task, parts.nowMs);
      if (said !== null) tellTask(text, { job: job.name, stage, partition }, said);
    }
  }
  return text.toString();
}

function saidBy(task: KnownTask, nowMs: number): Said | null {
  const { report } = task;
  if (report === null || report.status === null || report.figures === null) return null;
  const { status, figures, restarts, slot } = report;
  return { status, figures, restarts, running: isRunning(task), current: slot !== null, nowMs };
}

function tellTask(text: MetricsText, labels: Labels, said: Said): void {
  for (const [name, , , value] of OF_TASK) {
    const figure = value(said);
    if (figure !== null) text.add(`millrace_${name}`, labels, figure);
  }
  const { figures } = said;
  for (const [name, , value] of DISTRIBUTIONS) text.addDistribution(`millrace_${name}`, labels, figures[value]);
  const { checkpointsCompleted, checkpointsFailed, totals } = figures;
  text.add('millrace_checkpoints_total', { ...labels, result: 'completed' }, checkpointsCompleted);
  text.add('millrace_checkpoints_total', { ...labels, result: 'failed' }, checkpointsFailed);
  for (const [event, count] of Object.entries(totals)) {
    if (SET_ASIDE.includes(event)) text.add('millrace_set_aside_total', { ...labels, reason: event }, count);
    else if (!OWN_NAMES.has(event)) text.add('millrace_operator_events_total', { ...labels, event }, count);
  }
}

function tellJobs(text: MetricsText, { jobs }: MetricsParts): void {
  text.declare('millrace_job_state', 'gauge', 'State of the job; always 1.');
  text.declare('millrace_job_tasks', 'gauge', 'Tasks of the job.');
  for (const known of jobs) {
    const { name } = known.job;
    text.add('millrace_job_state', { job: name, state: jobState(known) }, 1);
    text.add('millrace_job_tasks', { job: name }, known.tasks.length);
  }
}

function tellProcess(text: MetricsText, { slots, startedMs }: MetricsParts): void {
  const gauge = (name: string, help: string, value: number, labels: Labels = {}) => {
    text.declare(name, 'gauge', help);
    text.add(name, labels, value);
  };
  gauge('millrace_build_info', 'Version of Millrace and of Node; always 1.', 1, BUILD());
  gauge('millrace_slots', 'Threads that run tasks, as configured.', slots.total);
  gauge('millrace_slots_running', 'Threads that run tasks now.', slots.running);
  text.declare('millrace_slot_active_seconds_total', 'counter', 'Time in which the thread was at work, in seconds.');
  text.declare('millrace_slot_idle_seconds_total', 'counter', 'Time in which the thread waited, in seconds.');
  for (const { slot, activeSeconds, idleSeconds } of slots.activity) {
    text.add('millrace_slot_active_seconds_total', { slot }, activeSeconds);
    text.add('millrace_slot_idle_seconds_total', { slot }, idleSeconds);
  }
  const { user, system } = process.cpuUsage();
  text.declare('process_cpu_seconds_total', 'counter', 'CPU time of the process, in seconds.');
  text.add('process_cpu_seconds_total', {}, (user + system) / 1e6);
  gauge('process_resident_memory_bytes', 'Memory of the process, in bytes.', process.memoryUsage.rss());
  gauge('process_start_time_seconds', 'When the process started, in seconds since 1970.', startedMs / 1_000);
  const { percentile99, most } = eventLoopDelay();
  gauge(
    'nodejs_eventloop_lag_p99_seconds',
    'Delay of the main thread since the last scrape, in seconds.',
    percentile99,
  );
  gauge('nodejs_eventloop_lag_max_seconds', 'Largest such delay, in seconds.', most);
}

const BUILD = lazily(() => ({ version: engineVersion(), node: process.versions.node }));

const LOOK_MS = 20;

/** Watched from the first scrape on. */
const EVENT_LOOP = lazily(() => {
  const delay = monitorEventLoopDelay({ resolution: LOOK_MS });
  delay.enable();
  return delay;
});

/** Seconds, since it was asked last. What is measured contains the time between two looks. */
function eventLoopDelay(): { readonly percentile99: number; readonly most: number } {
  const delay = EVENT_LOOP();
  const beyond = (nanoseconds: number) => Math.max(0, nanoseconds / 1e9 - LOOK_MS / 1_000);
  const told = { percentile99: beyond(delay.percentile(99)), most: beyond(delay.max) };
  delay.reset();
  return told;
}
