// Owns faults of what people wrote (jobs, configuration, command lines): each with its path and a remedy, collected so
// that all are told at once. Invariant: a StreamError made here names every fault it was given.

import { type ErrorCode, StreamError } from '#runtime/std/errors.ts';

export interface Fault {
  /** Where it stands: `jobs.rollups.parallelism`, `source.outOfOrderness`, `window '1m'.size`. */
  readonly path: string;
  readonly message: string;
  readonly remedy: string;
}

/** Keeps the faults that its message lists, so that they can be listed among others. */
export class FaultsError extends StreamError {
  readonly faults: readonly Fault[];

  constructor(code: ErrorCode, message: string, faults: readonly Fault[]) {
    super(code, message, 'mend what is listed; nothing was started');
    this.faults = faults;
  }
}

/** One error that lists all `faults`; `subject` names what has them: `job 'rollups'`. */
export function faultsError(code: ErrorCode, subject: string, faults: readonly Fault[]): FaultsError {
  const count = faults.length === 1 ? '1 fault' : `${faults.length} faults`;
  const lines = faults.map((fault) => `  ${fault.path}: ${fault.message}\n    remedy: ${fault.remedy}`);
  return new FaultsError(code, `${subject} has ${count}:\n${lines.join('\n')}`, faults);
}
