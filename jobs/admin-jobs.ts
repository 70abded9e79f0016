// Owns how jobs and their tasks are shown: what the process knows of a job together with what its tasks said last. Pure;
// asks nobody. Invariant: every task that a job was prepared with is shown, whether it said something or not.

import type { StagePlan } from '#jobs/plan.ts';
import type { RunningJob } from '#jobs/running-jobs.ts';
import { inputTopic } from '#jobs/topics.ts';
import type {
  CheckpointRefView,
  FaultView,
  InputView,
  JobDetailView,
  JobStateName,
  JobView,
  RatesView,
  TaskView,
} from '#runtime/http/contract.ts';
import { assignmentKey, type SlotReport, type TaskAssignment } from '#runtime/slot/messages.ts';
import type { TaskFigures } from '#runtime/task/task-meter.ts';

/** A task and what it said last; null when it said nothing yet. */
export interface KnownTask {
  readonly assignment: TaskAssignment;
  readonly report: SlotReport | null;
}

/** A job, its tasks, and what keeps the whole process from going on. */
export interface KnownJob {
  readonly job: RunningJob;
  readonly tasks: readonly KnownTask[];
  readonly paused: FaultView | null;
  /** Id of the change that is under way; null: none. */
  readonly request: string | null;
}

export interface ShownProcess {
  readonly namespace: string;
  readonly processId: string;
  readonly nowMs: number;
}

type Lag = Pick<InputView, 'lagRecords' | 'lagMs'>;

const UNKNOWN: Lag = { lagRecords: null, lagMs: null };
const NO_RATES: RatesView = { recordsIn: 0, recordsOut: 0, recordsLate: 0, recordsBad: 0 };

export function tasksOf(job: RunningJob, reports: readonly SlotReport[]): KnownTask[] {
  const byKey = new Map(reports.map((report) => [assignmentKey(report.assignment), report]));
  return (job.prepared?.tasks ?? []).map((assignment) => ({
    assignment,
    report: byKey.get(assignmentKey(assignment)) ?? null,
  }));
}

export function isRunning(task: KnownTask): boolean {
  return task.report?.word !== 'ended' && phaseOf(task) === 'running';
}

/** `created` before its first attempt, `ended` when there was none; `restarting` between two attempts, also while its slot is started again. */
export function phaseOf({ report }: KnownTask): string {
  if (report?.word === 'down') return 'restarting';
  return report?.status?.phase ?? (report?.word === 'ended' ? 'ended' : 'created');
}

export function jobState({ job, tasks, paused }: KnownJob): JobStateName {
  if (job.state !== 'RUNNING') return job.state;
  if (paused !== null) return 'PAUSED';
  return tasks.some((task) => phaseOf(task) === 'restarting') ? 'RESTARTING' : 'RUNNING';
}

/** Without the stack: that is for logs. */
export function faultView<T extends FaultView>(failure: T | null): FaultView | null {
  if (failure === null) return null;
  const { code, message, remedy } = failure;
  return { code, message, remedy };
}

export function jobView(known: KnownJob, process: ShownProcess): JobView {
  const { job, tasks } = known;
  const { plan, settings } = job.loaded.compiled;
  const outside = new Set(plan.stages.flatMap(({ id, input }) => (input.kind === 'source' ? [id] : [])));
  const giving = new Set(plan.stages.flatMap((stage) => (givesResults(stage) ? [stage.id] : [])));
  const views = tasks.map((task) => taskView(task, process));
  // A task without a word reads something, too.
  const inputs = views
    .filter(({ stage }) => outside.has(stage))
    .flatMap((view): readonly Lag[] => (view.inputs.length > 0 ? view.inputs : [UNKNOWN]));
  const watermarkMs = least(views.map((view) => view.watermarkMs));
  return {
    name: job.name,
    state: jobState(known),
    version: job.prepared?.assignment.version ?? null,
    parallelism: settings.parallelism,
    tasks: { total: tasks.length, running: tasks.filter(isRunning).length },
    lagRecords: ofAll(
      inputs.map(({ lagRecords }) => lagRecords),
      (a, b) => a + b,
    ),
    lagMs: ofAll(
      inputs.map(({ lagMs }) => lagMs),
      Math.max,
    ),
    watermarkMs,
    watermarkDelayMs: watermarkMs === null ? null : Math.max(0, process.nowMs - watermarkMs),
    lastCheckpoint: oldest(views.map(({ lastCheckpoint }) => lastCheckpoint)),
    perSecond: {
      recordsIn: rate(views, (view) => (outside.has(view.stage) ? view.perSecond.recordsIn : 0)),
      recordsOut: rate(views, (view) => (giving.has(view.stage) ? view.perSecond.recordsOut : 0)),
      recordsLate: rate(views, ({ perSecond }) => perSecond.recordsLate),
      recordsBad: rate(views, ({ perSecond }) => perSecond.recordsBad),
    },
    restarts: views.reduce((all, { restarts }) => all + restarts, 0),
    failure: faultView(job.failure),
  };
}

/** What goes from stage to stage is no result. */
function givesResults(stage: StagePlan): boolean {
  return stage.steps.some(({ kind }) => kind === 'topic' || kind === 'remote-write');
}

function rate(views: readonly TaskView[], of: (view: TaskView) => number): number {
  return rounded(views.reduce((sum, view) => sum + of(view), 0));
}

function rounded(perSecond: number): number {
  return Math.round(perSecond * 100) / 100;
}

export function jobDetailView(known: KnownJob, process: ShownProcess): JobDetailView {
  const { job, tasks } = known;
  const { configuration, compiled } = job.loaded;
  const { plan, settings } = compiled;
  const run = { namespace: process.namespace, job: job.name, run: 'live', generation: job.wanted.generation };
  return {
    ...jobView(known, process),
    desiredState: job.wanted.state,
    revision: job.wanted.revision,
    request: known.request,
    module: configuration.modulePath,
    stages: plan.stages.map((stage) => ({
      id: stage.id,
      parallelism: tasks.filter(({ assignment }) => assignment.stage === stage.id).length,
      input: inputTopic(plan, run, stage),
      operators: stage.steps.map(({ id }) => id),
    })),
    settings: { ...settings },
    taskList: tasks.map((task) => taskView(task, process)),
  };
}

function taskView(task: KnownTask, { processId }: ShownProcess): TaskView {
  const { assignment, report } = task;
  const { stage, partition } = assignment;
  const status = report?.status ?? null;
  const figures = report?.figures ?? null;
  return {
    stage,
    partition,
    process: report?.process ?? processId,
    slot: report?.slot ?? null,
    phase: phaseOf(task),
    inputs: status?.inputs ?? [],
    watermarkMs: status?.watermarkMs ?? null,
    watermarkHeldBy: status?.watermarkHeldBy ?? [],
    entry: status?.entry ?? -1,
    lastCheckpoint: figures?.lastCheckpoint ?? null,
    perSecond: isRunning(task) ? ratesOf(figures) : NO_RATES,
    totals: totalsOf(figures),
    restarts: report?.restarts ?? 0,
    waitingFor: waitingFor(task),
  };
}

/** What keeps a task from going on, as far as it is known; null when nothing. */
export function waitingFor({ report }: KnownTask): string | null {
  if (report === null) return 'its slot starts';
  if (report.word === 'down') return 'its slot died, and is started again';
  if (report.word === 'silent') return 'its slot does not answer; these are older words';
  return report.word === 'ended' ? null : (report.status?.waitingFor ?? null);
}

function ratesOf(figures: TaskFigures | null): RatesView {
  if (figures === null) return NO_RATES;
  const { in: recordsIn, out, late, bad } = figures.perSecond;
  return {
    recordsIn: rounded(recordsIn),
    recordsOut: rounded(out),
    recordsLate: rounded(late),
    recordsBad: rounded(bad),
  };
}

function totalsOf(figures: TaskFigures | null): RatesView {
  const total = (name: string) => figures?.totals[name] ?? 0;
  return {
    recordsIn: total('records-in'),
    recordsOut: total('records-out'),
    recordsLate: total('late'),
    recordsBad: total('dead-letter'),
  };
}

/** Null when one of them is not known, or there is none. */
function ofAll(values: readonly (number | null)[], join: (a: number, b: number) => number): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 || known.length < values.length ? null : known.reduce((a, b) => join(a, b));
}

function least(values: readonly (number | null)[]): number | null {
  return ofAll(values, Math.min);
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
