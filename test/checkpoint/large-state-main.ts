// A process with a state ten times larger than the memory given to it: fills it, changes it here and there, takes
// checkpoints, restores it and looks at all of it. Prints what it took, as JSON. Argument: a directory.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { json } from '#checkpoint/codecs.ts';
import { DirectoryStore } from '#checkpoint/directory-store.ts';
import { KeyedValues } from '#checkpoint/keyed-values.ts';
import { LevelPages } from '#checkpoint/level-pages.ts';
import { PageSwap } from '#checkpoint/page-swap.ts';
import { StateMemory } from '#checkpoint/state-memory.ts';
import type { FileTaskCheckpoints } from '#checkpoint/task-checkpoints.ts';
import { nodeDisk } from '#runtime/std/disk.ts';
import { Seeded } from '#test/checkpoint/seeded.ts';
import { acceptAll, checkpointsOn, momentAt, nextAttempt, task } from '#test/checkpoint/world.ts';

const MIB = 1024 * 1024;
const BUDGET = 8 * MIB;
const KEYS = 280_000;
const root = join(process.argv[2], 'large');

interface Opened {
  readonly checkpoints: FileTaskCheckpoints;
  readonly state: KeyedValues<{ key: number; changes: number; text: string }>;
}

async function open(): Promise<Opened> {
  const attempt = nextAttempt();
  const swap = new PageSwap({
    memory: new StateMemory(BUDGET),
    open: () => LevelPages.open({ root: join(root, 'state'), identity: task, attempt }),
  });
  const store = new DirectoryStore({ root: join(root, 'checkpoints'), disk: nodeDisk });
  const checkpoints = checkpointsOn(store, { swap, segmentBytesMax: 4 * MIB, restoreBytesMax: 8 * MIB });
  const state: Opened['state'] = new KeyedValues('large/values', json());
  state.open(checkpoints);
  await checkpoints.restore(acceptAll);
  return { checkpoints, state };
}

async function checkpoint({ checkpoints }: Opened, entry: number): Promise<void> {
  const pending = checkpoints.capture(momentAt(entry));
  while (!pending.advance(MIB)) if (pending.heldBytes > 8e6) await pending.writeSegments();
  await pending.writeSegments();
  checkpoints.confirm(await pending.publish(BigInt(entry)));
}

function anonymousBytes(): number {
  const status = readFileSync('/proc/self/status', 'utf8');
  return Number(/RssAnon:\s+(\d+)/.exec(status)?.[1]) * 1024;
}

const random = new Seeded(1);
const changes = new Uint8Array(KEYS);
const text = 'x'.repeat(330);
let largest = 0;
let wrong = 0;

const first = await open();
for (let slot = 0; slot < KEYS; slot++) {
  first.state.set(slot, { key: slot, changes: 0, text });
  if (slot % 2_000 === 0) await first.checkpoints.relieve();
}
await checkpoint(first, 1);
for (let i = 0; i < 5_000; i++) {
  const slot = random.below(KEYS);
  const value = first.state.change(slot);
  if (value === undefined || value.changes !== changes[slot] || value.key !== slot) wrong++;
  else changes[slot] = ++value.changes;
  if (i % 250 !== 0) continue;
  await first.checkpoints.relieve();
  largest = Math.max(largest, anonymousBytes());
}
await checkpoint(first, 2);
const digest = first.checkpoints.digest();
await first.checkpoints.close();

const second = await open();
if (second.checkpoints.digest() !== digest) wrong++;
let slot = 0;
for (const [found, value] of second.state.entries()) {
  if (found !== slot || value.key !== slot || value.changes !== changes[slot] || value.text !== text) wrong++;
  slot++;
}
if (slot !== KEYS) wrong++;
largest = Math.max(largest, anonymousBytes());
const { bytesSwapped = 0, budgetBytes = 0 } = second.checkpoints.memory() ?? {};
await second.checkpoints.close();
process.stdout.write(JSON.stringify({ budgetBytes, bytesSwapped, anonymousBytes: largest, wrong }));
