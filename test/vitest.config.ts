// How vitest runs the tests; paths are relative to the repository.

import { defineConfig } from 'vitest/config';
import { LongFirst } from './sequence.ts';

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/harness/kafka-global.ts'],
    // Only what hangs should meet it: a busy machine is no failure.
    testTimeout: 180_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    sequence: { sequencer: LongFirst },
  },
});
