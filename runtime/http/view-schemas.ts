// Owns the schemas of what the admin API answers, by name, as the OpenAPI document lists them. Which route answers what
// is routes.ts's affair.

import type {
  CheckpointRefView,
  CheckpointsView,
  CheckpointView,
  DesiredStateName,
  ExceptionsView,
  ExceptionView,
  FaultView,
  InputView,
  JobDetailView,
  JobPatchView,
  JobStateName,
  JobView,
  OverviewView,
  PlanView,
  RatesView,
  ReadinessView,
  RequestStateName,
  RequestView,
  StateOperatorsView,
  StateReadView,
  StateView,
  TaskPauseView,
  TaskView,
} from '#runtime/http/contract.ts';
import { DEPLOY_SCHEMAS } from '#runtime/http/deploy-schemas.ts';
import {
  count,
  flag,
  list,
  moment,
  number,
  oneOf,
  orNull,
  record,
  refer,
  type Schema,
  text,
  view,
} from '#runtime/http/schema.ts';

export const JOB_STATES = [
  'CREATED',
  'RUNNING',
  'RESTARTING',
  'PAUSED',
  'STOPPING',
  'STOPPED',
  'CANCELED',
  'FAILED',
  'FINISHED',
] as const satisfies readonly JobStateName[];

const DESIRED_STATES = ['RUNNING', 'PAUSED', 'STOPPED', 'CANCELED'] as const satisfies readonly DesiredStateName[];
const REQUEST_STATES = ['RUNNING', 'DONE', 'FAILED', 'UNDONE'] as const satisfies readonly RequestStateName[];

export type SchemaName = keyof typeof SCHEMAS;

/** Refers to a schema of the document. */
export function ref(name: SchemaName): Schema {
  return { $ref: `#/components/schemas/${name}` };
}

const PARTITION = count('number of the partition, which is that of its task');
const STAGE = text('id of the stage');
const WATERMARK = orNull(moment('event time up to which everything was seen'), 'not known yet');

const FAULT: Readonly<Record<keyof FaultView, Schema>> = {
  code: text('stable, of the table of errors'),
  message: text('what is wrong, for people'),
  remedy: text('what to do about it'),
};

const JOB: Readonly<Record<keyof JobView, Schema>> = {
  name: text('id'),
  state: oneOf(JOB_STATES, 'what it does'),
  version: orNull(text('hash of what decides its output'), 'it could not be compiled'),
  parallelism: count('slots its tasks are spread over'),
  tasks: view<JobView['tasks']>({ total: count('all'), running: count('those that run') }),
  lagRecords: orNull(count('records that its sources have not read yet'), 'not known yet'),
  lagMs: orNull(number('age of the oldest of them, in milliseconds'), 'not known yet'),
  watermarkMs: WATERMARK,
  watermarkDelayMs: orNull(number('how far that is behind the clock, in milliseconds'), 'not known yet'),
  lastCheckpoint: orNull(refer('CheckpointRef'), 'a task has none yet'),
  perSecond: refer('Rates'),
  restarts: count('of its tasks, together'),
  failure: orNull(refer('Fault'), 'it has not failed'),
};

const STAGES: Schema = view<JobDetailView['stages'][number]>({
  id: STAGE,
  parallelism: count('number of its tasks'),
  input: text('what it reads'),
  operators: list(text('id'), 'ids of its operators'),
});

export const SCHEMAS = {
  Error: view<{ error: FaultView }>({ error: refer('Fault') }),
  Fault: view<FaultView>(FAULT),
  Health: view<{ live: true }>({ live: flag('true: the process answers') }),
  NotReady: view<ReadinessView & { error: FaultView }>({
    error: refer('Fault'),
    ready: flag('false'),
    jobs: list(refer('UnreadyJob'), 'those that are not ready'),
  }),
  Readiness: view<ReadinessView>({
    ready: flag('true: every job does its work'),
    jobs: list(refer('UnreadyJob'), 'those that are not ready: none'),
  }),
  UnreadyJob: view<ReadinessView['jobs'][number]>({
    job: text('id of the job'),
    state: oneOf(JOB_STATES, 'what it does'),
    reason: text('why it is not ready'),
    remedy: text('what to do about it'),
  }),
  Overview: view<OverviewView>({
    version: text('of Millrace'),
    namespace: text('prefix of every topic of the installation'),
    process: text('id of this process'),
    installation: orNull(text('id of the installation'), 'it is not claimed yet'),
    log: oneOf(['kafka', 'embedded'], 'what the jobs read and write'),
    startedMs: moment('when this process started'),
    slots: view<OverviewView['slots']>({ total: count('worker threads'), running: count('those that live') }),
    tasks: view<OverviewView['tasks']>({ total: count('all'), running: count('those that run') }),
    jobs: view<OverviewView['jobs']>(
      Object.fromEntries(JOB_STATES.map((state) => [state, count(`jobs that are ${state}`)])) as Record<
        JobStateName,
        Schema
      >,
      JOB_STATES,
    ),
  }),
  Configuration: record(true, 'the configuration as it is used, with secrets hidden'),
  Jobs: view<{ jobs: readonly JobView[] }>({ jobs: list(refer('Job'), 'in the order of the configuration') }),
  Job: view<JobView>(JOB),
  JobDetail: view<JobDetailView>({
    ...JOB,
    desiredState: oneOf(DESIRED_STATES, 'what it is told to be'),
    revision: { type: 'integer', minimum: 1, description: 'grows with every change of what it is told to be' },
    request: orNull(text('id of the change that is under way'), 'none'),
    module: text('where it is defined'),
    stages: list(STAGES, 'in the order of the plan'),
    settings: record(true, 'intervals and bounds'),
    taskList: list(refer('Task'), 'one for each partition of each stage'),
  }),
  JobPatch: view<JobPatchView>(
    {
      state: oneOf(DESIRED_STATES, 'what it is to be: given alone'),
      drain: flag('with the state STOPPED: what is there is read before, and every window fires'),
      parallelism: { type: 'integer', minimum: 1, maximum: 256, description: 'slots its tasks are spread over' },
      commitInterval: text('longest wait of output for its commit: 200ms, 1s, …'),
      checkpointInterval: text('between two checkpoints: 30s, 5m, …'),
    },
    ['state', 'drain', 'parallelism', 'commitInterval', 'checkpointInterval'],
  ),
  Request: view<RequestView>({
    requestId: text('id'),
    job: text('id of the job'),
    operation: text(
      'start, stop, pause, cancel, rescale, configure, checkpoint, savepoint, delete-savepoint, deploy, rollback',
    ),
    parameters: record(true, 'of the operation'),
    state: oneOf(REQUEST_STATES, 'UNDONE: it could not be finished, and all is as it was before'),
    acceptedMs: moment('when it was written down'),
    endedMs: orNull(moment('when it ended'), 'it runs'),
    progress: orNull(
      view<NonNullable<RequestView['progress']>>({
        done: count('tasks that are where they are to be'),
        total: count('all'),
      }),
      'that cannot be said',
    ),
    message: orNull(text('what came of it'), 'it runs'),
    failure: orNull(refer('Fault'), 'it did not fail'),
    pauses: list(refer('TaskPause'), 'tasks that moved'),
    savepoint: orNull(text('id of the savepoint that was taken'), 'none'),
  }),
  TaskPause: view<TaskPauseView>({
    stage: STAGE,
    partition: PARTITION,
    fromSlot: count('where it was'),
    toSlot: count('where it is'),
    pauseMs: orNull(number('for how long it was not at work, in milliseconds'), 'it ended on the way'),
  }),
  Task: view<TaskView>({
    stage: STAGE,
    partition: PARTITION,
    process: text('id of the process that runs it'),
    slot: orNull(count('worker thread'), 'it runs nowhere now'),
    phase: text('fencing, restoring, replaying, running, stopping, stopped, failed, …'),
    inputs: list(refer('Input'), 'what it reads'),
    watermarkMs: WATERMARK,
    watermarkHeldBy: list(count('number of a writer'), 'writers whose word holds the watermark where it is'),
    entry: { type: 'integer', minimum: -1, description: 'last committed entry; -1 before the first' },
    lastCheckpoint: orNull(refer('CheckpointRef'), 'none yet'),
    perSecond: refer('Rates'),
    totals: refer('Rates'),
    restarts: count('since the process started'),
    waitingFor: orNull(text('what keeps it from going on'), 'nothing'),
  }),
  Input: view<InputView>({
    topic: text('name'),
    partition: count('number'),
    offset: { type: 'string', pattern: '^-?[0-9]+$', description: 'of the next record to read' },
    lagRecords: orNull(count('records not read yet'), 'nothing was fetched yet'),
    lagMs: orNull(number('age of the oldest of them, in milliseconds; 0 at the end'), 'not known'),
  }),
  Rates: view<RatesView>({
    recordsIn: number('records read'),
    recordsOut: number('records written'),
    recordsLate: number('records that came too late'),
    recordsBad: number('records that could not be read'),
  }),
  CheckpointRef: view<CheckpointRefView>({
    entry: count('entry it is of'),
    createdMs: moment('when it was made'),
    sizeBytes: count('bytes written for it'),
  }),
  Plan: view<PlanView>({
    plan: record(true, 'the compiled plan, as `millrace explain --json` prints it'),
    text: text('the same for people'),
  }),
  Checkpoints: view<CheckpointsView>({
    counts: view<CheckpointsView['counts']>({
      completed: count('since the process started'),
      failed: count('since the process started'),
      inProgress: count('now'),
    }),
    stateBytes: count('bytes of the newest completed one of each task'),
    history: list(refer('Checkpoint'), 'newest first, bounded'),
  }),
  Checkpoint: view<CheckpointView>({
    stage: STAGE,
    partition: PARTITION,
    entry: count('entry it is of'),
    result: oneOf(['completed', 'failed'], 'how it ended'),
    createdMs: moment('when it began'),
    durationMs: number('how long it took, in milliseconds'),
    sizeBytes: count('bytes written for it; what it shares with older ones is not counted'),
    failure: orNull(refer('Fault'), 'it completed'),
  }),
  Exceptions: view<ExceptionsView>({
    failure: orNull(refer('Fault'), 'the job goes on'),
    exceptions: list(refer('Exception'), 'newest first, bounded'),
  }),
  Exception: view<ExceptionView>({
    ...FAULT,
    stage: orNull(STAGE, 'it concerns the whole job'),
    partition: orNull(PARTITION, 'it concerns more than one task'),
    firstMs: moment('when it happened first'),
    lastMs: moment('when it happened last'),
    count: count('how often the same happened there'),
  }),
  StateOperators: view<StateOperatorsView>({
    job: text('id of the job'),
    operators: list(text('id'), 'operators whose state can be read, in the order of the plan'),
  }),
  State: view<StateView>({
    job: text('id of the job'),
    stage: STAGE,
    operator: text('id of the operator'),
    readAt: list(refer('StateRead'), 'the entry at which each task that contributed was read'),
    keys: list(refer('KeyState'), 'a page of them; it may be empty although more follow'),
    next: orNull(text('`after` of the next page'), 'this was the last page'),
  }),
  StateRead: view<StateReadView>({
    partition: PARTITION,
    entry: { type: 'integer', minimum: -1, description: 'last committed entry; -1 before the first' },
    watermarkMs: WATERMARK,
  }),
  KeyState: view<StateView['keys'][number]>({
    key: text('as keyBy gave it'),
    partition: PARTITION,
    states: record(true, 'by name: values of the job, or its open windows'),
    eventTimersMs: list(moment('event time'), 'when it has something to do, ascending'),
    clockTimersMs: list(moment('clock'), 'when it has something to do, ascending'),
  }),
  ...DEPLOY_SCHEMAS,
} as const satisfies Readonly<Record<string, Schema>>;
