// A savepoint is a consistent cut through a whole job: what stands in a part was sent before the markers, nothing is in
// between, nobody goes on before all is over, and nothing is lost, doubled or held for ever whatever crashes meanwhile.

import { describe, expect, test } from 'vitest';
import { EXCHANGE_DATA, ExchangeRecord } from '#operators/formats/exchange-block.ts';
import type { SavepointPart } from '#runtime/task/task-savepoint.ts';
import { type JobProcess, nameOf } from '#test/harness/job-world.ts';
import { CountingWorld } from '#test/runtime/task/savepoint-job.ts';

const TASKS = ['count/0', 'count/1', 'count/2', 'mobile/0', 'total/0', 'total/1', 'total/2', 'web/0', 'web/1'];

interface SavedEntry {
  readonly number: number;
  readonly savepoint?: string;
}

function entriesOf(world: CountingWorld, { identity }: Pick<SavepointPart, 'identity'>): SavedEntry[] {
  const topic = `__n.counting.live.${identity.generation}.commits.${identity.stage}`;
  return world
    .records(topic, (bytes) => JSON.parse(bytes.toString()))
    .filter(({ partition }) => partition === identity.partition)
    .map(({ value }) => value as SavedEntry);
}

/** Rows in an exchange partition, and how many of them lie before an offset. */
function rowsIn(world: CountingWorld, topic: string, partition: number, before: bigint): [number, number] {
  const record = new ExchangeRecord();
  let [all, read] = [0, 0];
  for (const { value, offset, partition: at } of world.records(topic)) {
    if (at !== partition) continue;
    const bytes = value as Buffer;
    record.read(bytes, 0, bytes.length);
    if (record.kind !== EXCHANGE_DATA) continue;
    all += record.rows;
    if (BigInt(offset) < before) read += record.rows;
  }
  return [all, read];
}

async function drained(world: CountingWorld, process: JobProcess): Promise<void> {
  await world.pass(3_000);
  await world.until(() => world.drained(process));
  await world.pass(3_000);
}

describe('a savepoint', () => {
  test.each([1, 2, 3, 4, 5])(
    'is a consistent cut with empty exchanges behind which nothing happens (seed %i)',
    async (seed) => {
      const world = new CountingWorld(seed);
      const process = world.launch();
      world.feed(60);
      await world.pass(world.world.random.range(5, 400));
      const [parts] = await Promise.all([world.savepoint(process, 's1'), world.feed(40)]);
      expect(parts.map(({ identity }) => nameOf(identity)).sort()).toEqual(TASKS);
      const before = parts.map((part) => entriesOf(world, part));
      for (const [at, part] of parts.entries()) {
        const last = before[at].at(-1);
        expect(last).toMatchObject({ number: part.checkpoint.entry, savepoint: 's1' });
      }
      // Sources: what they had read is in the exchange; behind an exchange: it is read to its end.
      const consumed = parts.filter(({ identity }) => identity.stage === 'web' || identity.stage === 'mobile');
      const taken = consumed.reduce((sum, { inputs }) => sum + Number(inputs[0].endOffset), 0);
      let exchanged = 0;
      for (const { identity, inputs } of parts.filter((part) => !consumed.includes(part))) {
        const [all, read] = rowsIn(world, inputs[0].topic, identity.partition, BigInt(inputs[0].endOffset));
        expect(read).toBe(all);
        if (identity.stage === 'count') exchanged += all;
      }
      expect(exchanged).toBe(taken);
      world.feed(20);
      await world.pass(20_000);
      expect(parts.map((part) => entriesOf(world, part))).toEqual(before);
      world.release(process, 's1');
      await drained(world, process);
      expect(world.faults()).toEqual([]);
    },
  );

  test('is taken of a job that has read nothing, twice', async () => {
    const world = new CountingWorld();
    const process = world.launch();
    for (const id of ['s1', 's2']) {
      const parts = await world.savepoint(process, id);
      expect(parts).toHaveLength(TASKS.length);
      expect(await world.savepoint(process, id)).toEqual(parts);
      world.release(process, id);
    }
    world.feed(30);
    await drained(world, process);
    expect(world.faults()).toEqual([]);
  });

  test('is followed by nothing when the tasks are stopped in it', async () => {
    const world = new CountingWorld();
    const process = world.launch();
    world.feed(30);
    const parts = await world.savepoint(process, 's1');
    world.feed(30);
    await world.stop(process);
    expect([...process.outcomes.values()].every(({ kind }) => kind === 'stopped')).toBe(true);
    for (const part of parts) expect(entriesOf(world, part).at(-1)).toMatchObject({ savepoint: 's1' });
    const next = world.launch();
    await drained(world, next);
    for (const { supervisors } of [next]) {
      for (const supervisor of supervisors.values()) expect(supervisor.status()?.replayedEntries).toBe(0);
    }
    expect(world.faults()).toEqual([]);
  });

  test('that a task does not answer fails for all, and the next one is whole', async () => {
    const world = new CountingWorld();
    const process = world.launch();
    world.feed(30);
    const asked = [...process.supervisors].filter(([name]) => name !== 'web/1').map(([, one]) => one.savepoint('s1'));
    const settled = Promise.allSettled(asked);
    await world.pass(10_000);
    world.feed(30);
    await world.pass(10_000);
    world.release(process, 's1');
    const answers = await world.wait(settled);
    // Sources had answered; whoever waited for the marker of web/1 had not.
    const refused = answers.filter(({ status }) => status === 'rejected');
    expect(refused).toHaveLength(6);
    for (const { reason } of refused as PromiseRejectedResult[]) expect(reason.code).toBe('savepoint-failed');
    await world.savepoint(process, 's2');
    world.release(process, 's2');
    await drained(world, process);
    expect(world.faults()).toEqual([]);
  });

  test('comes to nothing, with a word, when a writer goes on before all have sent their markers', async () => {
    const world = new CountingWorld();
    const process = world.launch();
    const ask = (name: string) =>
      process.supervisors
        .get(name)
        ?.savepoint('s1')
        .then(String, (error) => error.message);
    world.feed(30);
    const waiting = ['count/0', 'count/1', 'count/2'].map(ask);
    await world.wait(Promise.all([ask('web/0'), ask('mobile/0')]));
    process.supervisors.get('web/0')?.release('s1');
    await world.pass(5_000);
    await world.wait(Promise.all([ask('web/1')]));
    for (const message of await world.wait(Promise.all(waiting))) expect(message).toContain('read on behind a marker');
    world.release(process, 's1');
    await drained(world, process);
    expect(world.faults()).toEqual([]);
  });

  test('remembers through a crash, and over checkpoints, whose markers it has read', async () => {
    const world = new CountingWorld();
    const first = world.launch();
    world.feed(30);
    const early = ['web/0', 'mobile/0'].map((name) => first.supervisors.get(name)?.savepoint('s1'));
    await world.wait(Promise.all(early));
    // Readers go on for web/1, and take checkpoints behind the markers of the others.
    for (let i = 0; i < 12; i++) {
      world.send('web', 1, { user: 'user-1', n: world.sent++ });
      await world.pass(1_000);
    }
    world.kill(first);
    const second = world.launch();
    const parts = await world.savepoint(second, 's1');
    expect(parts).toHaveLength(TASKS.length);
    expect(second.supervisors.get('count/0')?.status()?.checkpointEntry).not.toBeNull();
    world.release(second, 's1');
    await drained(world, second);
    expect(world.faults()).toEqual([]);
  });

  test('is cut behind the markers by a reader for whom more has come since', async () => {
    const world = new CountingWorld();
    const plans = world.plans();
    const sources = world.launch(plans.filter(({ writers }) => writers === 0));
    world.feed(30);
    await world.pass(300);
    const asked = Array.from(sources.supervisors.values(), (one) => one.savepoint('s1', { holdMaxMs: 10_000 }));
    const parts = await world.wait(Promise.all(asked));
    world.feed(30);
    await world.pass(20_000);
    const readers = world.launch(plans.filter(({ writers }) => writers > 0));
    const cut = await world.savepoint(readers, 's1');
    const taken = parts.reduce((sum, { inputs }) => sum + Number(inputs[0].endOffset), 0);
    let [all, read] = [0, 0];
    for (const { identity, inputs } of cut.filter((part) => part.identity.stage === 'count')) {
      const rows = rowsIn(world, inputs[0].topic, identity.partition, BigInt(inputs[0].endOffset));
      all += rows[0];
      read += rows[1];
    }
    expect(all).toBe(world.sent);
    expect(read).toBe(taken);
    world.release(readers, 's1');
    await drained(world, readers);
    expect(world.faults()).toEqual([]);
  });

  test('lets tasks go on that nobody released, and is whole all the same', async () => {
    const world = new CountingWorld();
    const process = world.launch();
    world.feed(30);
    const asked = Array.from(process.supervisors.values(), (one) => one.savepoint('s1', { holdMaxMs: 30_000 }));
    const parts = await world.wait(Promise.all(asked));
    world.feed(30);
    await world.pass(25_000);
    for (const part of parts) expect(entriesOf(world, part).at(-1)?.number).toBe(part.checkpoint.entry);
    await world.pass(10_000);
    await drained(world, process);
    expect(world.faults()).toEqual([]);
    // One that never had all markers is not waited for either.
    const waiting = process.supervisors.get('count/0')?.savepoint('s2', { holdMaxMs: 5_000 });
    const answered = waiting?.catch((error) => error.message);
    world.feed(30);
    await world.pass(10_000);
    expect(await answered).toContain('was held for as long as it may be');
    await world.savepoint(process, 's3');
    world.release(process, 's3');
    await drained(world, process);
    expect(world.faults()).toEqual([]);
  });

  test('is not forgotten by a task that restarts meanwhile, before its part or behind it', async () => {
    const world = new CountingWorld();
    const failures = new Map<string, number>();
    world.change = (plan) => ({
      ...plan,
      program: (counts) => {
        const program = plan.program(counts);
        for (const operator of program.operators) {
          const endEntry = operator.endEntry.bind(operator);
          operator.endEntry = (end) => {
            const name = nameOf(plan.identity);
            const failed = failures.get(name) ?? 0;
            if (end.savepoint !== undefined && failed < 2) {
              failures.set(name, failed + 1);
              throw new Error('fails in its part');
            }
            endEntry(end);
          };
        }
        return program;
      },
    });
    const process = world.launch();
    world.feed(30);
    const parts = await world.savepoint(process, 's1');
    expect([...failures.values()]).toEqual(TASKS.map(() => 2));
    await world.pass(5_000);
    for (const part of parts) expect(entriesOf(world, part).at(-1)).toMatchObject({ savepoint: 's1' });
    world.release(process, 's1');
    await drained(world, process);
    expect(world.faults()).toEqual([]);
  });
});

describe('a deploy', () => {
  test('is a savepoint and a handover of every task: nothing is replayed, lost or doubled', async () => {
    const world = new CountingWorld();
    const first = world.launch();
    world.feed(40);
    await world.pass(400);
    await world.wait(
      Promise.all(Array.from(first.supervisors.values(), (one) => one.savepoint('d1', { keep: false }))),
    );
    world.feed(20);
    await world.stop(first);
    world.version = 'v2';
    const second = world.launch();
    await drained(world, second);
    for (const [, supervisor] of second.supervisors) {
      expect(supervisor.status()).toMatchObject({ phase: 'running', replayedEntries: 0 });
    }
    for (const { identity } of second.plans) {
      const handovers = entriesOf(world, { identity }).filter((entry) => 'handover' in entry);
      expect(handovers).toMatchObject([{ handover: { from: 'v1', to: 'v2' } }]);
    }
    expect(world.faults()).toEqual([]);
  });

  test('that died half-way is finished by the new version, and undone from a clean stop', async () => {
    for (let steps = 1; steps < 400; steps += 37) {
      const world = new CountingWorld(steps);
      const first = world.launch();
      world.feed(30);
      await world.pass(400);
      await world.savepoint(first, 'd1');
      await world.stop(first);
      world.version = 'v2';
      const second = world.launch();
      second.inhabitant.process.killAfterEvents(steps);
      await world.pass(2_000);
      world.kill(second);
      world.feed(30);
      const third = world.launch();
      await world.pass(2_000);
      await world.stop(third);
      world.version = 'v1';
      const fourth = world.launch();
      world.feed(10);
      await drained(world, fourth);
      expect(world.faults(), `${steps} steps`).toEqual([]);
    }
  });
});

test('a crash at any step of a savepoint leaves a job that goes on, and one that can be taken', async () => {
  let [parts, killed] = [0, 0];
  for (let steps = 1; steps < 1_500; steps += 61) {
    const world = new CountingWorld(steps);
    const first = world.launch();
    world.feed(30);
    await world.pass(300);
    first.inhabitant.process.killAfterEvents(steps);
    const asked = Promise.all(Array.from(first.supervisors.values(), (one) => one.savepoint('s1')));
    asked.catch(() => {});
    await world.pass(3_000);
    if (first.inhabitant.process.alive) world.kill(first);
    else killed++;
    world.feed(15);
    // Half of them are told the id again, as a control plane that goes on with the operation would do.
    const second = world.launch();
    if (steps % 2 === 0) {
      const answers = await world.wait(
        Promise.all(Array.from(second.supervisors.values(), (one) => raced(one.savepoint('s1'), world))),
      );
      parts += answers.filter((answer) => answer).length;
      world.release(second, 's1');
    }
    world.feed(15);
    expect(await world.savepoint(second, 's2'), `${steps} steps`).toHaveLength(TASKS.length);
    world.release(second, 's2');
    await drained(world, second);
    expect(world.faults(), `${steps} steps`).toEqual([]);
  }
  expect(killed).toBeGreaterThan(5);
  expect(parts).toBeGreaterThan(50);
});

/** Whether it was answered within a time limit. */
async function raced(asked: Promise<SavepointPart>, world: CountingWorld): Promise<boolean> {
  let answered = false;
  asked.then(
    () => {
      answered = true;
    },
    () => {},
  );
  await world.world.until(() => answered, 5_000);
  return answered;
}
