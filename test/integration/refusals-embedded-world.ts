// Owns an installation on the embedded log that worked for a while, and copies of it to damage: what was published in
// each is compared before and after. Knows topic names as CONTRACT and the plan give them.

import { cp } from 'node:fs/promises';
import type { LogClient } from '#runtime/log/contract.ts';
import { FULL_DATA_SET, midnightBefore } from './oracle/data-set.ts';
import { LogFeed } from './oracle/log-port.ts';
import { Installation, type InstallationOptions } from './process-harness.ts';
import { USER_VIEW } from './refusal.ts';
import { finishWork, withLog } from './rollups-embedded-log.ts';
import { Script } from './rollups-scenario.ts';

export const SOURCE = 'metrics.raw';
export const PARTITIONS = 2;
/** Internal topics of the rollup job. */
export const INTERNAL = '__millrace.rollups.live.0';

export const OPTIONS: InstallationOptions = {
  jobs: { rollups: { module: 'jobs/rollups.ts', parallelism: 2, checkpointInterval: '1s' } },
  env: USER_VIEW,
};

/** A small data set around the same midnight as the large one. */
export function smallScript(partitionCount: number): Script {
  const nowMs = Date.now();
  const size = { partitionCount, seriesCount: 40, rounds: 40 };
  const options = { ...FULL_DATA_SET, ...size, seed: 7, midnightMs: midnightBefore(nowMs) };
  return new Script({ ...options, placement: 'spread' }, nowMs);
}

export async function feed(client: LogClient, script: Script, count: number): Promise<void> {
  const logFeed = await LogFeed.open(client, SOURCE, PARTITIONS);
  script.written(await logFeed.write(script.next(count)));
  await logFeed.close();
}

/** Ran over half of the data and stopped cleanly; the other half waits in the source. */
export async function workedInstallation(): Promise<Installation> {
  const script = smallScript(PARTITIONS);
  const installation = await Installation.create(OPTIONS);
  await withLog(installation, (client) => feed(client, script, 800));
  await finishWork(installation.start(), installation);
  await withLog(installation, (client) => feed(client, script, Number.POSITIVE_INFINITY));
  return installation;
}

/** Another installation with the same data. */
export async function copyOf(installation: Installation): Promise<Installation> {
  const copy = await Installation.create(OPTIONS);
  await cp(`${installation.directory}/data`, `${copy.directory}/data`, { recursive: true });
  return copy;
}

/** Where every partition of every topic ends that is not internal. */
export async function publishedEnds(client: LogClient): Promise<Record<string, string>> {
  const topics = (await client.admin.listTopics()).filter((topic) => !topic.startsWith('__'));
  const ends: Record<string, string> = {};
  for (const description of await client.admin.describeTopics(topics)) {
    if (description === null) continue;
    const { topic, partitionCount } = description;
    const queries = Array.from({ length: partitionCount }, (_, partition) => ({
      topic,
      partition,
      at: 'high-watermark' as const,
    }));
    ends[topic] = (await client.admin.listOffsets(queries)).join(' ');
  }
  return ends;
}
