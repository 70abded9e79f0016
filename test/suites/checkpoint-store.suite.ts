// What every store of checkpoints must do. A store's test calls it with a way to open the same store again, as another
// process would.

import { beforeEach, describe, expect, it } from 'vitest';
import type { CheckpointStore, TaskIdentity } from '#checkpoint/contract.ts';

export interface StoreUnderTest {
  /** A new, empty place. */
  create(): Promise<{ open(): CheckpointStore }>;
}

const task: TaskIdentity = {
  namespace: 'one',
  job: 'rollups',
  run: 'live',
  generation: 1,
  stage: '1m',
  partition: 0,
};

const NAME = '0000000000000007-01AAAA-1.segment';

function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text));
}

export function checkpointStoreSuite(name: string, underTest: StoreUnderTest): void {
  describe(`checkpoint store: ${name}`, () => {
    let open: () => CheckpointStore;
    beforeEach(async () => {
      const place = await underTest.create();
      open = () => place.open();
    });

    it('gives back what was written, also when opened anew', async () => {
      const store = open();
      await store.write(task, NAME, bytes('content'));
      expect(Buffer.from(await store.read(task, NAME)).toString()).toBe('content');
      expect(Buffer.from(await open().read(task, NAME)).toString()).toBe('content');
      expect(await open().list(task)).toEqual([NAME]);
    });

    it('holds empty and large files', async () => {
      const large = new Uint8Array(3_000_001).map((_, i) => i * 7);
      const store = open();
      await store.write(task, '0000000000000001-01AAAA-1.segment', new Uint8Array(0));
      await store.write(task, '0000000000000001-01AAAA-2.segment', large);
      expect((await store.read(task, '0000000000000001-01AAAA-1.segment')).length).toBe(0);
      expect(Buffer.compare(await store.read(task, '0000000000000001-01AAAA-2.segment'), large)).toBe(0);
    });

    it('writes a view of a larger buffer as the view', async () => {
      const store = open();
      await store.write(task, NAME, bytes('xxinnerxx').subarray(2, 7));
      expect(Buffer.from(await store.read(task, NAME)).toString()).toBe('inner');
    });

    it('lists nothing for a task it never saw', async () => {
      expect(await open().list(task)).toEqual([]);
      await open().write(task, NAME, bytes('x'));
      expect(await open().list({ ...task, partition: 1 })).toEqual([]);
    });

    it('keeps tasks apart that differ in any part of their identity', async () => {
      const store = open();
      const others: TaskIdentity[] = [
        { ...task, namespace: 'two' },
        { ...task, job: 'alerts' },
        { ...task, run: '01ARUN' },
        { ...task, generation: 2 },
        { ...task, stage: '1h' },
        { ...task, partition: 10 },
      ];
      await store.write(task, NAME, bytes('mine'));
      for (const [i, other] of others.entries()) await store.write(other, NAME, bytes(`other ${i}`));
      expect(Buffer.from(await store.read(task, NAME)).toString()).toBe('mine');
      for (const [i, other] of others.entries()) {
        expect(Buffer.from(await store.read(other, NAME)).toString()).toBe(`other ${i}`);
      }
      await store.remove(others[0], [NAME]);
      expect(await store.list(task)).toEqual([NAME]);
    });

    it('never replaces a file', async () => {
      await open().write(task, NAME, bytes('first'));
      await expect(open().write(task, NAME, bytes('second'))).rejects.toThrow();
      expect(Buffer.from(await open().read(task, NAME)).toString()).toBe('first');
      expect(await open().list(task)).toEqual([NAME]);
    });

    it('calls a missing file damage', async () => {
      await expect(open().read(task, NAME)).rejects.toMatchObject({ code: 'checkpoint-corrupt' });
      await open().write(task, NAME, bytes('x'));
      await expect(open().read(task, `${NAME}x`)).rejects.toMatchObject({ code: 'checkpoint-corrupt' });
    });

    it('removes what it is told, missing files without complaint, and nothing else', async () => {
      const store = open();
      for (const n of [1, 2, 3]) await store.write(task, `000000000000000${n}-01AAAA-1.segment`, bytes('x'));
      await store.remove(task, ['0000000000000001-01AAAA-1.segment', '0000000000000003-01AAAA-1.segment', NAME]);
      await store.remove({ ...task, partition: 9 }, [NAME]);
      expect(await open().list(task)).toEqual(['0000000000000002-01AAAA-1.segment']);
    });

    it('copies a file to another place, where it stays when the first one goes', async () => {
      const store = open();
      const other = { ...task, run: 'savepoint.s1' };
      await store.write(task, NAME, bytes('content'));
      await store.write(task, '0000000000000008-01AAAA-1.segment', new Uint8Array(0));
      await store.copy(task, other, NAME);
      await store.copy(task, other, NAME);
      await store.copy(task, other, '0000000000000008-01AAAA-1.segment');
      await store.remove(task, [NAME]);
      expect(await open().list(task)).toEqual(['0000000000000008-01AAAA-1.segment']);
      expect((await open().list(other)).sort()).toEqual([NAME, '0000000000000008-01AAAA-1.segment']);
      expect(Buffer.from(await open().read(other, NAME)).toString()).toBe('content');
      await store.remove(other, [NAME]);
      await expect(store.copy(task, other, NAME)).rejects.toMatchObject({ code: 'checkpoint-corrupt' });
      expect(await open().list(other)).toEqual(['0000000000000008-01AAAA-1.segment']);
    });

    it('takes files of several tasks at the same time', async () => {
      const store = open();
      const partitions = [0, 1, 2, 3, 4, 5];
      await Promise.all(partitions.map((partition) => store.write({ ...task, partition }, NAME, bytes('x'))));
      for (const partition of partitions) expect(await store.list({ ...task, partition })).toEqual([NAME]);
    });

    it('belongs to one installation', async () => {
      expect(await open().readInstallation()).toBeNull();
      await open().writeInstallation('01INSTALLATION');
      expect(await open().readInstallation()).toBe('01INSTALLATION');
      await open().writeInstallation('01INSTALLATION');
      await expect(open().writeInstallation('01OTHER')).rejects.toMatchObject({
        code: 'installation-mismatch',
        retryable: false,
      });
      expect(await open().readInstallation()).toBe('01INSTALLATION');
    });

    it('keeps its installation apart from the files of tasks', async () => {
      await open().writeInstallation('01INSTALLATION');
      await open().write(task, NAME, bytes('x'));
      expect(await open().list(task)).toEqual([NAME]);
      expect(await open().readInstallation()).toBe('01INSTALLATION');
    });
  });
}
