// Stages, topics and faults of compiled jobs.

import { describe, expect, test } from 'vitest';
import { compileJob } from '#jobs/compile.ts';
import { defineJob, type JobSpec } from '#jobs/define-job.ts';
import { by, mergedStats, samples, series, stats, topic, tumbling } from '#jobs/descriptions.ts';
import type { SampleStream } from '#jobs/graph.ts';
import rollups from '#jobs/rollups.ts';
import { describeTopics } from '#jobs/topics.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { byLabelJob, functionsJob, twoSourcesJob } from '#test/jobs/example-jobs.ts';

/** Paths and messages of the faults of a job written without types. */
function faultsOf(spec: unknown): string[] {
  try {
    compileJob(defineJob(spec as JobSpec));
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    expect(error.code).toBe('job-invalid');
    const lines = error.message.split('\n').slice(1);
    expect(lines.filter((_, at) => at % 2 === 1).every((line) => line.startsWith('    remedy: '))).toBe(true);
    return lines.filter((_, at) => at % 2 === 0).map((line) => line.trim());
  }
  return [];
}

type Untyped = Omit<SampleStream, 'to'> & Record<string, (...given: unknown[]) => Untyped>;

function faultsOfBuild(build: (raw: Untyped) => unknown, source: object = { topic: 'raw' }): string[] {
  return faultsOf({ name: 'tried', source: samples(source as { topic: string }), build });
}

function stageIds(job: ReturnType<typeof rollups>): string[] {
  return compileJob(job).plan.stages.map((stage) => stage.id);
}

describe('stages', () => {
  test('keyBy exchanges unless the source says that series stay together', () => {
    expect(stageIds(rollups())).toEqual(['samples', '1m']);
    expect(stageIds(rollups({ partitionedBy: 'series' }))).toEqual(['1m']);
    expect(stageIds(rollups({ partitionedBy: 'producer' }))).toEqual(['1m']);
  });

  test('keyBy some labels exchanges whatever the source says', () => {
    expect(stageIds(byLabelJob())).toEqual(['samples', 'minute']);
  });

  test('a series that went through map may be another one, so it is exchanged; a filter changes nothing', () => {
    expect(stageIds(functionsJob())).toEqual(['as-sent', 'in-celsius']);
  });

  test('the same keyBy twice makes one exchange with both windows behind it', () => {
    const job = defineJob({
      name: 'twice',
      source: samples({ topic: 'raw' }),
      build: (raw) => {
        raw.keyBy(series).window('1m', tumbling('1m')).aggregate(stats()).to(topic('a'));
        raw.keyBy(series).window('10s', tumbling('10s')).aggregate(stats()).to(topic('b'));
      },
    });
    const { stages } = compileJob(job).plan;
    expect(stages.map((stage) => [stage.id, stage.steps.length])).toEqual([
      ['samples', 1],
      ['1m', 4],
    ]);
  });

  test('a step stands behind its input', () => {
    for (const job of [rollups(), functionsJob(), byLabelJob(), twoSourcesJob()]) {
      const { plan } = compileJob(job);
      for (const stage of plan.stages) {
        const seen = new Set([stage.input.kind === 'source' ? stage.input.source : 'exchange']);
        for (const step of stage.steps) {
          expect(seen.has(step.input), `${step.id} of ${step.input}`).toBe(true);
          seen.add(step.id);
        }
      }
    }
  });

  test('each source has a stage of its own, named after its first window or after the source', () => {
    const { sources, stages } = compileJob(twoSourcesJob()).plan;
    expect(sources.map(({ id, topic }) => [id, topic])).toEqual([
      ['hosts', 'hosts.raw'],
      ['apps', 'apps.raw'],
    ]);
    expect(stages.map(({ id, input }) => [id, input])).toEqual([
      ['hosts-1m', { kind: 'source', source: 'hosts' }],
      ['apps', { kind: 'source', source: 'apps' }],
      ['apps-1m', { kind: 'exchange', from: 'apps' }],
    ]);
  });

  test('a plan is plain data', () => {
    const { plan } = compileJob(functionsJob());
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
  });

  test('building twice gives the same plan, and functions by id', () => {
    const first = compileJob(functionsJob());
    expect(compileJob(functionsJob()).plan).toEqual(first.plan);
    expect([...first.functions.map.keys(), ...first.functions.filter.keys()]).toEqual(['to-celsius', 'production']);
  });

  test('a window of windows takes over the lateness of what feeds it', () => {
    const { stages } = compileJob(rollups({ allowedLateness: '1h' })).plan;
    const lateness = stages[1].steps.map((step) => (step.kind === 'window' ? step.allowedLatenessMs : null));
    expect(lateness.filter((ms) => ms !== null)).toEqual([3_600_000, 3_600_000, 3_600_000, 3_600_000]);
  });
});

describe('topics', () => {
  const run = { namespace: 'monitoring', job: 'rollups', run: 'live', generation: 0 };

  test('names carry namespace, job, run, generation and stage', () => {
    const { plan } = compileJob(rollups());
    const needs = describeTopics(plan, run, { 'metrics.raw': { partitionCount: 24, maxMessageBytes: 1_000_000 } });
    expect(needs.map((need) => `${need.use} ${need.topic}`)).toEqual([
      'source metrics.raw',
      'commits __monitoring.rollups.live.0.commits.samples',
      'exchange __monitoring.rollups.live.0.exchange.1m',
      'commits __monitoring.rollups.live.0.commits.1m',
      'output metrics.rollup.1m',
      'output metrics.rollup.5m',
      'output metrics.rollup.1h',
      'output metrics.rollup.1d',
      'late metrics.raw.late',
      'dead-letter metrics.raw.dead-letter',
    ]);
    expect(new Set(needs.map((need) => need.partitionCount))).toEqual(new Set([24]));
    expect(needs.filter((need) => need.create).map((need) => need.use)).not.toContain('source');
  });

  test('internal topics keep everything, late and dead letters hold the largest record and its headers', () => {
    const { plan } = compileJob(rollups());
    const needs = describeTopics(plan, run, { 'metrics.raw': { partitionCount: 1, maxMessageBytes: 1_000_000 } });
    for (const need of needs) {
      const internal = need.use === 'exchange' || need.use === 'commits';
      if (internal) expect(need.config).toMatchObject({ 'retention.ms': '-1', 'retention.bytes': '-1' });
      if (need.use === 'late' || need.use === 'dead-letter') expect(need.config['max.message.bytes']).toBe('1065536');
    }
  });

  test('topics follow the source they belong to', () => {
    const needs = describeTopics(compileJob(twoSourcesJob()).plan, run, {
      'hosts.raw': { partitionCount: 3, maxMessageBytes: 1_000 },
      'apps.raw': { partitionCount: 7, maxMessageBytes: 2_000 },
    });
    const counts = Object.fromEntries(needs.map((need) => [need.topic, need.partitionCount]));
    expect(counts).toEqual({
      'hosts.raw': 3,
      'apps.raw': 7,
      '__monitoring.rollups.live.0.commits.hosts-1m': 3,
      'hosts.1m': 3,
      '__monitoring.rollups.live.0.commits.apps': 7,
      '__monitoring.rollups.live.0.exchange.apps-1m': 7,
      '__monitoring.rollups.live.0.commits.apps-1m': 7,
      'apps.1m': 7,
      'hosts.raw.late': 3,
      'hosts.raw.dead-letter': 3,
      'apps.raw.late': 7,
    });
    const sizes = needs.flatMap(({ config, topic }) => (config['max.message.bytes'] ? [topic] : []));
    expect(sizes).toContain('apps.raw.late');
  });

  test('partition counts follow the job where it says so', () => {
    const needs = describeTopics(compileJob(byLabelJob()).plan, run, {
      'metrics.raw': { partitionCount: 24, maxMessageBytes: 1 },
    });
    const counts = Object.fromEntries(needs.map((need) => [need.topic, need.partitionCount]));
    expect(counts['__monitoring.rollups.live.0.commits.samples']).toBe(24);
    expect(counts['__monitoring.rollups.live.0.exchange.minute']).toBe(6);
    expect(counts['__monitoring.rollups.live.0.commits.minute']).toBe(6);
    expect(counts['metrics.raw.dead-letter']).toBeUndefined();
    expect(counts['too-late']).toBe(24);
  });
});

describe('faults', () => {
  test('all are told at once, each with path and remedy', () => {
    const faults = faultsOf({
      name: 'Not An Id',
      sinks: 1,
      source: samples({ topic: '__mine', outOfOrderness: '5x', seriesMax: 0, partitionedby: 'series' } as never),
      build: (raw: Untyped) => raw.keyBy(series).window('1 m', tumbling('0s')),
    });
    expect(faults).toEqual([
      'sinks: is not an option here',
      "name: 'Not An Id' is no id",
      'source.partitionedby: is not an option here',
      "source.topic: '__mine' is reserved for internal topics",
      "source.outOfOrderness: '5x' is no duration",
      'source.seriesMax: 0 is not possible',
      "window '1 m': has no aggregate",
      "window '1 m'.size: 0s is out of range",
      "window '1 m': '1 m' is no id",
      'build: sends nothing anywhere',
      "window '1 m': leads nowhere",
    ]);
  });

  test('a misspelt option is answered with the name that was meant', () => {
    const spec = { name: 'a', source: samples({ topic: 'raw', partitonedBy: 'series' } as never), build: () => {} };
    expect(() => compileJob(defineJob(spec))).toThrow("did you mean 'partitionedBy'?");
  });

  test.each<[string, (raw: Untyped) => unknown, string]>([
    [
      'a window without key',
      (raw) => raw.window('1m', tumbling('1m')).aggregate(stats()).to(topic('a')),
      "window '1m': has no key",
    ],
    [
      'mergedStats of samples',
      (raw) => raw.keyBy(series).window('1m', tumbling('1m')).aggregate(mergedStats()).to(topic('a')),
      "window '1m': merges window results but is fed samples",
    ],
    [
      'stats of windows',
      (raw) =>
        (raw.keyBy(series).window('1m', tumbling('1m')).aggregate(stats()) as unknown as Untyped)
          .window('5m', tumbling('5m'))
          .aggregate(stats())
          .to(topic('a')),
      "window '5m': takes samples but is fed windows of '1m'",
    ],
    [
      'a larger window that cuts a smaller one',
      (raw) =>
        raw
          .keyBy(series)
          .window('1m', tumbling('1m'))
          .aggregate(stats())
          .window('long', tumbling('90s'))
          .aggregate(mergedStats())
          .to(topic('a')),
      "window 'long'.size: 90s is no multiple of 1m, the size of '1m'",
    ],
    [
      'less lateness than upstream',
      (raw) =>
        raw
          .keyBy(series)
          .window('1m', tumbling('1m', { allowedLateness: '1h' }))
          .aggregate(stats())
          .window('5m', tumbling('5m', { allowedLateness: '1m' }))
          .aggregate(mergedStats())
          .to(topic('a')),
      "window '5m'.allowedLateness: 1m is less than the 1h of '1m', whose corrections would be lost",
    ],
    [
      'rows into the source',
      (raw) => raw.keyBy(series).window('1m', tumbling('1m')).aggregate(stats()).to(topic('raw')),
      "topic 'raw': is the topic the job reads",
    ],
    [
      'rows among the dead letters',
      (raw) => raw.keyBy(series).window('1m', tumbling('1m')).aggregate(stats()).to(topic('raw.dead-letter')),
      "topic 'raw.dead-letter': takes the dead letters of the job",
    ],
    [
      'one id for two steps',
      (raw) =>
        raw
          .filter('1m', () => true)
          .keyBy(series)
          .window('1m', tumbling('1m'))
          .aggregate(stats())
          .to(topic('a')),
      "window '1m': has the id of filter '1m'",
    ],
    [
      'the id of the source',
      (raw) => raw.keyBy(series).window('samples', tumbling('1m')).aggregate(stats()).to(topic('a')),
      "window 'samples': has the id of the source",
    ],
    [
      'a key without labels',
      (raw) => raw.keyBy(by()).window('1m', tumbling('1m')).aggregate(stats()).to(topic('a')),
      'keyBy(by()): names no label',
    ],
    [
      'samples into a topic of rows',
      (raw) => raw.to(topic('a')),
      "topic 'a': is fed something else than rows or records",
    ],
    [
      'map behind keyBy',
      (raw) => (raw.keyBy(series) as unknown as Untyped).map('late', (x) => x),
      "map 'late': stands behind keyBy or a window",
    ],
    ['build that waits', async () => {}, 'build: is asynchronous'],
  ])('%s is refused', (_, build, fault) => {
    expect(faultsOfBuild(build)).toContain(fault);
  });

  test('build that throws is refused, with the place in its module', () => {
    const build = () => {
      throw new TypeError('no such thing');
    };
    const place = expect.stringMatching(/^build: threw: no such thing \(at \/\S+\/compile\.test\.ts:\d+:\d+\)$/);
    expect(faultsOfBuild(build)).toContainEqual(place);
  });

  test.each([
    ['start', 'yesterday'],
    ['start', '2026-01-31T12:00:00'],
    ['start', -1],
    ['format', 'xml'],
    ['partitionedBy', 'serie'],
    ['badRecords', 'drop'],
    ['idleness', '0s'],
    ['maxSkew', 10],
    ['lateTopic', 'raw'],
    ['deadLetterTopic', 'a b'],
    ['topic', ''],
  ])('source.%s = %j is refused', (name, value) => {
    const faults = faultsOfBuild(
      (raw) => raw.keyBy(series).window('1m', tumbling('1m')).aggregate(stats()).to(topic('a')),
      { topic: 'raw', [name]: value },
    );
    expect(faults.map((fault) => fault.split(':')[0])).toEqual([`source.${name}`]);
  });

  test('sources are checked each under its name', () => {
    const build = () => {};
    expect(faultsOf({ name: 'a', sources: {}, build })).toContain('sources: names no source');
    const [a, b] = [samples({ topic: 'a' }), samples({ topic: 'b', id: 'one', partitionedBy: 'x' as 'series' })];
    expect(faultsOf({ name: 'a', source: a, sources: { one: a, two: b, exchange: a, 'Not An Id': a }, build })).toEqual(
      [
        'sources: stands beside source',
        "sources.two.partitionedBy: 'x' is not possible",
        "sources.one.id: 'one' stands twice",
        "sources.exchange.id: 'exchange' is taken",
        "sources.Not An Id.id: 'Not An Id' is no id",
        'build: sends nothing anywhere',
        'sources.one: is read by nothing',
        'sources.one: is read by nothing',
        'sources.exchange: is read by nothing',
        'sources.Not An Id: is read by nothing',
      ],
    );
  });

  test('a job without anything names what is missing', () => {
    expect(faultsOf({})).toEqual([
      'name: is missing',
      'source: is missing',
      'build: is missing',
      'build: sends nothing anywhere',
    ]);
  });
});
