// Rollup rows of the embedded log in a real VictoriaMetrics and a real Prometheus: written by the shipped job through
// trouble, and read back by their query APIs.

import { expect, test } from 'vitest';
import type { LogClient } from '#runtime/log/contract.ts';
import type { StoredSamples } from '#test/harness/tsdb.ts';
import type { WrittenSample } from '#test/harness/write-proxy.ts';
import { midnightBefore } from './oracle/data-set.ts';
import { LogFeed, readTopic } from './oracle/log-port.ts';
import type { Installation, Product } from './process-harness.ts';
import { withLog } from './rollups-embedded-log.ts';
import { exactly, GeneratedRows, oneOfRoughly, storedDifferences, takenDifferences } from './tsdb-rows.ts';
import {
  outOfOrder,
  removeTarget,
  startTarget,
  type Target,
  troubled,
  untilStored,
  untilTaken,
  writerInstallation,
} from './tsdb-run.ts';

const PARTITIONS = 3;
const PREFIX = 'metrics.rollup';

function rowsAround(seed: number, correctedShare: number, seriesCount = 40): GeneratedRows {
  const midnightMs = midnightBefore(Date.now());
  return new GeneratedRows({
    seed,
    seriesCount,
    partitionCount: PARTITIONS,
    midnightMs,
    prefix: PREFIX,
    correctedShare,
  });
}

/** Writes records [from, to) of each topic, as shares of all. */
async function feed(client: LogClient, rows: GeneratedRows, from: number, to: number): Promise<void> {
  for (const [topic, records] of rows.records) {
    const log = await LogFeed.open(client, topic, PARTITIONS);
    const part = records.slice(Math.floor(records.length * from), Math.floor(records.length * to));
    for (let at = 0; at < part.length; at += 100) await log.write(part.slice(at, at + 100));
    await log.close();
  }
}

const TARGETS = (prometheus: Target, victoria: Target) => [
  { name: 'prometheus', url: prometheus.proxy.url, mode: 'final', lateness: '2m' },
  { name: 'victoria', url: victoria.proxy.url, mode: 'replaceable' },
];

/** What the databases must hold once everything is there. */
function untilRight(rows: GeneratedRows, prometheus: Target, victoria: Target, product: Product): Promise<unknown> {
  const inPrometheus = (stored: StoredSamples) => storedDifferences(rows.newest, stored, exactly);
  const inVictoria = (stored: StoredSamples) => storedDifferences(rows.every, stored, oneOfRoughly);
  return Promise.all([
    untilStored(prometheus.server, inPrometheus, product),
    untilStored(victoria.server, inVictoria, product),
  ]);
}

test('rows stand in Prometheus once and right; in VictoriaMetrics came every row and its corrections, in order', async () => {
  const rows = rowsAround(7, 0.1);
  const prometheus = await startTarget('prometheus');
  const victoria = await startTarget('victoria-metrics');
  const installation = await writerInstallation({ targets: TARGETS(prometheus, victoria) });
  try {
    await withLog(installation, (client) => feed(client, rows, 0, 1));
    const product = installation.start();
    await untilRight(rows, prometheus, victoria, product);
    expect((await product.stop()).code).toBe(0);
    expect(takenDifferences(rows.newest, prometheus.proxy.taken)).toBe('');
    expect(takenDifferences(rows.every, victoria.proxy.taken)).toBe('');
    expect(outOfOrder(prometheus.proxy.taken)).toEqual([]);
    expect(await deadLetters(installation)).toEqual([]);
  } finally {
    await installation.remove();
    await removeTarget(prometheus);
    await removeTarget(victoria);
  }
}, 240_000);

test('through refusals, lost answers, dead receivers and three kills nothing is lost, changed or out of order', async () => {
  const rows = rowsAround(8, 0.1);
  const bad = rows.takeAway('_odd:1m:max', '"host-7"', 10);
  const isBad = ({ series, timestampMs }: WrittenSample) => bad.get(series)?.has(timestampMs) === true;
  const prometheus = await startTarget('prometheus');
  const victoria = await startTarget('victoria-metrics');
  const installation = await writerInstallation({ targets: TARGETS(prometheus, victoria) });
  try {
    await withLog(installation, (client) => feed(client, rows, 0, 1));
    prometheus.proxy.judge = troubled(isBad);
    victoria.proxy.judge = troubled(isBad);
    const samples = 8 * rows.size;
    for (const share of [0.05, 0.2, 0.4]) {
      const product = installation.start();
      await untilTaken(victoria.proxy, samples * share, product);
      await untilTaken(prometheus.proxy, samples * share, product);
      await product.kill();
    }
    const product = installation.start();
    await untilTaken(prometheus.proxy, samples * 0.5, product);
    await prometheus.server.kill();
    await victoria.server.stop();
    await product.waitForLine(/answers 502 no receiver/, 120_000);
    await Promise.all([prometheus.server.start(), victoria.server.start()]);
    await untilRight(rows, prometheus, victoria, product);
    expect((await product.stop()).code).toBe(0);
    expect(takenDifferences(rows.newest, prometheus.proxy.taken)).toBe('');
    expect(takenDifferences(rows.every, victoria.proxy.taken)).toBe('');
    expect(outOfOrder(prometheus.proxy.taken)).toEqual([]);
    // The writer was killed and answers were lost: each row is a dead letter of each target all the same, once.
    const [times] = [...bad.values()];
    const dead = await deadLetters(installation);
    const endsOf = (target: string) => dead.filter((one) => one.target === target).map(({ row }) => row['window_end']);
    expect(endsOf('prometheus')).toEqual([...times.keys()]);
    expect(endsOf('victoria')).toHaveLength([...times.values()].flat().length);
    expect(new Set(endsOf('victoria'))).toEqual(new Set(times.keys()));
    for (const { code, message, path, row } of dead) {
      expect([code, message, path]).toEqual(['receiver-refused', '400 this series is not welcome', '_odd:1m:max']);
      expect(row).toMatchObject({ metric_name: '_odd', resolution: '1m', labels: { instance: 'host-7' } });
    }
  } finally {
    await installation.remove();
    await removeTarget(prometheus);
    await removeTarget(victoria);
  }
}, 240_000);

interface DeadLetter {
  readonly target: string;
  readonly code: string;
  readonly message: string;
  readonly path: string | null;
  readonly row: Readonly<Record<string, unknown>>;
}

function deadLetters(installation: Installation): Promise<DeadLetter[]> {
  return withLog(installation, async (client) => {
    const letters: DeadLetter[] = [];
    for (const resolution of ['1m', '5m', '1h', '1d']) {
      for (const { headers, value } of await readTopic(client, `${PREFIX}.${resolution}.dead-letter`)) {
        const text = (name: string) => headers.get(name)?.toString() ?? '';
        const row = JSON.parse(String(value));
        const path = headers.has('error-path') ? text('error-path') : null;
        letters.push({ target: text('target'), code: text('error-code'), message: text('error-message'), path, row });
      }
    }
    return letters;
  });
}
