// The configuration of this directory: a Kafka where KAFKA_BROKERS names one, else the embedded log below ./data.

import { defineConfig, directory, embedded, env, kafka } from '#jobs/config.ts';

export default defineConfig({
  namespace: 'millrace',
  log: env('KAFKA_BROKERS')
    ? kafka({ brokers: env('KAFKA_BROKERS'), replication: 1 })
    : embedded({ directory: './data/log' }),
  checkpoints: directory('./data/checkpoints'),
  http: { host: '127.0.0.1', port: 8081, advertise: undefined },
  slots: 2,
  jobs: {
    rollups: { module: './jobs/rollups.ts', parallelism: 2, commitInterval: '200ms', checkpointInterval: '60s' },
  },
});
