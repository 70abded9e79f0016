import { expect, test } from 'vitest';
import { type EndsPort, TransactionEnds } from '#runtime/log/kafka/transaction-ends.ts';
import type { OpenTransaction } from '#runtime/log/kafka/wire/producers.ts';

const HANGING: OpenTransaction = { topic: 'out', partition: 0, producerId: 7n, epoch: 0, coordinatorEpoch: 0 };

/** A log that committed and wrote no marker, to clients that may write none; the next ends are left out, too. */
function forgetfulLog(endsLeftOut: number): { readonly port: EndsPort<string>; readonly ends: boolean[] } {
  const ends: boolean[] = [];
  let open: readonly OpenTransaction[] = [HANGING];
  const port: EndsPort<string> = {
    describe: async () => ({ error: 0, state: 'CompleteCommit', producerId: 7n, epoch: 1, startMs: 5n }),
    abort: async () => {},
    describeNow: async () => ({ error: 0, state: 'CompleteCommit', producerId: 7n, epoch: 1, startMs: 5n }),
    unreadable: async (written) => written.filter((one) => open.some((other) => other.topic === one.topic)),
    open: async () => open,
    commit: async () => false,
    async endWithoutRecords(_partitions, commit) {
      ends.push(commit);
      if (ends.length > endsLeftOut) open = [];
    },
    identity: () => ({ producerId: 7n, epoch: 2 }),
    pause: async () => {},
    fenced: (what) => new Error(`fenced: ${what}`),
    dead: (what) => new Error(`dead: ${what}`),
  };
  return { port, ends };
}

test('an end that stands for one that was left out is sent again when it is left out, too', async () => {
  for (const leftOut of [0, 1, 2]) {
    const { ends, port } = forgetfulLog(leftOut);
    const transactions = new TransactionEnds([HANGING], port);
    expect(await transactions.completeCommitted('first', null)).toBe(0);
    await transactions.initialised();
    expect(ends).toEqual(new Array(leftOut + 1).fill(true));
  }
});

test('what stays without markers ends the attempt, and is no transaction to build upon', async () => {
  const { port } = forgetfulLog(9);
  const transactions = new TransactionEnds([HANGING], port);
  await transactions.completeCommitted('first', null);
  await expect(transactions.initialised()).rejects.toThrow('dead: 1 partitions stay without markers');
});

test('what is owed is kept when the answer to the initialisation is lost: the coordinator knows of it no more', async () => {
  const { ends, port } = forgetfulLog(0);
  const states = ['CompleteCommit', 'CompleteCommit', 'Empty'];
  const described = { error: 0, producerId: 7n, epoch: 1, startMs: 5n };
  const describe = async () => ({ ...described, state: states.shift() ?? 'Empty' });
  const transactions = new TransactionEnds([HANGING], { ...port, describe });
  await transactions.completeCommitted('first', null);
  transactions.begin();
  expect(await transactions.completeCommitted('second', null)).toBe(0);
  await transactions.initialised();
  expect(ends).toEqual([true]);
});

test('a transaction that is to stand for a missing end, and whose own end was lost, is ended before anything else', async () => {
  const { ends, port } = forgetfulLog(0);
  const states = ['CompleteCommit', 'CompleteCommit', 'Ongoing'];
  const described = { error: 0, producerId: 7n, startMs: 5n };
  const describe = async () => ({
    ...described,
    epoch: states.length > 1 ? 1 : 2,
    state: states.shift() ?? 'CompleteCommit',
  });
  const transactions = new TransactionEnds([HANGING], { ...port, describe });
  await transactions.completeCommitted('first', null);
  transactions.begin();
  expect(await transactions.completeCommitted('second', null)).toBe(51);
  expect(ends).toEqual([true]);
});

const OURS = { producerId: 7n, epoch: 0 };
const WRITTEN = [{ topic: 'out', partition: 0, lastOffset: 4n }];

/** A log that has something open until it was asked `looks` times; `open` says whose. */
function lateLog(looks: number, open: readonly OpenTransaction[], state = 'CompleteCommit') {
  const asked = { offsets: 0, coordinator: 0, commits: 0 };
  let left = open;
  const { port } = forgetfulLog(0);
  const late: EndsPort<string> = {
    ...port,
    async unreadable(written) {
      return ++asked.offsets > looks ? [] : written;
    },
    open: async () => left,
    async describeNow() {
      asked.coordinator++;
      return { error: 0, state, producerId: 7n, epoch: 1, startMs: 5n };
    },
    async commit() {
      asked.commits++;
      left = [];
      return true;
    },
  };
  return { ends: new TransactionEnds(WRITTEN, late), asked };
}

test('a transaction is over when its records can be read: late markers are waited for', async () => {
  for (const looks of [0, 3, 12]) {
    const { ends, asked } = lateLog(looks, [HANGING]);
    expect(await ends.untilEnded(WRITTEN, OURS)).toBe(0);
    expect(asked).toEqual({ offsets: looks + 1, coordinator: 0, commits: 0 });
  }
});

test('an older transaction of somebody else that holds readers back is not waited for', async () => {
  const { ends, asked } = lateLog(Number.POSITIVE_INFINITY, []);
  expect(await ends.untilEnded(WRITTEN, OURS)).toBe(0);
  expect(asked.offsets).toBeLessThan(10);
});

test('a marker that the coordinator holds for written is written by hand, one that it is about to write is not', async () => {
  const over = lateLog(Number.POSITIVE_INFINITY, [HANGING]);
  expect(await over.ends.untilEnded(WRITTEN, OURS)).toBe(1);
  expect(over.asked.commits).toBe(1);
  const underWay = lateLog(Number.POSITIVE_INFINITY, [HANGING], 'PrepareCommit');
  await expect(underWay.ends.untilEnded(WRITTEN, OURS)).rejects.toThrow('dead: 1 partitions have no marker yet');
  expect(underWay.asked.commits).toBe(0);
});

test("a successor's transaction is not ours to end", async () => {
  const { ends, asked } = lateLog(Number.POSITIVE_INFINITY, [{ ...HANGING, epoch: 1 }]);
  expect(await ends.untilEnded(WRITTEN, OURS)).toBe(0);
  expect(asked.commits).toBe(0);
});

/** Ours is committed and seen nowhere; then the way to the log breaks, and the coordinator says something else. */
async function forgotten(state: string, mine = OURS) {
  const asked = { aborted: 0, committed: [] as number[] };
  const { port } = forgetfulLog(0);
  let open: readonly OpenTransaction[] = [HANGING];
  const broken: EndsPort<string> = {
    ...port,
    describe: async () => ({ error: 0, state, producerId: 7n, epoch: 3, startMs: 5n }),
    unreadable: async () => {
      throw new Error('the connection is closed');
    },
    open: async () => open,
    abort: async () => void asked.aborted++,
    async commit(ended) {
      asked.committed.push(...ended.map(({ epoch }) => epoch));
      open = [];
      return true;
    },
  };
  const ends = new TransactionEnds(WRITTEN, broken);
  await expect(ends.untilEnded(WRITTEN, mine)).rejects.toThrow('closed');
  return { ends, asked };
}

test('what was called committed is ended as committed, though the coordinator knows nothing of it any more', async () => {
  const { ends, asked } = await forgotten('Empty');
  expect(await ends.completeCommitted('next', null)).toBe(0);
  expect(asked.committed).toEqual([OURS.epoch]);
  await ends.initialised();
  expect(asked.committed, 'once').toEqual([OURS.epoch]);
});

test('what is open under another epoch is not what was called committed', async () => {
  const { ends, asked } = await forgotten('Empty', { ...OURS, epoch: 9 });
  expect(await ends.completeCommitted('next', null)).toBe(0);
  expect(asked.committed).toEqual([]);
});

test('what is under way is aborted before the id is initialised, by its owner or by whoever shuts all others out', async () => {
  const { ends, asked } = await forgotten('Ongoing');
  expect(await ends.completeCommitted('next', null), 'asked for again').toBe(51);
  expect(await ends.completeCommitted('next', { producerId: 7n, epoch: 3 })).toBe(51);
  expect(asked.aborted).toBe(2);
  expect(await ends.completeCommitted('next', { producerId: 7n, epoch: 2 }), "a successor's is left alone").toBe(0);
  expect(asked.aborted).toBe(2);
});
