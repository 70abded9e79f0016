// The generated load over the real embedded log: what it writes, and that a second start goes on at the present.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runGeneratedLoad } from '#jobs/generated-load.ts';
import { generatedSeries, TICK_MS } from '#jobs/generator.ts';
import { printRows, RowGather } from '#jobs/row-printer.ts';
import type { LogClient } from '#runtime/log/contract.ts';
import { type EmbeddedLog, openEmbeddedLog } from '#runtime/log/embedded/embedded-log.ts';
import { RecordBatchBuilder, RecordWalker } from '#runtime/log/record-batch.ts';
import { type Clock, systemClock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import { murmur2, partitionOf } from '#runtime/std/murmur2.ts';

const NOON_MS = 1_700_000_000_000;
const PARTITIONS = 3;

let directory: string;
let log: EmbeddedLog;
let client: LogClient;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'millrace-load-'));
  log = await openEmbeddedLog({ directory, clock: systemClock });
  client = log.client();
});

afterEach(async () => {
  await client.close();
  await log.close();
  rmSync(directory, { recursive: true });
});

/** Time moves only when somebody sleeps; after `sleeps` of them `stop` aborts. */
function handClock(startMs: number, sleeps: number, stop: AbortController): Clock {
  let nowMs = startMs;
  let left = sleeps;
  return {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: async (ms) => {
      nowMs += ms;
      if (--left < 0) stop.abort();
    },
  };
}

async function load(startMs: number, sleeps: number): Promise<void> {
  const stop = new AbortController();
  const clock = handClock(startMs, sleeps, stop);
  const shared = { log: client, namespace: 'test', logger: silentLogger, signal: stop.signal, clock };
  await runGeneratedLoad({ ...shared, topic: 'raw', historyMs: 60_000 });
}

interface Written {
  readonly partition: number;
  readonly key: string;
  readonly timestamp: number;
}

/** Everything in a topic, partition by partition, read to its end. */
async function readAll(topic: string): Promise<Written[]> {
  const reader = client.reader();
  const [description] = await client.admin.describeTopics([topic]);
  const all: Written[] = [];
  const walker = new RecordWalker();
  for (let partition = 0; partition < (description?.partitionCount ?? 0); partition++) {
    const [end] = await client.admin.listOffsets([{ topic, partition, at: 'last-stable' }]);
    const open = reader.open({ topic, partition, topicId: description?.topicId ?? '', offset: 0n });
    while (open.position < end) {
      const batch = open.poll();
      if (batch === null) {
        await open.ready();
        continue;
      }
      walker.reset(batch.bytes, batch.start, batch.end, batch.count);
      while (walker.next()) {
        const key = walker.bytes.toString('utf8', walker.keyStart, walker.keyEnd);
        const sample = JSON.parse(walker.bytes.toString('utf8', walker.valueStart, walker.valueEnd));
        all.push({ partition, key, timestamp: sample.timestamp });
      }
      batch.release();
    }
    open.close();
  }
  await reader.close();
  return all;
}

test('the first start makes up history, then a sample of every series each second, each where its key belongs', async () => {
  await client.admin.createTopics([{ topic: 'raw', partitionCount: PARTITIONS }]);
  await load(NOON_MS, 5);
  const written = await readAll('raw');
  const series = generatedSeries(1).length;
  expect(written).toHaveLength(series * (60 + 1 + 5));
  for (const { key, partition } of written) expect(partition).toBe(partitionOf(murmur2(Buffer.from(key)), PARTITIONS));
  const times = written.map(({ timestamp }) => timestamp);
  expect(Math.min(...times)).toBeGreaterThan(NOON_MS - 65_000);
  expect(Math.max(...times)).toBe(NOON_MS + 5 * TICK_MS);
});

test('a second start goes on at the present, without history', async () => {
  await client.admin.createTopics([{ topic: 'raw', partitionCount: PARTITIONS }]);
  await load(NOON_MS, 2);
  const before = (await readAll('raw')).length;
  await load(NOON_MS + 3_600_000, 2);
  const after = await readAll('raw');
  const series = generatedSeries(1).length;
  expect(after.length - before).toBe(series * 3);
});

test('a log that is away is told with what to do, again and again, and the load goes on when it is back', async () => {
  await client.admin.createTopics([{ topic: 'raw', partitionCount: PARTITIONS }]);
  const stop = new AbortController();
  const clock = handClock(NOON_MS, 60, stop);
  const warned: { readonly fields: Readonly<Record<string, unknown>>; readonly message: string }[] = [];
  const logger = {
    ...silentLogger,
    warn: (fields: Readonly<Record<string, unknown>>, message: string) => warned.push({ fields, message }),
  };
  // Away from the third transaction until the clock went on for 25 s: whatever is asked then is refused.
  let transactions = 0;
  let backMs = Number.POSITIVE_INFINITY;
  const refuse = () => {
    if (clock.nowMs() < backMs) throw new StreamError('log-unavailable', 'it is away', 'start it');
  };
  const flaky: LogClient = {
    ...client,
    admin: client.admin,
    writer: (id) => {
      const writer = client.writer(id);
      return {
        ...writer,
        transactionalId: id,
        fence: async () => {
          if (transactions >= 3) refuse();
          return writer.fence();
        },
        transact: async (transaction) => {
          if (++transactions === 3) backMs = clock.nowMs() + 25_000;
          if (transactions >= 3) refuse();
          return writer.transact(transaction);
        },
        close: () => writer.close(),
      };
    },
  };
  const shared = { namespace: 'test', logger, signal: stop.signal, clock };
  await runGeneratedLoad({ ...shared, log: flaky, topic: 'raw', historyMs: 0 });
  expect(warned.map(({ message }) => message)).toEqual([
    'generated samples of 1 s were perhaps not written, and are not made again: it is away',
    ...Array.from({ length: 3 }, () => 'generated load waits for the log: it is away'),
  ]);
  for (const { fields } of warned)
    expect(fields).toMatchObject({ code: 'log-unavailable', remedy: expect.stringMatching(/^start it/) });
  const times = (await readAll('raw')).map(({ timestamp }) => timestamp);
  expect(Math.max(...times), 'after it was back').toBeGreaterThan(NOON_MS + 30_000);
});

test('a topic that is not there is said so', async () => {
  await expect(load(NOON_MS, 1)).rejects.toMatchObject({ code: 'topic-unknown' });
});

test('the printer shows rows that come, not those that were', async () => {
  await client.admin.createTopics([
    { topic: 'rows', partitionCount: 1 },
    { topic: '__entries', partitionCount: 1 },
  ]);
  const writer = client.writer('rows-writer');
  await writer.fence();
  let expectedEntryOffset = 0n;
  const write = async (start: number) => {
    const fields = { metric_name: 'cpu', labels: {}, resolution: '1m', window_start: start, count: 1 };
    const value = Buffer.from(JSON.stringify({ ...fields, min: 1, max: 1, avg: 1, p95: 1, revision: 0 }));
    const stage = (topic: string) => {
      const builder = new RecordBatchBuilder(topic, 0);
      builder.append(start, null, 0, 0, value, 0, value.length);
      return builder.finish();
    };
    const done = await writer.transact({ batches: [stage('rows')], entry: stage('__entries'), expectedEntryOffset });
    expectedEntryOffset = done.nextEntryOffset;
  };
  await write(0);
  const stop = new AbortController();
  const printed: string[] = [];
  let asked = 0;
  // The printer sleeps when nothing is there: the first time it has found the end of the topic.
  const clock: Clock = {
    ...systemClock,
    monotonicMs: () => asked * 250,
    sleep: async () => {
      if (asked++ === 0) await write(60_000);
      else await systemClock.sleep(5);
    },
  };
  const shown = (text: string) => {
    printed.push(text);
    stop.abort();
  };
  await printRows({ log: client, topics: ['rows', 'none'], clock, signal: stop.signal, write: shown });
  await writer.close();
  expect(printed.join('')).toBe('1m  1970-01-01 00:01:00  1 row\n      cpu{}  count 1  avg 1  min 1  max 1  p95 1\n');
});

test('rows of one window are shown together, though one task is a second behind the other', () => {
  const gathered = new RowGather();
  const row = (host: string) => {
    const figures = { count: 1, min: 1, max: 1, avg: 1, p95: 1, revision: 0 };
    return { metric_name: 'cpu', labels: { host }, resolution: '1m', window_start: 0, ...figures };
  };
  expect(gathered.take(0, false)).toBe('');
  gathered.rows.push(row('a'));
  expect(gathered.take(10_000, false)).toBe('');
  gathered.rows.push(row('b'));
  expect(gathered.take(11_499, false)).toBe('');
  expect(gathered.take(11_500, false)).toMatch(/^1m .* 2 rows\n/);
  expect(gathered.take(20_000, true)).toBe('');
  gathered.records.push('topic  what is no row\n');
  expect(gathered.take(30_000, false)).toBe('');
  expect(gathered.take(30_001, true), 'the end leaves nothing unsaid').toBe('topic  what is no row\n');
});
