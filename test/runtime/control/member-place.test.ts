// Whoever starts on a machine learns which members died there, and never takes a live one for dead.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { takeMemberPlace } from '#runtime/control/member-place.ts';

let directory: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'millrace-members-'));
});

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

const MEMBER_PLACE = new URL('../../../runtime/control/member-place.ts', import.meta.url).href;

/** A process that is this member, until it is killed. */
async function living(memberId: string): Promise<() => Promise<void>> {
  const source = `
    import { takeMemberPlace } from ${JSON.stringify(MEMBER_PLACE)};
    const place = await takeMemberPlace(${JSON.stringify(directory)});
    place.note({ group: 'g', memberId: ${JSON.stringify(memberId)} });
    process.stdout.write('here');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  return async () => {
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  };
}

test('those that were killed are named once, those that live are not', async () => {
  const killFirst = await living('first');
  await living('second');
  const before = await takeMemberPlace(directory);
  expect(before.departed).toEqual([]);
  await killFirst();
  const after = await takeMemberPlace(directory);
  expect(after.departed).toEqual([{ group: 'g', memberId: 'first' }]);
  after.note({ group: 'g', memberId: 'third' });
  const next = await takeMemberPlace(directory);
  expect(next.departed).toEqual([]);
  for (const place of [before, after, next]) place.release();
});

test('a clean end leaves nothing, and its place is used again', async () => {
  const place = await takeMemberPlace(directory);
  place.note({ group: 'g', memberId: 'one' });
  place.note(null);
  place.release();
  const next = await takeMemberPlace(directory);
  expect(next.departed).toEqual([]);
  next.note({ group: 'g', memberId: 'two' });
  next.release();
  expect((await takeMemberPlace(directory)).departed).toEqual([{ group: 'g', memberId: 'two' }]);
});

test('what cannot be read is nobody', async () => {
  const place = await takeMemberPlace(directory);
  place.note({ group: 'g', memberId: 'one' });
  place.release();
  writeFileSync(join(directory, '0', 'member.json'), '{"group":');
  expect((await takeMemberPlace(directory)).departed).toEqual([]);
});
