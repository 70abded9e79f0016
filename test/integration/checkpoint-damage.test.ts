// Checkpoint files damaged under the real process, and the process killed right after it wrote one: the damage is found
// and named, the checkpoint before is used, and every row is there once and right afterwards.

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sharedKafka } from '#test/harness/shared-kafka.ts';
import { type Damage, damage, entryOf, manifestsOf } from './checkpoint-files.ts';
import { Installation, type Product } from './process-harness.ts';
import { feed, OPTIONS, PARTITIONS, SOURCE, smallScript } from './refusals-embedded-world.ts';
import { finishWork, readPublished, waitForGrowth, withLog } from './rollups-embedded-log.ts';
import { KafkaRun } from './rollups-kafka-run.ts';
import { type Script, verdict } from './rollups-scenario.ts';

const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20260301);
const TOPICS = { source: SOURCE, outputPrefix: 'metrics.rollup' };
const PART = 300;
/** What a process writes once it works. */
const SOME_BYTES = 10_000;
const CRASHES = 10;
const TASKS = ['samples/0', 'samples/1', '1m/0', '1m/1'];
const DEBUG_OPTIONS = { ...OPTIONS, env: {} };

/** Where each task said it went on from. */
function restored(product: Product): Record<string, number> {
  const said: Record<string, number> = {};
  for (const line of product.lines) {
    if (!line.includes('restored from a checkpoint')) continue;
    const { task, entry } = JSON.parse(line);
    said[task.slice('rollups/'.length)] = entry;
  }
  return said;
}

async function damageNewest(installation: Installation, plan: Readonly<Record<string, Damage>>): Promise<string[][]> {
  const manifests = manifestsOf(installation);
  const suffered: string[][] = [];
  for (const [task, how] of Object.entries(plan)) {
    const newest = manifests.get(task)?.at(-1) ?? '';
    const name = newest.split('/').at(-1) ?? '';
    damaged.add(name);
    suffered.push([name, await damage(installation, newest, how)]);
  }
  return suffered;
}

/** Manifests that were damaged, or whose segments were; they stay until the task cleans up. */
const damaged = new Set<string>();

/** Waits until the log names every damaged file, and checks that each task went on from the checkpoint before. */
async function expectFound(
  product: Product,
  suffered: readonly string[][],
  before: ReadonlyMap<string, string[]>,
): Promise<void> {
  for (const [manifest, file] of suffered) {
    const line = await product.waitForLine(new RegExp(`${manifest}.*passed over`), 120_000);
    expect(line).toContain(file);
  }
  for (const [task, manifests] of before) {
    await product.waitForLine(new RegExp(`"task":"rollups/${task}".*restored from a checkpoint`), 120_000);
    const used = manifests.findLast((path) => !damaged.has(path.split('/').at(-1) ?? '')) ?? '';
    expect(`${task} at ${restored(product)[task]}`).toBe(`${task} at ${entryOf(used)}`);
  }
}

async function expectRows(installation: Installation, script: Script): Promise<void> {
  const published = await withLog(installation, (client) => readPublished(client, TOPICS));
  const differences = verdict(script.expectation(), TOPICS, published, { rowPartitionCount: PARTITIONS });
  expect(differences === '' ? '' : `${differences}\n${installation.report()}`).toBe('');
}

/** Feeds, works a little and stops cleanly, until every task has written one more checkpoint. */
async function work(installation: Installation, script: Script, records: number): Promise<void> {
  const before = manifestsOf(installation);
  await withLog(installation, (client) => feed(client, script, records));
  const all = () => {
    const now = manifestsOf(installation);
    return TASKS.every(
      (task) => now.get(task)?.at(-1) !== undefined && now.get(task)?.at(-1) !== before.get(task)?.at(-1),
    );
  };
  for (let attempt = 0; attempt < 10 && !all(); attempt++) {
    const product = installation.start();
    await waitForGrowth(product, installation, SOME_BYTES);
    expect(await product.stop()).toEqual({ code: 0, signal: null });
  }
}

test('damaged checkpoint files are found and named, the checkpoint before is used, and rows come out right', async () => {
  const script = smallScript(PARTITIONS);
  const installation = await Installation.create(DEBUG_OPTIONS);
  try {
    for (let run = 0; run < 2; run++) await work(installation, script, PART);
    const first: Record<string, Damage> = {
      'samples/0': 'a bit of the manifest flipped',
      '1m/0': 'a bit of a segment flipped',
      '1m/1': 'a segment truncated',
    };
    let before = manifestsOf(installation);
    let suffered = await damageNewest(installation, first);
    await withLog(installation, (client) => feed(client, script, PART));
    const killed = installation.start();
    await expectFound(killed, suffered, before);
    await waitForGrowth(killed, installation, SOME_BYTES);
    await killed.kill();
    await work(installation, script, PART);

    const second: Record<string, Damage> = { '1m/0': 'the manifest gone', '1m/1': 'a bit of the manifest flipped' };
    before = manifestsOf(installation);
    suffered = await damageNewest(installation, second);
    await withLog(installation, (client) => feed(client, script, Number.POSITIVE_INFINITY));
    const last = installation.start();
    await expectFound(last, suffered, before);
    await finishWork(last, installation);
    await expectRows(installation, script);
  } finally {
    await installation.remove();
  }
}, 120_000);

test('without any checkpoint left, a task replays from entry 0 while its logs reach that far', async () => {
  const script = smallScript(PARTITIONS);
  const installation = await Installation.create(DEBUG_OPTIONS);
  try {
    await work(installation, script, PART);
    await rm(join(installation.checkpointsDirectory, 'millrace'), { recursive: true });
    await withLog(installation, (client) => feed(client, script, Number.POSITIVE_INFINITY));
    const product = installation.start();
    await product.waitForLine(/"task":"rollups\/1m\/0".*no usable checkpoint, replaying from entry 0/, 120_000);
    await finishWork(product, installation);
    await expectRows(installation, script);
  } finally {
    await installation.remove();
  }
}, 60_000);

test('killed ten times right after a checkpoint was written: the committed one survives, rows are right', async () => {
  const { brokers } = await sharedKafka();
  const data = { seriesCount: 100, rounds: 200, partitionCount: PARTITIONS };
  const run = await KafkaRun.prepare({ brokers, seed: SEED, placement: 'spread', data });
  try {
    let product = await run.start();
    const reached = new Map<string, number>();
    for (let crash = 0; crash < CRASHES; crash++) {
      const written = TASKS[crash % TASKS.length];
      reached.set(written, await untilNewManifest(run, product, written));
      await product.kill();
      product = run.installation.start();
      for (const task of TASKS) {
        await product.waitForLine(new RegExp(`"task":"rollups/${task}".*(restored from|replaying from)`), 120_000);
        const entry = restored(product)[task] ?? 0;
        expect(`${task} ${entry >= (reached.get(task) ?? 0)}`).toBe(`${task} true`);
        reached.set(task, entry);
      }
      expect(product.lines.filter((line) => line.includes('damaged'))).toEqual([]);
    }
    expect(Math.min(...reached.values())).toBeGreaterThan(0);
    await run.write(run.size * 2);
    expect(await run.verdict(product)).toBe('');
  } finally {
    await run.end();
  }
}, 600_000);

/** Writes on until a task has another manifest; its entry. */
async function untilNewManifest(run: KafkaRun, product: Product, task: string): Promise<number> {
  const newest = () => manifestsOf(run.installation).get(task)?.at(-1);
  const before = newest();
  let now = before;
  while (now === before) {
    if (!product.running) throw new Error(`the process ended by itself:\n${product.tail()}`);
    await run.write(5);
    now = newest();
  }
  return entryOf(now ?? '');
}
