// Owns what tests of the rollup job on the embedded log share: opening the log while no process holds it, reading what
// was published, and telling from the size of its directory whether a process works or is done.

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { LogClient } from '#runtime/log/contract.ts';
import { openEmbeddedLog } from '#runtime/log/embedded/embedded-log.ts';
import { systemClock } from '#runtime/std/clock.ts';
import type { OutputRecord } from './oracle/comparison.ts';
import { readTopic } from './oracle/log-port.ts';
import { until } from './oracle/until.ts';
import type { Installation, Product } from './process-harness.ts';
import { deadLetterTopic, lateTopic, outputTopics, type RunTopics } from './rollups-scenario.ts';

/** A process that has nothing left to do still tells its watermark; less than this is no progress. */
const QUIET_BYTES = 4096;
const QUIET_MS = 3000;

export async function withLog<T>(installation: Installation, use: (client: LogClient) => Promise<T>): Promise<T> {
  const log = await openEmbeddedLog({ directory: installation.logDirectory, clock: systemClock });
  try {
    const client = log.client();
    const result = await use(client);
    await client.close();
    return result;
  } finally {
    await log.close();
  }
}

/** Every output topic of the job, read to its end. */
export async function readPublished(client: LogClient, topics: RunTopics): Promise<Map<string, OutputRecord[]>> {
  const published = new Map<string, OutputRecord[]>();
  for (const topic of [...outputTopics(topics), deadLetterTopic(topics), lateTopic(topics)]) {
    published.set(topic, await readTopic(client, topic));
  }
  return published;
}

/** Until the log has grown by so many bytes, or has grown at all and then hardly changes for a while; the bytes. */
export async function waitForGrowth(
  product: Product,
  installation: Installation,
  enoughBytes: number,
): Promise<number> {
  let size = sizeOf(installation.logDirectory);
  let grownBytes = 0;
  let changedAt = performance.now();
  const done = () => {
    const now = sizeOf(installation.logDirectory);
    if (Math.abs(now - size) > QUIET_BYTES) {
      grownBytes += Math.max(0, now - size);
      size = now;
      changedAt = performance.now();
    }
    const quiet = grownBytes > 0 && performance.now() - changedAt > QUIET_MS;
    return !product.running || grownBytes >= enoughBytes || quiet;
  };
  await until(done, 'the log to grow', 120_000, () => installation.report());
  if (!product.running) throw new Error(`the process ended by itself:\n${installation.report()}`);
  return grownBytes;
}

/** Lets the process work until it has nothing left to do, and stops it cleanly. */
export async function finishWork(product: Product, installation: Installation): Promise<void> {
  await waitForGrowth(product, installation, Number.POSITIVE_INFINITY);
  const exit = await product.stop();
  if (exit.code !== 0) throw new Error(`the clean stop ended with ${JSON.stringify(exit)}:\n${installation.report()}`);
}

function sizeOf(directory: string): number {
  let bytes = 0;
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    bytes += statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}
