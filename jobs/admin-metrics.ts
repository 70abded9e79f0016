// Owns the figures that Prometheus scrapes: which there are, what they mean, and where their values come from.

import type { KnownTask } from '#jobs/admin-jobs.ts';
import type { AdminSource } from '#jobs/admin-source.ts';
import type { RunningJob } from '#jobs/running-jobs.ts';
import { engineVersion } from '#jobs/version.ts';
import { MetricsText } from '#runtime/std/metrics-text.ts';

interface JobTasks {
  readonly job: RunningJob;
  readonly tasks: readonly KnownTask[];
}

export function metricsText(source: AdminSource, _jobs: readonly JobTasks[], _nowMs: number): string {
  const text = new MetricsText();
  text.declare('millrace_build_info', 'gauge', 'Version of Millrace and of Node; always 1.');
  text.add('millrace_build_info', { version: engineVersion(), node: process.versions.node }, 1);
  text.declare('process_start_time_seconds', 'gauge', 'When the process started, in seconds since 1970.');
  text.add('process_start_time_seconds', {}, source.startedMs / 1_000);
  return text.toString();
}
