// Owns which topics of an embedded log are kept how long: what comes from outside and what jobs write, and nothing that a
// job of the configuration has not read. Pure.

import type { Configuration } from '#jobs/configuration.ts';
import type { Plan } from '#jobs/plan.ts';
import type { RunningJob } from '#jobs/running-jobs.ts';
import { offsetsGroup } from '#jobs/task-plans.ts';
import type { RetentionPolicy } from '#runtime/log/embedded/retention.ts';

export interface RetainedJob {
  readonly plan: Plan;
  readonly assignment: { readonly configuration: { readonly name: string } };
}

/** Jobs whose unread input is kept: those that run or may be started again. */
export function retained(jobs: readonly RunningJob[]): readonly RetainedJob[] {
  return jobs
    .filter(({ state }) => state !== 'FAILED' && state !== 'CANCELED')
    .map(({ loaded }) => ({ plan: loaded.compiled.plan, assignment: loaded }));
}

/** Null on Kafka, which looks after its topics itself. */
export function retentionPolicy(
  { log, namespace }: Pick<Configuration, 'log' | 'namespace'>,
  jobs: readonly RetainedJob[],
): RetentionPolicy | null {
  if (log.kind !== 'embedded') return null;
  const { sourceMs, outputMs, bytes } = log.retention;
  const steps = jobs.flatMap(({ plan }) => plan.stages.flatMap((stage) => stage.steps));
  const written = new Set(steps.flatMap((step) => (step.kind === 'topic' ? [step.topic] : [])));
  const keepMs: Record<string, number> = {};
  const readers: Record<string, string[]> = {};
  for (const { plan, assignment } of jobs) {
    for (const source of plan.sources) {
      const groups = (readers[source.topic] ??= []);
      groups.push(offsetsGroup(source, { namespace, job: assignment.configuration.name }));
      if (!written.has(source.topic)) keepMs[source.topic] = sourceMs;
    }
  }
  return { keepMs, otherKeepMs: outputMs, keepBytes: bytes, readers };
}
