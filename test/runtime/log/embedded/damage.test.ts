// Owns what happens to an embedded log whose files were damaged: what was never acknowledged is dropped silently, what
// was acknowledged is never passed over, and the fault names the file.

import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { LogClient } from '#runtime/log/contract.ts';
import { LogStore } from '#runtime/log/embedded/log-store.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { batchOf, serveLog, temporaryDirectory } from '#test/runtime/log/embedded/served-log.ts';
import { segmentPaths, storedBytes } from '#test/runtime/log/embedded/stored-bytes.ts';
import { readTo, readToError, texts } from '#test/suites/log/bench.ts';
import { decodeBatches, type StoredRecord } from '#test/suites/log/bytes.ts';

let directory = '';
let copy = '';
beforeEach(() => {
  directory = temporaryDirectory();
  copy = `${directory}-copy`;
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
  rmSync(copy, { recursive: true, force: true });
});

async function write(client: LogClient, count: number): Promise<void> {
  await client.admin.createTopics([
    { topic: 'data', partitionCount: 1 },
    { topic: 'commits', partitionCount: 1 },
  ]);
  const writer = client.writer('writer');
  await writer.fence();
  for (let i = 0; i < count; i++) {
    const entry = batchOf('commits', 0, `${i}`);
    const batches = [batchOf('data', 0, `a${i}`, `b${i}`)];
    await writer.transact({ batches, entry, expectedEntryOffset: BigInt(i) });
  }
}

/** A log with `count` transactions as a killed process leaves it: all in the write-ahead log. Returns that file. */
async function unclean(count: number): Promise<string> {
  const log = await serveLog({ directory });
  await write(log.client(), count);
  cpSync(directory, copy, { recursive: true });
  await log.close();
  rmSync(directory, { recursive: true });
  cpSync(copy, directory, { recursive: true });
  return join(directory, 'wal', readdirSync(join(directory, 'wal')).sort().at(-1) as string);
}

async function openFault(): Promise<StreamError | null> {
  try {
    const store = await LogStore.open({ directory });
    await store.close();
    return null;
  } catch (error) {
    if (error instanceof StreamError) return error;
    throw error;
  }
}

function committed(): (string | undefined)[] {
  const batches = decodeBatches(storedBytes(directory, { topic: 'commits', partition: 0 }));
  return batches.flatMap((batch) => batch.records.map((one) => one.value?.toString()));
}

/** Where each group of a write-ahead log file begins, from the layout in the README. */
function groupStarts(path: string): number[] {
  const bytes = readFileSync(path);
  const starts: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    starts.push(at);
    at += 24 + bytes.readUInt32BE(at + 16) * 8 + bytes.readUInt32BE(at + 20);
  }
  return starts;
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] ^= 4;
  writeFileSync(path, bytes);
}

test('a torn tail of the write-ahead log is dropped wherever it is torn', async () => {
  const wal = await unclean(4);
  const sizeBytes = readFileSync(wal).length;
  const last = groupStarts(wal).at(-1) as number;
  for (let cut = last; cut < sizeBytes; cut += 13) {
    rmSync(directory, { recursive: true });
    cpSync(copy, directory, { recursive: true });
    truncateSync(wal, cut);
    expect(await openFault()).toBe(null);
    expect(committed()).toEqual(['0', '1', '2']);
    expect(await openFault()).toBe(null);
    expect(committed()).toEqual(['0', '1', '2']);
  }
});

test('a flipped bit in the middle of the write-ahead log is damage, and named', async () => {
  const wal = await unclean(4);
  const starts = groupStarts(wal);
  const third = starts.at(-2) as number;
  for (let at = third; at < (starts.at(-1) as number); at += 29) {
    rmSync(directory, { recursive: true });
    cpSync(copy, directory, { recursive: true });
    flip(wal, at);
    const fault = await openFault();
    expect(fault?.code, `byte ${at}`).toBe('log-corrupt');
    expect(fault?.message).toContain(wal);
    expect(fault?.remedy.length).toBeGreaterThan(0);
  }
});

test('a write-ahead log file that is missing is damage', async () => {
  const wal = await unclean(2);
  rmSync(wal);
  expect((await openFault())?.code).toBe('log-corrupt');
});

test('a flipped bit in a segment stops its reader, names the file and hands out nothing of the batch', async () => {
  const log = await serveLog({ directory });
  await write(log.client(), 6);
  await log.close();
  const [segment] = segmentPaths(directory, { topic: 'data', partition: 0 });
  const batches = decodeBatches(readFileSync(segment));
  const batchBytes = readFileSync(segment).length / batches.length;
  flip(segment, Math.floor(batchBytes * 3.9));
  const again = await serveLog({ directory });
  const client = again.client();
  const [description] = await client.admin.describeTopics(['data']);
  const topicId = description?.topicId ?? '';
  const reader = client.reader().open({ topic: 'data', partition: 0, topicId, offset: 0n });
  const seen: StoredRecord[] = [];
  const error = (await readToError(reader, seen)) as StreamError;
  expect(error.code).toBe('log-corrupt');
  expect(error.message).toContain(segment);
  expect(texts(seen)).toEqual(['a0', 'b0', 'a1', 'b1', 'a2', 'b2']);
  const behind = client.reader().open({ topic: 'data', partition: 0, topicId, offset: 8n });
  expect(texts(await readTo(behind, 12n))).toEqual(['a4', 'b4', 'a5', 'b5']);
  await again.close();
});

test('a segment that lost bytes or is gone is damage at the start', async () => {
  const log = await serveLog({ directory });
  await write(log.client(), 6);
  await log.close();
  const [segment] = segmentPaths(directory, { topic: 'data', partition: 0 });
  truncateSync(segment, readFileSync(segment).length - 1);
  const short = await openFault();
  expect([short?.code, short?.message.includes(segment)]).toEqual(['log-corrupt', true]);
  rmSync(segment);
  const gone = await openFault();
  expect([gone?.code, gone?.message.includes(segment)]).toEqual(['log-corrupt', true]);
});

test('a damaged or missing log.json is damage, and one of a later format is refused', async () => {
  const log = await serveLog({ directory });
  await write(log.client(), 1);
  await log.close();
  const path = join(directory, 'log.json');
  const good = readFileSync(path);
  flip(path, 40);
  expect((await openFault())?.code).toBe('log-corrupt');
  rmSync(path);
  expect((await openFault())?.code).toBe('log-corrupt');
  writeFileSync(path, good);
  expect(await openFault()).toBe(null);
});
