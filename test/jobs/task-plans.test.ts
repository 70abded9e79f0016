// The tasks of a job: how many, what each reads and writes, and who it hears from.

import { expect, test } from 'vitest';
import { compileJob } from '#jobs/compile.ts';
import type { JobDefinition } from '#jobs/define-job.ts';
import rollups from '#jobs/rollups.ts';
import { taskPlans } from '#jobs/task-plans.ts';
import { byLabelJob, twoSourcesJob } from '#test/jobs/example-jobs.ts';

function plansOf(definition: JobDefinition, run = 'live') {
  const job = compileJob(definition);
  const identity = { namespace: 'm', job: job.plan.job, run, generation: 0 };
  const known = { partitionCount: 4, maxMessageBytes: 1_000_000 };
  const sources = Object.fromEntries(job.plan.sources.map(({ topic }) => [topic, known]));
  return taskPlans({ job, version: 'v', run: identity, sources });
}

test('a stage has a task for each partition of what it reads', () => {
  const places = plansOf(byLabelJob()).map(({ identity }) => `${identity.stage}/${identity.partition}`);
  expect(places).toEqual(
    [0, 1, 2, 3].map((at) => `samples/${at}`).concat([0, 1, 2, 3, 4, 5].map((at) => `minute/${at}`)),
  );
});

test('a task behind an exchange hears from every task before it, and trims what it read', () => {
  const plans = plansOf(byLabelJob());
  expect(plans.map(({ writers }) => writers)).toEqual([0, 0, 0, 0, 4, 4, 4, 4, 4, 4]);
  expect(plans.map(({ input }) => input.internal)).toEqual([...Array(4).fill(false), ...Array(6).fill(true)]);
  expect(plans[4].input).toEqual({
    topic: '__m.by-service.live.0.exchange.minute',
    partition: 0,
    start: 'earliest',
    internal: true,
  });
});

test('a task reads the source of its stage, and names no topic of another', () => {
  const plans = plansOf(twoSourcesJob()).filter(({ identity }) => identity.partition === 0);
  expect(plans.map(({ input, topics, writers }) => [input.topic, topics.slice(1), writers])).toEqual([
    ['hosts.raw', ['hosts.1m', 'hosts.raw.late', 'hosts.raw.dead-letter'], 0],
    ['apps.raw', ['__m.both.live.0.exchange.apps-1m'], 0],
    ['__m.both.live.0.exchange.apps-1m', ['apps.1m', 'apps.raw.late'], 4],
  ]);
  expect(plans[0].program({}).badRecords).toBe('dead-letter');
  expect(plans[1].program({}).badRecords).toBe('skip');
});

test('a task names every topic whose partitions count, its input first', () => {
  const [source, , , , rows] = plansOf(rollups({ start: 'latest' }));
  expect(source.input.start).toBe('latest');
  expect(source.topics).toEqual(['metrics.raw', '__m.rollups.live.0.exchange.1m', 'metrics.raw.dead-letter']);
  expect(rows.topics).toEqual([
    '__m.rollups.live.0.exchange.1m',
    ...['1m', '5m', '1h', '1d'].map((size) => `metrics.rollup.${size}`),
    'metrics.raw.late',
  ]);
  for (const { program, topics } of [source, rows]) {
    const { deadLetter, outputs } = program({});
    expect(outputs.map((output) => output.topic)).toEqual(topics.slice(1));
    expect(outputs.map((output) => output.sinkIndex)).toEqual(outputs.map((_, at) => at));
    expect(deadLetter?.topic ?? null).toBe(
      topics.includes('metrics.raw.dead-letter') ? 'metrics.raw.dead-letter' : null,
    );
  }
});

test('offsets are published for the source of the live run only', () => {
  expect(new Set(plansOf(rollups()).map(({ offsetsGroup }) => offsetsGroup))).toEqual(new Set(['m.rollups', null]));
  expect(new Set(plansOf(rollups(), '01ARZ').map(({ offsetsGroup }) => offsetsGroup))).toEqual(new Set([null]));
});

test('every attempt gets operators of its own', () => {
  const [plan] = plansOf(rollups({ partitionedBy: 'series' }));
  const [one, two] = [plan.program({}), plan.program({})];
  expect(one.operators.map(({ id }) => id)).toEqual([
    'samples-keys',
    '1m',
    '1m-to-metrics-rollup-1m',
    '5m',
    '5m-to-metrics-rollup-5m',
    '1h',
    '1h-to-metrics-rollup-1h',
    '1d',
    '1d-to-metrics-rollup-1d',
    'samples-late',
  ]);
  for (const [at, operator] of one.operators.entries()) expect(operator).not.toBe(two.operators[at]);
});
