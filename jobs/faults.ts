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

/** The name of `known` that `name` was probably meant to be, or null. */
export function nearestName(name: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      bestDistance = distance;
      best = candidate;
    }
  }
  return best;
}

/** Insertions, removals, replacements and swaps of neighbours that turn `a` into `b` (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let twoBack: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = previous[column - 1] + (a[row - 1] === b[column - 1] ? 0 : 1);
      let best = Math.min(replaced, previous[column] + 1, current[column - 1] + 1);
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) best = Math.min(best, twoBack[column - 2] + 1);
      current.push(best);
    }
    twoBack = previous;
    previous = current;
  }
  return previous[b.length];
}
