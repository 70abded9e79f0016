// Owns the embedded log among threads: slots with their own clients, a slot that dies, a zombie slot, the end of the
// log under its clients.

import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type EmbeddedLog, openEmbeddedLog } from '#runtime/log/embedded/embedded-log.ts';
import { systemClock } from '#runtime/std/clock.ts';
import type { StreamError } from '#runtime/std/errors.ts';
import { batchOf, temporaryDirectory } from '#test/runtime/log/embedded/served-log.ts';
import { inTime, readTo, texts } from '#test/suites/log/bench.ts';
import { codeOf } from '#test/suites/log/writing.ts';

let directory = '';
let log: EmbeddedLog;
const slots: Worker[] = [];

beforeEach(async () => {
  directory = temporaryDirectory();
  log = await openEmbeddedLog({ directory, clock: systemClock });
  const client = log.client();
  await client.admin.createTopics([
    { topic: 'data', partitionCount: 1 },
    { topic: 'commits', partitionCount: 1 },
  ]);
  await client.close();
});

afterEach(async () => {
  for (const slot of slots.splice(0)) await slot.terminate();
  await log.close();
  rmSync(directory, { recursive: true, force: true });
});

async function startSlot(): Promise<Worker> {
  const port = log.port();
  const workerData = { port, directory };
  const slot = new Worker(new URL('./slot-worker.ts', import.meta.url), { workerData, transferList: [port] });
  slots.push(slot);
  expect((await once(slot, 'message'))[0]).toBe('ready');
  return slot;
}

async function ask(slot: Worker, request: object): Promise<unknown> {
  slot.postMessage(request);
  return (await inTime(once(slot, 'message'), 'the slot answers'))[0];
}

test('slots write and read what others wrote; a reader that waits is woken', async () => {
  const a = await startSlot();
  const waiting = ask(a, { readTo: 2n });
  const b = await startSlot();
  expect(await ask(b, { write: 'one' })).toBe('written');
  expect(await ask(b, { write: 'two' })).toBe('written');
  expect(await waiting).toEqual(['one', 'two']);
});

test('a zombie slot is refused once another has fenced its id', async () => {
  const zombie = await startSlot();
  expect(await ask(zombie, { write: 'one' })).toBe('written');
  const owner = await startSlot();
  expect(await ask(zombie, { write: 'two' })).toBe('writer-fenced');
  expect(await ask(owner, { write: 'three' })).toBe('written');
  expect(await ask(owner, { readTo: 2n })).toEqual(['one', 'three']);
});

test('a slot that dies disturbs nobody', async () => {
  const dying = await startSlot();
  void ask(dying, { readTo: 5n }).catch(() => undefined);
  const other = await startSlot();
  await dying.terminate();
  expect(await ask(other, { write: 'one' })).toBe('written');
  expect(await ask(other, { readTo: 1n })).toEqual(['one']);
});

test('closing answers what was sent before, and afterwards every call and reader says that the log is away', async () => {
  const client = log.client();
  const writer = client.writer('main');
  await writer.fence();
  const [description] = await client.admin.describeTopics(['data']);
  const at = { topic: 'data', partition: 0, topicId: description?.topicId ?? '', offset: 0n };
  const reader = client.reader().open(at);
  const sent = writer.transact({
    batches: [batchOf('data', 0, 'last')],
    entry: batchOf('commits', 0, 'last'),
    expectedEntryOffset: 0n,
  });
  const closed = log.close();
  expect((await sent).entryOffset).toBe(0n);
  await closed;
  expect(texts(await readTo(reader, 1n))).toEqual(['last']);
  expect(await codeOf(client.admin.listTopics())).toBe('log-unavailable');
  expect(await codeOf(writer.initialiseAgain())).toBe('log-unavailable');
  const { fetches, fault } = reader.status();
  expect(fault).toContain('writer thread');
  expect(reader.status().fetches).toBe(fetches);
  await client.close();
  log = await openEmbeddedLog({ directory, clock: systemClock });
  expect(await log.client().admin.listOffsets([{ topic: 'data', partition: 0, at: 'last-stable' }])).toEqual([1n]);
});

test('a writer thread that dies of a bug is reported, fails its clients and frees the directory on close', async () => {
  const client = log.client();
  const pending = client.writer('main');
  await pending.fence();
  const port = log.port();
  port.postMessage({ id: 1, call: 'no such call', argument: null });
  const failure: StreamError = await inTime(log.failure, 'the failure is reported');
  expect(failure.code).toBe('log-unavailable');
  expect(await codeOf(client.admin.listTopics())).toBe('log-unavailable');
  await client.close();
  await log.close();
  log = await openEmbeddedLog({ directory, clock: systemClock });
  expect(await log.client().admin.listTopics()).toEqual(['commits', 'data']);
});
