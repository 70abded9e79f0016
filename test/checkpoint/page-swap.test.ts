import { describe, expect, it } from 'vitest';
import { list, text } from '#checkpoint/codecs.ts';
import { KeyedValues } from '#checkpoint/keyed-values.ts';
import { PageSwap } from '#checkpoint/page-swap.ts';
import { StateMemory } from '#checkpoint/state-memory.ts';
import type { FileTaskCheckpoints } from '#checkpoint/task-checkpoints.ts';
import { SLOTS_PER_PAGE } from '#checkpoint/value-page.ts';
import { MemoryPages } from '#test/checkpoint/memory-pages.ts';
import { PowerDisk } from '#test/checkpoint/power-disk.ts';
import { acceptAll, checkpointAt, checkpointsOn, momentAt, storeOn } from '#test/checkpoint/world.ts';

class Task {
  readonly cold = new MemoryPages();
  readonly swap: PageSwap;
  readonly checkpoints: FileTaskCheckpoints;
  readonly state = new KeyedValues<string[]>('items', list(text()));

  constructor(memory: StateMemory, disk = new PowerDisk()) {
    this.swap = new PageSwap({ memory, open: async () => this.cold });
    this.checkpoints = checkpointsOn(storeOn(disk), { swap: this.swap, segmentBytesMax: 500, restoreBytesMax: 0 });
    this.state.open(this.checkpoints);
  }

  static async begun(memory: StateMemory, disk?: PowerDisk): Promise<Task> {
    const task = new Task(memory, disk);
    await task.checkpoints.restore(acceptAll);
    return task;
  }

  /** One value per page, so that slots of a test are its pages. */
  set(page: number, item: string): void {
    this.state.set(page * SLOTS_PER_PAGE, [item]);
  }

  get(page: number): string | undefined {
    return this.state.get(page * SLOTS_PER_PAGE)?.[0];
  }

  get inMemory(): number {
    return this.swap.status().pagesInMemory;
  }
}

/** Room for about ten pages with one small value. */
const TEN_PAGES = 9_500;

describe('the page swap', () => {
  it('keeps what was used last, and brings back the rest', async () => {
    const task = await Task.begun(new StateMemory(TEN_PAGES));
    for (let page = 0; page < 40; page++) {
      task.set(page, `page ${page}`);
      expect(task.get(0)).toBe('page 0');
      await task.checkpoints.relieve();
    }
    expect(task.inMemory).toBeGreaterThan(3);
    expect(task.inMemory).toBeLessThan(15);
    const { misses, pagesSwapped, hits } = task.swap.status();
    expect(misses).toBe(0);
    expect(hits).toBe(40);
    expect(pagesSwapped).toBeGreaterThan(25);
    expect(task.get(39)).toBe('page 39');
    expect(task.swap.status().misses).toBe(0);
    for (let page = 0; page < 40; page++) expect(task.get(page)).toBe(`page ${page}`);
    expect(task.swap.status().misses).toBeGreaterThan(25);
  });

  it('lets nothing leave before it is asked to', async () => {
    const task = await Task.begun(new StateMemory(1));
    for (let page = 0; page < 100; page++) task.set(page, 'x');
    expect(task.inMemory).toBe(100);
    expect(task.cold.batches).toEqual([]);
    await task.checkpoints.relieve();
    expect(task.inMemory).toBe(0);
  });

  it('writes a page that did not change since it left only once', async () => {
    const task = await Task.begun(new StateMemory(1));
    for (let page = 0; page < 10; page++) task.set(page, 'x');
    await task.checkpoints.relieve();
    expect(task.cold.batches).toEqual([10]);
    for (let page = 0; page < 10; page++) task.get(page);
    expect(task.inMemory).toBe(10);
    await task.checkpoints.relieve();
    expect(task.inMemory).toBe(0);
    expect(task.cold.batches).toEqual([10]);
    task.set(3, 'y');
    task.get(4);
    await task.checkpoints.relieve();
    expect(task.cold.batches).toEqual([10, 1]);
    expect(task.get(3)).toBe('y');
  });

  it('removes what was emptied, and asks for no page that is not there', async () => {
    const task = await Task.begun(new StateMemory(1));
    task.set(1, 'x');
    await task.checkpoints.relieve();
    expect(task.state.delete(SLOTS_PER_PAGE)).toBe(true);
    await task.checkpoints.relieve();
    expect(task.cold.pages.size).toBe(0);
    expect(task.swap.status().pagesSwapped).toBe(0);
    const { reads } = task.cold;
    expect(task.get(1)).toBeUndefined();
    expect(task.get(7_000)).toBeUndefined();
    expect(task.state.has(5)).toBe(false);
    expect(task.cold.reads).toBe(reads);
    task.set(1, 'again');
    await task.checkpoints.relieve();
    expect(task.get(1)).toBe('again');
  });

  it('keeps in memory what changes while it is being written', async () => {
    const task = await Task.begun(new StateMemory(1));
    task.set(1, 'before');
    task.set(2, 'other');
    task.cold.duringWrite = () => {
      task.cold.duringWrite = () => {};
      expect(task.get(1)).toBe('before');
      task.set(1, 'meanwhile');
    };
    await task.checkpoints.relieve();
    await task.checkpoints.relieve();
    expect(task.get(1)).toBe('meanwhile');
    expect(task.get(2)).toBe('other');
  });

  it('gives a pending snapshot its pages while they are being written, and after', async () => {
    const task = await Task.begun(new StateMemory(1));
    for (let page = 0; page < 6; page++) task.set(page, `page ${page}`);
    const digest = task.checkpoints.digest();
    const pending = task.checkpoints.capture(momentAt(1));
    task.cold.duringWrite = () => {
      pending.advance(1);
      task.cold.duringWrite = () => {};
    };
    await task.checkpoints.relieve();
    task.set(4, 'changed');
    expect(pending.advance(Number.POSITIVE_INFINITY)).toBe(true);
    await pending.writeSegments();
    expect((await pending.publish(1n)).digest).toBe(digest);
    expect(task.checkpoints.digest()).not.toBe(digest);
  });

  it('looks at all of a state without taking it into memory', async () => {
    const task = await Task.begun(new StateMemory(1));
    for (let page = 0; page < 30; page++) task.set(page, `page ${page}`);
    await task.checkpoints.relieve();
    task.set(40, 'new');
    expect([...task.state.slots()].length).toBe(31);
    expect([...task.state.entries()].at(-1)).toEqual([40 * SLOTS_PER_PAGE, ['new']]);
    expect(task.inMemory).toBe(1);
  });

  it('restores what does not fit straight to where it will lie', async () => {
    const disk = new PowerDisk();
    const first = await Task.begun(new StateMemory(1e9), disk);
    for (let page = 0; page < 200; page++) first.set(page, `page ${page}`);
    const { digest } = await checkpointAt(first.checkpoints, 1);
    const second = await Task.begun(new StateMemory(TEN_PAGES), disk);
    expect(second.inMemory).toBeLessThan(20);
    expect(second.cold.pages.size).toBeGreaterThan(180);
    expect(second.state.size).toBe(200);
    expect(second.checkpoints.digest()).toBe(digest);
    for (let page = 0; page < 200; page++) expect(second.get(page)).toBe(`page ${page}`);
  });

  it('shares memory between tasks: who takes more than his part gives it back at his next turn', async () => {
    const memory = new StateMemory(4 * TEN_PAGES);
    const greedy = await Task.begun(memory);
    const modest = await Task.begun(memory);
    for (let page = 0; page < 35; page++) greedy.set(page, 'x');
    await greedy.checkpoints.relieve();
    expect(greedy.inMemory).toBe(35);
    for (let page = 0; page < 15; page++) modest.set(page, 'x');
    await modest.checkpoints.relieve();
    expect(modest.inMemory).toBe(15);
    await greedy.checkpoints.relieve();
    expect(greedy.inMemory).toBeLessThan(30);
    expect(memory.usedBytes).toBeLessThanOrEqual(memory.bytesMax);
    await modest.checkpoints.close();
    expect(modest.cold.closed).toBe(true);
    for (let page = 0; page < 35; page++) greedy.set(page, 'y');
    await greedy.checkpoints.relieve();
    expect(greedy.inMemory).toBe(35);
  });

  it('notices values that grow in place', async () => {
    const task = await Task.begun(new StateMemory(20 * TEN_PAGES));
    for (let page = 0; page < 20; page++) task.set(page, 'x');
    for (let round = 0; round < 50; round++) {
      for (let page = 0; page < 20; page++) task.state.change(page * SLOTS_PER_PAGE)?.push('y'.repeat(500));
      await task.checkpoints.relieve();
    }
    const { bytesInMemory, bytesSwapped } = task.swap.status();
    expect(bytesSwapped).toBeGreaterThan(200_000);
    expect(bytesInMemory).toBeLessThan(20 * TEN_PAGES);
    for (let page = 0; page < 20; page++) expect(task.state.get(page * SLOTS_PER_PAGE)?.length).toBe(51);
  });

  it('opens nothing for a task without keyed state', async () => {
    let opened = 0;
    const open = async () => {
      opened++;
      return new MemoryPages();
    };
    const checkpoints = checkpointsOn(storeOn(new PowerDisk()), {
      swap: new PageSwap({ memory: new StateMemory(1), open }),
    });
    await checkpoints.restore(acceptAll);
    await checkpoints.relieve();
    await checkpoints.close();
    expect(opened).toBe(0);
  });
});

describe('a page that is not what was written', () => {
  const damages: readonly [string, (pages: Map<string, Buffer>, old: Buffer) => void][] = [
    ['has a bit flipped', (pages) => void (pages.get('0/3')![4] ^= 16)],
    ['is gone', (pages) => void pages.delete('0/3')],
    ['is an older one', (pages, old) => void pages.set('0/3', old)],
    ['is that of another number', (pages) => void pages.set('0/3', pages.get('0/4')!)],
    ['is cut off', (pages) => void pages.set('0/3', pages.get('0/3')!.subarray(0, 3))],
  ];
  it.each(damages)('%s: ends the task, whoever catches it', async (_, damage) => {
    const task = await Task.begun(new StateMemory(1));
    for (let page = 0; page < 6; page++) task.set(page, 'old item');
    await task.checkpoints.relieve();
    const old = task.cold.pages.get('0/3')!;
    for (let page = 0; page < 6; page++) task.set(page, `new item`.slice(0, 8 - (page % 2)));
    await task.checkpoints.relieve();
    damage(task.cold.pages, old);
    expect(task.get(2)).toBe('new item');
    task.checkpoints.requireSound();
    expect(() => task.get(3)).toThrow("page 3 of state 'items'");
    expect(() => task.checkpoints.requireSound()).toThrow(expect.objectContaining({ code: 'state-corrupt' }));
    await expect(task.checkpoints.relieve()).rejects.toMatchObject({ code: 'state-corrupt', retryable: true });
  });

  it('never gets into a checkpoint', async () => {
    const task = await Task.begun(new StateMemory(1));
    for (let page = 0; page < 6; page++) task.set(page, 'x');
    await task.checkpoints.relieve();
    task.cold.pages.get('0/3')![4] ^= 1;
    const pending = task.checkpoints.capture(momentAt(1));
    expect(() => pending.advance(Number.POSITIVE_INFINITY)).toThrow('is not what was written');
    expect(() => task.checkpoints.requireSound()).toThrow('is not what was written');
  });

  it('is not taken for written when the disk is full', async () => {
    const task = await Task.begun(new StateMemory(1));
    task.set(1, 'x');
    task.cold.full = true;
    await expect(task.checkpoints.relieve()).rejects.toMatchObject({ code: 'disk-failed' });
    expect(task.get(1)).toBe('x');
    await expect(task.checkpoints.relieve()).rejects.toMatchObject({ code: 'disk-failed' });
  });
});
