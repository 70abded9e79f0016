// What `explain` prints is pinned by files in test/golden/plans, read like code when they change.

import { expect, test } from 'vitest';
import { compileJob } from '#jobs/compile.ts';
import type { JobDefinition } from '#jobs/define-job.ts';
import { explain } from '#jobs/explain.ts';
import rollups from '#jobs/rollups.ts';
import { byLabelJob, functionsJob, loginsJob, styleGuideJob } from '#test/jobs/example-jobs.ts';

const PLANS: readonly (readonly [string, JobDefinition])[] = [
  ['rollups', rollups()],
  ['rollups-by-series', rollups({ partitionedBy: 'series' })],
  ['rollups-by-producer', rollups({ partitionedBy: 'producer', allowedLateness: '1h', maxSkew: '1h' })],
  ['style-guide', styleGuideJob()],
  ['functions', functionsJob()],
  ['by-label', byLabelJob()],
  ['logins', loginsJob()],
];

test.each(PLANS)('the plan of %s reads as its golden file', async (name, job) => {
  const { plan, settings } = compileJob(job);
  await expect(explain(plan, settings)).toMatchFileSnapshot(`../golden/plans/${name}.txt`);
});

test('the job of the style guide prints what the style guide shows', () => {
  const { plan, settings } = compileJob(styleGuideJob());
  expect(explain(plan, settings)).toBe(
    `rollups  commit every 200ms  checkpoint every 60s
  stage 1m × partitions of metrics.raw   samples metrics.raw, partitioned by series (out of order ≤ 5s, idle after 30s)
    → window 1m tumbling [state 1m] → topic metrics.rollup.1m
    → window 1h tumbling of 1m [state 1h] → topic metrics.rollup.1h
`,
  );
});

test('intervals of the configuration are those that are printed', () => {
  const { plan, settings } = compileJob(styleGuideJob(), { commitIntervalMs: 1_000, checkpointIntervalMs: 600_000 });
  expect(explain(plan, settings).split('\n')[0]).toBe('rollups  commit every 1s  checkpoint every 10m');
});
