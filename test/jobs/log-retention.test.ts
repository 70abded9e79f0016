import { expect, test } from 'vitest';
import { compileJob } from '#jobs/compile.ts';
import type { JobDefinition } from '#jobs/define-job.ts';
import { retentionPolicy } from '#jobs/log-retention.ts';
import rollups from '#jobs/rollups.ts';
import tsdbWriter from '#jobs/tsdb-writer.ts';

const KEPT = { sourceMs: 1, outputMs: 2, bytes: 3 };

test('what no job writes is kept as a source, what one job writes and another reads as output', () => {
  const target = { name: 'tsdb', url: 'http://127.0.0.1:1/write', mode: 'replaceable' as const };
  const named = (name: string, job: JobDefinition) => ({
    plan: compileJob(job).plan,
    assignment: { configuration: { name } },
  });
  const jobs = [
    named('mine', rollups()),
    named('writer', tsdbWriter({ targets: [target], rollups: ['metrics.rollup.1m'] })),
  ];
  const log = { kind: 'embedded', directory: '/log', retention: KEPT } as const;
  expect(retentionPolicy({ namespace: 'n', log }, jobs)).toEqual({
    keepMs: { 'metrics.raw': 1 },
    otherKeepMs: 2,
    keepBytes: 3,
    readers: { 'metrics.raw': ['n.mine'], 'metrics.rollup.1m': ['tsdb-writers'] },
  });
});

test('a Kafka looks after its topics itself', () => {
  const kafka = { kind: 'kafka', brokers: ['a:1'], replication: 1, startTimeoutMs: 1 } as const;
  expect(retentionPolicy({ namespace: 'n', log: kafka }, [])).toBeNull();
});
