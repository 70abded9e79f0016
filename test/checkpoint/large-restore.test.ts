import { describe, expect, it } from 'vitest';
import type { CheckpointStore } from '#checkpoint/contract.ts';
import { Cells } from '#test/checkpoint/cells.ts';
import { PowerDisk } from '#test/checkpoint/power-disk.ts';
import { acceptAll, checkpointsOn, confirmedAt, storeOn } from '#test/checkpoint/world.ts';

const IDS = ['panes/1m', 'names/table'];

/** Three checkpoints over many segments; pages lie in no order, some twice, some in older files. */
async function filled(disk: PowerDisk): Promise<{ readonly models: ReadonlyMap<number, number>[]; digest: string }> {
  const checkpoints = checkpointsOn(storeOn(disk), { segmentBytesMax: 200 });
  const states = IDS.map((id) => new Cells(id).open(checkpoints));
  const set = (from: number, step: number, value: number) => {
    for (let cell = from; cell >= 0; cell -= step) for (const state of states) state.set(cell, value + cell);
  };
  set(399, 1, 1);
  await confirmedAt(checkpoints, 1);
  set(390, 24, 5_000);
  await confirmedAt(checkpoints, 2);
  set(800, 40, 9_000);
  const { digest } = await confirmedAt(checkpoints, 3);
  return { models: states.map((state) => state.copy()), digest };
}

/** Counts reads per file, and gives what `change` makes of the bytes of the nth read. */
function watched(inner: CheckpointStore, change: (name: string, read: number, bytes: Uint8Array) => Uint8Array) {
  const reads = new Map<string, number>();
  const store: CheckpointStore = {
    requireWritable: (token) => inner.requireWritable(token),
    readInstallation: () => inner.readInstallation(),
    writeInstallation: (id) => inner.writeInstallation(id),
    list: (task) => inner.list(task),
    write: (task, name, bytes) => inner.write(task, name, bytes),
    remove: (task, names) => inner.remove(task, names),
    copy: (from, to, name) => inner.copy(from, to, name),
    async read(task, name) {
      const count = (reads.get(name) ?? 0) + 1;
      reads.set(name, count);
      return change(name, count, await inner.read(task, name));
    },
  };
  return { reads, store };
}

const unchanged = (_name: string, _read: number, bytes: Uint8Array) => bytes;

function flipped(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[copy.length >> 1] ^= 4;
  return copy;
}

const segmentReads = (reads: ReadonlyMap<string, number>) =>
  [...reads].filter(([name]) => name.endsWith('.segment')).map(([, count]) => count);

describe('restore', () => {
  for (const restoreBytesMax of [0, 700, 1e9]) {
    it(`gives states that want it their pages in order, of any segment, with ${restoreBytesMax} bytes held`, async () => {
      const disk = new PowerDisk();
      const { models, digest } = await filled(disk);
      const { store, reads } = watched(storeOn(disk), unchanged);
      const checkpoints = checkpointsOn(store, { restoreBytesMax });
      const states = IDS.map((id) => new Cells(id).open(checkpoints));
      await checkpoints.restore(acceptAll);
      for (const [i, state] of states.entries()) {
        expect(state.copy()).toEqual(models[i]);
        expect(state.restoredPages).toEqual([...state.restoredPages].sort((a, b) => a - b));
        expect(state.restoredPages.length).toBeGreaterThan(60);
      }
      expect(checkpoints.digest()).toBe(digest);
      const counts = segmentReads(reads);
      expect(counts.length).toBeGreaterThan(10);
      if (restoreBytesMax === 0) expect(new Set(counts)).toEqual(new Set([2]));
      else expect(new Set(counts)).toEqual(new Set(restoreBytesMax === 700 ? [1, 2] : [1]));
    });
  }

  it('passes a damaged checkpoint over before any state has seen a page of it', async () => {
    const disk = new PowerDisk();
    await filled(disk);
    const newest = (name: string) => name.startsWith('0000000000000003') && name.endsWith('.segment');
    const { store } = watched(storeOn(disk), (name, _, bytes) => (newest(name) ? flipped(bytes) : bytes));
    const checkpoints = checkpointsOn(store, { restoreBytesMax: 0 });
    const states = IDS.map((id) => new Cells(id).open(checkpoints));
    const { manifest } = await checkpoints.restore(acceptAll);
    expect(manifest?.entry).toBe(2);
    expect(states[0].copy().get(800)).toBeUndefined();
    expect(states[0].copy().get(390)).toBe(5_390);
  });

  it('fails, to be tried again, when a file is not what it was a moment before', async () => {
    const disk = new PowerDisk();
    await filled(disk);
    const { store } = watched(storeOn(disk), (_, read, bytes) => (read === 2 ? flipped(bytes) : bytes));
    const checkpoints = checkpointsOn(store, { restoreBytesMax: 0 });
    for (const id of IDS) new Cells(id).open(checkpoints);
    const refused = expect(checkpoints.restore(acceptAll)).rejects;
    await refused.toMatchObject({ code: 'disk-failed', message: /whole when it was read before/ });
  });
});
