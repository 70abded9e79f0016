// Owns the proof that a directory has one holder among live processes, and that kill -9 frees it.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { lockDirectory } from '#runtime/std/directory-lock.ts';
import { StreamError } from '#runtime/std/errors.ts';

const LOCK_MODULE = new URL('../../runtime/std/directory-lock.ts', import.meta.url).href;
/** Prints `held` or the code of the fault; a holder stays until it is killed or its input ends. */
const CHILD = `
import { lockDirectory } from ${JSON.stringify(LOCK_MODULE)};
try {
  const lock = await lockDirectory(process.argv[1]);
  console.log('held');
  process.stdin.resume();
  process.stdin.on('end', () => { lock.release(); process.exit(0); });
} catch (error) {
  console.log(error.code);
}`;

let directory = '';
const children: ChildProcess[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'millrace-lock-'));
});

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

async function contend(path: string): Promise<{ child: ChildProcess; said: string }> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', CHILD, path], {
    stdio: ['pipe', 'pipe', 'inherit'],
    cwd: new URL('../..', import.meta.url).pathname,
  });
  children.push(child);
  const [said] = await once(createInterface({ input: child.stdout! }), 'line');
  return { child, said };
}

async function fault(attempt: Promise<unknown>): Promise<StreamError> {
  const error = await attempt.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(StreamError);
  return error as StreamError;
}

test('a second lock in the same process is refused and does not free the first', async () => {
  const lock = await lockDirectory(directory);
  expect((await fault(lockDirectory(directory))).code).toBe('directory-in-use');
  expect((await contend(directory)).said).toBe('directory-in-use');
  lock.release();
  lock.release();
  (await lockDirectory(directory)).release();
});

test('the fault names the process that holds the directory', async () => {
  const { child, said } = await contend(directory);
  expect(said).toBe('held');
  const error = await fault(lockDirectory(directory));
  expect(error.code).toBe('directory-in-use');
  expect(error.message).toContain(`process ${child.pid}`);
  expect(error.message).toContain(directory);
});

test('kill -9 of the holder frees the directory', async () => {
  const { child } = await contend(directory);
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
  (await lockDirectory(directory)).release();
});

test('of many processes that start at once on a directory left by a dead one, exactly one wins', async () => {
  const { child } = await contend(directory);
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
  const said = (await Promise.all(Array.from({ length: 6 }, () => contend(directory)))).map((result) => result.said);
  expect(said.sort()).toEqual([...Array.from({ length: 5 }, () => 'directory-in-use'), 'held']);
});

test('a directory that cannot be made is not writable', async () => {
  const file = join(directory, 'file');
  writeFileSync(file, '');
  const error = await fault(lockDirectory(join(file, 'below')));
  expect(error.code).toBe('directory-not-writable');
  expect(error.message).toContain(join(file, 'below'));
});
