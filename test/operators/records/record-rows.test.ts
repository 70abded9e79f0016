import { expect, test } from 'vitest';
import { RecordRows } from '#operators/records/record-rows.ts';
import { Batch } from '#runtime/task/contract.ts';

function batchOf(topic: string, offset: number): Batch {
  const batch = new Batch(1);
  batch.count = 1;
  batch.originTopic = topic;
  batch.originPartition[0] = 3;
  batch.originOffset[0] = offset;
  return batch;
}

test('what a timer sends comes from no topic, whatever came before it: no checkpoint knows what that was', () => {
  const seen: unknown[] = [];
  const rows = new RecordRows([
    {
      process({ count, originOffset, originPartition, originTopic, records }) {
        for (let i = 0; i < count; i++) seen.push([originTopic, originPartition[i], originOffset[i], records?.[i]]);
      },
    },
  ]);
  rows.from(batchOf('orders', 5), 0);
  rows.add(0, 1, 'of a record');
  rows.fromTimer();
  rows.add(0, 2, 'of a timer');
  rows.from(batchOf('payments', 6), 0);
  rows.add(0, 3, 'of another topic');
  rows.flush();
  expect(seen).toEqual([
    ['orders', 3, 5, 'of a record'],
    ['', -1, -1, 'of a timer'],
    ['payments', 3, 6, 'of another topic'],
  ]);
});
