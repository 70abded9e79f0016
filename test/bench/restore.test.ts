// State comes back after a kill, every key of it, and tasks that have some move to other slots.

import { expect, test } from 'vitest';
import { measureRestore } from './restore.ts';

test.each(['rollups', 'keyed'] as const)('a killed process has its keys again, and moves them: %s', async (kind) => {
  const measure = await measureRestore({ kind, keys: 2_000, partitions: 4, progress: () => {} });
  expect(measure.keysSeen).toBeGreaterThanOrEqual(2_000);
  expect(measure.stateMib).toBeGreaterThan(0);
  expect(measure.pausesMs.length).toBeGreaterThan(0);
  for (const pauseMs of measure.pausesMs) expect(pauseMs).toBeGreaterThan(0);
});
