// Owns the proof that no moment to die is a bad one: a fixed workload is stopped at every single change of the disk it
// makes, recovery included, and what was acknowledged must be there whole, with at most the one transaction more that
// was under way. With the files as a killed process leaves them, and as a power cut does.

import { rmSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { LogStore } from '#runtime/log/embedded/log-store.ts';
import { frameSizeBytes, writeFrame } from '#runtime/log/embedded/transaction-frame.ts';
import { Stopped, StoppingFiles, unsyncedFiles } from '#test/runtime/log/embedded/failing-files.ts';
import { batchOf, temporaryDirectory } from '#test/runtime/log/embedded/served-log.ts';
import { storedBytes } from '#test/runtime/log/embedded/stored-bytes.ts';
import { decodeBatches } from '#test/suites/log/bytes.ts';

const LIMITS = { segmentBytesMax: 600, walBytesMax: 900 };
const ROUNDS = 14;
const CUT_AT_ROUND = 9;

let directory = '';
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** mulberry32. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Progress {
  /** Rounds that were acknowledged, and the one that was tried last. */
  acknowledged: number;
  tried: number;
}

function transact(store: LogStore, round: number): void {
  const values = Array.from({ length: 1 + (round % 3) }, (_, i) => `${round}.${i} ${'x'.repeat(40)}`);
  const batches = [batchOf('data', 0, ...values), batchOf('data', 1, ...values), batchOf('commits', 0, `${round}`)];
  const frame = Buffer.alloc(frameSizeBytes(batches));
  writeFrame(frame, batches);
  store.stage(frame, batches, BigInt(round));
  store.flush();
}

/** Goes on where the log stands: a commit log tells which round is next. Checkpoints happen on the way. */
async function work(files: StoppingFiles, progress: Progress): Promise<void> {
  const store = await LogStore.open({ directory, files, ...LIMITS });
  store.createTopics([
    { topic: 'data', partitionCount: 2 },
    { topic: 'commits', partitionCount: 1 },
    { topic: 'gone', partitionCount: 1 },
  ]);
  for (let round = Number(store.topics.partition('commits', 0).shared.end); round < ROUNDS; round++) {
    progress.tried = round + 1;
    transact(store, round);
    progress.acknowledged = round + 1;
    if (round === CUT_AT_ROUND) {
      const { number } = store.topics.topic('data');
      const before = String(store.topics.partition('data', 0).shared.end - 2n);
      store.change([{ change: 'records-deleted', number, partition: 0, before }]);
      const gone = store.topics.find('gone');
      if (gone !== undefined) store.change([{ change: 'topic-deleted', number: gone.number }]);
    }
    if (round % 4 === 3) await store.checkpoint();
  }
  await store.close();
}

async function workUntilStopped(files: StoppingFiles, progress: Progress): Promise<void> {
  try {
    await work(files, progress);
  } catch (error) {
    if (!(error instanceof Stopped) && !files.stopped) throw error;
  }
}

/** What the files hold after a recovery on a good disk, decoded by the oracle. */
async function expectWhole(progress: Progress, what: string): Promise<void> {
  const store = await LogStore.open({ directory, files: unsyncedFiles, ...LIMITS });
  if (store.topics.find('commits') === undefined) {
    await store.close();
    expect(progress.tried, what).toBe(0);
    return;
  }
  const ends = new Map(
    [0, 1].map((partition) => [partition, store.topics.partition('data', partition).shared] as const),
  );
  const rounds = Number(store.topics.partition('commits', 0).shared.end);
  await store.close();
  expect(rounds, what).toBeGreaterThanOrEqual(progress.acknowledged);
  expect(rounds, what).toBeLessThanOrEqual(progress.tried);
  const entries = decodeBatches(storedBytes(directory, { topic: 'commits', partition: 0 }));
  expect(entries.flatMap((batch) => batch.records.map((one) => String(one.value)))).toEqual(
    Array.from({ length: rounds }, (_, round) => `${round}`),
  );
  const all = Array.from({ length: rounds }, (_, round) =>
    Array.from({ length: 1 + (round % 3) }, (_, i) => `${round}.${i} ${'x'.repeat(40)}`),
  ).flat();
  for (const [partition, { logStart, end }] of ends) {
    expect(end, what).toBe(BigInt(all.length));
    const batches = decodeBatches(storedBytes(directory, { topic: 'data', partition }, logStart));
    const values = batches.flatMap((batch) => batch.records.map((one) => String(one.value)));
    expect(values, what).toEqual(all.slice(all.length - values.length));
    const first = batches[0]?.baseOffset ?? end;
    expect(first <= logStart || first === end, what).toBe(true);
  }
}

async function changesOfWholeWork(): Promise<number> {
  directory = temporaryDirectory();
  const files = new StoppingFiles(Number.POSITIVE_INFINITY);
  await work(files, { acknowledged: 0, tried: 0 });
  rmSync(directory, { recursive: true });
  return files.changes;
}

for (const power of [false, true]) {
  test(`dies at every change of the disk ${power ? 'by power cut' : 'by kill'} and loses nothing acknowledged`, {
    timeout: 120_000,
  }, async () => {
    const changes = await changesOfWholeWork();
    expect(changes).toBeGreaterThan(100);
    for (let stopAt = 1; stopAt <= changes; stopAt++) {
      directory = temporaryDirectory();
      const chance = seeded(stopAt);
      const progress: Progress = { acknowledged: 0, tried: 0 };
      const first = new StoppingFiles(stopAt);
      await workUntilStopped(first, progress);
      if (power) first.losePower(chance);
      // The successor dies too, during its recovery or soon after.
      const second = new StoppingFiles(1 + Math.floor(chance() * 30));
      await workUntilStopped(second, progress);
      if (power) second.losePower(chance);
      await expectWhole(progress, `stopped at change ${stopAt} of ${changes}`);
      rmSync(directory, { recursive: true });
    }
  });
}
