// Owns which topics of an embedded log are kept how long: what comes from outside and what jobs write. Pure.

import type { LogConfiguration } from '#jobs/configuration.ts';
import type { Plan } from '#jobs/plan.ts';
import type { RetentionPolicy } from '#runtime/log/embedded/retention.ts';

/** Null on Kafka, which looks after its topics itself. */
export function retentionPolicy(
  log: LogConfiguration,
  jobs: readonly { readonly plan: Plan }[],
): RetentionPolicy | null {
  if (log.kind !== 'embedded') return null;
  const { sourceMs, outputMs, bytes } = log.retention;
  const steps = jobs.flatMap(({ plan }) => plan.stages.flatMap((stage) => stage.steps));
  const written = new Set(steps.flatMap((step) => (step.kind === 'topic' ? [step.topic] : [])));
  const read = jobs.flatMap(({ plan }) => plan.sources.map(({ topic }) => topic));
  const outside = read.filter((topic) => !written.has(topic));
  return {
    keepMs: Object.fromEntries(outside.map((topic) => [topic, sourceMs])),
    otherKeepMs: outputMs,
    keepBytes: bytes,
  };
}
