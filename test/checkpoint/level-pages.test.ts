import { execFile } from 'node:child_process';
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { json } from '#checkpoint/codecs.ts';
import { KeyedValues } from '#checkpoint/keyed-values.ts';
import { LevelPages } from '#checkpoint/level-pages.ts';
import { PageSwap } from '#checkpoint/page-swap.ts';
import { StateMemory } from '#checkpoint/state-memory.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { PowerDisk } from '#test/checkpoint/power-disk.ts';
import { Seeded } from '#test/checkpoint/seeded.ts';
import { acceptAll, checkpointsOn, nextAttempt, storeOn, task } from '#test/checkpoint/world.ts';

const root = mkdtempSync(join(tmpdir(), 'level-pages-'));
const opened: LevelPages[] = [];
afterEach(async () => {
  for (const pages of opened.splice(0)) await pages.close();
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function open(attempt = nextAttempt()): Promise<LevelPages> {
  const pages = await LevelPages.open({ root, identity: task, attempt });
  opened.push(pages);
  return pages;
}

const taskDirectory = join(root, 'test/rollups/live/g1/1m/3');

describe('pages in LevelDB', () => {
  it('are what was written last, each under its own state and number', async () => {
    const pages = await open();
    const writes = [
      { state: 0, page: 0, bytes: Buffer.from('a') },
      { state: 0, page: 2 ** 40 + 1, bytes: Buffer.from('b') },
      { state: 1, page: 0, bytes: Buffer.from('c') },
      { state: 65_535, page: 2 ** 47, bytes: Buffer.from('d') },
    ];
    await pages.write(writes);
    expect(writes.map(({ state, page }) => pages.read(state, page)?.toString())).toEqual(['a', 'b', 'c', 'd']);
    await pages.write([
      { state: 0, page: 0, bytes: Buffer.from('again') },
      { state: 1, page: 0, bytes: null },
    ]);
    expect(pages.read(0, 0)?.toString()).toBe('again');
    expect(pages.read(1, 0)).toBeNull();
    expect(pages.read(1, 7)).toBeNull();
  });

  it('begin empty whatever an attempt before left, and leave nothing', async () => {
    const script = `
      import { LevelPages } from '#checkpoint/level-pages.ts';
      const identity = ${JSON.stringify(task)};
      const pages = await LevelPages.open({ root: ${JSON.stringify(root)}, identity, attempt: 'KILLED' });
      await pages.write([{ state: 0, page: 0, bytes: Buffer.from('left') }]);
      process.kill(process.pid, 'SIGKILL');`;
    const child = promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
    await expect(child).rejects.toMatchObject({ signal: 'SIGKILL' });
    expect(readdirSync(taskDirectory)).toEqual(['KILLED']);
    const pages = await open('NEXT');
    expect(readdirSync(taskDirectory)).toEqual(['NEXT']);
    expect(pages.read(0, 0)).toBeNull();
    await pages.close();
    opened.length = 0;
    expect(readdirSync(taskDirectory)).toEqual([]);
  });

  it('are left alone while another attempt still holds them', async () => {
    const old = await open('STALLED');
    await old.write([{ state: 0, page: 0, bytes: Buffer.from('mine') }]);
    const next = await open('NEWER');
    expect(next.read(0, 0)).toBeNull();
    expect(old.read(0, 0)?.toString()).toBe('mine');
    await old.write([{ state: 0, page: 1, bytes: Buffer.from('still') }]);
  });

  it('say what failed when they cannot be written or read', async () => {
    const pages = await LevelPages.open({ root, identity: task, attempt: 'CLOSED' });
    await pages.close();
    expect(() => pages.read(0, 0)).toThrow(StreamError);
    await expect(open(`${'x'.repeat(300)}`)).rejects.toMatchObject({ code: 'disk-failed' });
  });
});

/** Flips a bit of every file that holds pages, at a random place; how many there were. */
function damage(directory: string, random: Seeded): number {
  let damaged = 0;
  for (const name of readdirSync(directory).filter((name) => /\.(ldb|sst)$/.test(name))) {
    const file = fileAt(join(directory, name));
    if (file === null) continue;
    damaged++;
    const at = random.below(fstatSync(file).size);
    const byte = Buffer.alloc(1);
    readSync(file, byte, 0, 1, at);
    byte[0] ^= 1 << random.below(8);
    writeSync(file, byte, 0, 1, at);
    closeSync(file);
  }
  return damaged;
}

/** Null when LevelDB, which merges files meanwhile, has deleted it. */
function fileAt(path: string): number | null {
  try {
    return openSync(path, 'r+');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

describe('state in LevelDB', () => {
  it('is never wrong when bits of its files flip: a read gives the value, or ends the task', async () => {
    let found = 0;
    for (let seed = 1; seed <= 12; seed++) {
      const random = new Seeded(seed);
      const attempt = nextAttempt();
      const memory = new StateMemory(1);
      const swap = new PageSwap({ memory, open: () => LevelPages.open({ root, identity: task, attempt }) });
      const checkpoints = checkpointsOn(storeOn(new PowerDisk()), { swap });
      const state = new KeyedValues<object>('state', json());
      state.open(checkpoints);
      await checkpoints.restore(acceptAll);
      // Enough to leave the write buffer, twice: pages have older versions too.
      const valueAt = (slot: number, round: number) => ({ slot, round, text: `${slot} `.repeat(60) });
      for (const round of [1, 2]) {
        for (let slot = 0; slot < 8_000; slot++) {
          state.set(slot, valueAt(slot, round));
          if (slot % 500 === 499) await checkpoints.relieve();
        }
      }
      expect(damage(join(taskDirectory, attempt), random)).toBeGreaterThan(0);
      for (let slot = 0; slot < 8_000; slot++) {
        try {
          expect(state.get(slot)).toEqual(valueAt(slot, 2));
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(/^(state-corrupt|disk-failed)$/) });
          expect(() => checkpoints.requireSound()).toThrow();
          found++;
          break;
        }
      }
      await checkpoints.close();
    }
    expect(found).toBeGreaterThan(5);
  }, 60_000);

  it('ten times larger than its memory fits a process that has little', async () => {
    const script = new URL('./large-state-main.ts', import.meta.url).pathname;
    const options = ['--max-old-space-size=96', '--max-semi-space-size=4', script, root];
    const { stdout } = await promisify(execFile)(process.execPath, options);
    const { budgetBytes, bytesSwapped, anonymousBytes, wrong } = JSON.parse(stdout) as Record<string, number>;
    expect(wrong).toBe(0);
    expect(bytesSwapped).toBeGreaterThan(10 * budgetBytes);
    // Node itself, LevelDB's buffers, what a checkpoint holds, and the budget.
    expect(anonymousBytes).toBeLessThan(200e6);
    expect(existsSync(join(root, 'large'))).toBe(true);
  }, 120_000);
});
