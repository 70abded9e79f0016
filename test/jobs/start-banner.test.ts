import { expect, test } from 'vitest';
import { compileJob } from '#jobs/compile.ts';
import rollups from '#jobs/rollups.ts';
import { type Started, startBanner } from '#jobs/start-banner.ts';

const STARTED: Started = {
  version: '1.2.3',
  log: { kind: 'embedded', directory: '/here/data/log', retention: { sourceMs: 1, outputMs: 1, bytes: 1 } },
  jobs: [compileJob(rollups()).plan],
  url: 'http://127.0.0.1:8081',
  workingDirectory: '/here',
};

test('says what runs and where to look', () => {
  expect(startBanner(STARTED)).toBe(`Millrace 1.2.3 on the log in data/log, with made-up samples
  job rollups: metrics.raw to metrics.rollup.1m, metrics.rollup.5m, metrics.rollup.1h, metrics.rollup.1d
  look: npx millrace jobs, npx millrace state rollups, http://127.0.0.1:8081/jobs
  rows follow as their windows close; Ctrl-C ends with a checkpoint, the next start goes on there

`);
});

test('says which Kafka, and how commands find another address; nothing of an API that is off', () => {
  const log = { kind: 'kafka', brokers: ['a:1', 'b:2'], replication: 1, startTimeoutMs: 1 } as const;
  const elsewhere = startBanner({ ...STARTED, log, url: 'http://127.0.0.1:9' });
  expect(elsewhere).toContain('on the Kafka at a:1, b:2, with');
  expect(elsewhere).toContain('http://127.0.0.1:9/jobs, with MILLRACE_URL=http://127.0.0.1:9\n');
  expect(startBanner({ ...STARTED, url: null })).not.toContain('look:');
});
