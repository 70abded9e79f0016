// An installation of three jobs over one source: one that is well, one whose function throws, one that ends its slot once.

import { defineConfig, directory, embedded } from '#jobs/config.ts';

export default defineConfig({
  log: embedded({ directory: 'data/log' }),
  checkpoints: directory('data/checkpoints'),
  slots: 2,
  jobs: {
    steady: { module: './steady.ts', parallelism: 2, checkpointInterval: '1s' },
    throwing: { module: './throwing.ts', parallelism: 2 },
    deadly: { module: './deadly.ts', parallelism: 2 },
  },
});
