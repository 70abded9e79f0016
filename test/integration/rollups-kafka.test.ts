// The acceptance of the whole slice on a real Kafka: 300,000 samples around a midnight, the process killed five times at
// seeded moments, and every row of four resolutions there once and right. MILLRACE_TEST_SEED repeats a run.

import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import { sharedKafka } from '#test/harness/shared-kafka.ts';
import type { Placement } from './oracle/data-set.ts';
import { KafkaRun } from './rollups-kafka-run.ts';
import { phaseSizes } from './rollups-scenario.ts';

const KILLS = 5;
const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20260301);

let brokers: readonly string[];

beforeAll(async () => {
  brokers = (await sharedKafka()).brokers;
});

test.each<[Placement, 'series' | 'producer' | undefined]>([
  ['spread', undefined],
  ['producer', 'producer'],
  ['series', 'series'],
])(
  'samples placed by %s, declared %s: every row once and right through five kills',
  async (placement, partitionedBy) => {
    const run = await KafkaRun.prepare({ brokers, seed: SEED, placement, partitionedBy });
    try {
      const sizes = phaseSizes(KILLS, run.size, run.random);
      for (const size of sizes.slice(0, KILLS)) {
        const product = await run.start();
        await run.write(size);
        await sleep(run.random.integer(300));
        await product.kill();
      }
      const product = await run.start();
      await run.write(sizes[KILLS]);
      expect(await run.verdict(product)).toBe('');
    } finally {
      await run.end();
    }
  },
  600_000,
);
