// Owns who answers the admin API where several processes run an installation: questions about jobs and changes of them go
// to the process that has the control partition; what a process knows of itself it answers itself.

import type { AdminPort } from '#runtime/http/contract.ts';

/** Those that each process answers for itself. */
type Own = 'overview' | 'configuration' | 'metrics';

/** Those that are about the whole installation; the type says when one is missing. */
const COMMON: Readonly<Record<Exclude<keyof AdminPort, Own>, true>> = {
  jobs: true,
  job: true,
  plan: true,
  checkpoints: true,
  exceptions: true,
  stateOperators: true,
  state: true,
  patchJob: true,
  cancelJob: true,
  checkpointJob: true,
  savepoints: true,
  savepoint: true,
  savepointJob: true,
  deleteSavepoint: true,
  deployJob: true,
  rollbackJob: true,
  versions: true,
  request: true,
  readiness: true,
};

/**
 * @param elsewhere asks the process that answers for all; null: this one does
 */
export function clusterPort(
  own: AdminPort,
  elsewhere: () => ((method: keyof AdminPort, args: readonly unknown[]) => Promise<unknown>) | null,
): AdminPort {
  const passed = (Object.keys(COMMON) as (keyof typeof COMMON)[]).map((method) => [
    method,
    (...args: unknown[]) => {
      const ask = elsewhere();
      return ask === null ? (own[method] as (...args: unknown[]) => Promise<unknown>)(...args) : ask(method, args);
    },
  ]);
  const rest: Pick<AdminPort, Own> = {
    overview: () => own.overview(),
    configuration: () => own.configuration(),
    metrics: () => own.metrics(),
  };
  return { ...rest, ...(Object.fromEntries(passed) as Omit<AdminPort, Own>) };
}
