// Owns the proof over real processes: kill -9 of a writing process, ten times over one directory, loses nothing that
// was acknowledged and shows nothing in part.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type EmbeddedLog, openEmbeddedLog } from '#runtime/log/embedded/embedded-log.ts';
import { systemClock } from '#runtime/std/clock.ts';
import type { StreamError } from '#runtime/std/errors.ts';
import { WRITERS, writtenValues } from '#test/runtime/log/embedded/killed-writes.ts';
import { temporaryDirectory } from '#test/runtime/log/embedded/served-log.ts';
import { readTo, texts } from '#test/suites/log/bench.ts';

let directory = '';
const children: ChildProcess[] = [];
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

/** Starts the process and gives each acknowledgement to `acknowledged`, which says when it has seen enough. */
async function writeUntil(acknowledged: (writer: number, number: number) => boolean): Promise<ChildProcess> {
  const script = new URL('./killed-writer.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const lines = createInterface({ input: child.stdout! });
  for await (const line of lines) {
    const [writer, number] = line.split(' ').map(Number);
    if (acknowledged(writer, number)) break;
  }
  return child;
}

async function readAll(log: EmbeddedLog, topic: string, partition: number): Promise<(string | null)[]> {
  const client = log.client();
  const [description] = await client.admin.describeTopics([topic]);
  const [end] = await client.admin.listOffsets([{ topic, partition, at: 'last-stable' }]);
  const topicId = description?.topicId ?? '';
  const reader = client.reader().open({ topic, partition, topicId, offset: 0n });
  const values = texts(await readTo(reader, end));
  await client.close();
  return values;
}

test('ten times kill -9: every acknowledged transaction is there, and each of them whole', {
  timeout: 120_000,
}, async () => {
  const acknowledged = Array.from({ length: WRITERS }, () => 0);
  for (let round = 0; round < 10; round++) {
    let left = 3 + round * 17;
    const child = await writeUntil((writer, number) => {
      expect(number).toBe(acknowledged[writer]);
      acknowledged[writer] = number + 1;
      return --left === 0;
    });
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;

    const log = await openEmbeddedLog({ directory, clock: systemClock });
    const committed: number[] = [];
    for (let writer = 0; writer < WRITERS; writer++) {
      const entries = await readAll(log, 'commits', writer);
      expect(entries).toEqual(entries.map((_, number) => `${number}`));
      expect(entries.length).toBeGreaterThanOrEqual(acknowledged[writer]);
      committed.push(entries.length);
      acknowledged[writer] = entries.length;
    }
    for (const partition of [0, 1]) {
      const values = await readAll(log, 'data', partition);
      for (let writer = 0; writer < WRITERS; writer++) {
        const expected = Array.from({ length: committed[writer] }, (_, number) => writtenValues(writer, number)).flat();
        expect(values.filter((value) => value?.startsWith(`${writer}:`))).toEqual(expected);
      }
    }
    await log.close();
  }
});

test('a second process is refused while the first lives, by a fault that names it, and let in after kill -9', async () => {
  const child = await writeUntil(() => true);
  const error = await openEmbeddedLog({ directory, clock: systemClock }).then(
    () => null,
    (thrown: StreamError) => thrown,
  );
  expect(error?.code).toBe('log-in-use');
  expect(error?.message).toContain(`process ${child.pid}`);
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
  const log = await openEmbeddedLog({ directory, clock: systemClock });
  expect((await readAll(log, 'commits', 0)).length + (await readAll(log, 'commits', 1)).length).toBeGreaterThan(0);
  await log.close();
});
