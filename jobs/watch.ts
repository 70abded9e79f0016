// Owns what the main thread looks at while jobs run, every few seconds: whether their topics are still those they began
// with, whether the log answers. Tells what it finds; what follows is the process's.

import type { PreparedJob } from '#jobs/prepare-job.ts';
import type { LogAdmin } from '#runtime/log/contract.ts';
import type { Clock } from '#runtime/std/clock.ts';
import type { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';
import { describe } from '#runtime/task/task-supervisor.ts';

export interface WatchParts {
  readonly admin: LogAdmin;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends the watch. */
  readonly signal: AbortSignal;
  /** Those that run now. */
  readonly jobs: () => readonly PreparedJob[];
  readonly jobFault: (job: PreparedJob, fault: StreamError) => void;
}

const INTERVAL_MS = 3_000;

/** Looks until the signal; never rejects. */
export async function watch(parts: WatchParts): Promise<void> {
  const { clock, signal } = parts;
  const suspects = new Set<PreparedJob>();
  let away = false;
  while (!signal.aborted) {
    await clock.sleep(INTERVAL_MS, signal);
    if (signal.aborted) return;
    away = await look(parts, suspects, away);
  }
}

// While the log is away the tasks wait and go on by themselves: said once, and once when it is over.
async function look(parts: WatchParts, suspects: Set<PreparedJob>, wasAway: boolean): Promise<boolean> {
  const { logger, signal } = parts;
  try {
    for (const job of parts.jobs()) await lookAt(job, parts, suspects);
    if (wasAway) logger.info({}, 'the log answers again');
    return false;
  } catch (error) {
    const { code, message, remedy } = describe(error);
    if (!wasAway && !signal.aborted) {
      logger.warn({ code, remedy }, `the log is away, the tasks wait and go on when it answers: ${message}`);
    }
    return true;
  }
}

// Seen twice, because a broker that comes back may not know every topic at once.
async function lookAt(job: PreparedJob, parts: WatchParts, suspects: Set<PreparedJob>): Promise<void> {
  const fault = await job.checkTopics(parts.admin);
  const suspected = suspects.delete(job);
  if (fault === null) return;
  suspects.add(job);
  if (suspected) parts.jobFault(job, fault);
}
