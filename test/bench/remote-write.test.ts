import { expect, test } from 'vitest';
import { benchRemoteWrite, withSinkServer } from '#test/bench/remote-write.ts';

test.each(['final', 'replaceable'] as const)(
  'the benchmark of remote writes sends everything once: %s',
  async (mode) => {
    await withSinkServer(async (url) => {
      const shape = { mode, series: 50, rounds: 20, recordsPerBatch: 70 };
      const samples = await benchRemoteWrite({ ...shape, reads: 'samples' }, url);
      const rows = await benchRemoteWrite({ ...shape, reads: 'rows' }, url);
      // Final targets hold what no later time has made final.
      const held = mode === 'final' ? 50 : 0;
      expect([samples.samples, rows.samples]).toEqual([50 * 20 - held, 8 * (50 * 20 - held)]);
      expect(samples.requests).toBeGreaterThan(0);
    });
  },
);
