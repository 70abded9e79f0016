// Owns what the minute jobs read and what must come out: a sample per partition and minute, one of them special, and the
// rows that follow from that. Shares nothing with the engine but the log port.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LogClient } from '#runtime/log/contract.ts';
import type { DataRecord } from '#test/integration/oracle/data-set.ts';
import { LogFeed, readTopic } from '#test/integration/oracle/log-port.ts';

export const PARTITIONS = 4;
const MINUTE_MS = 60_000;
const MINUTES = 30;
/** In the past, so that nothing is ahead of the clock. */
const START_MS = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 120 * MINUTE_MS;

/** Modules that a configuration can name: this tree has no default exports for tests. */
export async function writeJobModules(directory: string, jobs: readonly string[]): Promise<void> {
  const from = JSON.stringify(new URL('./minute-jobs.ts', import.meta.url).href);
  for (const job of jobs) await writeFile(join(directory, `${job}.ts`), `export { ${job} as default } from ${from};\n`);
}

function sample(partition: number, minute: number, value: number): DataRecord {
  const labels = { host: `h-${partition}` };
  const body = { metric_name: 'cpu', timestamp: START_MS + minute * MINUTE_MS, value, labels };
  const intent = { finite: 1, notFinite: 0, bad: 0 };
  return { partition, key: null, value: Buffer.from(JSON.stringify(body)), headers: [], timestampMs: 0, intent };
}

/** A sample per partition and minute; `special` on partition 1 in the middle. */
export async function feedMinutes(client: LogClient, special: number): Promise<void> {
  const log = await LogFeed.open(client, 'metrics.raw', PARTITIONS);
  for (let minute = 0; minute < MINUTES; minute++) {
    const value = (partition: number) => (partition === 1 && minute === 10 ? special : 1);
    await log.write(Array.from({ length: PARTITIONS }, (_, partition) => sample(partition, minute, value(partition))));
  }
  await log.close();
}

/** One more sample of minute 10 in partition 1: too late for its window, but looked at. */
export async function feedOne(client: LogClient, value: number): Promise<void> {
  const log = await LogFeed.open(client, 'metrics.raw', PARTITIONS);
  await log.write([sample(1, 10, value)]);
  await log.close();
}

/** `<host> <minute> <count> <sum>` of every row, sorted. */
export async function rowsOf(client: LogClient, job: string): Promise<string[]> {
  const records = await readTopic(client, `${job}.1m`);
  return records
    .map(({ value }) => JSON.parse(String(value)))
    .map((row) => `${row.labels.host} ${(row.window_start - START_MS) / MINUTE_MS} ${row.count} ${row.sum}`)
    .sort();
}

export function expected(special: number): string[] {
  const all: string[] = [];
  for (let partition = 0; partition < PARTITIONS; partition++) {
    // The last window stays open.
    for (let minute = 0; minute < MINUTES - 1; minute++) {
      all.push(`h-${partition} ${minute} 1 ${partition === 1 && minute === 10 ? special : 1}`);
    }
  }
  return all.sort();
}
