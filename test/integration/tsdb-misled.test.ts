// A writer that was given a wrong path of a real VictoriaMetrics, which answers 400 to everything there, as it does to bad
// data: nothing becomes a dead letter, and everything arrives when the path is corrected after a kill.

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { TsdbServer } from '#test/harness/tsdb.ts';
import { midnightBefore } from './oracle/data-set.ts';
import { LogFeed, readTopic } from './oracle/log-port.ts';
import { withLog } from './rollups-embedded-log.ts';
import { exactly, GeneratedRows, storedDifferences } from './tsdb-rows.ts';
import { untilStored, writerInstallation } from './tsdb-run.ts';

const SIZES = ['1m', '5m', '1h', '1d'];

test('a mistyped address costs time and no row', async () => {
  const prefix = 'metrics.rollup';
  const shape = { seed: 3, seriesCount: 6, partitionCount: 1, midnightMs: midnightBefore(Date.now()), prefix };
  const rows = new GeneratedRows({ ...shape, correctedShare: 0 });
  const victoria = await TsdbServer.start('victoria-metrics');
  const prometheus = await TsdbServer.start('prometheus');
  const wrongUrl = `${victoria.address}/api/v1/wirte`;
  const misled = await writerInstallation({ targets: [{ name: 'db', url: wrongUrl, mode: 'final' }] });
  try {
    await withLog(misled, async (client) => {
      for (const [topic, records] of rows.records) {
        const log = await LogFeed.open(client, topic, 1);
        await log.write(records);
        await log.close();
      }
    });
    const product = misled.start();
    await product.waitForLine(/answers 400 .*unsupported path requested/, 60_000);
    await product.waitForLine(/it refuses a request without samples, too/, 60_000);
    await product.kill();
    const configuration = join(misled.directory, 'jobs.config.ts');
    await writeFile(configuration, (await readFile(configuration, 'utf8')).replace(wrongUrl, prometheus.writeUrl));
    const corrected = misled.start();
    await untilStored(prometheus, (stored) => storedDifferences(rows.newest, stored, exactly), corrected);
    expect((await corrected.stop()).code).toBe(0);
    for (const size of SIZES) {
      expect(await withLog(misled, (client) => readTopic(client, `${prefix}.${size}.dead-letter`))).toEqual([]);
    }
  } finally {
    await misled.remove();
    await victoria.remove();
    await prometheus.remove();
  }
}, 240_000);
