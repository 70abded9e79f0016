// Owns what the admin API's words for changes mean to the process, and how a change is shown. Pure; all faults of a
// change are told at once.

import { CHECKPOINT_INTERVAL, COMMIT_INTERVAL } from '#jobs/compile.ts';
import type { Fault } from '#jobs/faults.ts';
import type { AskedChange } from '#jobs/job-control.ts';
import { OptionReader } from '#jobs/option-reader.ts';
import type { Operation, OperationKind, OperationParameters } from '#runtime/control/operations.ts';
import type { DesiredStateName, JobPatchView, RequestStateName, RequestView } from '#runtime/http/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';

export type ReadChange = Pick<AskedChange, 'operation' | 'parameters'>;

const BY_STATE: Readonly<Record<DesiredStateName, OperationKind>> = {
  RUNNING: 'start',
  PAUSED: 'pause',
  STOPPED: 'stop',
  CANCELED: 'cancel',
};

const PATCH_OPTIONS = ['state', 'drain', 'parallelism', 'commitInterval', 'checkpointInterval'];

/** Error: request-invalid. */
export function readPatch(patch: JobPatchView): ReadChange {
  const faults: Fault[] = [];
  const reader = new OptionReader(faults, '', patch, PATCH_OPTIONS);
  const commitIntervalMs = reader.duration('commitInterval', 0, COMMIT_INTERVAL);
  const checkpointIntervalMs = reader.duration('checkpointInterval', 0, CHECKPOINT_INTERVAL);
  const { drain, parallelism, state } = patch;
  const parameters: OperationParameters = {
    ...(parallelism !== undefined && { parallelism }),
    ...(reader.has('commitInterval') && { commitIntervalMs }),
    ...(reader.has('checkpointInterval') && { checkpointIntervalMs }),
  };
  const settings = Object.keys(parameters);
  if (state !== undefined && settings.length > 0) {
    const message = 'is given together with settings, and one of both may be refused alone';
    faults.push({ path: 'state', message, remedy: 'change the state and the settings one after the other' });
  }
  if (drain !== undefined && state !== 'STOPPED') {
    faults.push({ path: 'drain', message: 'is a way to stop', remedy: 'give it with "state": "STOPPED"' });
  }
  if (faults.length > 0) {
    const count = faults.length === 1 ? '1 fault' : `${faults.length} faults`;
    const told = faults.map(({ message, path }) => `${path}: ${message}`).join('; ');
    const remedies = [...new Set(faults.map(({ remedy }) => remedy))].join('; ');
    throw new StreamError('request-invalid', `the change has ${count}: ${told}`, remedies);
  }
  if (state !== undefined) return { operation: BY_STATE[state], parameters: drain ? { drain } : {} };
  const only = settings.length === 1 && parallelism !== undefined;
  return { operation: only ? 'rescale' : 'configure', parameters };
}

const STATES: Readonly<Record<Operation['phase'], RequestStateName>> = {
  running: 'RUNNING',
  done: 'DONE',
  failed: 'FAILED',
  undone: 'UNDONE',
};

export function requestView(operation: Operation, progress: RequestView['progress']): RequestView {
  const { acceptedMs, atMs, job, outcome, parameters, phase, requestId } = operation;
  return {
    requestId,
    job,
    operation: operation.operation,
    parameters: { ...parameters },
    state: STATES[phase],
    acceptedMs,
    endedMs: phase === 'running' ? null : atMs,
    progress: phase === 'running' ? progress : null,
    message: outcome?.message ?? null,
    failure: outcome?.fault ?? null,
    pauses: outcome?.pauses ?? [],
    savepoint: outcome?.savepoint ?? null,
  };
}
