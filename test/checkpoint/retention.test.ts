// Which checkpoints are kept, which files may go, and that nothing a kept checkpoint needs ever does.

import { describe, expect, it } from 'vitest';
import type { CheckpointManifest } from '#checkpoint/contract.ts';
import type { FileTaskCheckpoints } from '#checkpoint/task-checkpoints.ts';
import { Cells } from '#test/checkpoint/cells.ts';
import { PowerDisk } from '#test/checkpoint/power-disk.ts';
import { Seeded } from '#test/checkpoint/seeded.ts';
import {
  acceptAll,
  checkpointAt,
  checkpointsOn,
  confirmedAt,
  momentAt,
  storeOn,
  taskDirectory,
} from '#test/checkpoint/world.ts';

function fill(state: Cells, value: number): void {
  for (let cell = 0; cell < 40; cell++) state.set(cell, value);
}

function namesOn(disk: PowerDisk): string[] {
  return [...disk.files().keys()].map((path) => path.slice(taskDirectory.length + 1)).sort();
}

/** Files that the kept checkpoints need, read from their manifests on the disk without the code under test. */
function neededBy(checkpoints: FileTaskCheckpoints, disk: PowerDisk): Set<string> {
  const needed = new Set<string>();
  for (const { name } of checkpoints.kept()) {
    const text = Buffer.from(disk.files().get(`${taskDirectory}/${name}`) ?? '{"segments":[]}').toString();
    needed.add(name);
    for (const segment of (JSON.parse(text) as CheckpointManifest).segments) needed.add(segment.name);
  }
  return needed;
}

describe('retention', () => {
  it('keeps the three newest confirmed ones and calls the files of older ones dead', async () => {
    const disk = new PowerDisk();
    const checkpoints = checkpointsOn(storeOn(disk));
    const state = new Cells('s').open(checkpoints);
    for (let entry = 1; entry <= 5; entry++) {
      fill(state, entry);
      const reference = await checkpointAt(checkpoints, entry);
      const before = checkpoints.dead();
      checkpoints.confirm(reference);
      if (entry > 3) expect(checkpoints.dead().length).toBeGreaterThan(before.length);
    }
    expect(checkpoints.kept().map((reference) => reference.entry)).toEqual([3, 4, 5]);
    expect(checkpoints.oldestKept()?.entry).toBe(3);
    const dead = checkpoints.dead();
    expect(dead.map((name) => Number(name.slice(0, 16)))).toEqual([1, 2, 1, 2]);
    expect(dead.slice(0, 2).every((name) => name.endsWith('.manifest.json'))).toBe(true);
    expect(namesOn(disk)).toHaveLength(10);
    await checkpoints.deleteListed(dead);
    expect(checkpoints.dead()).toEqual([]);
    expect(namesOn(disk)).toEqual([...neededBy(checkpoints, disk)].sort());
    await checkpoints.deleteListed(dead);
  });

  it('counts no published checkpoint before a committed entry names it, and never deletes it', async () => {
    const disk = new PowerDisk();
    const checkpoints = checkpointsOn(storeOn(disk), { keep: 1 });
    const state = new Cells('s').open(checkpoints);
    fill(state, 1);
    await confirmedAt(checkpoints, 1);
    fill(state, 2);
    const second = await checkpointAt(checkpoints, 2);
    fill(state, 3);
    const third = await checkpointAt(checkpoints, 3);
    const files = namesOn(disk);
    expect(checkpoints.kept().map((reference) => reference.entry)).toEqual([1]);
    expect(checkpoints.dead()).toEqual([]);
    await checkpoints.deleteOrphans();
    await checkpoints.deleteListed(files);
    expect(namesOn(disk)).toEqual(files);
    checkpoints.confirm(third);
    expect(checkpoints.kept()).toEqual([third]);
    expect(checkpoints.dead()).toContain(second.name);
  });

  it('keeps a segment as long as any kept checkpoint holds a page of it', async () => {
    const disk = new PowerDisk();
    const checkpoints = checkpointsOn(storeOn(disk), { keep: 1 });
    const state = new Cells('s').open(checkpoints);
    for (let cell = 0; cell < 800; cell++) state.set(cell, cell);
    await confirmedAt(checkpoints, 1);
    for (let entry = 2; entry <= 6; entry++) {
      state.set(entry, -entry);
      await confirmedAt(checkpoints, entry);
      await checkpoints.deleteListed(checkpoints.dead());
      await checkpoints.deleteOrphans();
    }
    expect(namesOn(disk).some((name) => name.startsWith('0000000000000001-') && name.endsWith('.segment'))).toBe(true);
    const next = checkpointsOn(storeOn(disk));
    const copy = new Cells('s').open(next);
    expect((await next.restore(acceptAll)).manifest?.entry).toBe(6);
    expect(copy.copy()).toEqual(state.copy());
  });

  it('survives ten crashes right after a checkpoint was written, published or not', async () => {
    const disk = new PowerDisk();
    let checkpoints = checkpointsOn(storeOn(disk));
    let state = new Cells('s').open(checkpoints);
    fill(state, 1);
    await confirmedAt(checkpoints, 1);
    const committed = new Set([1]);
    for (let crash = 1; crash <= 10; crash++) {
      fill(state, -crash);
      const pending = checkpoints.capture(momentAt(1 + crash));
      expect(pending.advance(1_000_000)).toBe(true);
      await pending.writeSegments();
      // Odd: the entry never was committed, but a manifest of it is there as if it had been. Even: no manifest.
      if (crash % 2 === 1) await pending.publish(9n);
      disk.losePower(crash);
      checkpoints = checkpointsOn(storeOn(disk));
      state = new Cells('s').open(checkpoints);
      const { manifest } = await checkpoints.restore((found) => committed.has(found.entry));
      expect(manifest?.entry).toBe(1);
      expect(new Set(state.copy().values())).toEqual(new Set([1]));
    }
    expect(namesOn(disk).length).toBeGreaterThan(10);
    await checkpoints.deleteOrphans();
    expect(namesOn(disk)).toEqual([...neededBy(checkpoints, disk)].sort());
    await confirmedAt(checkpoints, 20);
    expect(checkpoints.kept().map((reference) => reference.entry)).toEqual([1, 20]);
  });

  it('lets a process that was stopped after its first commit delete nothing of its successor', async () => {
    const disk = new PowerDisk();
    const first = checkpointsOn(storeOn(disk));
    fill(new Cells('s').open(first), 1);
    await confirmedAt(first, 1);
    const stopped = checkpointsOn(storeOn(disk));
    const stoppedState = new Cells('s').open(stopped);
    await stopped.restore(acceptAll);
    fill(stoppedState, 2);
    const given = stopped.capture(momentAt(2));
    given.advance(1_000_000);
    await given.writeSegments();
    given.abandon();

    const successor = checkpointsOn(storeOn(disk));
    const state = new Cells('s').open(successor);
    await successor.restore(acceptAll);
    fill(state, 3);
    await confirmedAt(successor, 3);
    const pending = successor.capture(momentAt(4));
    disk.tamper(`${taskDirectory}/0000000000000004-01SUCCESSOR-1.segment.tmp`, new Uint8Array(9));

    await stopped.deleteOrphans();
    pending.abandon();
    const names = namesOn(disk);
    for (const name of neededBy(successor, disk)) expect(names).toContain(name);
    expect(names).toContain('0000000000000004-01SUCCESSOR-1.segment.tmp');
    expect(names.filter((name) => name.startsWith('0000000000000002-'))).toEqual([]);
  });

  it('counts as kept what earlier attempts published on the same chain without saying so', async () => {
    const disk = new PowerDisk();
    for (let entry = 1; entry <= 6; entry++) {
      const checkpoints = checkpointsOn(storeOn(disk));
      const state = new Cells('s').open(checkpoints);
      const { manifest } = await checkpoints.restore(acceptAll);
      expect(manifest?.entry ?? 0).toBe(entry - 1);
      fill(state, entry);
      await checkpointAt(checkpoints, entry);
    }
    const checkpoints = checkpointsOn(storeOn(disk));
    new Cells('s').open(checkpoints);
    await checkpoints.restore(acceptAll);
    expect(checkpoints.kept().map((reference) => reference.entry)).toEqual([4, 5, 6]);
    await checkpoints.deleteOrphans();
    expect(namesOn(disk)).toHaveLength(12);
    await checkpoints.deleteListed(checkpoints.dead());
    expect(namesOn(disk)).toEqual([...neededBy(checkpoints, disk)].sort());
  });

  it('never deletes what a kept or pending checkpoint needs, and leaves nothing else behind', async () => {
    for (let seed = 1; seed <= 40; seed++) await randomLife(seed);
  });
});

async function randomLife(seed: number): Promise<void> {
  const random = new Seeded(seed);
  const disk = new PowerDisk();
  const keep = 1 + random.below(3);
  const start = async () => {
    const checkpoints = checkpointsOn(storeOn(disk), { keep, segmentBytesMax: 400 });
    const state = new Cells('s').open(checkpoints);
    await checkpoints.restore((manifest) => manifest.entry % 7 !== 3);
    return { checkpoints, state };
  };
  let { checkpoints, state } = await start();
  let listed: readonly string[] = [];
  for (let entry = 1; entry <= 30; entry++) {
    for (let i = 0; i < 12; i++) state.set(random.below(300), random.below(100));
    const pending = checkpoints.capture(momentAt(entry));
    while (!pending.advance(200)) if (random.chance(30)) await pending.writeSegments();
    const writing = pending.writeSegments();
    if (random.chance(20)) await checkpoints.deleteOrphans();
    await writing;
    if (entry % 7 !== 3 && random.chance(70)) {
      const reference = await pending.publish(BigInt(entry));
      if (random.chance(80)) checkpoints.confirm(reference);
    } else if (entry % 7 === 3 || random.chance(50)) pending.abandon();
    else {
      disk.losePower(seed * 100 + entry);
      ({ checkpoints, state } = await start());
    }
    await checkpoints.deleteListed(listed);
    listed = checkpoints.dead();
    if (random.chance(30)) await checkpoints.deleteOrphans();
    const names = new Set(namesOn(disk));
    const dead = new Set(checkpoints.dead());
    for (const name of neededBy(checkpoints, disk)) {
      expect(names, `seed ${seed} entry ${entry}`).toContain(name);
      expect(dead, `seed ${seed} entry ${entry}`).not.toContain(name);
    }
  }
  const last = checkpoints.capture(momentAt(40));
  last.advance(Number.POSITIVE_INFINITY);
  await last.writeSegments();
  checkpoints.confirm(await last.publish(40n));
  await checkpoints.deleteListed(checkpoints.dead());
  await checkpoints.deleteOrphans();
  expect(namesOn(disk), `seed ${seed}`).toEqual([...neededBy(checkpoints, disk)].sort());
  expect(checkpoints.kept().length).toBeLessThanOrEqual(keep);
}

describe('a checkpoint under way', () => {
  it('is the only one, is published only whole, and its pages count as changed when it is abandoned', async () => {
    const disk = new PowerDisk();
    const checkpoints = checkpointsOn(storeOn(disk));
    const state = new Cells('s').open(checkpoints);
    fill(state, 1);
    const pending = checkpoints.capture(momentAt(1));
    expect(() => checkpoints.capture(momentAt(1))).toThrow('a checkpoint is pending');
    await expect(pending.publish(1n)).rejects.toThrow('when all of it is written');
    pending.advance(1_000_000);
    await expect(pending.publish(1n)).rejects.toThrow('when all of it is written');
    await pending.writeSegments();
    pending.abandon();
    pending.abandon();
    expect(() => pending.advance(1)).toThrow('abandoned');
    await confirmedAt(checkpoints, 1);
    const next = checkpointsOn(storeOn(disk));
    const copy = new Cells('s').open(next);
    await next.restore(acceptAll);
    expect(copy.copy()).toEqual(state.copy());
  });

  it('goes on after a disk that was full has room again', async () => {
    const disk = new PowerDisk();
    const checkpoints = checkpointsOn(storeOn(disk), { segmentBytesMax: 100 });
    const state = new Cells('s').open(checkpoints);
    fill(state, 1);
    const pending = checkpoints.capture(momentAt(1));
    pending.advance(1_000_000);
    let room = 3;
    disk.refuse = (operation) => (operation === 'syncFile' && --room <= 0 && room > -3 ? 'ENOSPC' : null);
    let failures = 0;
    while (pending.heldBytes > 0) {
      await pending.writeSegments().catch((error) => {
        expect(error).toMatchObject({ code: 'disk-failed' });
        failures++;
      });
    }
    expect(failures).toBe(3);
    disk.refuse = (operation, path) => (operation === 'rename' && path.includes('manifest') ? 'EIO' : null);
    await expect(pending.publish(1n)).rejects.toMatchObject({ code: 'disk-failed' });
    disk.refuse = () => null;
    checkpoints.confirm(await pending.publish(1n));
    const next = checkpointsOn(storeOn(disk));
    const copy = new Cells('s').open(next);
    expect((await next.restore(acceptAll)).manifest?.entry).toBe(1);
    expect(copy.copy()).toEqual(state.copy());
  });

  it('that is given up while it is written ends quietly and can be followed by another at the same entry', async () => {
    const disk = new PowerDisk();
    const checkpoints = checkpointsOn(storeOn(disk));
    const state = new Cells('s').open(checkpoints);
    fill(state, 1);
    for (let i = 0; i < 3; i++) {
      const pending = checkpoints.capture(momentAt(5));
      pending.advance(1_000_000);
      const writing = pending.writeSegments();
      pending.abandon();
      const cleaning = checkpoints.deleteOrphans();
      await Promise.all([writing, cleaning]);
    }
    await confirmedAt(checkpoints, 5);
    fill(state, 2);
    await confirmedAt(checkpoints, 5);
    const next = checkpointsOn(storeOn(disk));
    const copy = new Cells('s').open(next);
    expect((await next.restore(acceptAll)).manifest?.entry).toBe(5);
    expect(copy.copy().size).toBe(40);
  });

  it('that is given up does not complain that its write failed', async () => {
    const disk = new PowerDisk();
    const checkpoints = checkpointsOn(storeOn(disk));
    const state = new Cells('s').open(checkpoints);
    fill(state, 1);
    const pending = checkpoints.capture(momentAt(1));
    pending.advance(1_000_000);
    disk.refuse = (operation) => (operation === 'syncFile' ? 'EIO' : null);
    const writing = pending.writeSegments();
    pending.abandon();
    await writing;
    disk.refuse = () => null;
    expect((await confirmedAt(checkpoints, 2)).entry).toBe(2);
  });

  it('that is given up while it is published is published', async () => {
    const checkpoints = checkpointsOn(storeOn(new PowerDisk()));
    const state = new Cells('s').open(checkpoints);
    fill(state, 1);
    const pending = checkpoints.capture(momentAt(1));
    pending.advance(1_000_000);
    await pending.writeSegments();
    const publishing = pending.publish(1n);
    pending.abandon();
    checkpoints.confirm(await publishing);
    expect(checkpoints.kept()).toHaveLength(1);
    expect(checkpoints.capture(momentAt(2)).advance(0)).toBe(true);
  });
});

describe('files that somebody deleted under a running task', () => {
  it('fail the checkpoint that needs them, and the next one is whole again', async () => {
    const disk = new PowerDisk();
    const checkpoints = checkpointsOn(storeOn(disk));
    const state = new Cells('s').open(checkpoints);
    for (let cell = 0; cell < 800; cell++) state.set(cell, cell);
    await confirmedAt(checkpoints, 1);
    state.set(3, -3);
    await confirmedAt(checkpoints, 2);
    for (const name of namesOn(disk)) disk.tamper(`${taskDirectory}/${name}`, null);
    state.set(20, -20);
    const digest = checkpoints.digest();
    await expect(checkpointAt(checkpoints, 3)).rejects.toMatchObject({
      code: 'checkpoint-corrupt',
      message: expect.stringContaining('0000000000000001-'),
    });
    expect(checkpoints.digest()).toBe(digest);
    const whole = await confirmedAt(checkpoints, 4);
    expect(whole.digest).toBe(digest);
    const next = checkpointsOn(storeOn(disk));
    const copy = new Cells('s').open(next);
    expect((await next.restore(acceptAll)).manifest?.entry).toBe(4);
    expect(copy.copy()).toEqual(state.copy());
  });
});
