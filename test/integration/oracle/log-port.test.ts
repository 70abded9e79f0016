// What is fed through the log port must be read back as it was, at the offsets that were told.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openEmbeddedLog } from '#runtime/log/embedded/embedded-log.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { FULL_DATA_SET, generate } from './data-set.ts';
import { LogFeed, readTopic } from './log-port.ts';
import { type InputRecord, recordId } from './rollup-oracle.ts';

test('a data set fed into the embedded log is read back byte by byte, where it was said to lie', async () => {
  const data = {
    ...FULL_DATA_SET,
    seriesCount: 100,
    rounds: 20,
    brokenShare: 0.02,
    seed: 5,
    midnightMs: Date.UTC(2026, 2, 1),
  };
  const records = [...generate({ ...data, placement: 'producer' })];
  const directory = await mkdtemp(join(tmpdir(), 'millrace-log-port-'));
  const log = await openEmbeddedLog({ directory, clock: systemClock });
  try {
    const client = log.client();
    const feed = await LogFeed.open(client, 'raw', data.partitionCount);
    const written: InputRecord[] = [];
    for (let at = 0; at < records.length; at += 300) written.push(...(await feed.write(records.slice(at, at + 300))));
    await feed.close();
    const read = new Map(
      (await readTopic(client, 'raw')).map((record) => [recordId('raw', record.partition, record.offset), record]),
    );
    await client.close();
    expect(read.size).toBe(records.length);
    for (const [index, { partition, offset }] of written.entries()) {
      const { key, value, timestampMs, headers } = records[index];
      expect(read.get(recordId('raw', partition, offset))).toMatchObject({
        partition,
        key,
        value,
        timestampMs,
        headers: new Map(headers),
      });
    }
  } finally {
    await log.close();
    await rm(directory, { recursive: true, force: true });
  }
});
