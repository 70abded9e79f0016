// The directory store: the suite of all stores, on the real disk and on one in memory, its layout, and its messages.

import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { DirectoryStore } from '#checkpoint/directory-store.ts';
import { nodeDisk } from '#runtime/std/disk.ts';
import { PowerCut, PowerDisk } from '#test/checkpoint/power-disk.ts';
import { storeOn, task, taskDirectory } from '#test/checkpoint/world.ts';
import { checkpointStoreSuite } from '#test/suites/checkpoint-store.suite.ts';

const scratch = mkdtempSync(join(tmpdir(), 'millrace-store-'));
afterAll(() => rmSync(scratch, { recursive: true }));
let places = 0;

checkpointStoreSuite('directory', {
  async create() {
    const root = join(scratch, `place-${++places}`, 'deeper', 'checkpoints');
    return { open: () => new DirectoryStore({ root, disk: nodeDisk }) };
  },
});

checkpointStoreSuite('directory in memory', {
  async create() {
    const disk = new PowerDisk();
    return { open: () => storeOn(disk) };
  },
});

const CONTENT = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
const NAME = '0000000000000001-01A-1.segment';

describe('the directory store', () => {
  it('lays files out by namespace, job, run, generation, stage and partition', async () => {
    const root = join(scratch, 'layout');
    const store = new DirectoryStore({ root, disk: nodeDisk });
    await store.writeInstallation('01I');
    await store.write(task, NAME, CONTENT);
    expect(readdirSync(root).sort()).toEqual(['installation.json', 'test']);
    expect(readdirSync(join(root, 'test/rollups/live/g1/1m/3'))).toEqual([NAME]);
  });

  it('works with a relative root', async () => {
    const before = process.cwd();
    process.chdir(scratch);
    try {
      const store = new DirectoryStore({ root: './relative/checkpoints', disk: nodeDisk });
      await store.write(task, NAME, CONTENT);
      expect(statSync(join(scratch, 'relative/checkpoints/test/rollups')).isDirectory()).toBe(true);
    } finally {
      process.chdir(before);
    }
  });

  it('has made a file and all directories above it durable when a write resolves', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const disk = new PowerDisk();
      const store = storeOn(disk);
      await store.writeInstallation('01I');
      await store.write(task, NAME, CONTENT);
      await store.write({ ...task, partition: 4 }, NAME, CONTENT);
      disk.losePower(seed);
      const after = storeOn(disk);
      expect(await after.readInstallation()).toBe('01I');
      expect(await after.read(task, NAME)).toEqual(CONTENT);
      expect(await after.read({ ...task, partition: 4 }, NAME)).toEqual(CONTENT);
    }
  });

  it('shows a whole file or none after power is lost at any operation, and can be written again', async () => {
    const measured = new PowerDisk();
    await storeOn(measured).write(task, NAME, CONTENT);
    for (let cut = 1; cut <= measured.operations; cut++) {
      for (let seed = 1; seed <= 20; seed++) {
        const disk = new PowerDisk();
        disk.cutAt = cut;
        await expect(storeOn(disk).write(task, NAME, CONTENT)).rejects.toThrow(PowerCut);
        disk.losePower(seed);
        const store = storeOn(disk);
        const names = await store.list(task);
        if (names.includes(NAME)) expect(await store.read(task, NAME)).toEqual(CONTENT);
        else await store.write(task, NAME, CONTENT);
        disk.losePower(seed + 1);
        expect(await storeOn(disk).read(task, NAME)).toEqual(CONTENT);
      }
    }
  });

  it('makes durable what a killed process left, when power is lost only later', async () => {
    const next = '0000000000000002-01B-1.segment';
    await afterEveryKill(async (disk, losePower) => {
      await storeOn(disk).write(task, next, CONTENT);
      losePower();
      expect(await storeOn(disk).read(task, next)).toEqual(CONTENT);
    });
  });

  it('makes durable what a killed process left, when that is found and counted on', async () => {
    let found = 0;
    await afterEveryKill(async (disk, losePower) => {
      if (!(await storeOn(disk).list(task)).includes(NAME)) return;
      found++;
      losePower();
      expect(await storeOn(disk).read(task, NAME)).toEqual(CONTENT);
    });
    expect(found).toBeGreaterThan(0);
  });

  it('clears away what it could not finish', async () => {
    const disk = new PowerDisk();
    const store = storeOn(disk);
    disk.refuse = (operation) => (operation === 'syncFile' ? 'ENOSPC' : null);
    await expect(store.write(task, NAME, CONTENT)).rejects.toMatchObject({
      code: 'disk-failed',
      retryable: true,
      message: expect.stringContaining('ENOSPC'),
      remedy: expect.stringContaining('free space'),
    });
    expect(disk.files().size).toBe(0);
    disk.refuse = () => null;
    await store.write(task, NAME, CONTENT);
    expect([...disk.files().keys()]).toEqual([`${taskDirectory}/${NAME}`]);
  });

  it.each(['list', 'makeDirectory', 'syncDirectory', 'writeNewFile', 'syncFile', 'rename', 'remove', 'readFile'])(
    'reports a disk that fails at %s as such, with a remedy',
    async (failing) => {
      const disk = new PowerDisk();
      const store = storeOn(disk);
      await store.write(task, 'a.segment', CONTENT);
      disk.refuse = (operation) => (operation === failing ? 'EIO' : null);
      const work = async () => {
        await storeOn(disk).write({ ...task, stage: 'other' }, NAME, CONTENT);
        await store.read(task, 'a.segment');
        await store.remove(task, ['a.segment']);
      };
      await expect(work()).rejects.toMatchObject({ code: 'disk-failed', remedy: expect.stringMatching(/./) });
    },
  );

  it.each(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST'])(
    'calls a directory not writable when writing meets %s',
    async (code) => {
      const disk = new PowerDisk();
      disk.refuse = (operation) => (operation === 'writeNewFile' ? code : null);
      await expect(storeOn(disk).writeInstallation('01I')).rejects.toMatchObject({
        code: 'directory-not-writable',
        retryable: false,
        message: expect.stringContaining('/data/checkpoints'),
        remedy: expect.stringContaining('/data/checkpoints'),
      });
    },
  );

  it('calls a root that is a file not writable', async () => {
    const root = join(scratch, 'a-file');
    writeFileSync(root, 'x');
    const store = new DirectoryStore({ root, disk: nodeDisk });
    await expect(store.write(task, NAME, CONTENT)).rejects.toMatchObject({ code: 'directory-not-writable' });
  });

  it('writes below a root whose parents may be passed through but not read', async () => {
    const disk = new PowerDisk();
    await storeOn(disk).write(task, NAME, CONTENT);
    disk.refuse = (operation, path) =>
      path === '/data' && (operation === 'list' || operation === 'syncDirectory') ? 'EACCES' : null;
    await storeOn(disk).write(task, '0000000000000002-01A-1.segment', CONTENT);
    expect(await storeOn(disk).list(task)).toHaveLength(2);
  });

  it('goes on after somebody deleted the directory', async () => {
    const root = join(scratch, 'deleted');
    const store = new DirectoryStore({ root, disk: nodeDisk });
    await store.write(task, NAME, CONTENT);
    rmSync(root, { recursive: true });
    await expect(store.write(task, NAME, CONTENT)).rejects.toMatchObject({ code: 'disk-failed' });
    await store.write(task, NAME, CONTENT);
    expect(await store.list(task)).toEqual([NAME]);
  });

  it('says that the installation file is damaged when any bit of it is flipped', async () => {
    const disk = new PowerDisk();
    await storeOn(disk).writeInstallation('01I');
    const path = '/data/checkpoints/installation.json';
    const whole = disk.files().get(path)!;
    for (let at = 0; at < whole.length; at++) {
      const flipped = Uint8Array.from(whole);
      flipped[at] ^= 1 << (at % 8);
      disk.tamper(path, flipped);
      await expect(storeOn(disk).readInstallation()).rejects.toMatchObject({ code: 'checkpoint-corrupt' });
      await expect(storeOn(disk).writeInstallation('01J')).rejects.toMatchObject({ code: 'checkpoint-corrupt' });
    }
  });

  it.each(['', '..', 'a/b', '.hidden', 'a b'])('refuses a task whose job would be called %j', async (job) => {
    await expect(storeOn(new PowerDisk()).list({ ...task, job })).rejects.toThrow('name of a checkpoint directory');
  });
});

/** Writing a file was ended by a kill at each of its operations; what it did is not synced. */
async function afterEveryKill(then: (disk: PowerDisk, losePower: () => void) => Promise<void>): Promise<void> {
  const measured = new PowerDisk();
  await storeOn(measured).write(task, NAME, CONTENT);
  for (let cut = 1; cut <= measured.operations; cut++) {
    for (let seed = 1; seed <= 10; seed++) {
      const disk = new PowerDisk();
      disk.cutAt = cut;
      await expect(storeOn(disk).write(task, NAME, CONTENT)).rejects.toThrow(PowerCut);
      disk.cutAt = Number.POSITIVE_INFINITY;
      await then(disk, () => disk.losePower(seed));
    }
  }
}
