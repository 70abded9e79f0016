// Owns what a planted mistake is, and how it gets into the source that is loaded.

import type { OracleName } from '#test/simulation/oracle/violation.ts';
import type { WorkloadName } from '#test/simulation/scenario.ts';

export interface Patch {
  /** Of the repository. */
  readonly file: string;
  /** Occurs once, or the patch is an error. */
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  readonly name: string;
  readonly patches: readonly Patch[];
  /** Any of these may be the first to see it. */
  readonly killedBy: readonly OracleName[];
  /** Seeds of other workloads cannot show it, and are passed over. */
  readonly workload?: WorkloadName;
}

/** The source with the mistake in it. */
export function plant(source: string, { file, find, replace }: Patch): string {
  const parts = source.split(find);
  if (parts.length === 2) return parts.join(replace);
  throw new Error(`the patch of ${file} fits ${parts.length - 1} times: ${find}`);
}

/** What is found, and what it is replaced by. */
type Change = readonly [find: string, replace: string];

export function at(file: string, ...changes: readonly Change[]): Patch[] {
  return changes.map(([find, replace]) => ({ file, find, replace }));
}
