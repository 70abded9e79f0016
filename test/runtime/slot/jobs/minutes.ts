// One job three times: counts per minute of what passes through a function.

import { defineJob, type JobDefinition } from '#jobs/define-job.ts';
import { samples, series, stats, topic, tumbling } from '#jobs/descriptions.ts';

export function minutes(name: string, look: (value: number) => void): JobDefinition {
  return defineJob({
    name,
    source: samples({
      topic: 'metrics.raw',
      partitionedBy: 'producer',
      outOfOrderness: '0s',
      lateTopic: `${name}.late`,
      deadLetterTopic: `${name}.dead`,
    }),
    build: (raw) =>
      raw
        .filter('look', (sample) => {
          look(sample.value);
          return true;
        })
        .keyBy(series)
        .window('minute', tumbling('1m'))
        .aggregate(stats())
        .to(topic(`${name}.1m`)),
  });
}
