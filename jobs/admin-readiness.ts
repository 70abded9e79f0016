// Owns the judgement whether a job does its work, and if not, why and what to do. Pure. A job that goes on by itself
// within a few seconds is ready: whoever asks would only take it out of service for nothing.

import { jobState, type KnownJob, type KnownTask, phaseOf, waitingFor } from '#jobs/admin-jobs.ts';
import type { JobStateName, ReadinessView } from '#runtime/http/contract.ts';

/** Waiting for so long is not passing by itself any more. */
const PATIENCE_MS = 5_000;

interface Obstacle {
  readonly reason: string;
  readonly remedy: string;
}

export function readinessView(jobs: readonly KnownJob[]): ReadinessView {
  const not = jobs.flatMap((known) => {
    const state = jobState(known);
    const obstacle = obstacleOf(known, state);
    return obstacle === null ? [] : [{ job: known.job.name, state, ...obstacle }];
  });
  return { ready: not.length === 0, jobs: not };
}

function obstacleOf({ job, tasks, paused }: KnownJob, state: JobStateName): Obstacle | null {
  switch (state) {
    case 'RUNNING':
    case 'RESTARTING':
      return taskObstacle(tasks);
    // Who told it so does not wait for it.
    case 'PAUSED':
      return paused === null || job.state === 'PAUSED' ? null : { reason: paused.message, remedy: paused.remedy };
    case 'STOPPED':
    case 'CANCELED':
    case 'FINISHED':
      return null;
    case 'FAILED':
      return {
        reason: job.failure?.message ?? 'it failed',
        remedy: job.failure?.remedy || `correct the job and start it again: millrace start ${job.name}`,
      };
    case 'CREATED':
      return { reason: 'it is being prepared', remedy: 'none needed: it starts by itself when the log answers' };
    default:
      return { reason: `it is ${state.toLowerCase()}`, remedy: 'none needed: wait for its end' };
  }
}

/** The first of the tasks that do not do their work, and how many more there are. */
function taskObstacle(tasks: readonly KnownTask[]): Obstacle | null {
  const obstacles = tasks.flatMap((task) => {
    const obstacle = obstacleOfTask(task);
    return obstacle === null ? [] : [obstacle];
  });
  const [first] = obstacles;
  if (first === undefined) return null;
  const more =
    obstacles.length === 1 ? '' : `; ${obstacles.length - 1} more of its ${tasks.length} tasks do not either`;
  return { reason: `${first.reason}${more}`, remedy: first.remedy };
}

function obstacleOfTask(task: KnownTask): Obstacle | null {
  const { assignment, report } = task;
  const name = `task ${assignment.stage}/${assignment.partition}`;
  const phase = phaseOf(task);
  const why = waitingFor(task);
  const fresh = report?.word === 'fresh';
  if (fresh && report.figures?.wasLive && report.stuckMs < PATIENCE_MS) return null;
  const seconds = fresh && report.figures?.wasLive ? ` for ${Math.floor(report.stuckMs / 1_000)}s` : '';
  const waits = why === null ? '' : `: ${why}`;
  const reason = phase === 'running' ? `${name} waits${seconds}${waits}` : `${name} is ${phase}${seconds}${waits}`;
  return { reason, remedy: remedyOf(task, phase, why) };
}

function remedyOf({ report }: KnownTask, phase: string, why: string | null): string {
  const last = report?.exceptions.at(-1);
  if (phase === 'restarting' && last !== undefined && last.remedy !== '') return last.remedy;
  if (phase === 'restarting') return 'look at the exceptions of the job; it is tried again by itself';
  if (why === null) return 'none needed: it goes on by itself';
  return 'bring back what it waits for; it goes on by itself';
}
