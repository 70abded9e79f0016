// A second process of an installation that is refused leaves the first as it was; one whose configuration says otherwise
// runs with the first what the installation runs, and says what of its own it does not.

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sharedKafka } from '#test/harness/shared-kafka.ts';
import type { Installation } from './process-harness.ts';
import { refusalOf } from './refusal.ts';
import { failureOf, KafkaWorld, twoParts } from './refusals-kafka-world.ts';

test('a process none of whose jobs can run leaves the process that runs them alone', async () => {
  const world = await KafkaWorld.create((await sharedKafka()).brokers, ['kept']);
  try {
    const [first, second] = twoParts();
    const older = world.installation.start();
    await world.write(['kept'], first);
    await world.untilEndsChange('kept', '', older);
    const claims = () => world.admin.fetchTopicOffsets(`__${world.namespace}.control`);
    const claimed = await claims();
    await replaceInConfig(world.installation, `"${world.source('kept')}"`, '"nowhere"');
    const refusal = await refusalOf(world.installation.start());
    expect(refusal).toMatchObject({ code: 1, stack: [] });
    expect(refusal.what).toEqual([expect.stringMatching(/^job kept: source topic 'nowhere' does not exist$/)]);
    expect(await claims()).toEqual(claimed);
    const before = await world.ends('kept');
    await world.write(['kept'], second);
    await world.untilEndsChange('kept', before, older);
    expect(await older.stop()).toEqual({ code: 0, signal: null });
  } finally {
    await world.end();
  }
}, 90_000);

test('a process whose threads cannot be started leaves the process that runs the jobs alone', async () => {
  const world = await KafkaWorld.create((await sharedKafka()).brokers, ['kept']);
  try {
    const [first, second] = twoParts();
    const older = world.installation.start();
    await world.write(['kept'], first);
    await world.untilEndsChange('kept', '', older);
    const claims = () => world.admin.fetchTopicOffsets(`__${world.namespace}.control`);
    const claimed = await claims();
    const preload =
      "import { isMainThread } from 'node:worker_threads'; if (!isMainThread) throw new Error('no thread');";
    const options = `--import=data:text/javascript,${encodeURIComponent(preload)}`;
    const refusal = await refusalOf(world.installation.start({ NODE_OPTIONS: options }));
    expect(refusal).toMatchObject({ code: 1, stack: [] });
    expect(refusal.what).toEqual([expect.stringMatching(/^the thread of slot \d cannot be started: no thread$/)]);
    expect(refusal.remedies).toEqual([expect.stringMatching(/NODE_OPTIONS/)]);
    expect(await claims()).toEqual(claimed);
    const before = await world.ends('kept');
    await world.write(['kept'], second);
    await world.untilEndsChange('kept', before, older);
    expect(await older.stop()).toEqual({ code: 0, signal: null });
  } finally {
    await world.end();
  }
}, 90_000);

test('a process that could not run one of two jobs as it has it runs both as the installation has them', async () => {
  const world = await KafkaWorld.create((await sharedKafka()).brokers, ['well', 'ill']);
  try {
    const [first, second] = twoParts();
    const older = world.installation.start();
    await world.write(['well', 'ill'], first);
    await world.untilEndsChange('well', '', older);
    await replaceInConfig(world.installation, `"${world.source('ill')}"`, '"nowhere"');
    const newer = world.installation.start();
    expect(await failureOf(newer, 'ill')).toMatchObject({ code: 'topic-unknown' });
    const before = { well: await world.ends('well'), ill: await world.ends('ill') };
    expect(await older.stop()).toEqual({ code: 0, signal: null });
    await world.write(['well', 'ill'], second);
    await world.untilEndsChange('well', before.well, newer);
    await world.untilEndsChange('ill', before.ill, newer);
    expect(await newer.stop()).toEqual({ code: 0, signal: null });
  } finally {
    await world.end();
  }
}, 90_000);

async function replaceInConfig(installation: Installation, what: string, by: string): Promise<void> {
  const path = join(installation.directory, 'jobs.config.ts');
  const text = await readFile(path, 'utf8');
  expect(text).toContain(what);
  await writeFile(path, text.replace(what, by));
}
