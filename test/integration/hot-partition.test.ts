// A job of eight partitions, one of which gets most of the input: however many slots the job is told to use, the one
// that runs the hot task has hardly anything else to do, and nobody forgets that it is hot because it moved.

import { expect, test } from 'vitest';
import { sharedKafka, uniqueName } from '#test/harness/shared-kafka.ts';
import type { DataRecord } from './oracle/data-set.ts';
import { RollupsInProcess } from './rollups-in-process.ts';

const PARTITIONS = 8;
const HOT = 3;
const HOT_SAMPLES = 60_000;
const COLD_SAMPLES = 20;
const CHUNK_RECORDS = 10_000;

function samplesOf(partition: number, count: number): DataRecord[] {
  const startMs = Date.now() - 3_600_000;
  return Array.from({ length: count }, (_, at) => {
    const labels = { host: `h-${partition}-${at % 500}` };
    const body = { metric_name: 'cpu', timestamp: startMs + Math.floor(at / 100), value: at % 97, labels };
    const intent = { finite: 1, notFinite: 0, bad: 0 };
    return { partition, key: null, value: Buffer.from(JSON.stringify(body)), headers: [], timestampMs: 0, intent };
  });
}

test.each(['embedded', 'kafka'])(
  'the slot of the hot task holds hardly anything else, and it stays hot where it moved: %s',
  async (log) => {
    const run = await RollupsInProcess.start({
      brokers: log === 'kafka' ? (await sharedKafka()).brokers : null,
      namespace: uniqueName('hot'),
      partitionCount: PARTITIONS,
      parallelism: 1,
      partitionedBy: 'producer',
    });
    try {
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const samples = samplesOf(partition, partition === HOT ? HOT_SAMPLES : COLD_SAMPLES);
        for (let at = 0; at < samples.length; at += CHUNK_RECORDS)
          await run.feed(samples.slice(at, at + CHUNK_RECORDS));
      }
      await run.untilRead(HOT_SAMPLES + (PARTITIONS - 1) * COLD_SAMPLES);
      expect((await run.places()).size).toBe(1);
      for (const parallelism of [2, 4, 3]) {
        await run.rescale(parallelism);
        const places = await run.places();
        expect(places.size).toBe(parallelism);
        const beside = [...places.values()].find((partitions) => partitions.includes(HOT));
        expect(beside, `with ${parallelism} slots`).toEqual([HOT]);
      }
      // Asked again nothing is better anywhere else.
      expect(await run.rescale(3)).toBe(0);
    } finally {
      await run.end();
    }
  },
  120_000,
);

test.each(['embedded', 'kafka'])(
  'a job that became uneven is spread anew when it is told the parallelism that it has: %s',
  async (log) => {
    const run = await RollupsInProcess.start({
      brokers: log === 'kafka' ? (await sharedKafka()).brokers : null,
      namespace: uniqueName('hot'),
      partitionCount: PARTITIONS,
      parallelism: 2,
      partitionedBy: 'producer',
    });
    try {
      const before = [...(await run.places()).values()].find((partitions) => partitions.includes(HOT));
      expect(before).toHaveLength(PARTITIONS / 2);
      const samples = samplesOf(HOT, HOT_SAMPLES);
      for (let at = 0; at < samples.length; at += CHUNK_RECORDS) await run.feed(samples.slice(at, at + CHUNK_RECORDS));
      await run.untilRead(HOT_SAMPLES);
      expect(await run.rescale(2), 'only what is beside it moves').toBe(PARTITIONS / 2 - 1);
      expect([...(await run.places()).values()]).toContainEqual([HOT]);
    } finally {
      await run.end();
    }
  },
  120_000,
);
