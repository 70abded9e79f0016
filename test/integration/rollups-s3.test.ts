// The slice with its checkpoints in S3-compatible storage: rows are right through kills, and what a process goes on from
// comes out of the bucket.

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { S3Client } from '#checkpoint/s3-client.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { startS3Server } from '#test/harness/s3-server.ts';
import { FULL_DATA_SET, midnightBefore } from './oracle/data-set.ts';
import { LogFeed } from './oracle/log-port.ts';
import { Random } from './oracle/random.ts';
import { Installation } from './process-harness.ts';
import { finishWork, readPublished, waitForGrowth, withLog } from './rollups-embedded-log.ts';
import { phaseSizes, Script, verdict } from './rollups-scenario.ts';

const PHASES = 5;
const STOPPED = [0, 2, PHASES - 1];
const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20260301);
const TOPICS = { source: 'metrics.raw', outputPrefix: 'metrics.rollup' };
const PHASE_BYTES = 2 << 20;
const BUCKET = 'checkpoints';

test('with checkpoints in a bucket every row comes once and right through kills and stops', async () => {
  const s3 = await startS3Server();
  const { endpoint, accessKeyId, secretAccessKey } = s3;
  const access = { bucket: BUCKET, endpoint, region: 'us-east-1', credentials: { accessKeyId, secretAccessKey } };
  const client = new S3Client(access, systemClock);
  expect((await client.send({ method: 'PUT', key: '' })).status).toBe(200);
  const nowMs = Date.now();
  const data = { ...FULL_DATA_SET, seriesCount: 120, seed: SEED, midnightMs: midnightBefore(nowMs) };
  const script = new Script({ ...data, placement: 'series' }, nowMs);
  const random = new Random(SEED);
  const options = { topic: TOPICS.source, outputPrefix: TOPICS.outputPrefix, partitionedBy: 'series' };
  const job = { module: 'jobs/rollups.ts', parallelism: 2, checkpointInterval: '1s', options };
  const env = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey };
  const installation = await Installation.create({ jobs: { rollups: job }, env });
  try {
    await storeInBucket(installation, { bucket: BUCKET, endpoint, prefix: 'here' });
    let restored = 0;
    for (const [phase, size] of phaseSizes(PHASES - 1, data.seriesCount * data.rounds, random).entries()) {
      await withLog(installation, async (log) => {
        const feed = await LogFeed.open(log, TOPICS.source, script.options.partitionCount);
        script.written(await feed.write(script.next(size)));
        await feed.close();
      });
      const product = installation.start();
      // A clean stop ends with a checkpoint, a kill anywhere.
      if (STOPPED.includes(phase)) await finishWork(product, installation);
      else {
        await waitForGrowth(product, installation, random.integer(PHASE_BYTES));
        await product.kill();
      }
      restored += product.lines.filter((line) => line.includes('restored from a checkpoint')).length;
    }
    const published = await withLog(installation, (log) => readPublished(log, TOPICS));
    const differences = verdict(script.expectation(), TOPICS, published, { rowPartitionCount: data.partitionCount });
    expect(differences === '' ? '' : `${differences}\nseed ${SEED}\n${installation.report()}`).toBe('');
    // A process that is killed may not have come that far; the last one ends by itself.
    expect(restored).toBeGreaterThanOrEqual(data.partitionCount);
    const query = { 'list-type': '2', prefix: 'here/' };
    const listing = (await client.send({ method: 'GET', key: '', query })).body.toString();
    expect(listing).toContain('<Key>here/installation.json</Key>');
    expect(listing).toContain('.manifest.json</Key>');
    expect(installation.report(20_000)).not.toContain(secretAccessKey);
  } finally {
    await installation.remove();
    await s3.stop();
  }
}, 600_000);

/** Puts the bucket where the generated configuration has a directory. */
async function storeInBucket(installation: Installation, options: Readonly<Record<string, string>>): Promise<void> {
  const path = join(installation.directory, 'jobs.config.ts');
  const config = await readFile(path, 'utf8');
  const changed = config
    .replace("directory('./data/checkpoints')", `s3(${JSON.stringify(options)})`)
    .replace('{ defineConfig, directory,', '{ defineConfig, s3,');
  expect(changed).not.toBe(config);
  await writeFile(path, changed);
}
