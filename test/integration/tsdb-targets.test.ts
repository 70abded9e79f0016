// Several targets and jobs at once: one that hangs, one that lets nobody in, and rollups made beside the writer that
// brings them on.

import { expect, test } from 'vitest';
import { type StoredSamples, seriesText, TsdbServer } from '#test/harness/tsdb.ts';
import { WriteProxy } from '#test/harness/write-proxy.ts';
import { type DataRecord, midnightBefore } from './oracle/data-set.ts';
import { LogFeed, readTopic } from './oracle/log-port.ts';
import { Random } from './oracle/random.ts';
import { Installation } from './process-harness.ts';
import { withLog } from './rollups-embedded-log.ts';
import { exactly, GeneratedRows, storedDifferences, takenDifferences } from './tsdb-rows.ts';
import { untilStored, untilTaken, writerInstallation } from './tsdb-run.ts';

const PREFIX = 'metrics.rollup';
const PARTITIONS = 2;

test('a target that hangs and one that refuses us hold nobody up; nothing is lost when they let us in', async () => {
  const midnightMs = midnightBefore(Date.now());
  const shape = { seed: 5, seriesCount: 12, partitionCount: PARTITIONS, midnightMs, prefix: PREFIX };
  const rows = new GeneratedRows({ ...shape, correctedShare: 0 });
  const prometheus = await TsdbServer.start('prometheus');
  const hanging = await WriteProxy.start({ to: null });
  const locked = await WriteProxy.start({ to: null });
  hanging.judge = () => 'hang';
  locked.judge = ({ headers }) =>
    headers['authorization'] === 'Bearer right' ? 'pass' : { status: 401, body: 'who are you?' };
  const installation = await writerInstallation({
    targets: [
      { name: 'hanging', url: hanging.url, mode: 'final' },
      { name: 'locked', url: locked.url, mode: 'replaceable', bearerToken: 'wrong' },
      { name: 'prometheus', url: prometheus.writeUrl, mode: 'final' },
    ],
  });
  try {
    await withLog(installation, async (client) => {
      for (const [topic, records] of rows.records) {
        const log = await LogFeed.open(client, topic, PARTITIONS);
        await log.write(records);
        await log.close();
      }
    });
    const product = installation.start();
    await untilStored(prometheus, (stored) => storedDifferences(rows.newest, stored, exactly), product);
    await product.waitForLine(/'locked' at \S+: answers 401 who are you\?/, 120_000);
    const startedMs = performance.now();
    expect((await product.stop()).code).toBe(0);
    expect(performance.now() - startedMs).toBeLessThan(20_000);
    expect([hanging.taken.length, locked.taken.length]).toEqual([0, 0]);
    hanging.judge = () => 'pass';
    locked.judge = () => 'pass';
    const again = installation.start();
    const samples = 8 * (rows.size - 4 * PARTITIONS);
    await untilTaken(hanging, samples, again);
    await untilTaken(locked, samples, again);
    expect((await again.stop()).code).toBe(0);
    expect(takenDifferences(rows.newest, hanging.taken)).toBe('');
    expect(takenDifferences(rows.newest, locked.taken)).toBe('');
    for (const resolution of ['1m', '5m', '1h', '1d']) {
      const dead = await withLog(installation, (client) => readTopic(client, `${PREFIX}.${resolution}.dead-letter`));
      expect(dead).toEqual([]);
    }
  } finally {
    await installation.remove();
    await hanging.stop();
    await locked.stop();
    await prometheus.remove();
  }
}, 240_000);

test('what the rollup job writes into its topics stands in Prometheus and VictoriaMetrics, number for number', async () => {
  const midnightMs = midnightBefore(Date.now());
  const prometheus = await TsdbServer.start('prometheus');
  const victoria = await TsdbServer.start('victoria-metrics');
  const writer = {
    outOfOrderness: '0s',
    idleness: '1s',
    targets: [
      { name: 'prometheus', url: prometheus.writeUrl, mode: 'final' },
      { name: 'victoria', url: victoria.writeUrl, mode: 'final' },
    ],
  };
  const installation = await Installation.create({
    jobs: {
      'tsdb-writer': { module: 'jobs/tsdb-writer.ts', options: writer },
      rollups: { module: 'jobs/rollups.ts', options: { exchangePartitions: PARTITIONS } },
    },
  });
  try {
    await withLog(installation, async (client) => {
      const log = await LogFeed.open(client, 'metrics.raw', PARTITIONS);
      const records = samplesAround(midnightMs);
      for (let at = 0; at < records.length; at += 1_000) await log.write(records.slice(at, at + 1_000));
      await log.close();
    });
    const product = installation.start();
    const enough = (stored: StoredSamples) => (stored.size >= 8 * 4 * SERIES ? '' : `${stored.size} series`);
    await untilStored(prometheus, enough, product);
    await untilStored(
      prometheus,
      (stored) => (momentsOf(stored) >= MOMENTS ? '' : `${momentsOf(stored)} moments`),
      product,
    );
    await untilStored(
      victoria,
      (stored) => (momentsOf(stored) >= MOMENTS ? '' : `${momentsOf(stored)} moments`),
      product,
    );
    expect((await product.stop()).code).toBe(0);
    const written = await withLog(installation, rowsOfTopics);
    expect(momentsOf(written)).toBe(MOMENTS);
    expect(storedDifferences(written, await prometheus.samples(), exactly)).toBe('');
    const nearly = (expected: readonly number[], found: readonly number[], scale: number) =>
      found.length === 1 && Math.abs(found[0] - expected[0]) <= scale * 1e-11;
    expect(storedDifferences(written, await victoria.samples(), nearly)).toBe('');
  } finally {
    await installation.remove();
    await prometheus.remove();
    await victoria.remove();
  }
}, 240_000);

const SERIES = 10;
const MINUTES_BEFORE = 10;
const MINUTES_AFTER = 20;
/** Windows that end by then, for each series: minutes, fives, one hour and one day. */
const MOMENTS = 8 * SERIES * (MINUTES_BEFORE + MINUTES_AFTER + (MINUTES_BEFORE + MINUTES_AFTER) / 5 + 2);

/** Six samples a minute for half an hour around midnight, and one in each partition that closes all of it. */
function samplesAround(midnightMs: number): DataRecord[] {
  const random = new Random(3);
  const records: DataRecord[] = [];
  const intent = { finite: 0, notFinite: 0, bad: 0 };
  const add = (partition: number, sample: object) => {
    const value = Buffer.from(JSON.stringify(sample));
    records.push({ partition, key: null, value, headers: [], timestampMs: 0, intent });
  };
  for (let atMs = midnightMs - MINUTES_BEFORE * 60_000; atMs < midnightMs + MINUTES_AFTER * 60_000; atMs += 10_000) {
    for (let i = 0; i < SERIES; i++) {
      const value = (random.next() - 0.3) * 1_000;
      add(i % PARTITIONS, { metric_name: 'load', timestamp: atMs + i, value, labels: { host: `h-${i}` } });
    }
  }
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const timestamp = midnightMs + (MINUTES_AFTER + 4) * 60_000 + 30_000;
    add(partition, { metric_name: 'sentinel', timestamp, value: 0, labels: { partition: `${partition}` } });
  }
  return records;
}

function momentsOf(stored: StoredSamples): number {
  let moments = 0;
  for (const [series, byTime] of stored) if (series.startsWith('load:')) moments += byTime.size;
  return moments;
}

async function rowsOfTopics(client: Parameters<typeof readTopic>[0]): Promise<StoredSamples> {
  const stored: StoredSamples = new Map();
  for (const size of ['1m', '5m', '1h', '1d']) {
    for (const { value } of await readTopic(client, `${PREFIX}.${size}`)) {
      const row = JSON.parse(String(value));
      for (const part of ['count', 'sum', 'min', 'max', 'avg', 'p50', 'p95', 'p99']) {
        const series = seriesText({ ...row.labels, __name__: `${row.metric_name}:${row.resolution}:${part}` });
        const byTime = stored.get(series) ?? new Map<number, number[]>();
        stored.set(series, byTime.set(row.window_end, [row[part]]));
      }
    }
  }
  return stored;
}
