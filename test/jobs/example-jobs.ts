// Jobs that several tests use: the one of the style guide, one with functions, one keyed by labels.

import { integer } from '#checkpoint/codecs.ts';
import { defineJob, type JobDefinition } from '#jobs/define-job.ts';
import { by, mergedStats, samples, series, stats, topic, tumbling } from '#jobs/descriptions.ts';
import { listState, records, valueState } from '#jobs/record-words.ts';

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

export interface Login {
  readonly user: string;
  readonly at: number;
  readonly ok: boolean;
}

/** Records of two topics under one key, through a function with state and timers and a side output. */
export function loginsJob(): JobDefinition {
  const login = { format: 'json', timestamp: (login: Login) => login.at } as const;
  return defineJob({
    name: 'logins',
    sources: {
      web: records<Login>({ topic: 'logins.web', ...login }),
      mobile: records<Login>({ topic: 'logins.mobile', ...login, outOfOrderness: '30s' }),
    },
    exchangePartitions: 6,
    build: ({ web, mobile }) => {
      const failed = web
        .filter('known', ({ user }) => user !== '')
        .union(mobile)
        .keyBy('by-user', ({ user }) => user)
        .process('failures', {
          state: { row: valueState(integer(), { ttl: '1h' }), times: listState(integer()) },
          sides: ['locked'],
          process({ ok, at }, { state, timers, emit, side, key }) {
            if (ok) return state.row.clear();
            const row = (state.row.get() ?? 0) + 1;
            state.row.set(row);
            state.times.add(at);
            timers.onEventTime(at + 60_000);
            emit({ user: key, failures: row });
            if (row === 3) side('locked', key);
          },
          onTimer: (_timer, { state }) => state.times.clear(),
        });
      failed.to(topic('logins.failures'));
      failed.side<string>('locked').to(topic('logins.locked', { format: 'text' }));
    },
  });
}
