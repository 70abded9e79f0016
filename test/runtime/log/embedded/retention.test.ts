// Owns what an embedded log keeps of the topics of its users, by the time since they were written and by bytes of all
// together, and that it stops before its disk is full and goes on by itself.

import { rmSync, utimesSync } from 'node:fs';
import { basename } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { LogClient } from '#runtime/log/contract.ts';
import type { RoomReport } from '#runtime/log/embedded/disk-room.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { RefusingFiles } from '#test/runtime/log/embedded/failing-files.ts';
import { batchOf, type ServedLog, serveLog, temporaryDirectory } from '#test/runtime/log/embedded/served-log.ts';
import { segmentPaths } from '#test/runtime/log/embedded/stored-bytes.ts';
import { codeOf } from '#test/suites/log/writing.ts';

const NOW_MS = 1_700_000_000_000;
const HOUR_MS = 3_600_000;
const EVERYTHING = {
  keepMs: {},
  otherKeepMs: Number.POSITIVE_INFINITY,
  keepBytes: Number.POSITIVE_INFINITY,
  readers: {},
};

let directory = '';
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

async function writer(client: LogClient, topics: readonly string[]) {
  const config = { 'retention.ms': '-1' };
  await client.admin.createTopics([...topics, 'commits'].map((topic) => ({ topic, partitionCount: 1, config })));
  const one = client.writer('writer');
  await one.fence();
  let next = 0n;
  return async (topic: string, value: string) => {
    const transaction = { batches: [batchOf(topic, 0, value)], entry: batchOf('commits', 0, `${next}`) };
    ({ nextEntryOffset: next } = await one.transact({ ...transaction, expectedEntryOffset: next }));
  };
}

/** Each record of a topic lies in a segment of its own, written at that hour before now. */
async function segmented(hoursAgo: Readonly<Record<string, readonly number[]>>): Promise<ServedLog> {
  const log = await serveLog({ directory, segmentBytesMax: 1 });
  const write = await writer(log.client(), Object.keys(hoursAgo));
  for (const [topic, hours] of Object.entries(hoursAgo)) {
    for (const _ of hours) await write(topic, 'x'.repeat(1000));
    const paths = segmentPaths(directory, { topic, partition: 0 });
    for (const [i, path] of paths.entries()) {
      const written = new Date(NOW_MS - hours[i] * HOUR_MS);
      utimesSync(path, written, written);
    }
  }
  return log;
}

const kept = (topic: string) =>
  segmentPaths(directory, { topic, partition: 0 }).map((path) => Number(basename(path, '.log')));

test('segments go when the last write to them is longer ago than their topic keeps, whatever times records tell', async () => {
  const log = await segmented({ raw: [30, 25, 23, 1], rows: [30, 25, 23, 1], __ours: [90, 80, 70, 60] });
  log.server.retain(NOW_MS, { ...EVERYTHING, keepMs: { raw: 24 * HOUR_MS }, otherKeepMs: 28 * HOUR_MS });
  expect([kept('raw'), kept('rows'), kept('__ours')]).toEqual([
    [2, 3],
    [1, 2, 3],
    [0, 1, 2, 3],
  ]);
  log.server.retain(NOW_MS + 400 * HOUR_MS, { ...EVERYTHING, otherKeepMs: HOUR_MS });
  expect([kept('raw'), kept('rows'), kept('__ours')], 'never the last').toEqual([[3], [3], [0, 1, 2, 3]]);
  expect(await log.client().admin.listOffsets([{ topic: 'raw', partition: 0, at: 'earliest' }])).toEqual([3n]);
  await log.close();
});

test('beyond the bytes that are kept the segments written longest ago go first, over all topics', async () => {
  const log = await segmented({ raw: [9, 7, 5, 1], rows: [8, 6, 4, 2], __ours: [20, 20, 20, 20] });
  const topics = ['raw', 'rows', 'commits'];
  const bytes = topics
    .flatMap((topic) => log.store.topics.partition(topic, 0).segments)
    .reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  log.server.retain(NOW_MS, { ...EVERYTHING, keepBytes: bytes });
  expect([kept('raw'), kept('rows')]).toEqual([
    [0, 1, 2, 3],
    [0, 1, 2, 3],
  ]);
  log.server.retain(NOW_MS, { ...EVERYTHING, keepBytes: bytes - 2500 });
  expect([kept('raw'), kept('rows')]).toEqual([
    [2, 3],
    [1, 2, 3],
  ]);
  log.server.retain(NOW_MS, { ...EVERYTHING, keepBytes: 0 });
  expect([kept('raw'), kept('rows'), kept('__ours')]).toEqual([[3], [3], [0, 1, 2, 3]]);
  await log.close();
});

test('nothing goes that a reader has not read, however old or much it is, and what it published is remembered', async () => {
  const log = await segmented({ raw: [30, 25, 23, 22, 1], rows: [9, 8] });
  const wishes = { keepMs: {}, otherKeepMs: 0, keepBytes: 0, readers: { raw: ['fast', 'slow'] } };
  const { admin } = log.client();
  await admin.publishOffsets('fast', [{ topic: 'raw', partition: 0, offset: 5n }]);
  log.server.retain(NOW_MS, wishes);
  expect([kept('raw'), kept('rows')], 'slow has read nothing').toEqual([[0, 1, 2, 3, 4], [1]]);
  await admin.publishOffsets('slow', [{ topic: 'raw', partition: 0, offset: 3n }]);
  await log.close();
  const again = await serveLog({ directory, segmentBytesMax: 1 });
  again.server.retain(NOW_MS, wishes);
  expect(kept('raw')).toEqual([3, 4]);
  await again.close();
});

test('without a policy nothing goes but what topics say themselves', async () => {
  const log = await segmented({ raw: [900, 800] });
  log.server.retain(NOW_MS, null);
  expect(kept('raw')).toEqual([0, 1]);
  await log.close();
});

test('a disk with little room left stops what writes, is looked at now and then, and everything goes on', async () => {
  const files = new RefusingFiles();
  const reports: RoomReport[] = [];
  let monotonicMs = 0;
  const clock: Clock = { nowMs: () => NOW_MS, monotonicMs: () => monotonicMs, sleep: async () => {} };
  const log = await serveLog({
    directory,
    files,
    onRoom: (report) => reports.push(report),
    clock,
  });
  const client = log.client();
  const write = await writer(client, ['raw']);
  files.freeBytes = 10_000;
  await write('raw', 'first');
  expect(reports).toEqual([]);

  // A twentieth of 1,000 bytes is kept free.
  files.freeBytes = 40;
  monotonicMs = 1000;
  await log.close();
  const again = await serveLog({
    directory,
    files,
    onRoom: (report) => reports.push(report),
    clock,
  });
  const other = again.client().writer('writer');
  await other.fence();
  const transact = () =>
    other.transact({
      batches: [batchOf('raw', 0, 'second')],
      entry: batchOf('commits', 0, '1'),
      expectedEntryOffset: 1n,
    });
  const refused = await transact().catch((error) => error);
  expect(refused).toMatchObject({ code: 'disk-failed', remedy: expect.stringContaining(directory) });
  expect(reports).toEqual([{ full: true, freeBytes: 40, neededBytes: 63 }]);

  // There is room, but nobody has looked.
  files.freeBytes = 10_000;
  await other.initialiseAgain();
  expect(await codeOf(transact())).toBe('disk-failed');
  monotonicMs += 200;
  await other.initialiseAgain();
  expect(await transact()).toEqual({ entryOffset: 1n, nextEntryOffset: 2n, endedByHand: 0 });
  expect(reports.slice(1)).toEqual([{ full: false, freeBytes: 10_000, neededBytes: 63 }]);
  await again.close();
});

test('a write that the disk refuses for want of room stops the log in the same way', async () => {
  const files = new RefusingFiles();
  const reports: RoomReport[] = [];
  const log = await serveLog({ directory, files, onRoom: (report) => reports.push(report) });
  const write = await writer(log.client(), ['raw']);
  files.refuse = (operation) => (operation === 'write' ? 'ENOSPC' : null);
  expect(await codeOf(write('raw', 'x'))).toBe('disk-failed');
  expect(reports).toMatchObject([{ full: true }]);
  files.refuse = () => null;
  const again = log.client().writer('again');
  await again.fence();
  await again.transact({ batches: [], entry: batchOf('commits', 0, 'x'), expectedEntryOffset: 0n });
  expect(reports).toMatchObject([{ full: true }, { full: false }]);
  await log.close();
});
