// What a version wrote, only that version replays: after a crash it is run up to its last entry, without new input, and
// then another may go on. Who is refused is told what differs.

import { describe, expect, test } from 'vitest';
import type { TaskOptions, TaskPlan } from '#runtime/task/task-environment.ts';
import type { VersionParts } from '#runtime/task/task-version.ts';
import { type RunningToy, ToyWorld } from '#test/runtime/task/toy-world.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';

const MINUTE_MS = 60_000;
const OPTIONS = { checkpointIntervalMs: 5_000 };

async function work(toy: ToyWorld, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) {
    toy.feed(`${WORLD_EPOCH_MS + i * MINUTE_MS} ${i}`);
    await toy.pass(1_000);
  }
}

/** A task of version v1 that was killed behind its last checkpoint, with input that it has not read. */
async function crashed(seed = 1, change: Partial<TaskPlan> = {}): Promise<ToyWorld> {
  const toy = new ToyWorld(seed);
  const first = toy.launch(OPTIONS, change);
  await work(toy, 0, 17);
  first.inhabitant.process.kill();
  await work(toy, 17, 20);
  return toy;
}

async function ended(
  toy: ToyWorld,
  options: Partial<TaskOptions>,
  change: Partial<TaskPlan> = {},
): Promise<RunningToy> {
  const running = toy.launch({ ...OPTIONS, ...options }, change);
  expect(await toy.until(() => running.outcome !== null)).toBe(true);
  return running;
}

describe('a task that is to replay only', () => {
  test('ends with a checkpoint at its last entry and reads no further, and another version goes on', async () => {
    const toy = await crashed();
    const before = toy.entries();
    const replayed = await ended(toy, { replayOnly: true });
    expect(replayed.outcome).toEqual({ kind: 'stopped' });
    expect(replayed.supervisor.status()?.replayedEntries).toBeGreaterThan(0);
    expect(toy.entries()).toEqual(before);
    expect(replayed.supervisor.status()?.checkpointEntry).toBe(before.at(-1)?.['number']);
    replayed.inhabitant.process.kill();
    const second = toy.launch(OPTIONS, { version: 'v2' });
    await work(toy, 20, 25);
    expect(second.supervisor.status()).toMatchObject({ phase: 'running', replayedEntries: 0 });
    const handover = toy.entries().find(({ kind }) => kind === 'handover');
    expect(handover).toMatchObject({ kind: 'handover', handover: { from: 'v1', to: 'v2' } });
    const rows = toy.committed('out').filter((row) => !row.startsWith('late'));
    expect(rows).toEqual(Array.from({ length: 23 }, (_, i) => `${WORLD_EPOCH_MS + i * MINUTE_MS} ${i}`));
  });

  test('does so after a crash at any of its steps', async () => {
    for (let steps = 1; steps < 120; steps += 7) {
      const toy = await crashed(steps);
      const before = toy.entries();
      const first = toy.launch({ ...OPTIONS, replayOnly: true });
      first.inhabitant.process.killAfterEvents(steps);
      await toy.pass(30_000);
      await ended(toy, { replayOnly: true });
      expect(toy.entries(), `${steps} steps`).toEqual(before);
      const second = toy.launch(OPTIONS, { version: 'v2' });
      await toy.pass(3_000);
      expect(second.supervisor.status(), `${steps} steps`).toMatchObject({ phase: 'running', replayedEntries: 0 });
    }
  });

  test('writes nothing when it never began, and nothing a second time', async () => {
    const toy = new ToyWorld();
    expect((await ended(toy, { replayOnly: true })).outcome).toEqual({ kind: 'stopped' });
    expect(toy.entries()).toEqual([]);
    const late = await crashed();
    await ended(late, { replayOnly: true });
    const again = await ended(late, { replayOnly: true });
    expect(again.supervisor.status()?.replayedEntries).toBe(0);
  });

  test('is refused when another version wrote the last entry', async () => {
    const toy = await crashed();
    await ended(toy, { replayOnly: true });
    const { outcome } = await ended(toy, { replayOnly: true }, { version: 'v2' });
    expect(outcome).toMatchObject({ failure: { code: 'version-mismatch', remedy: 'replay with version v1' } });
  });
});

describe('after a crash', () => {
  const was: VersionParts = { job: 'j1', engine: '0.1.0', node: 24 };
  const messages: readonly (readonly [string, VersionParts, string, string])[] = [
    [
      'another Millrace',
      { ...was, engine: '0.2.0' },
      '(by Millrace 0.1.0, this is 0.2.0)',
      'Millrace 0.1.0 on Node 24',
    ],
    ['another Node', { ...was, node: 26 }, '(on Node 24, this is 26)', 'Millrace 0.1.0 on Node 24'],
    ['another module', { ...was, job: 'j2' }, '(its module, plan or options were others)', 'the job as it was'],
    [
      'another of all three',
      { job: 'j2', engine: '0.2.0', node: 26 },
      '(by Millrace 0.1.0, this is 0.2.0, on Node 24, this is 26, its module, plan or options were others)',
      'the job as it was, Millrace 0.1.0 on Node 24',
    ],
  ];

  test.each(messages)('%s is refused, and named', async (_, now, what, remedy) => {
    const toy = await crashed(1, { versionParts: was });
    const { outcome } = await ended(toy, {}, { version: 'v2', versionParts: now });
    expect(outcome).toMatchObject({ failure: { code: 'version-mismatch' } });
    if (outcome?.kind !== 'failed') return;
    expect(outcome.failure.message).toContain(`written by version v1 ${what}`);
    expect(outcome.failure.remedy).toContain(remedy);
  });

  test('what a handed over version was made of is known, too', async () => {
    const toy = await crashed(1, { versionParts: was });
    await ended(toy, { replayOnly: true }, { versionParts: was });
    const second = toy.launch(
      { checkpointIntervalMs: 1e9 },
      { version: 'v2', versionParts: { ...was, engine: '0.2.0' } },
    );
    await work(toy, 20, 25);
    second.inhabitant.process.kill();
    const { outcome } = await ended(toy, {}, { version: 'v1', versionParts: was });
    expect(outcome).toMatchObject({ failure: { code: 'version-mismatch' } });
    if (outcome?.kind === 'failed') expect(outcome.failure.message).toContain('by Millrace 0.2.0, this is 0.1.0');
  });

  test('versions that say nothing of themselves are told apart all the same', async () => {
    const toy = await crashed();
    const { outcome } = await ended(toy, {}, { version: 'v2' });
    if (outcome?.kind !== 'failed') throw new Error('it did not refuse');
    expect(outcome.failure.message).toContain('were written by version v1, this is v2');
    expect(outcome.failure.remedy).toContain('start once with that version');
  });
});
