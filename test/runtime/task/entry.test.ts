import { expect, test } from 'vitest';
import { RecordBatchBuilder, RecordWalker } from '#runtime/log/record-batch.ts';
import { CHAIN_START, chainHash, type Entry, entryBatch, readEntry, writeEntry } from '#runtime/task/entry.ts';

const entry: Entry = {
  kind: 'commit',
  number: 7,
  generation: 0,
  version: 'v1',
  inputs: [{ topic: 'in', topicId: 'id', partition: 3, endOffset: '9007199254740993' }],
  clockMs: 1_700_000_000_000,
  timersFired: { clock: 0, event: 2 },
  outputHash: 'ab',
  outputRecords: 2,
};

function walk(bytes: Buffer): RecordWalker {
  const walker = new RecordWalker();
  walker.reset(bytes, 61, bytes.length, 1);
  expect(walker.next()).toBe(true);
  return walker;
}

test('an entry comes back from its record batch with the hash it was chained with', () => {
  const written = writeEntry(entry, CHAIN_START);
  const read = readEntry(walk(entryBatch(written, 'commits', 3).bytes), 'commits/3');
  expect(read.entry).toEqual(entry);
  expect(read.chainHash).toBe(chainHash(CHAIN_START, read.bytes));
});

test('fields of a newer version take part in the chain', () => {
  const newer = { ...entry, markers: ['x'] };
  expect(writeEntry(newer, CHAIN_START).chainHash).not.toBe(writeEntry(entry, CHAIN_START).chainHash);
});

test('the chain depends on everything before', () => {
  const other = writeEntry({ ...entry, number: 6 }, CHAIN_START).chainHash;
  expect(writeEntry(entry, other).chainHash).not.toBe(writeEntry(entry, CHAIN_START).chainHash);
});

test.each([
  ['not JSON', Buffer.from('{"kind"')],
  ['of an unknown kind', Buffer.from('{"kind":"other","number":1}')],
  ['without number', Buffer.from('{"kind":"commit"}')],
  ['a tombstone', null],
])('a record that is %s is refused with the place', (_, value) => {
  const builder = new RecordBatchBuilder('commits', 3);
  builder.append(0, null, 0, 0, value, 0, value?.length ?? 0, [{ key: 'chain-hash', value: Buffer.from('00') }]);
  const { bytes } = builder.finish();
  expect(() => readEntry(walk(bytes), 'commits/3 offset 5')).toThrow(
    expect.objectContaining({ code: 'commit-log-corrupt', message: expect.stringContaining('commits/3 offset 5') }),
  );
});
