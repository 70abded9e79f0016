// Power fails at every operation on the disk: what was published is there afterwards, whole.

import { expect, it } from 'vitest';
import type { FileTaskCheckpoints } from '#checkpoint/task-checkpoints.ts';
import { type CellModel, Cells } from '#test/checkpoint/cells.ts';
import { PowerCut, PowerDisk } from '#test/checkpoint/power-disk.ts';
import { Seeded } from '#test/checkpoint/seeded.ts';
import { acceptAll, checkpointsOn, momentAt, storeOn } from '#test/checkpoint/world.ts';

interface Life {
  /** State by entry, as of its capture. */
  readonly captured: Map<number, CellModel>;
  /** Newest entry whose `publish` resolved. */
  published: number;
}

/** A task's attempt: restore, clean up, five checkpoints with retention of two. */
async function live(disk: PowerDisk, life: Life, seed: number): Promise<void> {
  const random = new Seeded(seed);
  const checkpoints = checkpointsOn(storeOn(disk), { keep: 2, segmentBytesMax: 250 });
  const state = new Cells('s').open(checkpoints);
  const { manifest } = await checkpoints.restore(acceptAll);
  check(life, manifest?.entry ?? 0, state);
  const from = manifest?.entry ?? 0;
  for (let entry = from + 1; entry <= from + 5; entry++) {
    for (let i = 0; i < 10; i++) {
      if (random.chance(75)) state.set(random.below(120), random.below(9));
      else state.delete(random.below(120));
    }
    life.captured.set(entry, state.copy());
    await publish(checkpoints, entry, state, random);
    life.published = entry;
    await checkpoints.deleteListed(checkpoints.dead());
    if (entry === from + 1) await checkpoints.deleteOrphans();
  }
}

async function publish(checkpoints: FileTaskCheckpoints, entry: number, state: Cells, random: Seeded): Promise<void> {
  const pending = checkpoints.capture(momentAt(entry));
  state.set(random.below(120), 77);
  while (!pending.advance(100)) if (random.chance(20)) await pending.writeSegments();
  await pending.writeSegments();
  checkpoints.confirm(await pending.publish(BigInt(entry)));
}

function check(life: Life, entry: number, state: Cells): void {
  expect(entry).toBeGreaterThanOrEqual(life.published);
  if (entry > 0) expect(state.copy()).toEqual(life.captured.get(entry));
}

it('a power cut at every operation leaves the newest published checkpoint whole', async () => {
  const measured = new PowerDisk();
  await live(measured, { captured: new Map(), published: 0 }, 1);
  expect(measured.operations).toBeGreaterThan(100);
  for (let cut = 1; cut <= measured.operations; cut++) {
    const disk = new PowerDisk();
    const life: Life = { captured: new Map(), published: 0 };
    disk.cutAt = cut;
    await expect(live(disk, life, 1)).rejects.toThrow(PowerCut);
    for (let round = 0; round < 2; round++) {
      disk.losePower(cut * 2 + round);
      // The second attempt is cut as well, somewhere.
      disk.operations = 0;
      if (round === 0) disk.cutAt = 1 + ((cut * 37) % 150);
      await live(disk, life, cut + round).catch((error) => {
        if (!(error instanceof PowerCut)) throw error;
      });
    }
    const last = new Cells('s');
    const checkpoints = checkpointsOn(storeOn(disk));
    last.open(checkpoints);
    check(life, (await checkpoints.restore(acceptAll)).manifest?.entry ?? 0, last);
    expect(life.published).toBeGreaterThanOrEqual(5);
  }
});
