// The fate of transactions: whatever happens to a request, an entry and its output are in the log once.

import { expect, test } from 'vitest';
import { ToyWorld } from '#test/runtime/task/toy-world.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';
import type { RequestFault, RequestKind } from '#test/simulation/world/log-channel.ts';

const MINUTE_MS = 60_000;

async function work(toy: ToyWorld, from: number, to: number): Promise<void> {
  for (let i = from; i < to; i++) {
    toy.feed(`${WORLD_EPOCH_MS + i * MINUTE_MS} ${i}`);
    await toy.pass(1_000);
  }
}

const rows = (count: number) => Array.from({ length: count }, (_, i) => `${WORLD_EPOCH_MS + i * MINUTE_MS} ${i}`);

const KINDS: readonly RequestKind[] = ['add-partitions', 'write', 'commit', 'fence', 'offsets'];
const FAULTS: readonly RequestFault[] = [
  'request-lost',
  'answer-lost',
  'request-late',
  'closed-before',
  'closed-after',
];

test.each(KINDS.flatMap((kind) => FAULTS.map((fault) => [kind, fault] as const)))(
  'a %s request that suffers %s costs nothing but time',
  async (kind, fault) => {
    const toy = new ToyWorld();
    const running = toy.launch();
    await work(toy, 0, 5);
    let happened = 0;
    const arm = () => toy.world.channel.arm(kind, fault, () => happened++);
    // Initialising and listing offsets happen when a transaction failed.
    if (kind === 'fence' || kind === 'offsets') toy.world.channel.arm('commit', 'answer-lost', arm);
    else arm();
    await work(toy, 5, 60);
    expect(happened).toBe(1);
    expect(running.supervisor.restarts).toBe(0);
    expect(running.supervisor.status()?.transactionsFailed).toBeGreaterThan(0);
    expect(running.supervisor.status()?.waitingFor).toBeNull();
    expect(toy.committed('out')).toEqual(rows(58));
    const numbers = toy.entries().map((entry) => entry['number']);
    expect(numbers).toEqual(numbers.map((_, i) => i));
  },
);

test('a leader that is away for ten minutes is waited for: nothing restarts, everything arrives once', async () => {
  const toy = new ToyWorld();
  const running = toy.launch();
  await work(toy, 0, 5);
  const out = toy.world.cluster.partition({ topic: 'out', partition: 0 });
  if (out === null) throw new Error('no output');
  out.leaderEpoch++;
  out.electedAtMs = toy.world.scheduler.nowMs + 10 * MINUTE_MS;
  await work(toy, 5, 10);
  const waiting = running.supervisor.status();
  expect(waiting?.waitingFor).toMatch(/commit entry \d+/);
  await toy.pass(10 * MINUTE_MS);
  await work(toy, 10, 15);
  expect(running.supervisor.restarts).toBe(0);
  expect(toy.committed('out')).toEqual(rows(13));
  expect(toy.said('transaction failed').length, 'told now and then, not every time').toBeLessThan(200);
});

test('somebody else who writes into the commit log is found before the next entry is committed', async () => {
  const toy = new ToyWorld();
  const running = toy.launch();
  await work(toy, 0, 5);
  const before = toy.committed('out');
  const commits = toy.world.cluster.partition({ topic: '__n.commits', partition: 0 });
  const copy = commits?.batches.findLast((batch) => !batch.control)?.bytes;
  if (copy === undefined) throw new Error('no entry');
  toy.world.cluster.append({ topic: '__n.commits', partition: 0 }, Buffer.from(copy));
  await work(toy, 5, 10);
  expect(running.outcome?.kind).toBe('failed');
  const failure = running.outcome?.kind === 'failed' ? running.outcome.failure : null;
  expect(['foreign-writer', 'commit-log-corrupt']).toContain(failure?.code);
  expect(failure?.remedy).not.toBe('');
  expect(toy.committed('out')).toEqual(before);
});

test('a marker of an earlier life that comes late costs one transaction, not the task', async () => {
  const toy = new ToyWorld();
  const first = toy.launch();
  await work(toy, 0, 5);
  first.inhabitant.process.kill();
  const running = toy.launch();
  await work(toy, 5, 10);
  const commits = toy.world.cluster.partition({ topic: '__n.commits', partition: 0 });
  const producerId = commits?.batches.at(-1)?.producerId ?? -1;
  commits?.writeMarker(producerId, 0, true, toy.world.scheduler.nowMs);
  await work(toy, 10, 20);
  expect(running.outcome).toBeNull();
  expect(running.supervisor.restarts).toBe(0);
  expect(running.supervisor.status()?.transactionsFailed).toBe(1);
  expect(toy.committed('out')).toEqual(rows(18));
});

test('a commit log that is deleted while the task runs ends it, and nothing is published again', async () => {
  const toy = new ToyWorld();
  const running = toy.launch();
  await work(toy, 0, 5);
  const before = toy.committed('out');
  toy.world.cluster.deleteTopics(['__n.commits']);
  await work(toy, 5, 8);
  expect(running.outcome).toMatchObject({ kind: 'failed', failure: { code: 'topic-unknown' } });
  expect(toy.committed('out')).toEqual(before);
});

test('a commit log that is deleted and made anew while the task runs ends it, and nothing is published again', async () => {
  const toy = new ToyWorld();
  const running = toy.launch();
  await work(toy, 0, 5);
  const before = toy.committed('out');
  toy.world.cluster.deleteTopics(['__n.commits']);
  toy.createTopic('__n.commits');
  await work(toy, 5, 8);
  expect(running.outcome?.kind).toBe('failed');
  const failure = running.outcome?.kind === 'failed' ? running.outcome.failure : null;
  expect(failure?.message).toMatch(/__n\.commits|commit log/);
  expect(failure?.remedy).not.toBe('');
  expect(toy.committed('out')).toEqual(before);
});
