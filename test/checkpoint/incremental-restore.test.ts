// The heart of checkpoints against a model: whatever changes, whenever it is copied, restored state is the state of the
// capture, and its digest depends on nothing but the content.

import { describe, expect, it } from 'vitest';
import type { PendingCheckpoint } from '#checkpoint/contract.ts';
import type { FileTaskCheckpoints } from '#checkpoint/task-checkpoints.ts';
import { type CellModel, Cells } from '#test/checkpoint/cells.ts';
import { PowerDisk } from '#test/checkpoint/power-disk.ts';
import { Seeded } from '#test/checkpoint/seeded.ts';
import { acceptAll, checkpointsOn, momentAt, storeOn } from '#test/checkpoint/world.ts';

const IDS = ['panes/1m', 'panes/1h', 'names/table'];

function openAll(checkpoints: FileTaskCheckpoints): Cells[] {
  return IDS.map((id) => new Cells(id).open(checkpoints));
}

function models(states: readonly Cells[]): CellModel[] {
  return states.map((state) => state.copy());
}

/** Random changes: mostly near each other, some far away, some that empty whole pages, some that change nothing. */
function change(states: readonly Cells[], random: Seeded, times: number): void {
  for (let i = 0; i < times; i++) {
    const state = states[random.below(states.length)];
    const cell = random.chance(5) ? 2 ** 45 + random.below(40) : random.below(400);
    if (random.chance(60)) state.set(cell, random.below(5));
    else if (random.chance(70)) state.delete(cell);
    else for (let c = 0; c < 8; c++) state.delete(cell - (cell % 8) + c);
  }
}

/** Takes a checkpoint in slices of random size while the state changes on. */
async function takeWhileChanging(
  checkpoints: FileTaskCheckpoints,
  pending: PendingCheckpoint,
  states: readonly Cells[],
  random: Seeded,
): Promise<void> {
  for (;;) {
    if (random.chance(70)) change(states, random, random.below(8));
    if (random.chance(15)) checkpoints.digest();
    const done = pending.advance(random.below(120));
    if (random.chance(25)) await pending.writeSegments();
    if (done) break;
  }
  change(states, random, random.below(8));
  await pending.writeSegments();
  expect(pending.heldBytes).toBe(0);
}

describe('incremental checkpoints', () => {
  it('restore to the state of their capture, whatever changes meanwhile', async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = new Seeded(seed);
      const disk = new PowerDisk();
      let checkpoints = checkpointsOn(storeOn(disk), { segmentBytesMax: 300 });
      let states = openAll(checkpoints);
      let published = models(states);
      for (let entry = 1; entry <= 14; entry++) {
        change(states, random, random.below(60));
        const atCapture = models(states);
        const pending = checkpoints.capture(momentAt(entry));
        await takeWhileChanging(checkpoints, pending, states, random);
        if (random.chance(25)) {
          pending.abandon();
        } else {
          checkpoints.confirm(await pending.publish(BigInt(entry)));
          published = atCapture;
        }
        await checkpoints.deleteListed(checkpoints.dead());
        if (!random.chance(30)) continue;
        checkpoints = checkpointsOn(storeOn(disk), { segmentBytesMax: 300 });
        states = openAll(checkpoints);
        await checkpoints.restore(acceptAll);
        expect(models(states), `seed ${seed} entry ${entry}`).toEqual(published);
        await checkpoints.deleteOrphans();
      }
    }
  });

  it('give the digest of the content, whatever the history', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = new Seeded(seed);
      const disk = new PowerDisk();
      const checkpoints = checkpointsOn(storeOn(disk), { segmentBytesMax: 300 });
      const states = openAll(checkpoints);
      for (let entry = 1; entry <= 6; entry++) {
        change(states, random, 30);
        const fresh = checkpointsOn(storeOn(new PowerDisk()));
        const copies = openAll(fresh);
        for (const [i, copy] of copies.entries()) {
          for (const [cell, value] of [...states[i].copy()].reverse()) copy.set(cell, value);
        }
        const digest = fresh.digest();
        const pending = checkpoints.capture(momentAt(entry));
        await takeWhileChanging(checkpoints, pending, states, random);
        expect((await pending.publish(1n)).digest, `seed ${seed}`).toBe(digest);
      }
      const fresh = checkpointsOn(storeOn(new PowerDisk()));
      const copies = openAll(fresh);
      for (const [i, copy] of copies.entries()) for (const [cell, value] of states[i].copy()) copy.set(cell, value);
      expect(checkpoints.digest()).toBe(fresh.digest());
      expect(checkpoints.sizeBytes).toBe(fresh.sizeBytes);
    }
  });

  it('write only what changed since the last durable one', async () => {
    const checkpoints = checkpointsOn(storeOn(new PowerDisk()));
    const [state] = openAll(checkpoints);
    for (let cell = 0; cell < 8000; cell++) state.set(cell, cell);
    const first = checkpoints.capture(momentAt(1));
    expect(first.advance(1_000_000)).toBe(true);
    await first.writeSegments();
    await first.publish(1n);
    state.writes = 0;
    state.set(8, -1);
    state.set(4000, -1);
    const second = checkpoints.capture(momentAt(2));
    expect(second.advance(1_000_000)).toBe(true);
    expect(state.writes).toBe(2);
    second.abandon();
    const third = checkpoints.capture(momentAt(3));
    expect(third.advance(1_000_000)).toBe(true);
    expect(state.writes).toBe(4);
    await third.writeSegments();
    await third.publish(3n);
    expect(checkpoints.capture(momentAt(4)).heldBytes).toBe(0);
  });

  it('copy a page before it changes and no page twice', () => {
    const checkpoints = checkpointsOn(storeOn(new PowerDisk()));
    const [state] = openAll(checkpoints);
    for (let cell = 0; cell < 80; cell++) state.set(cell, cell);
    const pending = checkpoints.capture(momentAt(1));
    expect(pending.heldBytes).toBe(0);
    state.set(16, 99);
    state.set(17, 99);
    expect(state.writes).toBe(1);
    expect(pending.heldBytes).toBeGreaterThan(0);
    expect(pending.advance(1_000_000)).toBe(true);
    expect(state.writes).toBe(10);
  });

  it('advance by about the bytes asked for', () => {
    const checkpoints = checkpointsOn(storeOn(new PowerDisk()));
    const [state] = openAll(checkpoints);
    for (let cell = 0; cell < 8000; cell++) state.set(cell, cell);
    const pending = checkpoints.capture(momentAt(1));
    const before = pending.heldBytes;
    expect(pending.advance(1000)).toBe(false);
    expect(pending.heldBytes - before).toBeGreaterThanOrEqual(1000);
    expect(pending.heldBytes - before).toBeLessThan(1400);
  });
});

describe('the digest', () => {
  it('differs when any page differs, moves or changes its state', () => {
    const digestOf = (fill: (states: Cells[]) => void) => {
      const checkpoints = checkpointsOn(storeOn(new PowerDisk()));
      const states = openAll(checkpoints);
      fill(states);
      return checkpoints.digest();
    };
    const base = (states: Cells[]) => {
      for (let cell = 0; cell < 80; cell++) states[0].set(cell, cell);
    };
    const seen = new Set([digestOf(() => {}), digestOf(base)]);
    for (let cell = 0; cell < 80; cell++) {
      seen.add(
        digestOf((states) => {
          base(states);
          states[0].set(cell, cell + 1);
        }),
      );
      seen.add(
        digestOf((states) => {
          base(states);
          states[0].delete(cell);
        }),
      );
    }
    seen.add(digestOf((states) => states[0].set(1, 7)));
    seen.add(digestOf((states) => states[1].set(1, 7)));
    seen.add(digestOf((states) => states[0].set(9, 7)));
    expect(seen.size).toBe(2 + 160 + 3);
    expect(digestOf(() => {})).toBe('0'.repeat(32));
  });

  it('sees a change after it was asked in the same entry, and hashes only what changed', () => {
    const checkpoints = checkpointsOn(storeOn(new PowerDisk()));
    const [state] = openAll(checkpoints);
    for (let cell = 0; cell < 800; cell++) state.set(cell, 1);
    const first = checkpoints.digest();
    state.set(5, 2);
    state.writes = 0;
    const second = checkpoints.digest();
    expect(state.writes).toBe(1);
    expect(second).not.toBe(first);
    state.set(5, 1);
    expect(checkpoints.digest()).toBe(first);
  });
});
