// Damage of every kind is found, said with file and reason, and the checkpoint before is used.

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { CheckpointManifest } from '#checkpoint/contract.ts';
import { sealJson } from '#checkpoint/sealed-json.ts';
import { Cells } from '#test/checkpoint/cells.ts';
import { PowerDisk } from '#test/checkpoint/power-disk.ts';
import {
  acceptAll,
  checkpointsOn,
  confirmedAt,
  Notebook,
  storeOn,
  task,
  taskDirectory,
} from '#test/checkpoint/world.ts';

/** Three checkpoints of one attempt: every cell of the state holds the entry's number, and all pages change. */
async function threeCheckpoints(): Promise<{ disk: PowerDisk; manifests: string[]; segments: string[] }> {
  const disk = new PowerDisk();
  const checkpoints = checkpointsOn(storeOn(disk));
  const state = new Cells('panes/1m').open(checkpoints);
  for (let entry = 1; entry <= 3; entry++) {
    for (let cell = 0; cell < 20; cell++) state.set(cell, entry);
    await confirmedAt(checkpoints, entry);
  }
  const paths = [...disk.files().keys()].sort();
  const manifests = paths.filter((path) => path.endsWith('.manifest.json'));
  const segments = paths.filter((path) => path.endsWith('.segment'));
  expect([manifests.length, segments.length]).toEqual([3, 3]);
  return { disk, manifests, segments };
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function restored(disk: PowerDisk) {
  const logger = new Notebook();
  const checkpoints = checkpointsOn(storeOn(disk), { logger });
  const state = new Cells('panes/1m').open(checkpoints);
  const { manifest, stored } = await checkpoints.restore(acceptAll);
  const values = new Set(state.copy().values());
  return { entry: manifest?.entry ?? null, values: [...values], stored, warnings: logger.warnings, checkpoints };
}

describe('damaged checkpoints', () => {
  it('are found when any bit of any byte of a manifest is flipped', async () => {
    const { disk, manifests } = await threeCheckpoints();
    const whole = disk.files().get(manifests[2])!;
    for (let at = 0; at < whole.length; at++) {
      const flipped = Uint8Array.from(whole);
      flipped[at] ^= 1 << (at % 8);
      disk.tamper(manifests[2], flipped);
      const { entry, values, stored, warnings } = await restored(disk);
      expect([entry, values, stored], `byte ${at}`).toEqual([2, [2], 3]);
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain(manifests[2].slice(taskDirectory.length + 1));
      expect(warnings[0]).toContain('fails its checksum');
    }
  });

  it('are found when any bit of any byte of a segment is flipped', async () => {
    const { disk, segments } = await threeCheckpoints();
    const whole = disk.files().get(segments[2])!;
    for (let at = 0; at < whole.length; at++) {
      const flipped = Uint8Array.from(whole);
      flipped[at] ^= 1 << (at % 8);
      disk.tamper(segments[2], flipped);
      const { entry, values, warnings } = await restored(disk);
      expect([entry, values], `byte ${at}`).toEqual([2, [2]]);
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain(segments[2].slice(taskDirectory.length + 1));
      expect(warnings[0]).toContain('SHA-256');
    }
  });

  it.each(['manifests', 'segments'] as const)('are found at every length that %s are cut to', async (kind) => {
    const files = await threeCheckpoints();
    const path = files[kind][2];
    const whole = files.disk.files().get(path)!;
    for (let length = 0; length < whole.length; length++) {
      files.disk.tamper(path, whole.slice(0, length));
      const { entry, warnings } = await restored(files.disk);
      expect(entry, `length ${length}`).toBe(2);
      expect(warnings).toHaveLength(1);
    }
    files.disk.tamper(path, Uint8Array.from([...whole, 32]));
    expect((await restored(files.disk)).entry).toBe(2);
  });

  it('are found when a segment is missing, a manifest is missing, or a manifest is no JSON', async () => {
    const first = await threeCheckpoints();
    first.disk.tamper(first.segments[2], null);
    const noSegment = await restored(first.disk);
    expect(noSegment.entry).toBe(2);
    expect(noSegment.warnings.join()).toMatch(/0000000000000003-.*segment' is missing/);

    const second = await threeCheckpoints();
    second.disk.tamper(second.manifests[2], null);
    const noManifest = await restored(second.disk);
    expect([noManifest.entry, noManifest.stored]).toEqual([2, 2]);
    expect(noManifest.warnings.join()).toMatch(/no manifest.*0000000000000003-.*manifest\.json/);

    const third = await threeCheckpoints();
    third.disk.tamper(third.manifests[2], Buffer.from('certainly not JSON'));
    expect((await restored(third.disk)).entry).toBe(2);
    third.disk.tamper(third.manifests[1], Buffer.from('{}'));
    expect((await restored(third.disk)).entry).toBe(1);
    third.disk.tamper(third.manifests[0], new Uint8Array(0));
    const none = await restored(third.disk);
    expect([none.entry, none.stored, none.values]).toEqual([null, 3, []]);
    expect(none.warnings).toHaveLength(3);
  });

  it('are found when a whole manifest or segment is another one', async () => {
    const { disk, manifests, segments } = await threeCheckpoints();
    disk.tamper(manifests[2], disk.files().get(manifests[0])!);
    const misnamed = await restored(disk);
    expect(misnamed.entry).toBe(2);
    expect(misnamed.warnings.join()).toContain('is misnamed');
    disk.tamper(segments[1], disk.files().get(segments[0])!);
    expect((await restored(disk)).entry).toBe(1);
  });

  it('of another task are not taken', async () => {
    const { disk } = await threeCheckpoints();
    const other = { ...task, partition: 4 };
    const store = storeOn(disk);
    for (const name of await store.list(task)) await store.write(other, name, await store.read(task, name));
    const logger = new Notebook();
    const checkpoints = checkpointsOn(store, { logger, identity: other });
    new Cells('panes/1m').open(checkpoints);
    expect((await checkpoints.restore(acceptAll)).manifest).toBeNull();
    expect(logger.warnings.join()).toContain('belongs to another task');
  });

  it('are found when the manifest is sealed anew around a lie', async () => {
    const { disk, manifests, segments } = await threeCheckpoints();
    const honest = disk.files().get(manifests[2])!;
    const { sha256: _, ...manifest } = JSON.parse(Buffer.from(honest).toString());
    const reasonFor = async (lie: object) => {
      disk.tamper(manifests[2], sealJson({ ...manifest, ...lie }));
      const { entry, warnings } = await restored(disk);
      expect(entry).toBe(2);
      return warnings.join();
    };
    const [segment] = manifest.segments;
    const other = disk.files().get(segments[1])!;
    const older = { ...segment, name: segments[1].slice(taskDirectory.length + 1), sha256: sha256(other) };
    const digest = '0123456789abcdef0123456789abcdef';
    expect(await reasonFor({ digest })).toContain('another digest');
    expect(await reasonFor({ segments: [{ ...segment, live: 'BQ==' }] })).toContain('another digest');
    expect(await reasonFor({ segments: [{ ...segment, live: 'DQ==' }] })).toContain('beyond the last');
    expect(await reasonFor({ segments: [{ ...segment, live: 'BQAA' }] })).toContain('a bitmap of 3 bytes');
    expect(await reasonFor({ segments: [{ ...segment, records: 4 }] })).toContain('has 3 records, not 4');
    expect(await reasonFor({ segments: [older] })).toContain('another digest');
    expect(await reasonFor({ segments: [segment, older] })).toContain('twice');
    expect(await reasonFor({ segments: [] })).toContain('another digest');
    expect(await reasonFor({ schemaVersions: { other: 1 } })).toContain('does not list');

    const changed = Uint8Array.from(disk.files().get(segments[2])!);
    changed[changed.length - 40] ^= 1;
    disk.tamper(segments[2], changed);
    expect(await reasonFor({ segments: [{ ...segment, sha256: sha256(changed) }] })).toContain('fails its hash');
  });

  it('are not what a newer version wrote: nothing is restored in its place, and nothing of it deleted', async () => {
    const { disk, manifests } = await threeCheckpoints();
    const { sha256: _, ...manifest } = JSON.parse(Buffer.from(disk.files().get(manifests[2])!).toString());
    disk.tamper(manifests[2], sealJson({ ...manifest, format: 2 }));
    const before = [...disk.files().keys()];
    await expect(restored(disk)).rejects.toMatchObject({
      code: 'checkpoint-unsupported',
      retryable: false,
      message: expect.stringMatching(/manifest\.json' has format 2, this version reads 1$/),
      remedy: expect.stringMatching(/^start with the version of Millrace that wrote it/),
    });
    expect([...disk.files().keys()]).toEqual(before);
  });

  it('are neither kept nor built upon', async () => {
    const { disk, segments, manifests } = await threeCheckpoints();
    disk.tamper(segments[2], disk.files().get(segments[2])!.slice(1));
    const { checkpoints } = await restored(disk);
    expect(checkpoints.kept().map((reference) => reference.entry)).toEqual([1, 2]);
    await confirmedAt(checkpoints, 3);
    expect(checkpoints.kept().map((reference) => reference.entry)).toEqual([1, 2, 3]);
    const named = checkpoints.dead();
    expect(named).toEqual([]);
    await checkpoints.deleteOrphans();
    expect(disk.files().has(manifests[2])).toBe(false);
    expect(disk.files().has(segments[2])).toBe(false);
    const again = await restored(disk);
    expect([again.entry, again.values, again.warnings]).toEqual([3, [2], []]);
  });

  it('older than the restored one do not count as kept when files are missing', async () => {
    const { disk, segments } = await threeCheckpoints();
    disk.tamper(segments[0], null);
    const { entry, checkpoints, warnings } = await restored(disk);
    expect(entry).toBe(3);
    expect(checkpoints.kept().map((reference) => reference.entry)).toEqual([2, 3]);
    expect(warnings.join()).toContain('is missing');
  });

  it('is what a disk that does not answer is not: the task tries again', async () => {
    const { disk, segments } = await threeCheckpoints();
    disk.refuse = (operation, path) => (operation === 'readFile' && path === segments[2] ? 'EIO' : null);
    await expect(restored(disk)).rejects.toMatchObject({ code: 'disk-failed', retryable: true });
  });
});

describe('checkpoints that do not fit the job', () => {
  async function restoreWith(states: readonly Cells[], tamper?: (manifest: CheckpointManifest) => boolean) {
    const { disk } = await threeCheckpoints();
    const checkpoints = checkpointsOn(storeOn(disk));
    for (const state of states) state.open(checkpoints);
    return checkpoints.restore(tamper ?? acceptAll);
  }

  it('stop the task and name a state whose schema changed', async () => {
    await expect(restoreWith([new Cells('panes/1m', 2)])).rejects.toMatchObject({
      code: 'version-mismatch',
      message: expect.stringContaining("state 'panes/1m' has schema 1, its operator has 2"),
    });
  });

  it('stop the task and name a state that nobody registered', async () => {
    await expect(restoreWith([new Cells('panes/renamed')])).rejects.toMatchObject({
      code: 'version-mismatch',
      message: expect.stringContaining("state 'panes/1m' belongs to no operator"),
    });
  });

  it('let a new state begin empty', async () => {
    const added = new Cells('added');
    const old = new Cells('panes/1m');
    expect((await restoreWith([added, old])).manifest?.entry).toBe(3);
    expect([added.copy().size, old.copy().size]).toEqual([0, 20]);
  });

  it('are read page by page in ascending order', async () => {
    const state = new Cells('panes/1m');
    await restoreWith([state]);
    expect(state.restoredPages).toEqual([0, 1, 2]);
  });

  it('give back every field of the moment they were captured at', async () => {
    const disk = new PowerDisk();
    const checkpoints = checkpointsOn(storeOn(disk));
    await confirmedAt(checkpoints, 0);
    const { manifest } = await checkpointsOn(storeOn(disk)).restore(acceptAll);
    expect(manifest).toMatchObject({
      format: 1,
      identity: task,
      entry: 0,
      chainHash: 'chain-0',
      entryOffset: '0',
      version: 'v1',
      inputs: [{ topic: 'metrics.raw', topicId: 'id', partition: 3, endOffset: '0' }],
      clockMs: 1_700_000_000_000,
      watermarkMs: Number.NEGATIVE_INFINITY,
      task: { contributions: [1, null, 'x'] },
      createdMs: 1_700_000_000_000,
    });
  });
});
