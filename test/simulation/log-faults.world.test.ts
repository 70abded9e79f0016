// The simulated log under every fault it knows: whatever happens to clients, the log itself must stay a log. Careless
// writers (they never look at what was committed) make the most of it; the judge decodes the stored bytes.

import { describe, expect, it } from 'vitest';
import { StreamError } from '#runtime/std/errors.ts';
import { drawFaults, NO_FAULTS } from '#test/simulation/world/log-faults.ts';
import { Random } from '#test/simulation/world/random.ts';
import { type Inhabitant, World } from '#test/simulation/world/world.ts';
import { readTo, staged, texts } from '#test/suites/log/bench.ts';
import { committedRecords, decodeBatches } from '#test/suites/log/bytes.ts';

const PARTITIONS = [0, 1, 2];
const COMMITS = 3;

interface Told {
  readonly acknowledged: Map<string, bigint>;
  readonly attempted: string[];
  readonly errors: Map<string, number>;
}

/** Sends labelled transactions for ever, each label once. */
async function write({ process, clock, log }: Inhabitant, id: string, told: Told): Promise<void> {
  const writer = log.writer(id);
  const failed = (error: unknown) => {
    if (!(error instanceof StreamError)) throw error;
    told.errors.set(error.code, (told.errors.get(error.code) ?? 0) + 1);
    return error.code;
  };
  let fenceFirst = true;
  for (let n = 0; ; ) {
    let expectedEntryOffset: bigint;
    try {
      await (fenceFirst ? writer.fence() : writer.initialiseAgain());
      [expectedEntryOffset] = await log.admin.listOffsets([{ topic: 't', partition: COMMITS, at: 'last-stable' }]);
    } catch (error) {
      fenceFirst ||= failed(error) === 'writer-fenced';
      await clock.sleep(100);
      continue;
    }
    fenceFirst = false;
    try {
      for (;;) {
        const label = `${id}.${process.name}.${n++}`;
        told.attempted.push(label);
        const batches = PARTITIONS.flatMap((p) => [
          staged('t', p, [`${label} a`, `${label} b`]),
          staged('t', p, [`${label} c`]),
        ]);
        const entry = staged('t', COMMITS, [label]);
        const result = await writer.transact({ batches, entry, expectedEntryOffset });
        told.acknowledged.set(label, result.entryOffset);
        expectedEntryOffset = result.nextEntryOffset;
        await clock.sleep(50);
      }
    } catch (error) {
      failed(error);
      await clock.sleep(20);
    }
  }
}

async function runSeed(seed: number) {
  const random = new Random(seed);
  const world = new World({ seed, faults: drawFaults(random) });
  world.cluster.createTopics([{ topic: 't', partitionCount: PARTITIONS.length + 1 }]);
  const told: Told = { acknowledged: new Map(), attempted: [], errors: new Map() };
  const start = (name: string) => {
    const inhabitant = world.start(name);
    write(inhabitant, 'id', told).catch((error: unknown) => world.scheduler.fail(error));
    return inhabitant.process;
  };
  let current = start('p0');
  for (let i = 1; i < 6; i++) {
    await world.pass(random.range(200, 8000));
    if (random.chance(0.5)) current.killAfterEvents(random.int(10));
    else current.pause(random.range(10, 20_000));
    if (random.chance(0.2)) world.logAway(random.range(100, 5000));
    if (random.chance(0.3)) await world.pass(random.range(0, 40_000));
    current = start(`p${i}`);
  }
  await world.pass(5000);
  for (const process of world.processes) process.kill();
  // Late requests, markers and time-outs come to their end; then a quiet day to read in.
  await world.scheduler.run();
  world.channel.faults = NO_FAULTS;
  return { world, told };
}

async function readAll(world: World, partition: number): Promise<(string | null)[]> {
  const { log } = world.start('judge');
  const { topicId } = world.cluster.topics.get('t')!;
  let seen: (string | null)[] | null = null;
  const read = async () => {
    const reader = log.reader().open({ topic: 't', partition, topicId, offset: 0n });
    seen = texts(await readTo(reader, BigInt(world.cluster.partition({ topic: 't', partition })!.lastStable)));
    reader.close();
  };
  read().catch((error: unknown) => world.scheduler.fail(error));
  await world.scheduler.run(() => seen !== null);
  return seen!;
}

describe('the simulated log under faults', () => {
  it('commits whole transactions or nothing, keeps what it acknowledged, and leaves nothing open', async () => {
    const errors = new Map<string, number>();
    const counts = new Map<string, number>();
    let [acknowledged, unknown, producerIds] = [0, 0, 0];
    for (let seed = 1; seed <= 50; seed++) {
      const { world, told } = await runSeed(seed);
      const seen: string[][] = [];
      for (const p of [...PARTITIONS, COMMITS]) {
        const stored = world.cluster.partition({ topic: 't', partition: p })!;
        expect(stored.lastStable, `seed ${seed}: nothing is open`).toBe(stored.end);
        const batches = decodeBatches(Buffer.concat(stored.batches.map((batch) => batch.bytes)));
        const expected = texts(committedRecords(batches));
        expect(await readAll(world, p), `seed ${seed} partition ${p}`).toEqual(expected);
        seen.push(expected as string[]);
        producerIds = Math.max(producerIds, new Set(batches.map((batch) => batch.producerId)).size);
      }
      const labels = seen[COMMITS];
      expect(new Set(labels).size, `seed ${seed}: nothing twice`).toBe(labels.length);
      for (const p of PARTITIONS) {
        expect(seen[p], `seed ${seed}: all or nothing`).toEqual(
          labels.flatMap((label) => ['a', 'b', 'c'].map((x) => `${label} ${x}`)),
        );
      }
      for (const label of told.acknowledged.keys()) expect(labels, `seed ${seed}`).toContain(label);
      for (const label of labels) expect(told.attempted).toContain(label);
      acknowledged += told.acknowledged.size;
      unknown += labels.length - told.acknowledged.size;
      for (const [code, count] of told.errors) errors.set(code, (errors.get(code) ?? 0) + count);
      for (const [what, count] of Object.entries(world.channel.counts))
        counts.set(what, (counts.get(what) ?? 0) + count);
    }
    // Each fault has happened, and each had an effect that a client can see; but nobody reads while a transaction is open.
    counts.delete('held-back');
    for (const [what, count] of counts) expect(count, what).toBeGreaterThan(0);
    for (const code of ['writer-fenced', 'writer-dead', 'log-timeout', 'log-unavailable']) {
      expect(errors.get(code) ?? 0, code).toBeGreaterThan(0);
    }
    // The guard of the entry's offset gives no false alarm: all writers here own the id they write with.
    expect(errors.get('foreign-writer')).toBe(undefined);
    expect(acknowledged).toBeGreaterThan(2000);
    expect(unknown).toBeGreaterThan(10);
    expect(producerIds).toBeGreaterThan(1);
  });

  it('hands out records around gaps of offsets', async () => {
    const world = new World({ seed: 1 });
    world.cluster.startOffset = 2 ** 40;
    world.cluster.createTopics([{ topic: 't', partitionCount: 1 }]);
    const at = { topic: 't', partition: 0 };
    for (let i = 0; i < 5; i++) {
      world.cluster.append(at, staged('t', 0, [`${i}`, `${i}'`]).bytes);
      world.cluster.leaveGap(at, 3 + i);
    }
    const { log } = world.start('reader');
    const { topicId } = world.cluster.topics.get('t')!;
    const end = BigInt(world.cluster.partition(at)!.end);
    let done = false;
    const read = async () => {
      for (let skip = 0n; skip < 12n; skip++) {
        const reader = log.reader().open({ ...at, topicId, offset: 2n ** 40n + skip });
        const seen = await readTo(reader, end);
        const all = await readTo(log.reader().open({ ...at, topicId, offset: 2n ** 40n }), end);
        expect(all.length).toBe(10);
        expect(texts(seen)).toEqual(texts(all.filter((one) => one.offset >= 2n ** 40n + skip)));
        expect(reader.position).toBe(end);
      }
      done = true;
    };
    read().catch((error: unknown) => world.scheduler.fail(error));
    await world.scheduler.run(() => done);
    expect(done).toBe(true);
  });
});
