// The acceptance of the whole slice on the embedded log: the same data set and the same five kills as on Kafka, with
// and without an exchange. MILLRACE_TEST_SEED repeats a run.

import { expect, test } from 'vitest';
import type { LogClient } from '#runtime/log/contract.ts';
import { FULL_DATA_SET, midnightBefore, type Placement } from './oracle/data-set.ts';
import { LogFeed } from './oracle/log-port.ts';
import { Random } from './oracle/random.ts';
import { Installation } from './process-harness.ts';
import { finishWork, readPublished, waitForGrowth, withLog } from './rollups-embedded-log.ts';
import { phaseSizes, Script, verdict } from './rollups-scenario.ts';

const KILLS = 5;
const CHUNK_RECORDS = 5000;
const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20260301);
const TOPICS = { source: 'metrics.raw', outputPrefix: 'metrics.rollup' };
/** About what one phase makes a process write. */
const PHASE_BYTES = 8 << 20;

test.each<[Placement, 'series' | 'producer' | undefined]>([
  ['spread', undefined],
  ['series', 'series'],
  ['producer', 'producer'],
])(
  'samples placed by %s, declared %s: every row once and right through five kills, on the embedded log',
  async (placement, partitionedBy) => {
    const nowMs = Date.now();
    const data = { ...FULL_DATA_SET, seed: SEED, midnightMs: midnightBefore(nowMs), placement };
    const script = new Script(data, nowMs);
    const random = new Random(SEED);
    const options = {
      topic: TOPICS.source,
      outputPrefix: TOPICS.outputPrefix,
      ...(partitionedBy && { partitionedBy }),
    };
    const job = { module: 'jobs/rollups.ts', parallelism: 2, checkpointInterval: '1s', options };
    const installation = await Installation.create({ jobs: { rollups: job } });
    try {
      for (const [phase, size] of phaseSizes(KILLS, data.seriesCount * data.rounds, random).entries()) {
        await withLog(installation, (client) => feed(client, script, size));
        const product = installation.start();
        if (phase < KILLS) {
          await waitForGrowth(product, installation, random.integer(PHASE_BYTES));
          await product.kill();
        } else await finishWork(product, installation);
      }
      const published = await withLog(installation, (client) => readPublished(client, TOPICS));
      const differences = verdict(script.expectation(), TOPICS, published, { rowPartitionCount: data.partitionCount });
      expect(differences === '' ? '' : `${differences}\nseed ${SEED}\n${installation.report()}`).toBe('');
    } finally {
      await installation.remove();
    }
  },
  600_000,
);

async function feed(client: LogClient, script: Script, count: number): Promise<void> {
  const logFeed = await LogFeed.open(client, TOPICS.source, script.options.partitionCount);
  for (let left = count; left > 0 && !script.done; left -= CHUNK_RECORDS) {
    script.written(await logFeed.write(script.next(Math.min(left, CHUNK_RECORDS))));
  }
  await logFeed.close();
}
