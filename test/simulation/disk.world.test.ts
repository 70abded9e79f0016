// The simulated disk must be as bad as a real one: what was not synced may be gone, what was synced may not.

import { describe, expect, it } from 'vitest';
import type { Disk } from '#runtime/std/disk.ts';
import { type DiskFaults, NO_DISK_FAULTS } from '#test/simulation/world/disk.ts';
import { World } from '#test/simulation/world/world.ts';

type Program = (disk: Disk) => Promise<void>;

/** Runs a program on a new machine, fails the power after `events` of its events, and gives what a reboot finds. */
async function afterPowerFailure(seed: number, events: number, program: Program, faults: DiskFaults = NO_DISK_FAULTS) {
  const world = new World({ seed, diskFaults: faults });
  const victim = world.start('victim');
  let finished = false;
  victim.process.killAfterEvents(events);
  program(victim.disk).then(
    () => {
      finished = true;
    },
    () => undefined,
  );
  await world.scheduler.run();
  victim.process.kill();
  world.disk('machine').powerFailure();
  return { finished, ...(await contents(world)) };
}

async function contents(world: World) {
  const { disk } = world.start('reader');
  const files = new Map<string, string>();
  const read = async () => {
    for (const path of world.disk('machine').files())
      files.set(path, Buffer.from(await disk.readFile(path)).toString());
  };
  let failure: unknown = null;
  read().catch((error: unknown) => {
    failure = error;
  });
  await world.scheduler.run();
  if (failure !== null) throw failure;
  return { files };
}

const MANIFEST = 'the manifest '.repeat(20);

const careful: Program = async (disk) => {
  await disk.makeDirectory('/data/task');
  await disk.syncDirectory('/');
  await disk.syncDirectory('/data');
  await disk.writeNewFile('/data/task/m.tmp', Buffer.from(MANIFEST));
  await disk.syncFile('/data/task/m.tmp');
  await disk.rename('/data/task/m.tmp', '/data/task/m');
  await disk.syncDirectory('/data/task');
};

/** Leaves out one call of the careful program. */
function without(call: keyof Disk, path?: string): Program {
  return async (disk) => {
    const skipped = {
      ...disk,
      [call]: (...args: [string]) =>
        path === undefined || args[0] === path
          ? Promise.resolve()
          : (disk[call] as (at: string) => Promise<void>)(...args),
    };
    await careful(skipped as Disk);
  };
}

async function outcomes(program: Program): Promise<Set<string>> {
  const seen = new Set<string>();
  for (let seed = 0; seed < 60; seed++) {
    const { finished, files } = await afterPowerFailure(seed, 1000, program);
    expect(finished).toBe(true);
    const manifest = files.get('/data/task/m');
    seen.add(manifest === undefined ? 'lost' : manifest === MANIFEST ? 'whole' : 'torn');
  }
  return seen;
}

describe('the simulated disk', () => {
  it('keeps what was written, synced and renamed by the book', async () => {
    expect(await outcomes(careful)).toEqual(new Set(['whole']));
  });

  it('loses or tears what was not synced', async () => {
    expect(await outcomes(without('syncFile'))).toEqual(new Set(['whole', 'torn']));
    expect(await outcomes(without('syncDirectory', '/data/task'))).toEqual(new Set(['whole', 'lost']));
    expect(await outcomes(without('syncDirectory', '/data'))).toEqual(new Set(['whole', 'lost']));
    expect(await outcomes(without('syncDirectory', '/'))).toEqual(new Set(['whole', 'lost']));
  });

  it('can lose the power at every event: a careful program has its file whole or not at all', async () => {
    const found = new Set<boolean>();
    for (let events = 0; events < 16; events++) {
      for (let seed = 0; seed < 12; seed++) {
        const { finished, files } = await afterPowerFailure(seed, events, careful);
        const manifest = files.get('/data/task/m');
        if (manifest !== undefined) expect(manifest).toBe(MANIFEST);
        if (finished) expect(manifest).toBe(MANIFEST);
        found.add(manifest !== undefined);
      }
    }
    expect(found).toEqual(new Set([true, false]));
  });

  it('keeps what a killed process had done, and stops a write half way', async () => {
    const sizes = new Set<number>();
    for (let seed = 0; seed < 20; seed++) {
      const world = new World({ seed });
      const { process, disk } = world.start('victim');
      process.killAfterEvents(3);
      const write = async () => {
        await disk.makeDirectory('/d');
        await disk.writeNewFile('/d/f', Buffer.alloc(100, 65));
      };
      write();
      await world.scheduler.run();
      expect(process.alive).toBe(false);
      const { files } = await contents(world);
      sizes.add(files.get('/d/f')?.length ?? -1);
    }
    expect([...sizes].some((size) => size > 0 && size < 100)).toBe(true);
    expect(sizes.has(-1)).toBe(false);
  });

  it('behaves like a file system while it runs', async () => {
    const world = new World({ seed: 5 });
    const { disk } = world.start('user');
    const codes: (string | undefined)[] = [];
    const code = (work: Promise<unknown>) =>
      work.then(
        () => codes.push('ok'),
        (error: NodeJS.ErrnoException) => codes.push(error.code),
      );
    let lists: string[][] = [];
    const use = async () => {
      await code(disk.readFile('/none'));
      await code(disk.writeNewFile('/none/file', Buffer.from('x')));
      await disk.makeDirectory('/a/b');
      await disk.makeDirectory('/a/b');
      await disk.writeNewFile('/a/b/2', Buffer.from('two'));
      await disk.writeNewFile('/a/b/1', Buffer.from('one'));
      await code(disk.writeNewFile('/a/b/1', Buffer.from('again')));
      lists = [await disk.list('/a'), await disk.list('/a/b'), await disk.list('/none')];
      await disk.rename('/a/b/1', '/a/b/2');
      lists.push(await disk.list('/a/b'));
      expect(Buffer.from(await disk.readFile('/a/b/2')).toString()).toBe('one');
      await code(disk.rename('/a/b/1', '/a/b/3'));
      await code(disk.remove('/a/b/1'));
      await code(disk.remove('/none/at/all'));
      await disk.remove('/a');
      lists.push(await disk.list('/a'));
    };
    let done = false;
    use().then(() => {
      done = true;
    });
    await world.scheduler.run();
    expect(done).toBe(true);
    expect(codes).toEqual(['ENOENT', 'ENOENT', 'EEXIST', 'ENOENT', 'ok', 'ok']);
    expect(lists).toEqual([['b'], ['1', '2'], [], ['2'], []]);
  });

  it('refuses and spoils when it is told to', async () => {
    const seen = new Set<string>();
    const faults = { latencyMs: 1, noSpace: 0.2, ioError: 0.1, bitFlip: 0.3 };
    for (let seed = 0; seed < 60; seed++) {
      const world = new World({ seed, diskFaults: faults });
      const { disk } = world.start('user');
      const use = async () => {
        await disk.writeNewFile('/f', Buffer.alloc(50, 65));
        await disk.syncFile('/f');
        const bytes = await disk.readFile('/f');
        seen.add(bytes.every((byte) => byte === 65) ? 'whole' : 'flipped');
      };
      use().catch((error: NodeJS.ErrnoException) => seen.add(error.code ?? 'unknown'));
      await world.scheduler.run();
    }
    expect(seen).toEqual(new Set(['ENOSPC', 'EIO', 'flipped', 'whole']));
  });
});
