// Owns the order in which jobs are prepared: whoever writes a topic comes before whoever reads it, so that it is there.
// Otherwise the order of the configuration stays.

import type { LoadedJob } from '#jobs/load-job.ts';
import type { Plan } from '#jobs/plan.ts';

/** The same jobs; those that wait for each other in a circle stay as they are. */
export function writersFirst(jobs: readonly LoadedJob[]): readonly LoadedJob[] {
  const ordered: LoadedJob[] = [];
  let left = [...jobs];
  while (left.length > 0) {
    const written = new Map(left.map((job) => [job, topicsWritten(job.compiled.plan)]));
    const ready = left.filter((job) =>
      job.compiled.plan.sources.every(({ topic }) =>
        left.every((other) => other === job || written.get(other)?.has(topic) !== true),
      ),
    );
    const next = ready.length > 0 ? ready : left;
    ordered.push(...next);
    left = left.filter((job) => !next.includes(job));
  }
  return ordered;
}

function topicsWritten(plan: Plan): ReadonlySet<string> {
  const steps = plan.stages.flatMap((stage) => stage.steps);
  return new Set(steps.flatMap((step) => (step.kind === 'topic' ? [step.topic] : [])));
}
