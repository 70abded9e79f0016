// Owns the judgement what a change of a job means in the state that the job is in: refused, nothing to do, or what it is
// told to be from now on. Pure.

import type { RunningJob } from '#jobs/running-jobs.ts';
import type { WantedChange, WantedSettings } from '#runtime/control/desired-state.ts';
import type { OperationKind, OperationParameters } from '#runtime/control/operations.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface JudgedChange {
  /** Null: nothing changes in what it is told to be. */
  readonly wanted: WantedChange | null;
  /** Why there is nothing to do; null: there is. */
  readonly already: string | null;
}

/** Error: job-state-wrong. */
export function judgeChange(job: RunningJob, kind: OperationKind, parameters: OperationParameters): JudgedChange {
  const { name, state } = job;
  const wrong = (why: string, remedy: string) => {
    throw new StreamError('job-state-wrong', `job ${name} cannot be changed so (${kind}): ${why}`, remedy);
  };
  switch (kind) {
    case 'start':
      if (state === 'RUNNING' || state === 'CREATED') return { wanted: null, already: 'it runs' };
      return { wanted: { state: 'RUNNING' }, already: null };
    case 'pause':
      if (state === 'PAUSED') return { wanted: null, already: 'it is paused' };
      if (state !== 'RUNNING') return wrong(`it is ${state}`, `only a job that runs is paused: millrace start ${name}`);
      return { wanted: { state: 'PAUSED' }, already: null };
    case 'stop':
      if (parameters.drain && state !== 'RUNNING')
        return wrong(`it is ${state}, and has nothing to drain`, `start it before: millrace start ${name}`);
      if (state === 'STOPPED') return { wanted: null, already: 'it is stopped' };
      if (state === 'CANCELED') return wrong('it is canceled, and does not run', `start it: millrace start ${name}`);
      return { wanted: { state: 'STOPPED' }, already: null };
    case 'cancel':
      if (state === 'CANCELED' && !parameters.purge) return { wanted: null, already: 'it is canceled' };
      return { wanted: { state: 'CANCELED' }, already: null };
    case 'rescale':
    case 'configure': {
      const settings = settingsOf(parameters);
      const known = job.wanted.settings;
      const same = (Object.keys(settings) as (keyof WantedSettings)[]).every((key) => settings[key] === known[key]);
      if (!same) return { wanted: { settings }, already: null };
      // Its tasks may be busy in other ways than when they were spread.
      const spreadsAnew = kind === 'rescale' && state === 'RUNNING';
      return { wanted: null, already: spreadsAnew ? null : 'it is as asked' };
    }
    case 'delete-savepoint':
    case 'deploy':
    case 'rollback':
      return { wanted: null, already: null };
    case 'checkpoint':
    case 'savepoint':
      if (state !== 'RUNNING') return wrong(`it is ${state}`, `start it before: millrace start ${name}`);
      return { wanted: null, already: null };
  }
}

export function settingsOf(parameters: OperationParameters): Partial<WantedSettings> {
  const { parallelism, commitIntervalMs, checkpointIntervalMs } = parameters;
  return {
    ...(parallelism !== undefined && { parallelism }),
    ...(commitIntervalMs !== undefined && { commitIntervalMs }),
    ...(checkpointIntervalMs !== undefined && { checkpointIntervalMs }),
  };
}
