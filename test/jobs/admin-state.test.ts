// Which operators show their state, and where a key is looked for: the plan alone says it.

import { expect, test } from 'vitest';
import { ownerOf, readableOperators } from '#jobs/admin-state.ts';
import { compileJob } from '#jobs/compile.ts';
import { defineJob, type JobDefinition } from '#jobs/define-job.ts';
import { topic } from '#jobs/descriptions.ts';
import { records } from '#jobs/record-words.ts';
import tsdbWriter from '#jobs/tsdb-writer.ts';
import { murmur2, partitionOf } from '#runtime/std/murmur2.ts';
import { byLabelJob, functionsJob, loginsJob, styleGuideJob, twoSourcesJob } from './example-jobs.ts';

test.each<[JobDefinition, Record<string, string>]>([
  [styleGuideJob(), { '1m': '1m', '1h': '1m' }],
  [functionsJob(), { 'as-sent': 'as-sent', 'in-celsius': 'in-celsius' }],
  [twoSourcesJob(), { 'hosts-1m': 'hosts-1m', 'apps-1m': 'apps-1m' }],
  [byLabelJob(), { minute: 'minute', quarter: 'minute' }],
  [loginsJob(), { failures: 'failures' }],
])('operators with keyed state are readable, each in its stage', (job, stages) => {
  const readable = readableOperators(compileJob(job));
  expect(Object.fromEntries(Array.from(readable, ([id, stage]) => [id, stage.id]))).toEqual(stages);
});

test('looking for operators connects nobody, and leaves nothing open', () => {
  const url = 'http://127.0.0.1:1/api/v1/write';
  expect([
    ...readableOperators(compileJob(tsdbWriter({ targets: [{ name: 'db', url, mode: 'final' }] }))).keys(),
  ]).toEqual([]);
  const handles = process.getActiveResourcesInfo().filter((kind) => kind.startsWith('TCP'));
  expect(handles).toEqual([]);
});

function owner(definition: JobDefinition, operator: string, key: string): number | null {
  const job = compileJob(definition);
  const stage = readableOperators(job).get(operator);
  if (stage === undefined) throw new Error(`no operator ${operator}`);
  return ownerOf(job, stage, operator, key, 7);
}

test.each<[string, JobDefinition, string]>([
  ['the source promises it', styleGuideJob(), '1m'],
  ['a window of windows of it', styleGuideJob(), '1h'],
  ['an exchange puts it there', functionsJob(), 'in-celsius'],
  ['an exchange by labels does', byLabelJob(), 'quarter'],
  ['an exchange by a function does', loginsJob(), 'failures'],
])('a key is looked for where its hash says when %s', (_, job, operator) => {
  for (const key of ['cpu{host="a"}', 'löss{x="\\"y"}', '']) {
    expect(owner(job, operator, key)).toBe(partitionOf(murmur2(Buffer.from(key)), 7));
  }
});

test('a key is looked for everywhere when only the producer knows where it is', () => {
  expect(owner(functionsJob(), 'as-sent', 'cpu{host="a"}')).toBe(null);
});

test('a job without keyed state has no operator to be read', () => {
  const job = defineJob({
    name: 'copy',
    source: records({ topic: 'in', format: 'json' }),
    build: (all) => all.filter('some', () => true).to(topic('out')),
  });
  expect(readableOperators(compileJob(job)).size).toBe(0);
});
