// A savepoint lives until it is deleted, whatever becomes of the checkpoints it was taken of; deleted, nothing of it stays.

import { describe, expect, it } from 'vitest';
import type { CheckpointStore } from '#checkpoint/contract.ts';
import { DirectoryStore } from '#checkpoint/directory-store.ts';
import { VerifiedCheckpoint } from '#checkpoint/restored-pages.ts';
import { readSavepointManifest, type Savepoint, Savepoints, savepointPlace } from '#checkpoint/savepoint.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { Cells } from '#test/checkpoint/cells.ts';
import { PowerCut, PowerDisk } from '#test/checkpoint/power-disk.ts';
import { acceptAll, checkpointsOn, confirmedAt, storeOn, task } from '#test/checkpoint/world.ts';

const neighbour = { ...task, partition: 4 };
const { namespace, job, run, generation, stage } = task;
const place = { namespace, job };

function savepointOf(id: string, manifests: readonly string[]): Savepoint {
  return {
    ...{ id, namespace, job, run, generation, version: 'v1', createdMs: 1, plan: { job } },
    tasks: manifests.map((manifest, index) => ({
      ...{ stage, partition: task.partition + index, manifest, entry: 1, chainHash: 'c', digest: 'd', sizeBytes: 1 },
      ...{ inputs: [], watermarkMs: null, clockMs: 1, schemaVersions: {} },
    })),
  };
}

/** Two tasks with some checkpoints, a savepoint of the second last of each. */
async function taken(
  store: CheckpointStore,
  id = 's1',
  after = 0,
): Promise<{ digests: string[]; manifests: string[] }> {
  const digests: string[] = [];
  const manifests: string[] = [];
  for (const identity of [task, neighbour]) {
    const checkpoints = checkpointsOn(store, { identity, keep: 1 });
    const cells = new Cells('cells').open(checkpoints);
    await checkpoints.restore(acceptAll);
    for (const entry of [1, 2, 3, 4]) {
      for (let cell = entry; cell < 200; cell += 3) cells.set(cell, entry * cell);
      const reference = await confirmedAt(checkpoints, after + entry);
      if (entry === 2) {
        await checkpoints.keepAs(id, reference);
        await checkpoints.keepAs(id, reference);
        digests.push(reference.digest);
        manifests.push(reference.name);
      }
      await checkpoints.deleteListed(checkpoints.dead());
      await checkpoints.deleteOrphans();
    }
  }
  await new Savepoints(store, place).write(savepointOf(id, manifests));
  return { digests, manifests };
}

async function digestOf(store: CheckpointStore, partition: number, manifest: string): Promise<string> {
  const identity = { ...task, partition };
  const found = await readSavepointManifest(store, identity, 's1', manifest);
  const read = (name: string) => store.read(savepointPlace(identity, 's1'), name);
  await VerifiedCheckpoint.of(manifest, found, read, 1 << 20);
  return found.digest;
}

describe('a savepoint', () => {
  it('is whole after the checkpoints it was taken of are deleted', async () => {
    const store = storeOn(new PowerDisk());
    const { digests, manifests } = await taken(store);
    expect((await store.list(task)).some((name) => manifests.includes(name))).toBe(false);
    expect(await new Savepoints(store, place).list()).toEqual(['s1']);
    expect(await new Savepoints(store, place).read('s1')).toEqual(savepointOf('s1', manifests));
    for (const [index, manifest] of manifests.entries()) {
      expect(await digestOf(store, task.partition + index, manifest)).toBe(digests[index]);
    }
  });

  it('is durable, whatever the power does once it is there', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const disk = new PowerDisk();
      const { digests, manifests } = await taken(storeOn(disk));
      disk.losePower(seed);
      const store = storeOn(disk);
      expect(await new Savepoints(store, place).list()).toEqual(['s1']);
      for (const [index, manifest] of manifests.entries()) {
        expect(await digestOf(store, task.partition + index, manifest)).toBe(digests[index]);
      }
    }
  });

  it('is copied where the file system gives no second names', async () => {
    const disk = new PowerDisk();
    disk.refuse = (operation) => (operation === 'link' ? 'EPERM' : null);
    const { digests, manifests } = await taken(storeOn(disk));
    for (const [index, manifest] of manifests.entries()) {
      expect(await digestOf(storeOn(disk), task.partition + index, manifest)).toBe(digests[index]);
    }
  });

  it('leaves nothing behind when it is deleted, nor does its deletion touch another', async () => {
    const disk = new PowerDisk();
    const store = storeOn(disk);
    await taken(store, 's2');
    const before = [...disk.files().keys()].filter((path) => path.includes('savepoint'));
    await taken(store, 's1', 10);
    const savepoints = new Savepoints(store, place);
    expect((await savepoints.list()).sort()).toEqual(['s1', 's2']);
    await savepoints.delete('s1');
    expect([...disk.files().keys()].filter((path) => path.includes('savepoint'))).toEqual(before);
    expect(await savepoints.list()).toEqual(['s2']);
    await expect(savepoints.read('s1')).rejects.toMatchObject({ code: 'savepoint-unknown' });
    await expect(savepoints.delete('s1')).rejects.toMatchObject({ code: 'savepoint-unknown' });
  });

  it('is there and whole, or not there, after a crash at any step of its deletion, which is then finished', async () => {
    let steps = 0;
    for (let cut = 1; ; cut++) {
      const disk = new PowerDisk();
      const { digests, manifests } = await taken(storeOn(disk));
      const others = [...disk.files().keys()].filter((path) => !path.includes('savepoint'));
      disk.cutAt = disk.operations + cut;
      const done = await new Savepoints(storeOn(disk), place).delete('s1').then(
        () => true,
        (error) => {
          if (error instanceof PowerCut || error instanceof StreamError) return false;
          throw error;
        },
      );
      if (done) break;
      steps++;
      disk.losePower(cut);
      const store = storeOn(disk);
      const savepoints = new Savepoints(store, place);
      if ((await savepoints.list()).includes('s1')) {
        for (const [index, manifest] of manifests.entries()) {
          expect(await digestOf(store, task.partition + index, manifest), `cut at ${cut}`).toBe(digests[index]);
        }
      }
      await savepoints.delete('s1').catch((error) => {
        if (error.code !== 'savepoint-unknown') throw error;
      });
      const left = [...disk.files().keys()].filter((path) => !path.endsWith('.tmp'));
      expect(left, `cut at ${cut}`).toEqual(others);
    }
    expect(steps).toBeGreaterThan(10);
  });

  it('that came to nothing is discarded', async () => {
    const disk = new PowerDisk();
    const store = new DirectoryStore({ root: '/data/checkpoints', disk });
    await taken(store);
    await new Savepoints(store, place).discard('s1', [task, neighbour]);
    expect([...disk.files().keys()].filter((path) => path.includes('savepoint.s1'))).toEqual([]);
  });
});
