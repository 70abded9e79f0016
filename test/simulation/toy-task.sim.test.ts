// The task core under every fault of the simulated world, with a stage that can be checked by eye.

import { expect, test } from 'vitest';
import { DirectoryStore } from '#checkpoint/directory-store.ts';
import { FileTaskCheckpoints } from '#checkpoint/task-checkpoints.ts';
import { RecordWalker } from '#runtime/log/record-batch.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import { ulid } from '#runtime/std/ulid.ts';
import { DEFAULT_TASK_OPTIONS, type TaskEnvironment, type TaskPlan } from '#runtime/task/task-environment.ts';
import { type TaskOutcome, TaskSupervisor } from '#runtime/task/task-supervisor.ts';
import { toyBatch, toyStage } from '#test/harness/toy-stage.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';
import { drawDiskFaults } from '#test/simulation/world/disk.ts';
import { drawFaults, NO_FAULTS } from '#test/simulation/world/log-faults.ts';
import { Random } from '#test/simulation/world/random.ts';
import { type Inhabitant, World } from '#test/simulation/world/world.ts';

const SEEDS = Number(process.env['TOY_SEEDS'] ?? 100);
const FIRST_SEED = Number(process.env['TOY_SEED'] ?? 1);

const identity = { namespace: 'n', job: 'toy', run: 'live', generation: 0, stage: 'toy', partition: 0 };
const plan: TaskPlan = {
  identity,
  version: 'v1',
  input: { topic: 'in', partition: 0, start: 'earliest', internal: false },
  commitTopic: '__n.commits',
  topics: ['in', 'out', 'dead'],
  writers: 0,
  offsetsGroup: 'n.toy',
  program: () => toyStage({ outputTopic: 'out', deadLetterTopic: 'dead' }),
};
const options = {
  ...DEFAULT_TASK_OPTIONS,
  checkpointIntervalMs: 2_000,
  commitBytesMax: 64,
};

function environment(world: World, inhabitant: Inhabitant, newest: { process: number }): TaskEnvironment {
  const { process, clock, log, disk } = inhabitant;
  const store = new DirectoryStore({ root: 'checkpoints', disk });
  return {
    clock,
    logger: silentLogger,
    log,
    reader: log.reader(),
    ownership: { owns: async () => newest.process === process.id },
    checkpoints: (id, attempt) =>
      new FileTaskCheckpoints({ store, identity: id, attempt, clock, logger: silentLogger }),
    attemptId: () => ulid(clock.nowMs(), world.random.bytes(10)),
    breathe: () => process.after(0, 'breathe', () => {}),
  };
}

function committed(world: World, topic: string): string[] {
  const walker = new RecordWalker();
  const values: string[] = [];
  for (const batch of world.cluster.partition({ topic, partition: 0 })?.batches ?? []) {
    const { bytes } = batch;
    if ((bytes.readInt16BE(21) & 0x20) !== 0 || batch.fate !== 'committed') continue;
    walker.reset(bytes, 61, bytes.length, bytes.readInt32BE(57));
    while (walker.next()) values.push(walker.bytes.toString('utf8', walker.valueStart, walker.valueEnd));
  }
  return values;
}

async function runSeed(
  seed: number,
): Promise<{ readonly world: World; readonly expected: string[]; readonly crashes: number }> {
  const random = new Random(seed * 7919);
  const world = new World({
    seed,
    faults: drawFaults(random),
    diskFaults: drawDiskFaults(random),
  });
  for (const topic of ['in', 'out', 'dead', '__n.commits']) world.cluster.createTopics([{ topic, partitionCount: 1 }]);

  // Input: 400 records over 20 minutes of event time, appended in virtual time, out of order within the bound.
  const expected: string[] = [];
  const sums = new Map<number, number>();
  let eventMs = WORLD_EPOCH_MS;
  let atMs = 0;
  for (let i = 0; i < 100; i++) {
    const records: string[] = [];
    for (let j = 0; j < 4; j++) {
      eventMs += random.int(6_000);
      const timestampMs = eventMs - random.int(4_000);
      const value = random.int(1_000);
      if (random.chance(0.02)) {
        records.push('broken');
        continue;
      }
      records.push(`${timestampMs} ${value}`);
      const start = Math.floor(timestampMs / 60_000) * 60_000;
      sums.set(start, (sums.get(start) ?? 0) + value);
    }
    atMs += random.int(300);
    world.scheduler.schedule(atMs, 'input', null, () =>
      world.cluster.append({ topic: 'in', partition: 0 }, Buffer.from(toyBatch('in', records).bytes)),
    );
  }
  for (const [start, sum] of sums) expected.push(`${start} ${sum}`);
  world.scheduler.schedule(atMs + 1, 'closing', null, () =>
    world.cluster.append(
      { topic: 'in', partition: 0 },
      Buffer.from(toyBatch('in', [`${eventMs + 600_000} 1000000000`]).bytes),
    ),
  );

  const newest = { process: -1 };
  let crashes = 0;
  const outcomes: TaskOutcome[] = [];
  const launch = () => {
    const inhabitant = world.start(`p${world.processes.length}`);
    newest.process = inhabitant.process.id;
    const supervisor = new TaskSupervisor(plan, options, environment(world, inhabitant, newest));
    supervisor.run().then((outcome) => {
      outcomes.push(outcome);
      if (
        outcome.kind === 'failed' &&
        newest.process === inhabitant.process.id &&
        outcome.failure.code !== 'superseded'
      ) {
        world.scheduler.fail(
          new Error(`seed ${seed}: ${outcome.failure.code}: ${outcome.failure.message}\n${outcome.failure.stack}`),
        );
      }
    });
    return { inhabitant, supervisor };
  };
  let current = launch();
  for (let i = 0; i < 6; i++) {
    const { process } = current.inhabitant;
    if (random.chance(0.5)) process.killAfterEvents(random.int(400));
    else world.scheduler.schedule(random.int(6_000), 'zombie', null, () => process.pause(20_000 + random.int(60_000)));
    const untilMs = world.scheduler.nowMs + 1_000 + random.int(8_000);
    await world.scheduler.run(() => !process.alive || world.scheduler.nowMs > untilMs, 200_000);
    crashes++;
    current = launch();
  }
  // Heal, and the rest must drain.
  world.channel.faults = NO_FAULTS;
  world.disk('machine').faults = { latencyMs: 0.1, noSpace: 0, ioError: 0, bitFlip: 0 };
  const end = await world.scheduler.run(
    () => committed(world, 'out').length >= expected.length && world.scheduler.nowMs > atMs + 100_000,
    400_000,
  );
  expect(end, `seed ${seed} drains`).toBe('done');
  return { world, expected, crashes };
}

test('every sum once, whatever happens', async () => {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    const { world, expected } = await runSeed(seed);
    // The closing record's own minute ends too when the source falls idle.
    const rows = committed(world, 'out').filter((row) => !row.endsWith(' 1000000000'));
    expect(rows.sort(), `seed ${seed}`).toEqual(expected.sort());
  }
}, 120_000);
