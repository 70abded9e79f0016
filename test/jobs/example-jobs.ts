// Jobs that several tests use: the one of the style guide, one with functions, one keyed by labels.

import { defineJob, type JobDefinition } from '#jobs/define-job.ts';
import { by, mergedStats, samples, series, stats, topic, tumbling } from '#jobs/descriptions.ts';

export function styleGuideJob(): JobDefinition {
  return defineJob({
    name: 'rollups',
    source: samples({ topic: 'metrics.raw', partitionedBy: 'series', outOfOrderness: '5s', idleness: '30s' }),
    build: (raw) => {
      const minute = raw.keyBy(series).window('1m', tumbling('1m')).aggregate(stats());
      const hour = minute.window('1h', tumbling('1h')).aggregate(mergedStats());
      minute.to(topic('metrics.rollup.1m'));
      hour.to(topic('metrics.rollup.1h'));
    },
  });
}

/** A filter keeps a series where it is, a map does not. */
export function functionsJob(): JobDefinition {
  return defineJob({
    name: 'celsius',
    source: samples({ topic: 'metrics.raw', partitionedBy: 'producer', start: '2026-01-31T12:00:00Z' }),
    build: (raw) => {
      const production = raw.filter('production', (sample) => sample.labels['env'] === 'production');
      production
        .keyBy(series)
        .window('as-sent', tumbling('1m'))
        .aggregate(stats())
        .to(topic('production.1m', { partitions: 3 }));
      production
        .map('to-celsius', (sample) => ({ ...sample, value: ((sample.value - 32) * 5) / 9 }))
        .keyBy(series)
        .window('in-celsius', tumbling('1m'))
        .aggregate(stats())
        .to(topic('celsius.1m'));
    },
  });
}

/** Two sources, one of which may keep its series where they are. */
export function twoSourcesJob(): JobDefinition {
  return defineJob({
    name: 'both',
    sources: {
      hosts: samples({ topic: 'hosts.raw', partitionedBy: 'series' }),
      apps: samples({ topic: 'apps.raw', badRecords: 'skip' }),
    },
    build: ({ apps, hosts }) => {
      hosts.keyBy(series).window('hosts-1m', tumbling('1m')).aggregate(stats()).to(topic('hosts.1m'));
      apps.keyBy(series).window('apps-1m', tumbling('1m')).aggregate(stats()).to(topic('apps.1m'));
    },
  });
}

export function byLabelJob(): JobDefinition {
  return defineJob({
    name: 'by-service',
    source: samples({ topic: 'metrics.raw', partitionedBy: 'series', badRecords: 'skip', lateTopic: 'too-late' }),
    exchangePartitions: 6,
    build: (raw) => {
      const minute = raw
        .keyBy(by('service', 'region'))
        .window('minute', tumbling('1m', { allowedLateness: '2m' }))
        .aggregate(stats());
      minute.to(topic('service.1m'));
      minute.to(topic('service.copy'));
      minute.window('quarter', tumbling('15m')).aggregate(mergedStats()).to(topic('service.15m'));
    },
  });
}
