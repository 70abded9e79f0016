// Owns what the admin API shows of savepoints, deploys and versions, and what it is asked of them; see contract.ts.

import type { FaultView, RequestView } from '#runtime/http/contract.ts';

export interface SavepointView {
  readonly id: string;
  readonly createdMs: number;
  /** Of the job that it was taken of. */
  readonly version: string;
  readonly generation: number;
  readonly tasks: number;
  readonly sizeBytes: number;
  /** The lowest of its tasks; null before all of them had one. */
  readonly watermarkMs: number | null;
}

export interface SavepointTaskView {
  readonly stage: string;
  readonly partition: number;
  readonly entry: number;
  readonly sizeBytes: number;
  readonly watermarkMs: number | null;
  readonly inputs: readonly { readonly topic: string; readonly partition: number; readonly offset: string }[];
}

export interface SavepointDetailView extends SavepointView {
  readonly taskList: readonly SavepointTaskView[];
}

export interface RollbackAskedView {
  /** Or the beginning of it. */
  readonly version: string;
  /** Says what it would do, and does nothing. @default false */
  readonly dryRun?: boolean | undefined;
  /** The savepoint to begin with: a new generation, which publishes again what came behind it. */
  readonly fromSavepoint?: string | undefined;
  /** Needed with it. @default false */
  readonly publishAgain?: boolean | undefined;
  /** @default false */
  readonly allowDroppedState?: boolean | undefined;
}

export interface DeployAskedView extends Omit<RollbackAskedView, 'version'> {
  /** The module with what it imports, as `millrace deploy` packs it. */
  readonly bundle: Readonly<Record<string, unknown>>;
  /** What the module is given. */
  readonly options?: Readonly<Record<string, unknown>> | undefined;
  /** How the module is called, for people. */
  readonly module?: string | undefined;
}

/** `none`: it runs already. `generation`: new tasks begin with a savepoint. */
export type DeployWayName = 'none' | 'new' | 'handover' | 'generation';

export interface StateChangeView {
  readonly stage: string;
  readonly operator: string;
  readonly stateId: string;
  /** `unreadable` and `rekeyed` are refused, `dropped` must be allowed. */
  readonly change: 'added' | 'dropped' | 'migrated' | 'unreadable' | 'rekeyed';
  /** Versions of its schema; null: they are none of the change. */
  readonly from: number | null;
  readonly to: number | null;
}

export interface DeployPlanView {
  readonly job: string;
  /** Of the job that was looked at; 0: it is new. */
  readonly revision: number;
  /** The version that counts; null: none yet. */
  readonly from: string | null;
  readonly version: string;
  readonly way: DeployWayName;
  /** Why tasks cannot hand over where they are. */
  readonly reasons: readonly string[];
  /** With which it begins, when it was named. */
  readonly savepoint: string | null;
  readonly publishesAgain: boolean;
  readonly states: readonly StateChangeView[];
  /** Why it is refused; null: it can be done. */
  readonly failure: FaultView | null;
}

export interface DeployedView {
  /** Null: of a dry run. */
  readonly requestId: string | null;
  readonly plan: DeployPlanView;
  readonly request: RequestView | null;
}

export interface JobVersionView {
  readonly version: string;
  readonly current: boolean;
  readonly sinceMs: number;
  readonly module: string;
  /** By `millrace deploy`; else by a configuration file. */
  readonly deployed: boolean;
  readonly generation: number;
  /** Of Millrace; null: not known. */
  readonly engine: string | null;
  readonly node: number | null;
  /** Whether its module is there, to go back to. */
  readonly kept: boolean;
}
