// Owns whether a stored checkpoint fits the states that operators have registered, and saying all that does not. Pure.

import type { PagedState, StateFit } from '#checkpoint/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';

/** Throws version-mismatch, with every fault. */
export function requireFit(
  states: readonly PagedState[],
  schemaVersions: Readonly<Record<string, number>>,
  fit: StateFit,
): void {
  const faults: string[] = [];
  const remedies = new Set<string>();
  const known = new Map(states.map((state) => [state.stateId, state]));
  for (const [stateId, version] of Object.entries(schemaVersions)) {
    const state = known.get(stateId);
    if (state === undefined) {
      if (fit.allowDropped) continue;
      faults.push(`state '${stateId}' belongs to no operator of this job any more`);
      remedies.add('give the operators their former ids, or allow dropped state');
      continue;
    }
    if (state.schemaVersion !== version && state.readsSchema?.(version) !== true) {
      faults.push(`state '${stateId}' has schema ${version}, its operator has ${state.schemaVersion}`);
      remedies.add('give the codec of the state a migration from what it was');
    }
    const table = fit.tableOf?.(stateId) ?? null;
    if (table !== null && !Object.hasOwn(schemaVersions, table)) {
      faults.push(`state '${stateId}' is kept by the keys of '${table}', which the checkpoint does not have`);
      remedies.add('give the source and keyBy of the operator the ids they had');
    }
  }
  if (faults.length === 0) return;
  throw new StreamError(
    'version-mismatch',
    `the checkpoint does not fit the job: ${faults.join('; ')}`,
    `run the version of the job that wrote the checkpoint; or ${[...remedies].join('; or ')}`,
  );
}
