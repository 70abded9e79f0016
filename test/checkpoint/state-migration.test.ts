// State that was written with an older schema is read by whoever has a migration from it, and by nobody else; state whose
// operator is gone is dropped only where that is allowed.

import { describe, expect, it } from 'vitest';
import { integer, json, list, map, type StateCodec, text } from '#checkpoint/codecs.ts';
import type { StateFit } from '#checkpoint/contract.ts';
import { KeyedValues } from '#checkpoint/keyed-values.ts';
import { migrating, versioned } from '#checkpoint/state-migration.ts';
import { Cells } from '#test/checkpoint/cells.ts';
import { PowerDisk } from '#test/checkpoint/power-disk.ts';
import { acceptAll, checkpointsOn, confirmedAt, storeOn } from '#test/checkpoint/world.ts';

interface Seen {
  readonly count: number;
  readonly names: readonly string[];
}

const fromInteger = { from: integer(), migrate: (count: number): Seen => ({ count, names: [] }) };

/** A checkpoint of some values at entry 1. */
async function written<V extends NonNullable<unknown>>(codec: StateCodec<V>, values: ReadonlyMap<number, V>) {
  const disk = new PowerDisk();
  const checkpoints = checkpointsOn(storeOn(disk));
  const state = new KeyedValues<V>('op/state', codec);
  state.open(checkpoints);
  const other = new Cells('other/cells').open(checkpoints);
  await checkpoints.restore(acceptAll);
  for (const [slot, value] of values) state.set(slot, value);
  for (let cell = 0; cell < 100; cell++) other.set(cell, cell);
  await confirmedAt(checkpoints, 1);
  return disk;
}

async function restored<V extends NonNullable<unknown>>(disk: PowerDisk, codec: StateCodec<V>, fit?: StateFit) {
  const checkpoints = checkpointsOn(storeOn(disk));
  const state = new KeyedValues<V>('op/state', codec);
  state.open(checkpoints);
  new Cells('other/cells').open(checkpoints);
  const { manifest } = await checkpoints.restore(acceptAll, fit);
  return { checkpoints, state, manifest, values: new Map(state.entries()) };
}

function numbers(count: number): Map<number, number> {
  return new Map(Array.from({ length: count }, (_, i) => [i * 3, i * i] as const));
}

describe('a state with a migration', () => {
  const codec = migrating(json<Seen>(), fromInteger);
  const migrated = new Map([...numbers(200)].map(([slot, count]) => [slot, { count, names: [] }] as const));

  it('reads what it was, and is written as it is now', async () => {
    const disk = await written(integer(), numbers(200));
    const first = await restored(disk, codec);
    expect(first.values).toEqual(migrated);
    // Not written yet: migrated once more.
    expect((await restored(disk, codec)).values).toEqual(migrated);
    await confirmedAt(first.checkpoints, 2);
    const plain = await restored(disk, json<Seen>());
    expect(plain.manifest?.entry).toBe(2);
    expect(plain.values).toEqual(migrated);
    const fresh = await restored(await written(json<Seen>(), migrated), json<Seen>());
    expect(plain.checkpoints.digest()).toBe(fresh.checkpoints.digest());
  });

  it('may have been something else before, and something else before that', async () => {
    const second = migrating(versioned(json<{ total: number }>(), 2), {
      from: codec,
      migrate: ({ count }: Seen) => ({ total: count }),
    });
    const disk = await written(integer(), numbers(40));
    expect([...(await restored(disk, second)).values.values()]).toEqual(
      [...numbers(40).values()].map((total) => ({ total })),
    );
    const again = await written(json<Seen>(), migrated);
    expect((await restored(again, second)).values.size).toBe(migrated.size);
  });

  it('is read within lists and maps', async () => {
    const values = new Map([[7, [1, 2, 3]]]);
    const lists = await restored(await written(list(integer()), values), list(codec));
    expect(lists.values.get(7)).toEqual([1, 2, 3].map((count) => ({ count, names: [] })));
    const maps = await restored(
      await written(map(text(), integer()), new Map([[9, new Map([['a', 4]])]])),
      map(text(), codec),
    );
    expect(maps.values.get(9)).toEqual(new Map([['a', { count: 4, names: [] }]]));
  });

  it('refuses what it never was, by name', async () => {
    const disk = await written(text(), new Map([[1, 'x']]));
    await expect(restored(disk, codec)).rejects.toMatchObject({
      code: 'version-mismatch',
      message: expect.stringContaining("state 'op/state' has schema"),
      remedy: expect.stringContaining('a migration from what it was'),
    });
    await expect(restored(disk, versioned(text(), 2))).rejects.toMatchObject({ code: 'version-mismatch' });
  });

  it('names itself when its migration throws, or gives what it cannot hold', async () => {
    const disk = await written(integer(), numbers(3));
    const throwing = migrating(json<Seen>(), { from: integer(), migrate: () => expect.fail('no such name') });
    await expect(restored(disk, throwing)).rejects.toMatchObject({
      code: 'operator-failed',
      message: expect.stringMatching(/state 'op\/state': the migration of a state from integer threw.*no such name/),
    });
    const wrong = migrating(integer(), { from: integer(), migrate: (n: number) => n });
    expect(wrong.readOlder?.(integer().schemaVersion)).not.toBeNull();
    const lossy = migrating(json<number>(), { from: integer(), migrate: () => Number.NaN });
    await expect(restored(disk, lossy)).rejects.toMatchObject({ code: 'operator-failed' });
  });
});

describe('a state whose operator is gone', () => {
  async function without(disk: PowerDisk, fit?: StateFit) {
    const checkpoints = checkpointsOn(storeOn(disk));
    const cells = new Cells('other/cells').open(checkpoints);
    await checkpoints.restore(acceptAll, fit);
    return { checkpoints, cells };
  }

  it('is dropped where that is allowed, for good', async () => {
    const disk = await written(integer(), numbers(200));
    await expect(without(disk)).rejects.toMatchObject({
      code: 'version-mismatch',
      remedy: expect.stringContaining('allow dropped state'),
    });
    const { checkpoints, cells } = await without(disk, { allowDropped: true });
    expect(cells.copy().size).toBe(100);
    cells.set(3, 33);
    const { digest } = await confirmedAt(checkpoints, 2);
    const next = await without(disk);
    expect(next.cells.copy().get(3)).toBe(33);
    expect(next.checkpoints.digest()).toBe(digest);
  });

  it('cannot take the keys away from a state that is kept', async () => {
    const disk = await written(integer(), numbers(200));
    const fit: StateFit = { allowDropped: true, tableOf: (stateId) => (stateId === 'op/state' ? 'now/keys' : null) };
    await expect(restored(disk, integer(), fit)).rejects.toMatchObject({
      message: expect.stringContaining("state 'op/state' is kept by the keys of 'now/keys'"),
    });
  });
});
