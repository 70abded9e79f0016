// Owns what bounds an embedded log: records deleted by whole segments, retention by the hand-moved clock, groups and
// the write-ahead log that stop growing at their limits.

import { rmSync } from 'node:fs';
import { basename } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { LogClient, StagedBatch } from '#runtime/log/contract.ts';
import { openEmbeddedLog } from '#runtime/log/embedded/embedded-log.ts';
import { nodeLogFiles } from '#runtime/log/embedded/log-files.ts';
import type { Clock } from '#runtime/std/clock.ts';
import type { StreamError } from '#runtime/std/errors.ts';
import { batchOf, serveLog, temporaryDirectory } from '#test/runtime/log/embedded/served-log.ts';
import { segmentPaths } from '#test/runtime/log/embedded/stored-bytes.ts';
import { readTo, readToError, take, texts } from '#test/suites/log/bench.ts';
import { encodeBatch, record, type StoredRecord } from '#test/suites/log/bytes.ts';
import { codeOf } from '#test/suites/log/writing.ts';

let directory = '';
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const DATA = { topic: 'data', partition: 0 };

async function writer(client: LogClient, config: Record<string, string> = {}) {
  await client.admin.createTopics([
    { topic: 'data', partitionCount: 1, config },
    { topic: 'commits', partitionCount: 1 },
  ]);
  const one = client.writer('writer');
  await one.fence();
  let next = 0n;
  return async (...batches: StagedBatch[]) => {
    const entry = batchOf('commits', 0, `${next}`);
    ({ nextEntryOffset: next } = await one.transact({ batches, entry, expectedEntryOffset: next }));
  };
}

async function open(client: LogClient, offset: bigint) {
  const [description] = await client.admin.describeTopics(['data']);
  return client.reader().open({ ...DATA, topicId: description?.topicId ?? '', offset });
}

const segments = () => segmentPaths(directory, DATA).map((path) => Number(basename(path, '.log')));

test('deleting records removes the segments below the cut and moves the start into the first that is left', async () => {
  const log = await serveLog({ directory, segmentBytesMax: 200 });
  const client = log.client();
  const write = await writer(client);
  for (let i = 0; i < 8; i++) await write(batchOf('data', 0, `${i}a`, `${i}b`));
  expect(segments()).toEqual([0, 4, 8, 12]);
  const slow = await open(client, 0n);
  const seen: StoredRecord[] = [];
  await slow.ready();
  take(slow, seen);
  await client.admin.deleteRecords([{ ...DATA, before: 9n }]);
  expect(segments()).toEqual([8, 12]);
  const error = (await readToError(slow, seen)) as StreamError;
  expect([error.code, error.message]).toEqual(['offset-out-of-range', expect.stringContaining('offsets 2 to 8')]);
  expect(texts(seen)).toEqual(['0a', '0b']);
  expect(texts(await readTo(await open(client, 9n), 16n))[0]).toBe('4b');
  expect(await codeOf(client.admin.deleteRecords([{ ...DATA, before: 17n }]))).toBe('offset-out-of-range');
  await log.close();

  const again = await serveLog({ directory, segmentBytesMax: 200 });
  expect(await again.client().admin.listOffsets([{ ...DATA, at: 'earliest' }])).toEqual([9n]);
  await again.close();
});

test('a deleted topic leaves no files', async () => {
  const log = await serveLog({ directory });
  const client = log.client();
  const write = await writer(client);
  await write(batchOf('data', 0, 'x'));
  expect(segments()).toEqual([0]);
  await client.admin.deleteTopics(['data']);
  expect(segments()).toEqual([]);
  await log.close();
});

test('retention removes whole segments by age and by size, never the last', async () => {
  let nowMs = 1_700_000_000_000;
  let sleeps: (() => void)[] = [];
  const clock: Clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: (_, signal) =>
      new Promise((resolve) => {
        sleeps.push(resolve);
        signal?.addEventListener('abort', () => resolve());
      }),
  };
  const log = await openEmbeddedLog({ directory, clock, segmentBytesMax: 1 });
  const client = log.client();
  const write = await writer(client, { 'retention.ms': '10000', 'retention.bytes': '300' });
  const start = () => client.admin.listOffsets([{ ...DATA, at: 'earliest' }]);
  const enforce = async () => {
    for (const wake of sleeps.splice(0)) wake();
    // The wish travels ahead of this call to the same thread, but through another port: look until it is done.
    for (let i = 0; i < 20; i++) await client.admin.identity();
  };
  for (let second = 0; second < 5; second++) {
    await write(encodeBatch('data', 0, [record(`${second}`, { timestampMs: nowMs + second * 1000 })]));
  }
  expect(segments()).toEqual([0, 1, 2, 3, 4]);
  await enforce();
  expect(await start()).toEqual([0n]);
  nowMs += 12_500;
  await enforce();
  expect(await start()).toEqual([3n]);
  expect(segments()).toEqual([3, 4]);
  nowMs += 86_400_000;
  await enforce();
  expect(segments()).toEqual([4]);
  for (let i = 0; i < 8; i++) await write(encodeBatch('data', 0, [record('new', { timestampMs: nowMs })]));
  await enforce();
  expect(segments().at(-1)).toBe(12);
  expect(segments().length).toBeLessThanOrEqual(5);
  sleeps = [];
  await log.close();
});

test('transactions that wait together share one sync, and a full group is written before more is taken', async () => {
  let syncs = 0;
  const files = {
    ...nodeLogFiles,
    syncData: (fd: number) => {
      syncs++;
      nodeLogFiles.syncData(fd);
    },
  };
  const log = await serveLog({ directory, files }, 5000);
  const client = log.client();
  await client.admin.createTopics([{ topic: 'commits', partitionCount: 20 }]);
  const writers = Array.from({ length: 20 }, (_, partition) => client.writer(`writer-${partition}`));
  await Promise.all(writers.map((one) => one.fence()));
  const all = async (value: string | Buffer, expectedEntryOffset: bigint) => {
    const before = syncs;
    await Promise.all(
      writers.map((one, partition) =>
        one.transact({ batches: [], entry: batchOf('commits', partition, value), expectedEntryOffset }),
      ),
    );
    return syncs - before;
  };
  expect(await all('small', 0n)).toBeLessThanOrEqual(3);
  const large = await all(Buffer.alloc(1000), 1n);
  expect(large).toBeGreaterThanOrEqual(4);
  expect(large).toBeLessThanOrEqual(10);
  await log.close();
});

test('transactions wait while the write-ahead log outgrows a slow checkpoint', async () => {
  let finish: (() => void) | null = null;
  let held = false;
  const files = {
    ...nodeLogFiles,
    syncLater: async (path: string) => {
      if (held && finish === null) await new Promise<void>((resolve) => (finish = resolve));
      await nodeLogFiles.syncLater(path);
    },
  };
  const log = await serveLog({ directory, files, walBytesMax: 1000 });
  const client = log.client();
  const write = await writer(client);
  held = true;
  let written = 0;
  const writing = (async () => {
    for (; written < 40; written++) await write(batchOf('data', 0, 'v'.repeat(300)));
  })();
  while (finish === null) await client.admin.identity();
  for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve));
  const stuckAt = written;
  expect(stuckAt).toBeLessThan(20);
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  expect(written).toBe(stuckAt);
  held = false;
  (finish as () => void)();
  await writing;
  expect(written).toBe(40);
  await log.close();
});
