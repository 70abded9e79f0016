// Owns whether the tasks of a job are to run at this moment, beside what the job is told to be: held while it is started
// anew, or ended by a failure. Pure: a fold of the control log.

import type { ControlRecord } from '#runtime/control/control-log.ts';
import { wantedJobs } from '#runtime/control/desired-state.ts';
import { foldOperations, unfinished } from '#runtime/control/operations.ts';

export interface RunWord {
  readonly kind: 'job-run';
  readonly job: string;
  /** `hold`: a change is under way, and starts it again. `failed`: until somebody starts it. */
  readonly run: 'go' | 'hold' | 'failed';
  /** What it failed of. */
  readonly failure: { readonly code: string; readonly message: string; readonly remedy: string } | null;
  readonly atMs: number;
}

/** The last word on every job. */
export function jobRuns(records: readonly ControlRecord[]): ReadonlyMap<string, RunWord> {
  const runs = new Map<string, RunWord>();
  for (const record of records) {
    if (record.kind === 'job-run') runs.set(record.job, record);
    if (record.kind === 'job-purged') runs.delete(record.job);
  }
  return runs;
}

/** Names of the jobs whose tasks are to run; those that are drained run until then. */
export function runningJobs(records: readonly ControlRecord[]): ReadonlySet<string> {
  const runs = jobRuns(records);
  const names = new Set<string>();
  const operations = unfinished(foldOperations(records));
  for (const [name, { state }] of wantedJobs(records)) {
    const run = runs.get(name);
    const changing = operations.find(({ job }) => job === name);
    // A change that was left half done is done again: its tasks run once more, to end as they should.
    const again = changing !== undefined && run?.run === 'go' && run.atMs >= changing.acceptedMs;
    const wanted = state === 'RUNNING' || changing?.parameters.drain === true || again;
    if (wanted && (run?.run ?? 'go') === 'go') names.add(name);
  }
  return names;
}

/** What has the jobs run again that failed in processes that are gone, all of them: whoever starts one anew wants that. */
export function retryWords(records: readonly ControlRecord[], jobs: readonly string[], atMs: number): RunWord[] {
  const runs = jobRuns(records);
  const failed = jobs.filter((job) => runs.get(job)?.run === 'failed');
  return failed.map((job) => ({ kind: 'job-run', job, run: 'go', failure: null, atMs }));
}
