// State that is spread over other tasks: every key is in one of them, with all that was kept of it, however often it
// moves; nothing is taken from files that are damaged, and what cannot move is named.

import { describe, expect, it } from 'vitest';
import { integer, json, type StateCodec } from '#checkpoint/codecs.ts';
import type { AdoptedPart, StateFit, TaskIdentity } from '#checkpoint/contract.ts';
import { KeyedValues } from '#checkpoint/keyed-values.ts';
import { PageSwap } from '#checkpoint/page-swap.ts';
import { StateMemory } from '#checkpoint/state-memory.ts';
import { migrating } from '#checkpoint/state-migration.ts';
import type { TaskCheckpointsOptions } from '#checkpoint/task-checkpoints.ts';
import { SeriesTable } from '#operators/series/series-table.ts';
import { HeldRows } from '#operators/windows/held-rows.ts';
import { Batch } from '#runtime/task/contract.ts';
import { Cells } from '#test/checkpoint/cells.ts';
import { MemoryPages } from '#test/checkpoint/memory-pages.ts';
import { PowerDisk } from '#test/checkpoint/power-disk.ts';
import { Seeded } from '#test/checkpoint/seeded.ts';
import { acceptAll, checkpointsOn, confirmedAt, storeOn, task } from '#test/checkpoint/world.ts';

const FIT: StateFit = { tableOf: (stateId) => (stateId.startsWith('op/') ? 'in/series' : null) };
const SMALL: Partial<TaskCheckpointsOptions> = { segmentBytesMax: 400, restoreBytesMax: 0 };

/** One task: a table, values by key, rows that are held. */
class Task {
  readonly identity: TaskIdentity;
  readonly table = new SeriesTable({ stateId: 'in/series' });
  readonly values: KeyedValues<unknown[]>;
  readonly held = new HeldRows('op/rows', 'samples');
  readonly checkpoints;

  constructor(
    disk: PowerDisk,
    generation: number,
    partition: number,
    options: Partial<TaskCheckpointsOptions> = SMALL,
  ) {
    this.identity = { ...task, generation, partition };
    this.checkpoints = checkpointsOn(storeOn(disk), { identity: this.identity, ...options });
    this.values = new KeyedValues<unknown[]>('op/values', json<unknown[]>());
    this.table.open(this.checkpoints);
    this.values.open(this.checkpoints);
    this.held.open(this.checkpoints);
  }

  hold(slot: number, timeMs: number, value: number): void {
    const batch = new Batch(1);
    [batch.key[0], batch.timestampMs[0], batch.value[0]] = [slot, timeMs, value];
    [batch.originPartition[0], batch.originOffset[0], batch.count] = [1, value, 1];
    this.held.put(batch, 0);
  }

  async part(id: string): Promise<AdoptedPart> {
    const reference = await confirmedAt(this.checkpoints, 1);
    await this.checkpoints.keepAs(id, reference);
    return { identity: this.identity, savepoint: id, manifest: reference.name };
  }

  /** What there is of every key. */
  keys(): Map<string, string> {
    const found = new Map<string, string>();
    for (let slot = 0; slot < this.table.slotCount; slot++) {
      if (!this.table.isLive(slot)) continue;
      const rows = this.held.buckets.flatMap((bucket) =>
        Array.from(bucket.sorted(), (place) => [
          bucket.key[place],
          bucket.timeMs[place],
          bucket.values[place],
          bucket.originOffset[place],
        ]),
      );
      const own = rows.filter(([key]) => key === slot).map(([, ...row]) => row);
      found.set(this.table.canonicalBytes(slot).toString(), JSON.stringify([this.values.get(slot) ?? null, own]));
    }
    return found;
  }
}

async function spread(
  disk: PowerDisk,
  parts: readonly AdoptedPart[],
  generation: number,
  partitions: number,
  options?: (partition: number) => Partial<TaskCheckpointsOptions>,
): Promise<Task[]> {
  const tasks = Array.from(
    { length: partitions },
    (_, partition) => new Task(disk, generation, partition, options?.(partition)),
  );
  for (const [partition, one] of tasks.entries()) {
    await one.checkpoints.restore(acceptAll);
    await one.checkpoints.adopt({ parts, spread: { partition, partitions }, fit: FIT });
  }
  return tasks;
}

/** Tasks of generation 0 in which some keys came, went and came back. */
async function begun(disk: PowerDisk, partitions: number, seed = 1): Promise<Task[]> {
  const random = new Seeded(seed);
  const all = new Task(disk, 99, 0, {});
  const tasks = await spread(disk, [], 0, partitions);
  for (let i = 0; i < 300; i++) {
    const name = Buffer.from(`cpu{host="h-${random.below(120)}"}`);
    const hash = all.table.hash(all.table.slotOf(name));
    const one = tasks[(hash & 0x7fffffff) % partitions];
    const slot = one.table.slotOf(name);
    one.table.markSeen(Int32Array.of(slot), 1);
    one.values.set(slot, [i, name.toString()]);
    if (random.chance(30)) one.hold(slot, 1_700_000_000_000 + random.below(3_000), i);
    if (random.chance(5)) one.table.evict((used) => one.values.has(used) || one.held.usesKey(used));
    if (random.chance(10)) one.values.delete(slot);
  }
  return tasks;
}

function together(tasks: readonly Task[]): Map<string, string> {
  const all = tasks.flatMap((one) => [...one.keys()]);
  const found = new Map(all.sort(([a], [b]) => (a < b ? -1 : 1)));
  expect(found.size, 'no key is in two tasks').toBe(all.length);
  return found;
}

const parts = (tasks: readonly Task[], id: string) => Promise.all(tasks.map((one) => one.part(id)));

describe('state that moves to other tasks', () => {
  it('is all there, key by key, after moves from 3 tasks to 5 to 2', async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const disk = new PowerDisk();
      const three = await begun(disk, 3, seed);
      const before = together(three);
      expect(before.size).toBeGreaterThan(50);
      const five = await spread(disk, await parts(three, 's1'), 1, 5);
      expect(together(five)).toEqual(before);
      const two = await spread(disk, await parts(five, 's2'), 2, 2);
      expect(together(two)).toEqual(before);
      for (const [partition, one] of two.entries()) {
        for (let slot = 0; slot < one.table.slotCount; slot++) {
          if (one.table.isLive(slot)) expect((one.table.hash(slot) & 0x7fffffff) % 2).toBe(partition);
        }
      }
      // What was taken over is in their checkpoints.
      const again = new Task(disk, 2, 1);
      await again.checkpoints.restore(acceptAll);
      expect(again.keys().size).toBe(0);
      await parts(two, 's3');
      const restored = new Task(disk, 2, 1);
      await restored.checkpoints.restore(acceptAll);
      expect(restored.keys()).toEqual(two[1].keys());
      expect(restored.checkpoints.digest()).toBe(two[1].checkpoints.digest());
    }
  });

  it('is the same every time, whatever of it fits into memory', async () => {
    const disk = new PowerDisk();
    const from = await parts(await begun(disk, 3), 's1');
    const inMemory = await spread(disk, from, 1, 2, () => ({}));
    const memory = new StateMemory(4_000);
    const swapped = await spread(disk, from, 1, 2, () => ({
      ...SMALL,
      swap: new PageSwap({ memory, open: async () => new MemoryPages() }),
    }));
    for (const [partition, one] of swapped.entries()) {
      await one.checkpoints.relieve();
      expect(one.checkpoints.memory()?.pagesSwapped).toBeGreaterThan(0);
      expect(one.checkpoints.digest()).toBe(inMemory[partition].checkpoints.digest());
    }
    expect(together(swapped)).toEqual(together(inMemory));
  });

  it('moves as a whole where keys stay', async () => {
    const disk = new PowerDisk();
    const [one] = await begun(disk, 1);
    const to = new Task(disk, 1, 0);
    await to.checkpoints.restore(acceptAll);
    await to.checkpoints.adopt({ parts: [await one.part('s1')], spread: null, fit: FIT });
    expect(to.keys()).toEqual(one.keys());
  });

  it('lets keys be forgotten that were about to be, and no others', async () => {
    const disk = new PowerDisk();
    const one = new Task(disk, 0, 0);
    await one.checkpoints.restore(acceptAll);
    const mark = (...names: string[]) =>
      one.table.markSeen(
        Int32Array.from(names, (name) => one.table.slotOfText(name)),
        names.length,
      );
    mark('old', 'before', 'now');
    one.table.evict(() => true);
    one.table.evict(() => true);
    mark('before');
    one.table.evict(() => true);
    mark('now');
    const to = new Task(disk, 1, 0);
    await to.checkpoints.restore(acceptAll);
    await to.checkpoints.adopt({ parts: [await one.part('s1')], spread: null, fit: FIT });
    to.table.evict(() => false);
    expect([...to.keys().keys()].sort()).toEqual(['before', 'now']);
    to.table.evict(() => false);
    expect([...to.keys().keys()]).toEqual(['now']);
  });
});

describe('state that is not taken over', () => {
  it('lies in files that are damaged, any of them', async () => {
    const disk = new PowerDisk();
    const from = await parts(await begun(disk, 2), 's1');
    const paths = [...disk.files().keys()].filter((path) => path.includes('savepoint.s1'));
    expect(paths.length).toBeGreaterThan(6);
    for (const path of paths) {
      const bytes = disk.files().get(path) as Uint8Array;
      const damaged = Uint8Array.from(bytes);
      damaged[damaged.length >> 1] ^= 1;
      disk.tamper(path, damaged);
      await expect(spread(disk, from, 1, 2), path).rejects.toMatchObject({ code: 'checkpoint-corrupt' });
      disk.tamper(path, bytes);
    }
    await spread(disk, from, 1, 2);
  });

  it('is of a kind that cannot move, and is named', async () => {
    const disk = new PowerDisk();
    const one = checkpointsOn(storeOn(disk));
    new Cells('sums/minutes').open(one).set(1, 1);
    await one.restore(acceptAll);
    const reference = await confirmedAt(one, 1);
    await one.keepAs('s1', reference);
    const to = checkpointsOn(storeOn(disk), { identity: { ...task, generation: 2 } });
    new Cells('sums/minutes').open(to);
    await to.restore(acceptAll);
    const adoption = { parts: [{ identity: task, savepoint: 's1', manifest: reference.name }], spread: null, fit: {} };
    await expect(to.adopt(adoption)).rejects.toMatchObject({
      code: 'state-not-movable',
      message: expect.stringContaining("'sums/minutes'"),
    });
  });

  it('has another schema without a migration; with one it is migrated on its way', async () => {
    const disk = new PowerDisk();
    const [one] = await begun(disk, 1);
    const from = await one.part('s1');
    const move = async (codec: StateCodec<number>) => {
      const to = checkpointsOn(storeOn(disk), { identity: { ...task, generation: 7 } });
      const table = new SeriesTable({ stateId: 'in/series' });
      const values = new KeyedValues<number>('op/values', codec);
      table.open(to);
      values.open(to);
      new HeldRows('op/rows', 'samples').open(to);
      await to.restore(acceptAll);
      await to.adopt({ parts: [from], spread: null, fit: FIT });
      return [...values.entries()].map(([, value]) => value).sort((a, b) => a - b);
    };
    await expect(move(integer())).rejects.toMatchObject({ code: 'version-mismatch' });
    const moved = await move(migrating(integer(), { from: json<[number, string]>(), migrate: ([n]) => n }));
    const was = [...one.values.entries()].map(([, [n]]) => n as number).sort((a, b) => a - b);
    expect(moved).toEqual(was);
  });
});
