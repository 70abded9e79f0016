// Late samples through the whole product: within the allowed lateness a row is corrected by its next revision, beyond it
// the sample goes to the late topic; each sample is in exactly one place, also when an array holds good, late and broken
// ones together. The oracle judges lateness by the order of each partition, so the source is declared partitioned.

import { expect, test } from 'vitest';
import type { DataRecord } from './oracle/data-set.ts';
import { LogFeed } from './oracle/log-port.ts';
import { Random } from './oracle/random.ts';
import { RollupOracle } from './oracle/rollup-oracle.ts';
import { Installation } from './process-harness.ts';
import { finishWork, readPublished, withLog } from './rollups-embedded-log.ts';
import { OUT_OF_ORDERNESS_MS, verdict } from './rollups-scenario.ts';

const PARTITIONS = 3;
const SERIES = 20;
const RECORDS = 12_000;
const DAY_MS = 86_400_000;
const ALLOWED_MS = 120_000;
const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20260301);
const TOPICS = { source: 'metrics.raw', outputPrefix: 'metrics.rollup' };

test('late samples correct rows or go to the late topic, each to one place, through a restart', async () => {
  const nowMs = Date.now();
  const records = lateRecords(Math.floor(nowMs / DAY_MS) * DAY_MS - 2 * DAY_MS);
  const lateness = { outOfOrdernessMs: OUT_OF_ORDERNESS_MS, allowedLatenessMs: ALLOWED_MS };
  const oracle = new RollupOracle({
    partitionCount: PARTITIONS,
    outOfOrdernessMs: OUT_OF_ORDERNESS_MS,
    latestMs: nowMs,
    lateness,
  });
  const options = {
    topic: TOPICS.source,
    partitionedBy: 'producer',
    allowedLateness: `${ALLOWED_MS}ms`,
    idleness: '1h',
  };
  const job = { module: 'jobs/rollups.ts', parallelism: 2, checkpointInterval: '1s', commitInterval: '20ms', options };
  const installation = await Installation.create({ jobs: { rollups: job } });
  try {
    for (const part of [records.slice(0, RECORDS / 2), records.slice(RECORDS / 2)]) {
      await withLog(installation, async (client) => {
        const feed = await LogFeed.open(client, TOPICS.source, PARTITIONS);
        for (const record of await feed.write(part)) oracle.add(record);
        await feed.close();
      });
      await finishWork(installation.start(), installation);
    }
    const expectation = oracle.expectation();
    expect(expectation.counts.late).toBeGreaterThan(100);
    expect(expectation.counts.bad).toBeGreaterThan(20);
    const ofAllSorts = [...expectation.deadLetters].filter(([id, { parts, badParts }]) => {
      const late = expectation.late.get(id)?.samples.length ?? 0;
      return late > 0 && late + badParts < parts;
    });
    expect(ofAllSorts.length, 'arrays with a good, a late and a broken sample').toBeGreaterThan(2);
    const severalBroken = [...expectation.deadLetters.values()].filter(({ badParts }) => badParts > 1);
    expect(severalBroken.length, 'arrays with several broken samples').toBeGreaterThan(2);
    const published = await withLog(installation, (client) => readPublished(client, TOPICS));
    const differences = verdict(expectation, TOPICS, published, { rowPartitionCount: PARTITIONS, revisions: true });
    expect(differences === '' ? '' : `${differences}\nseed ${SEED}\n${installation.report()}`).toBe('');
    const corrections = (published.get('metrics.rollup.1m') ?? []).filter(
      ({ value }) => JSON.parse(`${value}`).revision > 0,
    );
    expect(corrections.length).toBeGreaterThan(100);
  } finally {
    await installation.remove();
  }
}, 180_000);

/** Most in time, some within the allowed lateness, some far beyond; every tenth record an array of all sorts. */
function lateRecords(midnightMs: number): DataRecord[] {
  const random = new Random(SEED);
  const records: DataRecord[] = [];
  const startMs = midnightMs - 600_000;
  for (let index = 0; index < RECORDS; index++) {
    const series = random.integer(SERIES);
    const partition = series % PARTITIONS;
    const arrivalMs = startMs + index * 100;
    const parts = Array.from({ length: index % 10 === 0 ? 2 + random.integer(4) : 1 }, () =>
      sample(partition + PARTITIONS * random.integer(Math.floor((SERIES - partition) / PARTITIONS)), arrivalMs, random),
    );
    const broken = (part: string) => (random.chance(0.05) ? '{"metric_name":7}' : part);
    const text = parts.length === 1 ? parts[0] : `[${parts.map(broken).join(',')}]`;
    records.push(record(partition, text, arrivalMs));
  }
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const closingMs = midnightMs + DAY_MS + 3_600_000;
    const text = JSON.stringify({
      metric_name: 'closing',
      timestamp: closingMs,
      value: 1,
      labels: { p: `${partition}` },
    });
    records.push(record(partition, text, closingMs));
  }
  return records;
}

function sample(series: number, arrivalMs: number, random: Random): string {
  const fate = random.next();
  const behindMs = fate < 0.8 ? random.integer(5000) : random.integer(fate < 0.95 ? 150_000 : 600_000);
  const value = random.integer(1 << 16) / 64;
  return JSON.stringify({ metric_name: 'm', timestamp: arrivalMs - behindMs, value, labels: { s: `${series}` } });
}

function record(partition: number, text: string, timestampMs: number): DataRecord {
  const intent = { finite: 0, notFinite: 0, bad: 0 };
  return { partition, key: Buffer.from(`${partition}`), value: Buffer.from(text), headers: [], timestampMs, intent };
}
