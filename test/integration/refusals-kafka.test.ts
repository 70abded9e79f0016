// Topics and checkpoints lost or changed on a real Kafka, while stopped and while running: every job that suffers says so
// with a remedy and publishes nothing again, its neighbours run on, and when none is left the process ends with code 1.
// The tests of this file follow each other on one installation.

import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sharedKafka } from '#test/harness/shared-kafka.ts';
import type { DataRecord } from './oracle/data-set.ts';
import type { Product } from './process-harness.ts';
import { refusalOf } from './refusal.ts';
import { failureOf, KafkaWorld, twoParts } from './refusals-kafka-world.ts';

const STOPPED = ['commits', 'exchange', 'recreated', 'grown', 'checkpoints'];
const RUNNING = ['recreated-live', 'grown-live', 'commits-live', 'exchange-live', 'rows-live', 'source-live'];

let world: KafkaWorld;
let product: Product;
let later: readonly DataRecord[];
/** Where the rows ended when the process was stopped. */
const ends = new Map<string, string>();

beforeAll(async () => {
  const { brokers } = await sharedKafka();
  world = await KafkaWorld.create(brokers, [...STOPPED, ...RUNNING, 'healthy']);
  const { installation, jobs } = world;
  const [first, second] = twoParts();
  later = second;
  product = installation.start();
  await world.write(jobs, first);
  for (const job of jobs) await world.untilEndsChange(job, '', product);
  await world.untilTrimmed('checkpoints', () => world.write(['checkpoints'], first.slice(-20)));
  expect((await product.stop()).code).toBe(0);
  for (const job of jobs) ends.set(job, await world.ends(job));
});
afterAll(() => world?.end());

test('what was lost or changed while stopped stops its job alone and publishes nothing', async () => {
  const { installation, namespace } = world;
  await world.write(['commits', 'exchange', 'grown', 'checkpoints', 'healthy'], later);
  await world.delete(world.internal('commits', 'commits.samples'));
  await world.delete(world.internal('exchange', 'exchange.1m'));
  await world.recreateSource('recreated');
  await world.write(['recreated'], later);
  await world.growSource('grown');
  await rm(join(installation.checkpointsDirectory, namespace, 'checkpoints'), { recursive: true });
  product = installation.start();
  expect(await failureOf(product, 'commits')).toMatchObject({
    code: 'commit-log-lost',
    message: expect.stringMatching(/^job commits ran before, but its internal topic '\S+\.commits\.samples' is gone/),
    remedy: expect.stringMatching(/^restore topic '\S+\.commits\.samples' from a backup; to begin anew/),
  });
  expect(await failureOf(product, 'exchange')).toMatchObject({
    code: 'commit-log-lost',
    message: expect.stringMatching(/^job exchange ran before, but its internal topic '\S+\.exchange\.1m' is gone/),
    remedy: expect.stringMatching(/^restore topic/),
  });
  expect(await failureOf(product, 'recreated')).toMatchObject({
    code: 'topic-recreated',
    message: expect.stringMatching(/^job recreated: source topic '\S+\.recreated' was deleted and created again/),
    remedy: expect.stringMatching(/begin anew/),
  });
  expect(await failureOf(product, 'grown')).toMatchObject({
    code: 'topic-partitions-changed',
    message: expect.stringMatching(/^job grown: source topic '\S+\.grown' had 1 partitions .* and has 2$/),
    remedy: expect.stringMatching(/begin anew/),
  });
  expect(await failureOf(product, 'checkpoints')).toMatchObject({
    code: 'checkpoint-lost',
    message: expect.stringMatching(/^task checkpoints\/\S+: no usable checkpoint, and the commit log begins at entry/),
    remedy: expect.stringMatching(/^give the process the checkpoint directory it ran with/),
  });
  await world.untilEndsChange('healthy', ends.get('healthy') ?? '', product);
  for (const job of STOPPED) expect(`${job} ${await world.ends(job)}`).toBe(`${job} ${ends.get(job)}`);
}, 90_000);

test('a second installation with the same namespace is refused and does not disturb the first', async () => {
  const before = product.lines.length;
  const refusal = await refusalOf((await world.another()).start());
  expect(refusal).toMatchObject({ code: 1, stack: [] });
  expect(refusal.what).toEqual([
    expect.stringMatching(/belongs to installation \w+, but the checkpoint store \S+ has none$/),
  ]);
  expect(refusal.remedies).toEqual([expect.stringMatching(/a second installation needs another namespace/)]);
  expect(product.running).toBe(true);
  expect(product.lines.slice(before).filter((line) => !/"level":"(debug|info)"/.test(line))).toEqual([]);
}, 60_000);

test('what is lost or changed while running stops its job alone, and the process ends after the last', async () => {
  await world.recreateSource('recreated-live');
  await world.growSource('grown-live');
  await world.growSource('healthy');
  await world.delete(world.source('source-live'));
  await world.delete(world.internal('commits-live', 'commits.1m'));
  await world.delete(world.internal('exchange-live', 'exchange.1m'));
  await world.delete(`${world.namespace}.rows-live.rollup.1m`);
  await world.write(['commits-live', 'exchange-live', 'rows-live'], later);
  // The moment between may be seen too.
  expect(await failureOf(product, 'recreated-live')).toMatchObject({
    code: expect.stringMatching(/^topic-(recreated|unknown)$/),
    message: expect.stringMatching(/^job recreated-live: source topic '\S+' (was deleted and created again|is gone)/),
    remedy: expect.stringMatching(/begin anew/),
  });
  expect(await failureOf(product, 'grown-live')).toMatchObject({
    code: 'topic-partitions-changed',
    message: expect.stringMatching(/^job grown-live: source topic '\S+' had 1 partitions .* and has 2$/),
    remedy: expect.stringMatching(/begin anew/),
  });
  expect(await failureOf(product, 'source-live')).toMatchObject({
    code: 'topic-unknown',
    message: expect.stringMatching(/^job source-live: source topic '\S+\.source-live' is gone$/),
    remedy: expect.stringMatching(/^restore it with its records and offsets; to begin anew/),
  });
  expect(await failureOf(product, 'commits-live')).toMatchObject({
    code: 'commit-log-lost',
    message: expect.stringMatching(/^job commits-live ran before, but its internal topic '\S+\.commits\.1m' is gone/),
    remedy: expect.stringMatching(/^restore topic/),
  });
  expect(await failureOf(product, 'exchange-live')).toMatchObject({
    code: 'commit-log-lost',
    message: expect.stringMatching(/^job exchange-live ran before, but its internal topic '\S+\.exchange\.1m' is gone/),
    remedy: expect.stringMatching(/^restore topic/),
  });
  expect(await failureOf(product, 'rows-live')).toMatchObject({
    code: 'topic-unknown',
    message: expect.stringMatching(
      /^job rows-live: output topic '\S+\.rows-live\.rollup\.1m' is gone: what was published/,
    ),
    remedy: expect.stringMatching(/^start again: the job goes on with an empty topic/),
  });
  const end = await refusalOf(product);
  expect(end).toMatchObject({ code: 1, stack: [] });
  expect(end.what).toHaveLength(world.jobs.length);
  expect(end.remedies.filter((remedy) => remedy.length > 20)).toHaveLength(world.jobs.length);
}, 90_000);

test('without its checkpoint store or its control topic the process publishes nothing', async () => {
  const { installation, namespace } = world;
  const jobs = world.jobs.filter((job) => job !== 'rows-live');
  const before = await Promise.all(jobs.map((job) => world.ends(job)));
  await rename(installation.checkpointsDirectory, `${installation.directory}/aside`);
  const storeless = await refusalOf(installation.start());
  expect(storeless).toMatchObject({ code: 1, stack: [] });
  expect(storeless.what).toEqual([expect.stringMatching(/but the checkpoint store \S+ has none$/)]);
  expect(storeless.remedies).toEqual([expect.stringMatching(/^give the process the checkpoint store it ran with/)]);
  await rename(`${installation.directory}/aside`, installation.checkpointsDirectory);
  await rm(join(installation.checkpointsDirectory, namespace, 'checkpoints'), { recursive: true, force: true });
  await world.delete(`__${namespace}.control`);
  const unknown = await refusalOf(installation.start());
  expect(unknown).toMatchObject({ code: 1, stack: [] });
  expect(unknown.what.join('\n')).toMatch(/^job healthy has checkpoints, but control topic .* does not know that it/m);
  expect(await Promise.all(jobs.map((job) => world.ends(job)))).toEqual(before);
}, 90_000);

test('of two installations that begin at once one runs; a second process of it shares its tasks and goes on alone', async () => {
  const small = await KafkaWorld.create(world.brokers, ['twin']);
  try {
    const [first, second] = twoParts();
    await small.write(['twin'], first);
    const other = await small.another();
    const both = [small.installation, other].map((installation) => ({ installation, product: installation.start() }));
    const loser = await Promise.race(both.map(async (one) => one.product.exited.then(() => one)));
    const refusal = await refusalOf(loser.product);
    expect(refusal).toMatchObject({ code: 1, stack: [] });
    expect(refusal.what).toEqual([
      expect.stringMatching(/belongs to installation \w+, but the checkpoint store \S+ (has none|is that of)/),
    ]);
    const winner = both.find((one) => one !== loser);
    if (winner === undefined) throw new Error('both were refused');
    await small.untilEndsChange('twin', '', winner.product);
    const before = await small.ends('twin');
    const successor = winner.installation.start();
    await successor.waitForLine(/one of 2 processes/, 120_000);
    await winner.product.kill();
    await successor.waitForLine(/installation claimed/, 120_000);
    await small.write(['twin'], second);
    await small.untilEndsChange('twin', before, successor);
    expect(await successor.stop()).toEqual({ code: 0, signal: null });
  } finally {
    await small.end();
  }
}, 90_000);
