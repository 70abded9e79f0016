// Dead bytes and the number of segments stay bounded for ever, and what is rewritten stays in proportion.

import { describe, expect, it } from 'vitest';
import { chooseRewritten } from '#checkpoint/compaction.ts';
import type { CheckpointManifest } from '#checkpoint/contract.ts';
import { Cells } from '#test/checkpoint/cells.ts';
import { PowerDisk } from '#test/checkpoint/power-disk.ts';
import { Seeded } from '#test/checkpoint/seeded.ts';
import { acceptAll, checkpointsOn, confirmedAt, storeOn, taskDirectory } from '#test/checkpoint/world.ts';

const SEGMENT_BYTES = 4000;
const CHECKPOINTS = 150;
const CHANGES = 40;
/** A full page of these cells: eight of 20 bytes padding, slot and value, and what a record adds. */
const RECORD_BYTES = 8 * 24 + 30;
const RECORD_PER_BODY = 1.3;
/** Header and footer of a segment. */
const FILE_BYTES = 220;

describe('compaction', () => {
  it.each([
    ['a few hot pages beside many cold ones', (random: Seeded) => random.below(random.chance(95) ? 100 : 4000)],
    ['pages changed at random', (random: Seeded) => random.below(4000)],
    ['pages that come and go', (_: Seeded, entry: number, i: number) => (entry * 40 + i * 3) % 100_000],
  ])('bounds files and bytes with %s', async (_, pick) => {
    const disk = new PowerDisk();
    const random = new Seeded(7);
    const checkpoints = checkpointsOn(storeOn(disk), { keep: 1, segmentBytesMax: SEGMENT_BYTES });
    const state = new Cells('s', 1, 20).open(checkpoints);
    for (let cell = 0; cell < 4000; cell++) state.set(cell, cell);
    let written = 0;
    for (let entry = 1; entry <= CHECKPOINTS; entry++) {
      for (let i = 0; i < CHANGES; i++) state.set(pick(random, entry, i), entry);
      if (entry > 40) for (let i = 0; i < CHANGES; i++) state.delete(pick(random, entry - 40, i));
      const before = checkpoints.sizeBytes * RECORD_PER_BODY;
      const { name } = await confirmedAt(checkpoints, entry);
      await checkpoints.deleteListed(checkpoints.dead());
      const files = disk.files();
      const text = Buffer.from(files.get(`${taskDirectory}/${name}`)!).toString();
      const { segments } = JSON.parse(text) as CheckpointManifest;
      const live = checkpoints.sizeBytes * RECORD_PER_BODY;
      const full = Math.ceil(live / SEGMENT_BYTES);
      expect(segments.length).toBeLessThanOrEqual(16 + 4 * full + full);
      const bytes = segments.reduce((sum, segment) => sum + segment.lengthBytes, 0);
      expect(bytes).toBeLessThan(
        2 * Math.max(live, before) + 2 * CHANGES * RECORD_BYTES + segments.length * FILE_BYTES,
      );
      expect([...files.keys()].filter((path) => path.endsWith('.segment'))).toHaveLength(segments.length);
      if (entry === 1) continue;
      for (const segment of segments) if (segment.name.startsWith(name.slice(0, 16))) written += segment.lengthBytes;
    }
    const changed = CHECKPOINTS * 2 * CHANGES * RECORD_BYTES;
    expect(written).toBeLessThan(3 * changed);
    const next = checkpointsOn(storeOn(disk));
    const copy = new Cells('s', 1, 20).open(next);
    await next.restore(acceptAll);
    expect(copy.copy()).toEqual(state.copy());
    expect(next.digest()).toBe(checkpoints.digest());
  });

  it('bounds the number of files when nothing ever dies', async () => {
    const disk = new PowerDisk();
    const checkpoints = checkpointsOn(storeOn(disk), { keep: 1, segmentBytesMax: 1_000_000 });
    const state = new Cells('s').open(checkpoints);
    let most = 0;
    for (let entry = 1; entry <= 100; entry++) {
      state.set(entry * 8, entry);
      await confirmedAt(checkpoints, entry);
      await checkpoints.deleteListed(checkpoints.dead());
      most = Math.max(most, [...disk.files().keys()].filter((path) => path.endsWith('.segment')).length);
    }
    expect(most).toBeGreaterThan(10);
    expect(most).toBeLessThanOrEqual(16 + 4 + 1);
  });
});

describe('the choice of segments to rewrite', () => {
  const limits = { deadRatioMax: 0.5, segmentBytesMax: 1000, spareSegmentsMax: 4 };
  const segment = (recordBytes: number, liveBytes: number) => ({ recordBytes, liveBytes });

  it('takes none while at most half is dead', () => {
    expect(chooseRewritten([segment(100, 50), segment(100, 50)], limits)).toEqual([]);
    expect(chooseRewritten([], limits)).toEqual([]);
  });

  it('takes the worst until at most half is dead, and leaves whole ones alone', () => {
    const worst = segment(1000, 10);
    const whole = segment(100, 100);
    expect(chooseRewritten([whole, worst, segment(100, 40)], limits)).toEqual([worst]);
  });

  it('takes none that will vanish anyway', () => {
    expect(chooseRewritten([segment(1000, 0), segment(100, 100)], limits)).toEqual([]);
  });

  it('takes the smallest when there are too many, down to half of what is allowed', () => {
    const many = Array.from({ length: 9 }, (_, i) => segment(10 + i, 10 + i));
    const chosen = chooseRewritten(many, limits);
    expect(chosen).toHaveLength(5);
    expect(Math.max(...chosen.map((found) => found.liveBytes))).toBe(14);
    expect(chooseRewritten(many.slice(1), limits)).toEqual([]);
  });
});
