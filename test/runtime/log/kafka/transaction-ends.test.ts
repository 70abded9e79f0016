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
    expect(await transactions.completeCommitted('first')).toBe(0);
    await transactions.initialised('first');
    expect(ends).toEqual(new Array(leftOut + 1).fill(true));
  }
});

test('what stays without markers ends the attempt, and is no transaction to build upon', async () => {
  const { port } = forgetfulLog(9);
  const transactions = new TransactionEnds([HANGING], port);
  await transactions.completeCommitted('first');
  await expect(transactions.initialised('first')).rejects.toThrow('dead: 1 partitions stay without markers');
});

test('what is owed is kept when the answer to the initialisation is lost: the coordinator knows of it no more', async () => {
  const { ends, port } = forgetfulLog(0);
  const states = ['CompleteCommit', 'CompleteCommit', 'Empty'];
  const described = { error: 0, producerId: 7n, epoch: 1, startMs: 5n };
  const describe = async () => ({ ...described, state: states.shift() ?? 'Empty' });
  const transactions = new TransactionEnds([HANGING], { ...port, describe });
  await transactions.completeCommitted('first');
  transactions.begin();
  expect(await transactions.completeCommitted('second')).toBe(0);
  await transactions.initialised('second');
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
  await transactions.completeCommitted('first');
  transactions.begin();
  expect(await transactions.completeCommitted('second')).toBe(51);
  expect(ends).toEqual([true]);
});

test('an end that a coordinator took which did not take the beginning is looked after before the next transaction', async () => {
  const { port } = forgetfulLog(0);
  const described: string[] = [];
  const describe = async (life: string) => {
    described.push(life);
    return { error: 0, state: 'Empty', producerId: 7n, epoch: 1, startMs: 5n };
  };
  const transactions = new TransactionEnds([], { ...port, describe });
  await transactions.beforeTransaction('first');
  transactions.settled('first');
  await transactions.beforeTransaction('first');
  expect(described, 'nothing to look for within one life').toEqual(['first']);
  transactions.settled('second');
  await transactions.beforeTransaction('second');
  expect(described).toEqual(['first', 'second']);
});
