// What a dead slot leaves open on Kafka: ended by the process that owns the installation, left alone by one that does
// not own it any more, because its successor may be the one who writes.

import { expect, test } from 'vitest';
import { endOpenTransactions } from '#jobs/open-transactions.ts';
import { connectKafka } from '#runtime/log/kafka/kafka-client.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { transactionalId } from '#runtime/task/task-environment.ts';
import { RawKafka } from '#test/harness/kafka-raw.ts';
import { sharedKafka, uniqueName } from '#test/harness/shared-kafka.ts';
import { encodeBatch, record } from '#test/suites/log/bytes.ts';
import { stamp } from './kafka-log-subject.ts';
import { until } from './oracle/until.ts';

const LONG_MS = 60_000;

test('only the owner ends them', async () => {
  const { brokers } = await sharedKafka();
  const log = connectKafka({ brokers, clientId: 'open-transactions', clock: systemClock });
  try {
    const topic = uniqueName('open-transactions');
    const namespace = uniqueName('open');
    await log.admin.createTopics([{ topic, partitionCount: 1 }]);
    const task = { job: 'rollups', run: 'live', generation: 0, stage: 'samples', partition: 0 };
    const raw = new RawKafka(brokers);
    const open = await raw.begin(transactionalId({ namespace, ...task }), LONG_MS);
    const append = (text: string) => open.append(encodeBatch(topic, 0, [record(text)]), stamp);
    await append('left open');
    const stable = async () => (await log.admin.listOffsets([{ topic, partition: 0, at: 'last-stable' }]))[0];
    const end = (owns: () => Promise<boolean>) => endOpenTransactions({ log, namespace, tasks: [task], owns });

    await end(async () => false);
    await end(() => Promise.reject(new Error('the log is away')));
    await append('still its own');
    expect(await stable()).toBe(0n);

    await end(async () => true);
    await expect(append('too late')).rejects.toThrow('Kafka error');
    await until(async () => (await stable()) === 3n, 'the abort marker', 30_000);
  } finally {
    await log.close();
  }
}, 60_000);
