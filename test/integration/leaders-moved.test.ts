// Leaders that move all at once, under a writer: the first transaction fails, and only that one.

import { expect, test } from 'vitest';
import { connectKafka } from '#runtime/log/kafka/kafka-client.ts';
import { RecordBatchBuilder } from '#runtime/log/record-batch.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { ClusterView } from '#test/faults/cluster-view.ts';
import { moveLeaders } from '#test/faults/leader-moves.ts';
import { startKafka } from '#test/harness/kafka.ts';

const OFTEN = 'often';
const SELDOM = 'seldom';
const ENTRIES = 'entries';

function batch(topic: string) {
  const builder = new RecordBatchBuilder(topic, 0);
  const value = Buffer.from(topic);
  builder.append(0, null, 0, 0, value, 0, value.length);
  return builder.finish();
}

test('leaders that moved cost a writer one transaction, not one for each topic that it writes', async () => {
  const kafka = await startKafka({ own: true, brokers: 3 });
  const client = connectKafka({ brokers: kafka.brokers, clientId: 'moved', clock: systemClock });
  try {
    const topics = [OFTEN, SELDOM, ENTRIES];
    await client.admin.createTopics(topics.map((topic) => ({ topic, partitionCount: 1 })));
    const writer = client.writer(
      'moved.0',
      topics.map((topic) => ({ topic, partition: 0 })),
    );
    await writer.fence();
    const view = new ClusterView(kafka.brokers);
    await view.whole(60_000);
    const endOfEntries = async () => {
      const [end] = await client.admin.listOffsets([{ topic: ENTRIES, partition: 0, at: 'last-stable' }]);
      return end;
    };
    let expectedEntryOffset = 0n;
    const write = async (...batches: string[]) => {
      const entry = batch(ENTRIES);
      const written = await writer.transact({ batches: batches.map(batch), entry, expectedEntryOffset });
      expectedEntryOffset = written.nextEntryOffset;
    };
    await write(OFTEN, SELDOM);
    await moveLeaders(view, { seed: 1, share: 1 });
    await view.whole(60_000);
    await expect(write(OFTEN)).rejects.toMatchObject({ code: 'writer-dead' });
    await writer.initialiseAgain();
    expectedEntryOffset = await endOfEntries();
    await write(OFTEN);
    await write(SELDOM);
    await writer.close();
  } finally {
    await client.close();
    await kafka.stop();
  }
});
