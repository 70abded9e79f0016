// Owns what an embedded log does when its disk refuses: the transaction fails as a whole, is never half visible, does
// not come back later, and the log goes on once the disk does.

import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { StreamError } from '#runtime/std/errors.ts';
import { type Operation, RefusingFiles } from '#test/runtime/log/embedded/failing-files.ts';
import { batchOf, type ServedLog, serveLog, temporaryDirectory } from '#test/runtime/log/embedded/served-log.ts';
import { storedBytes } from '#test/runtime/log/embedded/stored-bytes.ts';
import { readTo, take, texts } from '#test/suites/log/bench.ts';
import { decodeBatches, type StoredRecord } from '#test/suites/log/bytes.ts';

let directory = '';
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

async function fault(work: Promise<unknown>): Promise<StreamError> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(StreamError);
  return error as StreamError;
}

async function prepare(log: ServedLog) {
  const client = log.client();
  await client.admin.createTopics([
    { topic: 'data', partitionCount: 2 },
    { topic: 'commits', partitionCount: 1 },
  ]);
  const writer = client.writer('writer');
  await writer.fence();
  const transact = async (number: number, at: number) => {
    const batches = [0, 1].map((partition) => batchOf('data', partition, `${number}a`, 'z'.repeat(200), `${number}b`));
    await writer.transact({ batches, entry: batchOf('commits', 0, `${number}`), expectedEntryOffset: BigInt(at) });
  };
  const entries = async () => {
    const [description] = await client.admin.describeTopics(['commits']);
    const topicId = description?.topicId ?? '';
    const reader = client.reader().open({ topic: 'commits', partition: 0, topicId, offset: 0n });
    const [end] = await client.admin.listOffsets([{ topic: 'commits', partition: 0, at: 'high-watermark' }]);
    return texts(await readTo(reader, end));
  };
  const ends = () =>
    client.admin.listOffsets([
      { topic: 'data', partition: 0, at: 'last-stable' },
      { topic: 'data', partition: 1, at: 'last-stable' },
    ]);
  return { client, writer, transact, entries, ends };
}

function stored(topic: string, partition: number): (string | undefined)[] {
  const batches = decodeBatches(storedBytes(directory, { topic, partition }));
  return batches.flatMap((batch) => batch.records.map((one) => one.value?.toString()));
}

const SEGMENT = /data\/1\/\d+\.log$/;
const WAL = /\.wal$/;
const cases: readonly (readonly [string, Operation, RegExp, string])[] = [
  ['no room for the write-ahead log', 'write', WAL, 'ENOSPC'],
  ['no room for a segment', 'write', SEGMENT, 'ENOSPC'],
  ['no room for a new segment', 'open', SEGMENT, 'ENOSPC'],
  ['an error while syncing', 'syncData', WAL, 'EIO'],
];

for (const [name, operation, path, code] of cases) {
  for (const takeBackFails of [false, true]) {
    const title = `${name}${takeBackFails ? ', and what was written cannot be taken back' : ''}`;
    test(`${title}: the transaction fails whole and the log goes on afterwards`, async () => {
      const files = new RefusingFiles();
      files.shortWriteBytes = 37;
      const log = await serveLog({ directory, files, segmentBytesMax: operation === 'open' ? 1 : 4000 });
      const { writer, transact, entries, ends } = await prepare(log);
      await transact(0, 0);
      const before = await ends();

      files.refuse = (op, at) => {
        if (takeBackFails && op === 'truncate') return 'EIO';
        return op === operation && path.test(at) ? code : null;
      };
      for (let attempt = 0; attempt < 3; attempt++) {
        const error = await fault(transact(1, 1));
        expect(error.code).toBe('disk-failed');
        expect(error.message).toContain(takeBackFails && attempt > 0 ? 'truncate' : code);
        await writer.initialiseAgain();
        expect(await ends()).toEqual(before);
        expect(await entries()).toEqual(['0']);
      }

      files.refuse = () => null;
      await transact(2, 1);
      expect(await entries()).toEqual(['0', '2']);
      await log.close();
      for (const partition of [0, 1]) {
        expect(stored('data', partition)).toEqual(['0a', 'z'.repeat(200), '0b', '2a', 'z'.repeat(200), '2b']);
      }
      const again = await serveLog({ directory });
      expect(stored('commits', 0)).toEqual(['0', '2']);
      await again.close();
    });
  }
}

test('bytes of a failed write do not stay at the end of a segment that is then closed', async () => {
  const files = new RefusingFiles();
  files.shortWriteBytes = 37;
  const log = await serveLog({ directory, files, segmentBytesMax: 2000 });
  const { client, writer, transact } = await prepare(log);
  await transact(0, 0);
  files.refuse = (op, at) => (op === 'write' && SEGMENT.test(at) ? 'ENOSPC' : null);
  await fault(transact(1, 1));
  files.refuse = () => null;
  await writer.initialiseAgain();
  const large = batchOf('data', 1, 'w'.repeat(1900));
  await writer.transact({ batches: [large], entry: batchOf('commits', 0, '1'), expectedEntryOffset: 1n });
  const [description] = await client.admin.describeTopics(['data']);
  const topicId = description?.topicId ?? '';
  const reader = client.reader().open({ topic: 'data', partition: 1, topicId, offset: 0n });
  expect(texts(await readTo(reader, 4n))).toEqual(['0a', 'z'.repeat(200), '0b', 'w'.repeat(1900)]);
  await log.close();
});

test('a reader never uses bytes it read before they were committed', async () => {
  const files = new RefusingFiles();
  const log = await serveLog({ directory, files });
  const { client, writer, transact } = await prepare(log);
  await transact(0, 0);
  await transact(1, 1);
  files.refuse = (op) => (op === 'syncData' || op === 'truncate' ? 'EIO' : null);
  await fault(transact(2, 2));
  const [description] = await client.admin.describeTopics(['data']);
  const topicId = description?.topicId ?? '';
  const reader = client.reader().open({ topic: 'data', partition: 1, topicId, offset: 0n });
  const seen: StoredRecord[] = [];
  await reader.ready();
  take(reader, seen);
  expect(texts(seen)).toEqual(['0a', 'z'.repeat(200), '0b']);
  files.refuse = () => null;
  await writer.initialiseAgain();
  await transact(3, 2);
  expect(texts(await readTo(reader, 9n, seen)).slice(3)).toEqual(
    ['1', '3'].flatMap((number) => [`${number}a`, 'z'.repeat(200), `${number}b`]),
  );
  await log.close();
});

test('a failed transaction does not come back when the process dies before the next one', async () => {
  const files = new RefusingFiles();
  const log = await serveLog({ directory, files });
  const { transact } = await prepare(log);
  await transact(0, 0);
  files.refuse = (op, at) => (op === 'write' && SEGMENT.test(at) ? 'ENOSPC' : null);
  await fault(transact(1, 1));
  // The process dies here: the store is not closed. Its files are all that is left.
  const successor = await serveLog({ directory });
  expect(stored('commits', 0)).toEqual(['0']);
  await successor.close();
  files.refuse = () => null;
});

test('a topic that the disk had no room for is not there, and can be made later', async () => {
  const files = new RefusingFiles();
  const log = await serveLog({ directory, files });
  const client = log.client();
  files.refuse = (op, at) => (op === 'write' && WAL.test(at) ? 'ENOSPC' : null);
  expect((await fault(client.admin.createTopics([{ topic: 'data', partitionCount: 1 }]))).code).toBe('disk-failed');
  expect(await client.admin.listTopics()).toEqual([]);
  files.refuse = () => null;
  await client.admin.createTopics([{ topic: 'data', partitionCount: 1 }]);
  expect(await client.admin.listTopics()).toEqual(['data']);
  await log.close();
});

test('a checkpoint without room is said, keeps the write-ahead log, and succeeds later', async () => {
  const files = new RefusingFiles();
  const notes: string[] = [];
  const log = await serveLog({ directory, files, walBytesMax: 1000, note: (message) => notes.push(message) });
  const { transact, entries } = await prepare(log);
  files.refuse = (op) => (op === 'replace' ? 'ENOSPC' : null);
  for (let i = 0; i < 9; i++) await transact(i, i);
  expect(notes.join()).toContain('ENOSPC');
  expect(readdirSync(join(directory, 'wal')).length).toBeGreaterThan(1);
  files.refuse = () => null;
  for (let i = 9; i < 12; i++) await transact(i, i);
  expect(await entries()).toEqual(Array.from({ length: 12 }, (_, i) => `${i}`));
  await log.close();
  expect(readdirSync(join(directory, 'wal')).length).toBe(1);
});

test('a segment that cannot be synced breaks the log for good, and the next start has everything', async () => {
  const files = new RefusingFiles();
  const broken: StreamError[] = [];
  const log = await serveLog({ directory, files, walBytesMax: 1000, onBroken: (error) => broken.push(error) });
  const { writer, transact } = await prepare(log);
  files.refuse = (op, at) => (op === 'syncLater' && SEGMENT.test(at) ? 'EIO' : null);
  let committed = 0;
  let error: StreamError | null = null;
  while (error === null) {
    error = await transact(committed, committed).then(
      () => null,
      (thrown: StreamError) => thrown,
    );
    if (error === null) committed++;
  }
  expect(error.code).toBe('disk-failed');
  expect(broken.map((one) => one.code)).toEqual(['disk-failed']);
  files.refuse = () => null;
  await writer.initialiseAgain();
  expect((await fault(transact(committed, committed))).code).toBe('disk-failed');
  expect((await fault(log.close())).code).toBe('disk-failed');
  expect(readdirSync(join(directory, 'wal')).sort()[0]).toBe('0000000000000001.wal');
  const successor = await serveLog({ directory });
  expect(stored('commits', 0)).toEqual(Array.from({ length: committed }, (_, i) => `${i}`));
  await successor.close();
});
