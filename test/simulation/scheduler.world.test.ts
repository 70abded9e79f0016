// The world must be deterministic, or a failing seed proves nothing; and a dead process must be dead.

import { describe, expect, it } from 'vitest';
import { RecordBatchBuilder } from '#runtime/log/record-batch.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { drawDiskFaults } from '#test/simulation/world/disk.ts';
import { drawFaults } from '#test/simulation/world/log-faults.ts';
import { Random } from '#test/simulation/world/random.ts';
import { type Inhabitant, World } from '#test/simulation/world/world.ts';

/** A busy life: writes transactions, reads them back, keeps files; recovers from everything. */
async function live({ log, clock, disk }: Inhabitant, id: string): Promise<void> {
  const writer = log.writer(id);
  const builder = new RecordBatchBuilder('t', 0);
  for (let round = 0; ; round++) {
    try {
      await log.admin.createTopics([{ topic: 't', partitionCount: 2 }]);
      await writer.fence();
      const end = (await log.admin.listOffsets([{ topic: 't', partition: 1, at: 'last-stable' }]))[0];
      const topicId = (await log.admin.describeTopics(['t']))[0]!.topicId;
      const reader = log.reader().open({ topic: 't', partition: 1, topicId, offset: 0n });
      while (reader.position < end) {
        const batch = reader.poll();
        if (batch === null) await reader.ready();
        else batch.release();
      }
      reader.close();
      let expectedEntryOffset = end;
      for (let i = 0; i < 10; i++) {
        builder.append(clock.nowMs(), null, 0, 0, Buffer.from(`${id} ${round} ${i}`), 0, 8);
        const batches = [builder.finish()];
        builder.append(clock.nowMs(), null, 0, 0, Buffer.from('entry'), 0, 5);
        const entry = { ...builder.finish(), partition: 1 };
        const result = await writer.transact({ batches, entry, expectedEntryOffset });
        expectedEntryOffset = result.nextEntryOffset;
        await clock.sleep(20);
      }
      await disk.makeDirectory('/d');
      await disk.writeNewFile(`/d/${round}`, Buffer.from('x'.repeat(round)));
      await disk.syncFile(`/d/${round}`);
    } catch (error) {
      const fault = error instanceof StreamError || (error as NodeJS.ErrnoException).code !== undefined;
      if (!fault) throw error;
      await clock.sleep(200);
    }
  }
}

async function runSeed(seed: number) {
  const random = new Random(seed);
  const world = new World({ seed, faults: drawFaults(random), diskFaults: drawDiskFaults(random) });
  let failure: unknown = null;
  const start = (name: string) => {
    const inhabitant = world.start(name);
    live(inhabitant, 'id').catch((error: unknown) => {
      failure ??= error;
    });
    return inhabitant.process;
  };
  let current = start('p0');
  for (let i = 1; i < 5; i++) {
    await world.scheduler.run(() => false, random.range(100, 1500));
    if (random.chance(0.5)) current.kill();
    else current.pause(random.range(10, 20_000));
    if (random.chance(0.3)) world.disk('machine').powerFailure();
    current = start(`p${i}`);
  }
  await world.scheduler.run(() => false, 2000);
  if (failure !== null) throw failure;
  return { hash: world.scheduler.traceHash(), world };
}

describe('the scheduler', () => {
  it('gives the same trace for the same seed and another for another', async () => {
    const hashes = new Set<string>();
    for (let seed = 1; seed <= 12; seed++) {
      const first = await runSeed(seed);
      const second = await runSeed(seed);
      expect(second.hash).toBe(first.hash);
      expect(second.world.scheduler.steps).toBe(first.world.scheduler.steps);
      hashes.add(first.hash);
    }
    expect(hashes.size).toBe(12);
  });

  it('orders events by time, then by when they were scheduled', async () => {
    const { scheduler } = new World({ seed: 1 });
    const random = new Random(7);
    const seen: [number, number][] = [];
    for (let i = 0; i < 500; i++) {
      const at = random.int(50);
      scheduler.schedule(at, 'event', null, () => seen.push([at, i]));
    }
    const cancelled = scheduler.schedule(10, 'never', null, () => seen.push([-1, -1]));
    scheduler.cancel(cancelled);
    expect(await scheduler.run()).toBe('idle');
    expect(seen).toEqual([...seen].sort((a, b) => a[0] - b[0] || a[1] - b[1]));
    expect(seen.length).toBe(500);
    expect(scheduler.steps).toBe(500);
  });

  it('settles all promises of a step before the next', async () => {
    const { scheduler } = new World({ seed: 1 });
    const seen: string[] = [];
    const chain = async () => {
      for (let i = 0; i < 100; i++) await Promise.resolve();
      await new Promise<void>((resolve) => process.nextTick(resolve));
      for (let i = 0; i < 100; i++) await null;
      seen.push('settled');
    };
    for (let i = 0; i < 200; i++) {
      scheduler.schedule(1, 'first', null, () => void chain());
      scheduler.schedule(1, 'second', null, () => seen.push('next'));
    }
    await scheduler.run();
    expect(seen).toEqual(Array.from({ length: 200 }, () => ['settled', 'next']).flat());
  });

  it('stops on request, after a number of steps, and with what an event throws', async () => {
    const { scheduler } = new World({ seed: 1 });
    for (let i = 0; i < 10; i++) scheduler.schedule(i, 'tick', null, () => undefined);
    expect(await scheduler.run(() => scheduler.nowMs >= 3)).toBe('done');
    expect(scheduler.nowMs).toBe(3);
    expect(await scheduler.run(() => false, 2)).toBe('steps');
    expect(scheduler.nowMs).toBe(5);
    scheduler.schedule(0, 'bad', null, () => {
      throw new Error('found');
    });
    await expect(scheduler.run()).rejects.toThrow('found');
  });
});

describe('a process', () => {
  it('does nothing more once it is killed, whatever it waits for', async () => {
    const world = new World({ seed: 3 });
    const { process, clock, log, disk } = world.start('victim');
    const other = world.start('other');
    const done: string[] = [];
    const wait = (what: string, work: () => Promise<unknown>) => {
      work().then(
        () => done.push(what),
        () => done.push(`${what} failed`),
      );
    };
    const everything = (who: Inhabitant, mark: string) => {
      wait(`${mark} sleep`, () => who.clock.sleep(5));
      wait(`${mark} admin`, () => who.log.admin.createTopics([{ topic: mark, partitionCount: 1 }]));
      wait(`${mark} disk`, () => who.disk.makeDirectory(`/${mark}`));
      wait(`${mark} fence`, () => who.log.writer(mark).fence());
    };
    everything({ process, clock, log, disk }, 'victim');
    everything(other, 'other');
    process.kill();
    everything({ process, clock, log, disk }, 'late');
    await world.scheduler.run();
    expect(done.sort()).toEqual(['other admin', 'other disk', 'other fence', 'other sleep']);
    // What it had sent arrives all the same; what it does after its death does not.
    expect([...world.cluster.topics.keys()].sort()).toEqual(['other', 'victim']);
    expect(world.disk('machine').files()).toEqual([]);
  });

  it('can be killed at every event of a program', async () => {
    for (let events = 0; events < 12; events++) {
      const world = new World({ seed: 9 });
      const { process, clock } = world.start('victim');
      process.killAfterEvents(events);
      let reached = 0;
      const program = async () => {
        for (; reached < 10; reached++) await clock.sleep(1);
      };
      program();
      await world.scheduler.run();
      expect(reached).toBe(Math.min(events, 10));
      expect(process.alive).toBe(events >= 10);
    }
  });

  it('that is stopped learns everything late, while what it sent goes on', async () => {
    const world = new World({ seed: 4 });
    const { process, clock, log } = world.start('stopped');
    const seen: number[] = [];
    log.admin.createTopics([{ topic: 'sent', partitionCount: 1 }]).then(
      () => seen.push(clock.monotonicMs()),
      () => seen.push(-1),
    );
    clock.sleep(10).then(() => seen.push(clock.monotonicMs()));
    process.pause(60_000);
    await world.scheduler.run(() => world.cluster.topics.has('sent'));
    expect(seen).toEqual([]);
    await world.scheduler.run();
    expect(seen.length).toBe(2);
    for (const at of seen) expect(at).toBeGreaterThanOrEqual(60_000);
  });

  it('has a clock of its own that may jump, and a monotonic one that may not', async () => {
    const world = new World({ seed: 4 });
    const { process, clock } = world.start('early');
    await world.scheduler.run();
    const wall = clock.nowMs();
    process.clockOffsetMs = -5000;
    expect(clock.nowMs()).toBe(wall - 5000);
    const before = clock.monotonicMs();
    const abort = new AbortController();
    const woken: string[] = [];
    clock.sleep(1000).then(() => woken.push('slept'));
    clock.sleep(1e9, abort.signal).then(() => woken.push('aborted'));
    await world.scheduler.run(() => woken.length === 1);
    expect(clock.monotonicMs() - before).toBe(1000);
    abort.abort();
    await world.scheduler.run();
    expect(woken).toEqual(['slept', 'aborted']);
    expect(world.scheduler.nowMs).toBe(1000);
  });
});
