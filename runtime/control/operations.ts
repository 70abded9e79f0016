// Owns changes of jobs as records: what was asked, how far it is, how it ended. Whoever takes the control log over finds
// those that did not end. Pure. Invariant: an id names one operation for ever; a job has at most one that has not ended.

import type { ControlRecord } from '#runtime/control/control-log.ts';
import type { WantedJob } from '#runtime/control/desired-state.ts';
import { StreamError } from '#runtime/std/errors.ts';

export type OperationKind =
  | 'start'
  | 'stop'
  | 'pause'
  | 'cancel'
  | 'rescale'
  | 'configure'
  | 'checkpoint'
  | 'savepoint'
  | 'delete-savepoint'
  | 'deploy'
  | 'rollback';

/** `undone`: it could not be finished, and all is as it was before. */
export type OperationPhase = 'running' | 'done' | 'failed' | 'undone';

export interface OperationParameters {
  readonly drain?: boolean;
  readonly purge?: boolean;
  readonly parallelism?: number;
  readonly commitIntervalMs?: number;
  readonly checkpointIntervalMs?: number;
  /** Its id: of one that is deleted, or that a deploy begins with. */
  readonly savepoint?: string;
  /** Hash of the bundle that is deployed. */
  readonly bundle?: string;
  /** What its module is given. */
  readonly options?: Readonly<Record<string, unknown>> | null;
  /** How it is called by whoever deploys it. */
  readonly module?: string;
  readonly allowDroppedState?: boolean;
  /** To which a job goes back. */
  readonly version?: string;
}

/** What whoever goes on with it has to know. */
export interface OperationNotes {
  /** Ids of savepoints that were asked for, the newest last: what was kept for those that came to nothing is deleted. */
  readonly savepoints?: readonly string[];
  /** That it was about to begin. */
  readonly generation?: number;
  /** What the job was told to be before a deploy; null: it was not there. */
  readonly before?: WantedJob | null;
}

/** A task that was not at work for a while because of the operation. */
export interface TaskPause {
  readonly stage: string;
  readonly partition: number;
  readonly fromSlot: number;
  readonly toSlot: number;
  /** Null: it ended on the way. */
  readonly pauseMs: number | null;
}

export interface OperationOutcome {
  /** What was reached, for people. */
  readonly message: string;
  /** Of one that did not succeed. */
  readonly fault?: { readonly code: string; readonly message: string; readonly remedy: string };
  readonly pauses?: readonly TaskPause[];
  /** Id of the one that was taken. */
  readonly savepoint?: string;
}

export interface Operation {
  readonly kind: 'operation';
  readonly requestId: string;
  readonly job: string;
  readonly operation: OperationKind;
  readonly parameters: OperationParameters;
  readonly phase: OperationPhase;
  readonly acceptedMs: number;
  /** Of this record. */
  readonly atMs: number;
  /** Null while it runs. */
  readonly outcome: OperationOutcome | null;
  readonly notes?: OperationNotes;
}

/** Ended ones that are kept in mind; whoever retries does so soon. */
const KEPT_MAX = 1_000;

/** Every operation that is remembered, by its id, the oldest first. */
export function foldOperations(records: readonly ControlRecord[]): Map<string, Operation> {
  const all = new Map<string, Operation>();
  for (const record of records) if (record.kind === 'operation') note(all, record);
  return all;
}

/** Takes the newest record of an operation, and forgets the oldest that has ended when they are too many. */
export function note(operations: Map<string, Operation>, record: Operation): void {
  operations.set(record.requestId, record);
  if (operations.size <= KEPT_MAX) return;
  for (const [id, { phase }] of operations) {
    if (phase === 'running') continue;
    operations.delete(id);
    return;
  }
}

export function unfinished(operations: ReadonlyMap<string, Operation>): readonly Operation[] {
  return [...operations.values()].filter(({ phase }) => phase === 'running');
}

/** What is under way for a job; null: nothing. */
export function operationOf(operations: ReadonlyMap<string, Operation>, job: string): Operation | null {
  return unfinished(operations).find((operation) => operation.job === job) ?? null;
}

export type AskedOperation = Pick<Operation, 'requestId' | 'job' | 'operation' | 'parameters'>;

/**
 * The operation that this id names already: whoever asks again gets the same one. Null: it is a new one. Error:
 * request-reused.
 */
export function repeated(operations: ReadonlyMap<string, Operation>, asked: AskedOperation): Operation | null {
  const known = operations.get(asked.requestId);
  if (known === undefined) return null;
  const same = known.job === asked.job && known.operation === asked.operation;
  if (same && sameParameters(known.parameters, asked.parameters)) return known;
  const message = `request id '${asked.requestId}' was used before, to ${known.operation} job ${known.job}`;
  throw new StreamError('request-reused', message, 'choose an id that was never used, or none');
}

function sameParameters(one: OperationParameters, other: OperationParameters): boolean {
  const names = new Set([...Object.keys(one), ...Object.keys(other)]) as Set<keyof OperationParameters>;
  return [...names].every((name) => JSON.stringify(one[name]) === JSON.stringify(other[name]));
}

export function ended(
  operation: Operation,
  phase: Exclude<OperationPhase, 'running'>,
  outcome: OperationOutcome,
  atMs: number,
): Operation {
  return { ...operation, phase, outcome, atMs };
}
