// Owns what `millrace jobs` and `millrace job` show to people. Pure; texts of others are made printable here.

import {
  humanCount,
  humanDuration,
  humanMoment,
  humanRate,
  humanSize,
  NOTHING,
  printable,
} from '#jobs/commands/human-text.ts';
import type { Paint } from '#jobs/commands/paint.ts';
import { type Column, textTable } from '#jobs/commands/text-table.ts';
import type { CheckpointRefView, JobDetailView, JobView, TaskView } from '#runtime/http/contract.ts';

export interface TextContext {
  readonly nowMs: number;
  readonly paint: Paint;
}

const VERSION_SHOWN = 12;
const HELD_MS = 30_000;

export function jobsText(jobs: readonly JobView[], context: TextContext): string {
  if (jobs.length === 0) return 'the process has no job yet\n';
  const columns: Column[] = [
    { title: 'JOB', paint: context.paint.bold },
    { title: 'STATE', paint: context.paint.state },
    { title: 'TASKS', right: true },
    { title: 'SLOTS', right: true },
    { title: 'IN/S', right: true },
    { title: 'LAG', right: true },
    { title: 'BEHIND', right: true },
    { title: 'CHECKPOINT', right: true },
    { title: 'RESTARTS', right: true },
  ];
  const rows = jobs.map((job) => [
    printable(job.name),
    printable(job.state),
    `${job.tasks.running}/${job.tasks.total}`,
    humanCount(job.parallelism),
    humanRate(job.perSecond.recordsIn),
    job.lagRecords === null ? NOTHING : humanCount(job.lagRecords),
    durationText(job.watermarkDelayMs),
    agoText(job.lastCheckpoint, context.nowMs),
    unlessZero(job.restarts),
  ]);
  const failures = jobs.flatMap((job) => failureLines(job, job.name));
  return `${[...textTable(columns, rows), ...failures].join('\n')}\n`;
}

export function jobText(job: JobDetailView, context: TextContext): string {
  const { nowMs, paint } = context;
  const { perSecond, lastCheckpoint: checkpoint, watermarkMs, lagMs, lagRecords, version } = job;
  const figures: (readonly [string, string])[] = [
    [
      'tasks',
      `${job.tasks.running} of ${job.tasks.total} run, on ${job.parallelism} ${job.parallelism === 1 ? 'slot' : 'slots'}`,
    ],
    ['module', printable(job.module)],
    ['version', version === null ? NOTHING : printable(version.slice(0, VERSION_SHOWN))],
    [
      'lag',
      lagRecords === null
        ? NOTHING
        : `${humanCount(lagRecords)} records${lagMs === null || lagRecords === 0 ? '' : `, ${humanDuration(lagMs)}`}`,
    ],
    [
      'watermark',
      watermarkMs === null ? NOTHING : `${humanMoment(watermarkMs)} UTC, ${durationText(job.watermarkDelayMs)} behind`,
    ],
    ['checkpoint', checkpoint === null ? NOTHING : `${agoText(checkpoint, nowMs)}, ${checkpointsText(job)}`],
    [
      'per second',
      `${humanRate(perSecond.recordsIn)} in, ${humanRate(perSecond.recordsOut)} out, ${humanRate(perSecond.recordsLate)} late, ${humanRate(perSecond.recordsBad)} bad`,
    ],
    ['restarts', humanCount(job.restarts)],
  ];
  const width = Math.max(...figures.map(([name]) => name.length));
  const lines = [
    `${paint.bold(printable(job.name))}  ${paint.state(printable(job.state))}`,
    ...figures.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`),
    ...failureLines(job, null),
    ...(job.taskList.length === 0
      ? []
      : [
          '',
          ...textTable(
            TASK_COLUMNS,
            job.taskList.map((task) => taskRow(task, nowMs)),
          ),
        ]),
    ...job.taskList.flatMap((task) => waitingLines(task, nowMs)),
  ];
  return `${lines.join('\n')}\n`;
}

const TASK_COLUMNS: readonly Column[] = [
  { title: 'TASK' },
  { title: 'SLOT', right: true },
  { title: 'PHASE' },
  { title: 'ENTRY', right: true },
  { title: 'IN/S', right: true },
  { title: 'OUT/S', right: true },
  { title: 'LAG', right: true },
  { title: 'BEHIND', right: true },
  { title: 'CHECKPOINT', right: true },
  { title: 'LATE', right: true },
  { title: 'BAD', right: true },
  { title: 'RESTARTS', right: true },
];

function taskRow(task: TaskView, nowMs: number): string[] {
  const { perSecond, totals } = task;
  const lags = task.inputs.map(({ lagRecords }) => lagRecords);
  const lag = lags.reduce<number | null>((sum, one) => (sum === null || one === null ? null : sum + one), 0);
  return [
    printable(`${task.stage}/${task.partition}`),
    task.slot === null ? NOTHING : String(task.slot),
    printable(task.phase),
    task.entry < 0 ? NOTHING : humanCount(task.entry),
    humanRate(perSecond.recordsIn),
    humanRate(perSecond.recordsOut),
    lag === null ? NOTHING : humanCount(lag),
    task.watermarkMs === null ? NOTHING : humanDuration(nowMs - task.watermarkMs),
    agoText(task.lastCheckpoint, nowMs),
    unlessZero(totals.recordsLate),
    unlessZero(totals.recordsBad),
    unlessZero(task.restarts),
  ];
}

function waitingLines(task: TaskView, nowMs: number): string[] {
  const { partition, stage, waitingFor, watermarkHeldBy, watermarkMs } = task;
  const name = printable(`${stage}/${partition}`);
  const lines: string[] = [];
  if (waitingFor !== null) lines.push(`${name} waits: ${printable(waitingFor)}`);
  // Somebody always holds it; who does so is of interest when it lasts.
  const late = watermarkMs === null || nowMs - watermarkMs > HELD_MS;
  if (late && watermarkHeldBy.length > 0) lines.push(`${name} watermark held by writers ${watermarkHeldBy.join(', ')}`);
  return lines;
}

function failureLines({ failure }: JobView, name: string | null): string[] {
  if (failure === null) return [];
  const message = printable(failure.message);
  const named = name === null || message.startsWith(`job ${name}`) || message.startsWith(`task ${name}/`);
  return ['', `${named ? '' : `job ${printable(name)}: `}${message}`, `  remedy: ${printable(failure.remedy)}`];
}

/** The oldest one says when; a task alone is no more than a part. */
function checkpointsText({ taskList }: JobDetailView): string {
  const bytes = taskList.reduce((sum, { lastCheckpoint }) => sum + (lastCheckpoint?.sizeBytes ?? 0), 0);
  return taskList.length > 1 ? `or later, of each task, ${humanSize(bytes)} in all` : humanSize(bytes);
}

function durationText(ms: number | null): string {
  return ms === null ? NOTHING : humanDuration(ms);
}

function agoText(checkpoint: CheckpointRefView | null, nowMs: number): string {
  return checkpoint === null ? NOTHING : `${humanDuration(nowMs - checkpoint.createdMs)} ago`;
}

/** Nothing: the column is left out where it says 0 everywhere. */
function unlessZero(count: number): string {
  return count === 0 ? '' : humanCount(count);
}
