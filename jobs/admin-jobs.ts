// Owns how jobs and their tasks are shown: what the process knows of a job together with what its tasks say. Pure; asks
// nobody. Invariant: every task that a job was prepared with is shown, whether it answers or not.

import type { RunningJob } from '#jobs/running-jobs.ts';
import { inputTopic } from '#jobs/topics.ts';
import type {
  CheckpointRefView,
  FaultView,
  JobDetailView,
  JobStateName,
  JobView,
  RatesView,
  TaskView,
} from '#runtime/http/contract.ts';
import { assignmentKey, type SlotReport, type TaskAssignment } from '#runtime/slot/messages.ts';
import type { Failure } from '#runtime/task/task-supervisor.ts';

/** A task and what it said last; null when it said nothing. */
export interface KnownTask {
  readonly assignment: TaskAssignment;
  readonly report: SlotReport | null;
}

const NO_RATES: RatesView = { recordsIn: 0, recordsOut: 0, recordsLate: 0, recordsBad: 0 };

export function tasksOf(job: RunningJob, reports: readonly SlotReport[]): KnownTask[] {
  const byKey = new Map(reports.map((report) => [assignmentKey(report.assignment), report]));
  return (job.prepared?.tasks ?? []).map((assignment) => ({
    assignment,
    report: byKey.get(assignmentKey(assignment)) ?? null,
  }));
}

export function isRunning({ report }: KnownTask): boolean {
  return report?.status?.phase === 'running';
}

export function jobState(job: RunningJob): JobStateName {
  return job.state;
}

export function faultView(failure: Failure | null): FaultView | null {
  if (failure === null) return null;
  const { code, message, remedy } = failure;
  return { code, message, remedy };
}

export function jobView(job: RunningJob, tasks: readonly KnownTask[], nowMs: number): JobView {
  const outside = new Set(
    job.loaded.compiled.plan.stages.flatMap(({ id, input }) => (input.kind === 'source' ? [id] : [])),
  );
  const views = tasks.map((task) => taskView(task, ''));
  const readers = views.filter(({ stage }) => outside.has(stage)).flatMap(({ inputs }) => inputs);
  const watermarkMs = least(views.map((view) => view.watermarkMs));
  return {
    name: job.name,
    state: jobState(job),
    version: job.prepared?.assignment.version ?? null,
    parallelism: job.loaded.compiled.settings.parallelism,
    tasks: { total: tasks.length, running: tasks.filter(isRunning).length },
    lagRecords: sum(readers.map(({ lagRecords }) => lagRecords)),
    lagMs: most(readers.map(({ lagMs }) => lagMs)),
    watermarkMs,
    watermarkDelayMs: watermarkMs === null ? null : Math.max(0, nowMs - watermarkMs),
    lastCheckpoint: oldest(views.map(({ lastCheckpoint }) => lastCheckpoint)),
    perSecond: addRates(views.map(({ perSecond }) => perSecond)),
    restarts: views.reduce((all, { restarts }) => all + restarts, 0),
    failure: faultView(job.failure),
  };
}

export function jobDetailView(
  job: RunningJob,
  tasks: readonly KnownTask[],
  { namespace, processId, nowMs }: { readonly namespace: string; readonly processId: string; readonly nowMs: number },
): JobDetailView {
  const { configuration, compiled } = job.loaded;
  const { plan, settings } = compiled;
  const run = { namespace, job: job.name, run: 'live', generation: 0 };
  return {
    ...jobView(job, tasks, nowMs),
    module: configuration.modulePath,
    stages: plan.stages.map((stage) => ({
      id: stage.id,
      parallelism: tasks.filter(({ assignment }) => assignment.stage === stage.id).length,
      input: inputTopic(plan, run, stage),
      operators: stage.steps.map(({ id }) => id),
    })),
    settings: { ...settings },
    taskList: tasks.map((task) => taskView(task, processId)),
  };
}

function taskView({ assignment, report }: KnownTask, processId: string): TaskView {
  const { stage, partition } = assignment;
  const status = report?.status ?? null;
  return {
    stage,
    partition,
    process: processId,
    slot: report?.slot ?? null,
    phase: status?.phase ?? 'created',
    inputs: [],
    watermarkMs: status?.watermarkMs ?? null,
    watermarkHeldBy: status?.watermarkHeldBy ?? [],
    entry: status?.entry ?? -1,
    lastCheckpoint: null,
    perSecond: NO_RATES,
    totals: NO_RATES,
    restarts: report?.restarts ?? 0,
    waitingFor: status?.waitingFor ?? null,
  };
}

/** Null when one of them is not known, or there is none. */
function sum(values: readonly (number | null)[]): number | null {
  return values.length === 0
    ? null
    : values.reduce((all, value) => (all === null || value === null ? null : all + value));
}

function most(values: readonly (number | null)[]): number | null {
  return values.length === 0
    ? null
    : values.reduce((all, value) => (all === null || value === null ? null : Math.max(all, value)));
}

function least(values: readonly (number | null)[]): number | null {
  return values.length === 0
    ? null
    : values.reduce((all, value) => (all === null || value === null ? null : Math.min(all, value)));
}

/** Null while one task has none. */
function oldest(checkpoints: readonly (CheckpointRefView | null)[]): CheckpointRefView | null {
  let found: CheckpointRefView | null = null;
  for (const checkpoint of checkpoints) {
    if (checkpoint === null) return null;
    if (found === null || checkpoint.createdMs < found.createdMs) found = checkpoint;
  }
  return found;
}

function addRates(rates: readonly RatesView[]): RatesView {
  const add = (of: (rate: RatesView) => number) => rates.reduce((all, rate) => all + of(rate), 0);
  return {
    recordsIn: add((rate) => rate.recordsIn),
    recordsOut: add((rate) => rate.recordsOut),
    recordsLate: add((rate) => rate.recordsLate),
    recordsBad: add((rate) => rate.recordsBad),
  };
}
