// Owns the judgement on slots that die or do not start: how long until the next worker, when jobs are to blame, how it
// is told. Pure; what follows is the pool's. Invariant: a job fails only when it ran alone in what died.

import { StreamError } from '#runtime/std/errors.ts';
import type { Failure } from '#runtime/task/task-supervisor.ts';

const RESPAWN_PAUSE_MS = 100;
const RESPAWN_PAUSE_MAX_MS = 5_000;
/** Deaths further apart than this are no crash loop. */
const DEATHS_WITHIN_MS = 600_000;
/** At this many deaths of a slot with several jobs each of them gets a slot of its own: one of them is to blame. */
const DEATHS_TOGETHER_MAX = 2;
/** At this many deaths of a slot that runs one job that job fails. */
const DEATHS_ALONE_MAX = 5;

/** Those of the deaths that still count, with the one now. */
export function recentDeaths(deathsMs: readonly number[], nowMs: number): readonly number[] {
  return [...deathsMs.filter((ms) => nowMs - ms < DEATHS_WITHIN_MS), nowMs];
}

/** What follows from so many deaths of a slot that runs so many jobs, beside another worker. */
export function verdict(deaths: number, jobs: number): 'none' | 'take-apart' | 'fail' {
  if (jobs === 1 && deaths >= DEATHS_ALONE_MAX) return 'fail';
  return jobs > 1 && deaths >= DEATHS_TOGETHER_MAX ? 'take-apart' : 'none';
}

/** Pause before the next worker, by the number of starts in a row that came to nothing. */
export function respawnPauseMs(failures: number): number {
  return Math.min(RESPAWN_PAUSE_MAX_MS, RESPAWN_PAUSE_MS * 2 ** Math.min(6, failures - 1));
}

/** Why the job that ends its thread again and again has failed. */
export function crashLoop(job: string, deaths: number, cause: string | null): Failure {
  const times = `${deaths} times within ${DEATHS_WITHIN_MS / 60_000} minutes`;
  return {
    code: 'task-crash-loop',
    message: `job ${job} ended the thread it runs in ${times}, the last time of: ${cause}`,
    remedy:
      'correct the function of the job that ends the thread, never returns or needs more memory than a thread may have (NODE_OPTIONS=--max-old-space-size=MiB), and start again',
    stack: '',
  };
}

/** The thread of a slot that is needed for a start cannot be started. */
export function notStarted(index: number, cause: string): StreamError {
  return new StreamError(
    'slot-not-started',
    `the thread of slot ${index} cannot be started: ${cause}`,
    'look at NODE_OPTIONS, and at the memory and the number of threads that the process may have (ulimit -u), or take fewer slots; then start again',
  );
}
