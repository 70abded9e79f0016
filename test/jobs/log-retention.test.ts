import { expect, test } from 'vitest';
import { compileJob } from '#jobs/compile.ts';
import { retentionPolicy } from '#jobs/log-retention.ts';
import rollups from '#jobs/rollups.ts';
import tsdbWriter from '#jobs/tsdb-writer.ts';

const KEPT = { sourceMs: 1, outputMs: 2, bytes: 3 };

test('what no job writes is kept as a source, what one job writes and another reads as output', () => {
  const target = { name: 'tsdb', url: 'http://127.0.0.1:1/write', mode: 'replaceable' as const };
  const jobs = [compileJob(rollups()), compileJob(tsdbWriter({ targets: [target] }))];
  const policy = retentionPolicy({ kind: 'embedded', directory: '/log', retention: KEPT }, jobs);
  expect(policy).toEqual({ keepMs: { 'metrics.raw': 1 }, otherKeepMs: 2, keepBytes: 3 });
});

test('a Kafka looks after its topics itself', () => {
  const kafka = { kind: 'kafka', brokers: ['a:1'], replication: 1, startTimeoutMs: 1 } as const;
  expect(retentionPolicy(kafka, [])).toBeNull();
});
