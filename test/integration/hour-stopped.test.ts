// The rollup job with an exchange is stopped for an hour of clock and finds what waited. Real tasks over the simulated
// log, because an hour must pass.

import { expect, test } from 'vitest';
import { DirectoryStore } from '#checkpoint/directory-store.ts';
import { FileTaskCheckpoints } from '#checkpoint/task-checkpoints.ts';
import { compileJob } from '#jobs/compile.ts';
import rollups from '#jobs/rollups.ts';
import { taskPlans } from '#jobs/task-plans.ts';
import { describeTopics } from '#jobs/topics.ts';
import { RecordBatchBuilder, RecordWalker } from '#runtime/log/record-batch.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import { ulid } from '#runtime/std/ulid.ts';
import { DEFAULT_TASK_OPTIONS, type TaskEnvironment } from '#runtime/task/task-environment.ts';
import { TaskSupervisor } from '#runtime/task/task-supervisor.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';
import { World } from '#test/simulation/world/world.ts';

const PARTITIONS = 4;
const HOUR_MS = 3_600_000;
const WAITING = Number(process.env['WAITING_SAMPLES'] ?? 1_000_000);

const run = { namespace: 'n', job: 'rollups', run: 'live', generation: 0 };
const sources = { 'metrics.raw': { partitionCount: PARTITIONS, maxMessageBytes: 1_048_588 } };
const job = compileJob(rollups({ exchangePartitions: 2 }));
const plans = taskPlans({ job, version: 'v', run, sources });

function world(): World {
  const made = new World({ seed: 11 });
  for (const { topic, partitionCount } of describeTopics(job.plan, run, sources)) {
    made.cluster.createTopics([{ topic, partitionCount }]);
  }
  return made;
}

interface Started {
  readonly kill: () => void;
  /** Runs the tasks whose names are taken. */
  readonly run: (takes: (task: string) => boolean) => readonly TaskSupervisor[];
}

function start(made: World): Started {
  const { process, clock, log, disk } = made.start(`p${made.processes.length}`);
  const store = new DirectoryStore({ root: 'checkpoints', disk });
  const environment: TaskEnvironment = {
    clock,
    logger: silentLogger,
    log,
    reader: log.reader(),
    ownership: { owns: async () => true },
    checkpoints: (identity, attempt) =>
      new FileTaskCheckpoints({ store, identity, attempt, clock, logger: silentLogger }),
    attemptId: () => ulid(clock.nowMs(), made.random.bytes(10)),
    breathe: () => process.after(0, 'breathe', () => {}),
  };
  const launch = (plan: (typeof plans)[number]): TaskSupervisor => {
    const supervisor = new TaskSupervisor(plan, DEFAULT_TASK_OPTIONS, environment);
    supervisor.run().then((outcome) => {
      if (outcome.kind === 'failed') made.scheduler.fail(new Error(JSON.stringify(outcome.failure)));
    });
    return supervisor;
  };
  const nameOf = ({ identity }: (typeof plans)[number]) => `${identity.stage}/${identity.partition}`;
  return { kill: () => process.kill(), run: (takes) => plans.filter((plan) => takes(nameOf(plan))).map(launch) };
}

/** One sample a record, `batchRows` records a batch; event times spread over [from, to), up to 4 s out of order. */
function produce(made: World, partition: number, from: number, to: number, count: number): void {
  const builder = new RecordBatchBuilder('metrics.raw', partition, 128 * 1024);
  for (let i = 0; i < count; i++) {
    const timestamp = Math.max(from, Math.floor(from + ((to - from) * i) / count) - made.random.int(4_000));
    const host = made.random.int(20);
    const value = Buffer.from(
      `{"metric_name":"cpu","timestamp":${timestamp},"value":${made.random.int(100)},"labels":{"host":"h-${partition}-${host}"}}`,
    );
    builder.append(timestamp, null, 0, 0, value, 0, value.length);
    if (builder.recordCount === 1_000 || i === count - 1) {
      made.cluster.append({ topic: 'metrics.raw', partition }, builder.finish().bytes);
    }
  }
}

function values(made: World, topic: string): string[] {
  const walker = new RecordWalker();
  const texts: string[] = [];
  for (let partition = 0; partition < PARTITIONS; partition++) {
    for (const { bytes, fate } of made.cluster.partition({ topic, partition })?.batches ?? []) {
      if (fate !== 'committed' || (bytes.readInt16BE(21) & 0x20) !== 0) continue;
      walker.reset(bytes, 61, bytes.length, bytes.readInt32BE(57));
      while (walker.next()) texts.push(bytes.toString('utf8', walker.valueStart, walker.valueEnd));
    }
  }
  return texts;
}

const counted = (made: World, topic: string): number =>
  values(made, topic).reduce((sum, row) => sum + JSON.parse(row).count, 0);

test('an hour of waiting samples is neither late nor ahead, although writers had said idle before', async () => {
  const made = world();
  const first = start(made);
  first.run(() => true);
  // Partitions 0 and 1 get samples for three minutes, then 1 falls silent; 2 and 3 never had any.
  let live = 0;
  for (let second = 0; second < 240; second++) {
    made.scheduler.schedule(second * 1_000, 'live', null, () => {
      for (const partition of second < 180 ? [0, 1] : [0]) {
        const nowMs = WORLD_EPOCH_MS + second * 1_000;
        produce(made, partition, nowMs, nowMs + 1_000, 5);
        live += 5;
      }
    });
  }
  await made.scheduler.run(() => made.scheduler.nowMs > 241_000);
  expect(values(made, 'metrics.rollup.1m').length, 'rows came while two partitions had no data').toBeGreaterThan(0);
  first.kill();

  const stoppedMs = WORLD_EPOCH_MS + 241_000;
  for (let partition = 0; partition < PARTITIONS; partition++) {
    produce(made, partition, stoppedMs, stoppedMs + HOUR_MS, WAITING / PARTITIONS);
  }
  made.scheduler.schedule(HOUR_MS, 'hour', null, () => {});
  await made.scheduler.run(() => made.scheduler.nowMs >= 241_000 + HOUR_MS);
  const second = start(made);
  // One writer is an hour ahead of those that had said idle before it is their turn: they hold the windows open.
  const [ahead] = second.run((task) => task === 'samples/0' || task.startsWith('1m/'));
  expect(await made.until(() => ahead.status()?.lagRecords === 0, 30 * 60_000)).toBe(true);
  await made.pass(1_000);
  expect(counted(made, 'metrics.rollup.1m'), 'no row that others may still add to').toBeLessThanOrEqual(live);
  second.run((task) => task !== 'samples/0' && !task.startsWith('1m/'));
  // No closing sample: every source falls idle, and the windows behind the exchange must close all the same.
  const endMs = made.scheduler.nowMs + 30 * 60_000;
  const total = live + WAITING;
  await made.scheduler.run(() => made.scheduler.nowMs > endMs || counted1m(made) === total, 50_000_000);
  expect(values(made, 'metrics.raw.late')).toEqual([]);
  expect(values(made, 'metrics.raw.dead-letter')).toEqual([]);
  expect(counted(made, 'metrics.rollup.1m')).toBe(total);
}, 120_000);

// Looked at now and then only: counting a million samples' rows is slow.
let looked = 0;
function counted1m(made: World): number {
  return looked++ % 20_000 === 0 ? counted(made, 'metrics.rollup.1m') : -1;
}
