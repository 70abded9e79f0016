// What the compiler wires together: samples in, rows out, through the production operators of every stage.

import { describe, expect, test } from 'vitest';
import { defineJob } from '#jobs/define-job.ts';
import { by, samples, series, stats, topic, tumbling } from '#jobs/descriptions.ts';
import rollups from '#jobs/rollups.ts';
import { byLabelJob, functionsJob } from '#test/jobs/example-jobs.ts';
import { StageBench } from '#test/jobs/stage-bench.ts';

const MINUTE_MS = 60_000;
const START_MS = 1_700_006_400_000;
const CLOCK_MS = START_MS + 10 * 86_400_000;
const SERIES = ['a', 'b', 'c'];

interface Row {
  readonly metric_name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly resolution: string;
  readonly window_start: number;
  readonly window_end: number;
  readonly count: number;
  readonly sum: number;
  readonly revision: number;
}

function sample(host: string, timestamp: number, value: number, labels: object = {}) {
  return { metric_name: 'cpu', timestamp, value, labels: { host, ...labels } };
}

/** `resolution host start-minute count sum revision` of each row, sorted. */
function seen(bench: StageBench, topicName: string): string[] {
  return bench
    .rows<Row>(topicName)
    .map(({ count, labels, resolution, revision, sum, window_start: start }) => {
      const minute = (start - START_MS) / MINUTE_MS;
      return `${resolution} ${Object.values(labels).join('+')} ${minute} ${count} ${sum} ${revision}`;
    })
    .sort();
}

/** A sample every 10 s per series; the value is the number of the sample. */
function minutes(from: number, to: number) {
  const all: object[] = [];
  for (let at = from * MINUTE_MS; at < to * MINUTE_MS; at += 10_000) {
    for (const host of SERIES) all.push(sample(host, START_MS + at, at / 10_000));
  }
  return all;
}

function fedRollups(options: Parameters<typeof rollups>[0]): StageBench {
  const bench = new StageBench(rollups(options), CLOCK_MS);
  for (let minute = 0; minute < 12; minute++) bench.feed(minutes(minute, minute + 1));
  return bench;
}

describe('rollups', () => {
  test.each([[undefined], ['series' as const], ['producer' as const]])(
    'fold samples and then minutes (%s)',
    (partitionedBy) => {
      const bench = fedRollups({ partitionedBy });
      const wantedMinutes = SERIES.flatMap((host) =>
        Array.from({ length: 11 }, (_, minute) => `1m ${host} ${minute} 6 ${36 * minute + 15} 0`),
      );
      expect(seen(bench, 'metrics.rollup.1m')).toEqual(wantedMinutes.sort());
      const fives = (host: string) => [`5m ${host} 0 30 435 0`, `5m ${host} 5 30 1335 0`];
      expect(seen(bench, 'metrics.rollup.5m')).toEqual(SERIES.flatMap(fives));
      expect(bench.rows('metrics.rollup.1h')).toEqual([]);
    },
  );

  test('rows are keyed by series and end where their window ends', () => {
    const bench = fedRollups({});
    const [record] = bench.topics.get('metrics.rollup.5m') ?? [];
    expect(record.key).toMatch(/^cpu\{host="[abc]"\}$/);
    const { window_end: end, window_start: start } = JSON.parse(record.value.toString()) as Row;
    expect(end - start).toBe(5 * MINUTE_MS);
  });

  test.each([[undefined], ['series' as const]])(
    'late samples and broken records go where they belong (%s)',
    (partitionedBy) => {
      const bench = new StageBench(rollups({ partitionedBy, allowedLateness: '1m' }), CLOCK_MS);
      for (let minute = 0; minute < 4; minute++) bench.feed(minutes(minute, minute + 1));
      const correcting = sample('a', START_MS + 2 * MINUTE_MS, 1_000);
      const late = sample('a', START_MS, 7);
      bench.feed([JSON.stringify([correcting, late, { metric_name: 'cpu' }]), 'no json']);
      bench.feed(minutes(4, 8));
      expect(seen(bench, 'metrics.rollup.1m').filter((row) => row.startsWith('1m a 2'))).toEqual([
        '1m a 2 6 87 0',
        '1m a 2 7 1087 1',
      ]);
      expect(seen(bench, 'metrics.rollup.5m').filter((row) => row.startsWith('5m a'))).toEqual(['5m a 0 31 1435 0']);
      expect(bench.rows('metrics.raw.late')).toEqual([late]);
      expect(bench.topics.get('metrics.raw.late')?.[0].headers).toMatchObject({ 'source-topic': 'metrics.raw' });
      const dead = bench.topics.get('metrics.raw.dead-letter') ?? [];
      expect(dead.map((record) => record.value.toString())).toEqual([
        expect.stringContaining('"metric_name":"cpu"}]'),
        'no json',
      ]);
    },
  );
});

describe('functions', () => {
  test('filter keeps what is asked for, map changes what is counted', () => {
    const bench = new StageBench(functionsJob(), CLOCK_MS);
    const env = { env: 'production' };
    bench.feed([
      sample('a', START_MS, 212, env),
      sample('b', START_MS, 32, { env: 'test' }),
      sample('a', START_MS, 32, env),
    ]);
    bench.feed([sample('a', START_MS + 2 * MINUTE_MS, 0, env)]);
    expect(seen(bench, 'production.1m')).toEqual(['1m production+a 0 2 244 0']);
    expect(seen(bench, 'celsius.1m')).toEqual(['1m production+a 0 2 100 0']);
  });

  test('a function that throws names itself and the sample', () => {
    const job = defineJob({
      name: 'broken',
      source: samples({ topic: 'raw' }),
      build: (raw) => {
        const fail = () => {
          throw new RangeError('no');
        };
        raw.map('explode', fail).keyBy(series).window('1m', tumbling('1m')).aggregate(stats()).to(topic('a'));
      },
    });
    const bench = new StageBench(job, CLOCK_MS);
    expect(() => bench.feed([sample('a', START_MS, 1)])).toThrow(/map 'explode' threw 'no' for cpu/);
  });
});

describe('keys', () => {
  test('series with the same labels of interest meet', () => {
    const bench = new StageBench(byLabelJob(), CLOCK_MS);
    const labels = { service: 'api', region: 'eu' };
    bench.feed([
      sample('a', START_MS, 1, labels),
      sample('b', START_MS, 2, labels),
      sample('c', START_MS, 4, { service: 'db' }),
    ]);
    bench.feed([sample('a', START_MS + 16 * MINUTE_MS, 1, labels), sample('a', START_MS + 40 * MINUTE_MS, 1, labels)]);
    expect(seen(bench, 'service.1m')).toEqual(['1m db 0 1 4 0', '1m eu+api 0 2 3 0', '1m eu+api 16 1 1 0']);
    expect(seen(bench, 'service.copy')).toEqual(seen(bench, 'service.1m'));
    expect(seen(bench, 'service.15m')).toEqual(['15m db 0 1 4 0', '15m eu+api 0 2 3 0', '15m eu+api 15 1 1 0']);
  });

  test('a series that is quiet longer than keyTtl keeps its open window, whatever else the stage keys by', () => {
    const job = defineJob({
      name: 'both',
      source: samples({ topic: 'raw', partitionedBy: 'producer', keyTtl: '1m' }),
      build: (raw) => {
        raw.keyBy(series).window('1h', tumbling('1h')).aggregate(stats()).to(topic('rows'));
        raw.keyBy(by('service')).window('by-service', tumbling('1m')).aggregate(stats()).to(topic('service'));
      },
    });
    const bench = new StageBench(job, CLOCK_MS);
    bench.feed([sample('quiet', START_MS, 5)]);
    for (let minute = 1; minute < 58; minute++) {
      bench.feed([sample(`brief-${minute}`, START_MS + minute * MINUTE_MS, 1, { service: `s-${minute % 3}` })]);
    }
    bench.feed([sample('quiet', START_MS + 59 * MINUTE_MS, 6), sample('other', START_MS + 62 * MINUTE_MS, 1)]);
    expect(seen(bench, 'rows').filter((row) => row.startsWith('1h quiet'))).toEqual(['1h quiet 0 2 11 0']);
    expect(bench.rows<Row>('rows')).toHaveLength(58);
    expect(bench.rows<Row>('service').reduce((sum, row) => sum + row.count, 0)).toBe(59);
  });

  test('keys that nobody uses are forgotten', () => {
    const bench = new StageBench(rollups({ keyTtl: '2m', partitionedBy: 'series', outputPrefix: 'rows' }), CLOCK_MS);
    for (let minute = 0; minute < 1_800; minute += 20) {
      bench.feed([sample(`brief-${minute}`, START_MS + minute * MINUTE_MS, 1)]);
    }
    expect(bench.counters.get('keys-evicted')).toBeGreaterThan(50);
    expect(bench.rows<Row>('rows.1m')).toHaveLength(89);
  });
});
