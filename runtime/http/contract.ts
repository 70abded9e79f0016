// Owns what the admin API shows and whom it asks: plain data for JSON, and the port behind which the process stands.
// HTTP knows nothing else of the engine. Names and fields are promises to users: add freely, rename never. Times are
// milliseconds since 1970 where they end in `Ms` and name a moment; offsets are decimal text.

import type {
  DeployAskedView,
  DeployedView,
  JobVersionView,
  RollbackAskedView,
  SavepointDetailView,
  SavepointView,
} from '#runtime/http/deploy-contract.ts';

export type JobStateName =
  | 'CREATED'
  | 'RUNNING'
  | 'RESTARTING'
  | 'PAUSED'
  | 'STOPPING'
  | 'STOPPED'
  | 'CANCELED'
  | 'FAILED'
  | 'FINISHED';

/** A fault of the error table, as it is told everywhere. */
export interface FaultView {
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
}

export interface OverviewView {
  /** Of Millrace. */
  readonly version: string;
  readonly namespace: string;
  readonly process: string;
  /** Null until the installation is claimed. */
  readonly installation: string | null;
  readonly log: 'kafka' | 'embedded';
  readonly startedMs: number;
  readonly slots: { readonly total: number; readonly running: number };
  readonly tasks: { readonly total: number; readonly running: number };
  /** How many jobs are in each state; states without a job are left out. */
  readonly jobs: Readonly<Partial<Record<JobStateName, number>>>;
}

export interface RatesView {
  readonly recordsIn: number;
  readonly recordsOut: number;
  readonly recordsLate: number;
  readonly recordsBad: number;
}

export interface CheckpointRefView {
  readonly entry: number;
  readonly createdMs: number;
  readonly sizeBytes: number;
}

export interface InputView {
  readonly topic: string;
  readonly partition: number;
  /** The next one to read. */
  readonly offset: string;
  /** Null before the first fetch. */
  readonly lagRecords: number | null;
  /** Age of the oldest record that is not read yet, by its timestamp; 0 at the end; null when not known. */
  readonly lagMs: number | null;
}

export interface TaskView {
  readonly stage: string;
  readonly partition: number;
  readonly process: string;
  /** Null while it runs nowhere. */
  readonly slot: number | null;
  /** `fencing`, `restoring`, `replaying`, `running`, `stopping`, `stopped`, `failed`, … */
  readonly phase: string;
  readonly inputs: readonly InputView[];
  readonly watermarkMs: number | null;
  /** Writers whose word holds the watermark where it is. */
  readonly watermarkHeldBy: readonly number[];
  /** Last committed entry; -1 before the first. */
  readonly entry: number;
  readonly lastCheckpoint: CheckpointRefView | null;
  readonly perSecond: RatesView;
  readonly totals: RatesView;
  readonly restarts: number;
  /** What keeps it from going on; null when nothing. */
  readonly waitingFor: string | null;
}

export interface JobView {
  readonly name: string;
  readonly state: JobStateName;
  /** Null when it could not be compiled. */
  readonly version: string | null;
  readonly parallelism: number;
  readonly tasks: { readonly total: number; readonly running: number };
  /** Sum of the tasks that read from outside the job; null before all of them know. */
  readonly lagRecords: number | null;
  readonly lagMs: number | null;
  /** The lowest of its tasks; null before all of them have one. */
  readonly watermarkMs: number | null;
  /** How far that is behind the clock. */
  readonly watermarkDelayMs: number | null;
  /** The oldest of the newest of its tasks. */
  readonly lastCheckpoint: CheckpointRefView | null;
  /** In: read from outside the job. Out: of stages that give results, dead letters and late samples included. */
  readonly perSecond: RatesView;
  readonly restarts: number;
  readonly failure: FaultView | null;
}

/** What a job may be told to be. */
export type DesiredStateName = 'RUNNING' | 'PAUSED' | 'STOPPED' | 'CANCELED';

export interface JobDetailView extends JobView {
  /** What it is told to be; what it is stands in `state`. */
  readonly desiredState: DesiredStateName;
  /** Grows with every change of what it is told to be. */
  readonly revision: number;
  /** Id of the change that is under way; null: none. */
  readonly request: string | null;
  readonly module: string;
  readonly stages: readonly {
    readonly id: string;
    readonly parallelism: number;
    readonly input: string;
    readonly operators: readonly string[];
  }[];
  readonly settings: Readonly<Record<string, unknown>>;
  readonly taskList: readonly TaskView[];
}

export interface PlanView {
  /** The compiled plan, as `millrace explain --json` prints it. */
  readonly plan: unknown;
  /** The same for people. */
  readonly text: string;
}

export interface CheckpointView {
  readonly stage: string;
  readonly partition: number;
  readonly entry: number;
  readonly result: 'completed' | 'failed';
  readonly createdMs: number;
  readonly durationMs: number;
  /** What was written for it; segments of older ones that it uses are not counted. */
  readonly sizeBytes: number;
  readonly failure: FaultView | null;
}

export interface CheckpointsView {
  readonly counts: { readonly completed: number; readonly failed: number; readonly inProgress: number };
  /** Of the newest completed one of each task. */
  readonly stateBytes: number;
  /** Newest first, bounded. */
  readonly history: readonly CheckpointView[];
}

export interface ExceptionView extends FaultView {
  readonly stage: string | null;
  readonly partition: number | null;
  readonly firstMs: number;
  readonly lastMs: number;
  /** How often the same happened there. */
  readonly count: number;
}

export interface ExceptionsView {
  /** What ended the job; null while it goes on. */
  readonly failure: FaultView | null;
  /** Newest first, bounded. */
  readonly exceptions: readonly ExceptionView[];
}

export interface StateOperatorsView {
  readonly job: string;
  /** Ids, in the order of the plan. */
  readonly operators: readonly string[];
}

export interface StateQueryView {
  readonly key?: string | undefined;
  readonly prefix?: string | undefined;
  /** @default 100, at most 1,000 */
  readonly limit?: number | undefined;
  /** `next` of the page before. */
  readonly after?: string | undefined;
}

export interface StateReadView {
  readonly partition: number;
  readonly entry: number;
  readonly watermarkMs: number | null;
}

export interface StateView {
  readonly job: string;
  readonly stage: string;
  readonly operator: string;
  /** The entry at which each task that contributed was read. */
  readonly readAt: readonly StateReadView[];
  readonly keys: readonly {
    readonly key: string;
    readonly partition: number;
    readonly states: Readonly<Record<string, unknown>>;
    /** Ascending. */
    readonly eventTimersMs: readonly number[];
    readonly clockTimersMs: readonly number[];
  }[];
  /** Null: this was the last page. */
  readonly next: string | null;
}

export interface ReadinessView {
  readonly ready: boolean;
  /** Those that are not, and why. */
  readonly jobs: readonly {
    readonly job: string;
    readonly state: JobStateName;
    readonly reason: string;
    readonly remedy: string;
  }[];
}

/** What a change says; what is left out stays as it is. */
export interface JobPatchView {
  readonly state?: DesiredStateName | undefined;
  /** With the state STOPPED: what is there is read before, and every window fires. @default false */
  readonly drain?: boolean | undefined;
  readonly parallelism?: number | undefined;
  /** `200ms`, `1s`, … */
  readonly commitInterval?: string | undefined;
  readonly checkpointInterval?: string | undefined;
}

/** Under which a change is made. */
export interface ChangeTerms {
  /** Chosen by who asks: asked again, the same change is meant. Null: any. */
  readonly requestId: string | null;
  /** One of which the job must have; null: any. */
  readonly revisions: readonly number[] | null;
}

export type RequestStateName = 'RUNNING' | 'DONE' | 'FAILED' | 'UNDONE';

export interface TaskPauseView {
  readonly stage: string;
  readonly partition: number;
  readonly fromSlot: number;
  readonly toSlot: number;
  /** Null: it ended on the way. */
  readonly pauseMs: number | null;
}

/** A change of a job, from when it was accepted on. */
export interface RequestView {
  readonly requestId: string;
  readonly job: string;
  readonly operation: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly state: RequestStateName;
  readonly acceptedMs: number;
  /** Null while it runs. */
  readonly endedMs: number | null;
  /** How many of its tasks are where they are to be; null: that cannot be said. */
  readonly progress: { readonly done: number; readonly total: number } | null;
  /** What came of it; null while it runs. */
  readonly message: string | null;
  readonly failure: FaultView | null;
  /** Tasks that moved, and how long each was not at work. */
  readonly pauses: readonly TaskPauseView[];
  /** Id of the savepoint that was taken; null: none. */
  readonly savepoint: string | null;
}

/** What the process answers. Null: there is no such job (or operator); errors are StreamErrors. */
export interface AdminPort {
  overview(): Promise<OverviewView>;
  /** With secrets hidden. */
  configuration(): Promise<Readonly<Record<string, unknown>>>;
  jobs(): Promise<readonly JobView[]>;
  job(name: string): Promise<JobDetailView | null>;
  plan(name: string): Promise<PlanView | null>;
  checkpoints(name: string): Promise<CheckpointsView | null>;
  exceptions(name: string): Promise<ExceptionsView | null>;
  /** Ids of operators whose state can be read, in the order of the plan. */
  stateOperators(name: string): Promise<readonly string[] | null>;
  state(name: string, operator: string, query: StateQueryView): Promise<StateView | null>;
  /** Resolves when the change is written down, not when it is done. */
  patchJob(name: string, patch: JobPatchView, terms: ChangeTerms): Promise<RequestView | null>;
  cancelJob(name: string, purge: boolean, terms: ChangeTerms): Promise<RequestView | null>;
  checkpointJob(name: string, terms: ChangeTerms): Promise<RequestView | null>;
  /** Newest first. */
  savepoints(name: string): Promise<readonly SavepointView[] | null>;
  /** Error: savepoint-unknown. */
  savepoint(name: string, id: string): Promise<SavepointDetailView | null>;
  savepointJob(name: string, terms: ChangeTerms): Promise<RequestView | null>;
  /** Error: savepoint-unknown. */
  deleteSavepoint(name: string, id: string, terms: ChangeTerms): Promise<RequestView | null>;
  /** Errors: job-invalid, version-mismatch, savepoint-unknown; those of a change. */
  deployJob(asked: DeployAskedView, terms: ChangeTerms): Promise<DeployedView>;
  /** As `deployJob`, and version-unknown. */
  rollbackJob(name: string, asked: RollbackAskedView, terms: ChangeTerms): Promise<DeployedView | null>;
  /** Newest first. */
  versions(name: string): Promise<readonly JobVersionView[] | null>;
  /** Null: no such change is known. */
  request(requestId: string): Promise<RequestView | null>;
  readiness(): Promise<ReadinessView>;
  /** Prometheus text exposition format 0.0.4. */
  metrics(): Promise<string>;
}
