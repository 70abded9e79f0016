// Owns how the past of a job is shown: its checkpoints, and what failed in it. Pure; bounded.

import { faultView, type KnownJob } from '#jobs/admin-jobs.ts';
import type { CheckpointsView, CheckpointView, ExceptionsView, ExceptionView } from '#runtime/http/contract.ts';

const CHECKPOINTS_MAX = 200;
const EXCEPTIONS_MAX = 100;

export function checkpointsView({ tasks }: KnownJob): CheckpointsView {
  const figures = tasks.flatMap(({ report }) => report?.figures ?? []);
  const sum = (values: readonly number[]) => values.reduce((all, value) => all + value, 0);
  const history = tasks.flatMap(({ assignment, report }) =>
    (report?.figures?.checkpointHistory ?? []).map((record): CheckpointView => {
      const { entry, createdMs, durationMs, writtenBytes, failure } = record;
      const { stage, partition } = assignment;
      const result = failure === null ? 'completed' : 'failed';
      return { stage, partition, entry, result, createdMs, durationMs, sizeBytes: writtenBytes, failure };
    }),
  );
  return {
    counts: {
      completed: sum(figures.map(({ checkpointsCompleted }) => checkpointsCompleted)),
      failed: sum(figures.map(({ checkpointsFailed }) => checkpointsFailed)),
      inProgress: tasks.filter(({ report }) => report?.word === 'fresh' && report.status?.checkpointInProgress).length,
    },
    stateBytes: sum(figures.map(({ lastCheckpoint }) => lastCheckpoint?.sizeBytes ?? 0)),
    history: history.toSorted((a, b) => b.createdMs - a.createdMs).slice(0, CHECKPOINTS_MAX),
  };
}

export function exceptionsView({ job, tasks }: KnownJob): ExceptionsView {
  const ofJob = job.exceptions.list().map((one): ExceptionView => ({ stage: null, partition: null, ...one }));
  const ofTasks = tasks.flatMap(({ assignment: { stage, partition }, report }) =>
    (report?.exceptions ?? []).map((one): ExceptionView => ({ stage, partition, ...one })),
  );
  const exceptions = [...ofJob, ...ofTasks].toSorted((a, b) => b.lastMs - a.lastMs).slice(0, EXCEPTIONS_MAX);
  return { failure: faultView(job.failure), exceptions };
}
