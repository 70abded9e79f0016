// Owns the job that is measured against its peers: the same windows, aggregates and guarantee as theirs. Their input
// keeps each series on one partition by a hash of its own, so nothing is exchanged.

import { defineJob, type JobDefinition } from '#jobs/define-job.ts';
import { samples, series, stats, topic, tumbling } from '#jobs/descriptions.ts';

export interface RollupOptions {
  readonly source: string;
  readonly output: string;
}

export default function rollup({ source, output }: RollupOptions): JobDefinition {
  return defineJob({
    name: 'rollup-1m',
    // The input lies at a fixed time, which may be ahead of this machine's clock.
    source: samples({ topic: source, partitionedBy: 'producer', outOfOrderness: '5s', maxSkew: '366d' }),
    build: (raw) => {
      raw.keyBy(series).window('1m', tumbling('1m')).aggregate(stats()).to(topic(output));
    },
  });
}
