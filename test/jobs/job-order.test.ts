// Which job is prepared before which.

import { expect, test } from 'vitest';
import { compileJob } from '#jobs/compile.ts';
import type { JobDefinition } from '#jobs/define-job.ts';
import { writersFirst } from '#jobs/job-order.ts';
import type { LoadedJob } from '#jobs/load-job.ts';
import rollups from '#jobs/rollups.ts';
import tsdbWriter from '#jobs/tsdb-writer.ts';

function loaded(...definitions: readonly JobDefinition[]): LoadedJob[] {
  return definitions.map((definition) => {
    const compiled = compileJob(definition);
    return {
      configuration: { name: compiled.plan.job, modulePath: '', options: null, settings: {} },
      compiled,
    } as LoadedJob;
  });
}

const names = (jobs: readonly LoadedJob[]) => jobs.map(({ compiled }) => compiled.plan.job);
const targets = [{ name: 'db', url: 'http://127.0.0.1:1/', mode: 'final' }] as const;

test('who writes a topic comes before who reads it; else the order stays', () => {
  const other = rollups({ name: 'other', topic: 'other', outputPrefix: 'other.rollup' });
  const jobs = loaded(
    tsdbWriter({ targets }),
    other,
    rollups(),
    tsdbWriter({ targets, name: 'raw', rollups: false, raw: true }),
  );
  expect(names(writersFirst(jobs))).toEqual(['other', 'rollups', 'raw', 'tsdb-writer']);
});

test('a circle keeps its order', () => {
  const one = rollups({ name: 'one', topic: 'two.1m', outputPrefix: 'one' });
  const two = rollups({ name: 'two', topic: 'one.1m', outputPrefix: 'two' });
  expect(names(writersFirst(loaded(one, two)))).toEqual(['one', 'two']);
});
