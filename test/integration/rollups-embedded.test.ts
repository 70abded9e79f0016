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
/** A clean stop in the middle: however fast the machine, kills behind it find checkpoints. */
const STOPPED_BEFORE = 3;
const CHUNK_RECORDS = 5000;
const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20260301);
const RESTORED = /restored from a checkpoint/;
const TOPICS = { source: 'metrics.raw', outputPrefix: 'metrics.rollup' };
/** About what a process writes for one sample, with an exchange and without. */
const EXCHANGED_BYTES = 350;
const SAMPLE_BYTES = 240;

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
    const workBytes = partitionedBy === undefined ? EXCHANGED_BYTES : SAMPLE_BYTES;
    let toDoBytes = 0;
    const restored: string[] = [];
    try {
      for (const [phase, size] of phaseSizes(KILLS, data.seriesCount * data.rounds, random).entries()) {
        await withLog(installation, (client) => feed(client, script, size));
        if (phase === STOPPED_BEFORE) await stopCleanly(installation);
        const product = installation.start();
        if (phase < KILLS) {
          // All through the data: kills that only meet its beginning find no state to restore.
          toDoBytes += size * workBytes;
          const enoughBytes = Math.floor(toDoBytes * (0.2 + 0.8 * random.next()));
          toDoBytes -= await waitForGrowth(product, installation, enoughBytes);
          await product.kill();
        } else await finishWork(product, installation);
        restored.push(...product.lines.filter((line) => RESTORED.test(line)));
      }
      expect(restored.length, 'tasks went on from checkpoints').toBeGreaterThan(data.partitionCount);
      const behind = restored.map((line) => JSON.parse(line)).filter(({ entry, last }) => last > entry);
      expect(behind.length, 'and replayed what came after').toBeGreaterThan(0);
      const published = await withLog(installation, (client) => readPublished(client, TOPICS));
      const differences = verdict(script.expectation(), TOPICS, published, { rowPartitionCount: data.partitionCount });
      expect(differences === '' ? '' : `${differences}\nseed ${SEED}\n${installation.report()}`).toBe('');
    } finally {
      await installation.remove();
    }
  },
  600_000,
);

async function stopCleanly(installation: Installation): Promise<void> {
  const product = installation.start();
  await product.waitForLine(/installation claimed/, 120_000);
  expect(await product.stop(120_000)).toEqual({ code: 0, signal: null });
}

async function feed(client: LogClient, script: Script, count: number): Promise<void> {
  const logFeed = await LogFeed.open(client, TOPICS.source, script.options.partitionCount);
  for (let left = count; left > 0 && !script.done; left -= CHUNK_RECORDS) {
    script.written(await logFeed.write(script.next(Math.min(left, CHUNK_RECORDS))));
  }
  await logFeed.close();
}
