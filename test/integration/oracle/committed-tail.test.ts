// What the independent reader must get right before it may judge anybody: every byte, and nothing that was aborted.

import type { Kafka } from 'kafkajs';
import { beforeAll, expect, test } from 'vitest';
import { kafkaJs } from '#test/harness/kafkajs-client.ts';
import { sharedKafka } from '#test/harness/shared-kafka.ts';
import { CommittedTail } from './committed-tail.ts';
import { topicOf } from './kafka-feed.ts';

let cluster: { readonly brokers: string[] };
let kafka: Kafka;

beforeAll(async () => {
  cluster = await sharedKafka();
  kafka = kafkaJs(cluster.brokers);
});

const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

test('reads every byte of keys, values and headers as it was written, and tells null from empty', async () => {
  const topic = await topicOf(kafka, 'bytes', 2);
  const producer = kafka.producer();
  await producer.connect();
  const special = Buffer.from('m{a="x\\"y,\t\n\\\\é🚀"}');
  await producer.send({
    topic,
    messages: [
      { partition: 0, key: special, value: EVERY_BYTE, timestamp: '1700000000000' },
      {
        partition: 0,
        key: EVERY_BYTE,
        value: special,
        headers: { 'source-topic': 'a,b:c\tNO_HEADERS', odd: EVERY_BYTE, none: '' },
      },
      { partition: 0, key: null, value: null },
      { partition: 0, key: Buffer.alloc(0), value: Buffer.alloc(0) },
      { partition: 0, key: 'null', value: '\\x41' },
      { partition: 1, key: 'k', value: 'v' },
    ],
  });
  await producer.disconnect();
  const tail = await CommittedTail.start(cluster.brokers, topic);
  const records = (await tail.finish()).toSorted(
    (left, right) => left.partition - right.partition || left.offset - right.offset,
  );
  expect(records.map(({ partition, offset }) => `${partition}@${offset}`)).toEqual([
    '0@0',
    '0@1',
    '0@2',
    '0@3',
    '0@4',
    '1@0',
  ]);
  expect(records.map(({ key }) => key)).toEqual([
    special,
    EVERY_BYTE,
    null,
    Buffer.alloc(0),
    Buffer.from('null'),
    Buffer.from('k'),
  ]);
  expect(records.map(({ value }) => value)).toEqual([
    EVERY_BYTE,
    special,
    null,
    Buffer.alloc(0),
    Buffer.from('\\x41'),
    Buffer.from('v'),
  ]);
  expect(records[0].timestampMs).toBe(1700000000000);
  expect(records[0].headers.size).toBe(0);
  expect(records[1].headers.get('source-topic')?.toString()).toBe('a,b:c\tNO_HEADERS');
  expect(records[1].headers.get('odd')).toEqual(EVERY_BYTE);
  expect(records[1].headers.get('none')).toEqual(Buffer.alloc(0));
});

test('reads while others write, and shows what was committed and nothing that was aborted', async () => {
  const topic = await topicOf(kafka, 'transactions', 3);
  const tail = await CommittedTail.start(cluster.brokers, topic);
  const producer = kafka.producer({ transactionalId: topic, maxInFlightRequests: 1, idempotent: true });
  await producer.connect();
  const expected: string[] = [];
  for (let round = 0; round < 20; round++) {
    const transaction = await producer.transaction();
    const values = [0, 1, 2].map((partition) => ({ partition, value: `${round} ${partition} ${'x'.repeat(round)}` }));
    await transaction.send({ topic, messages: values });
    if (round % 3 === 1) await transaction.abort();
    else {
      await transaction.commit();
      expected.push(...values.map(({ value }) => value));
    }
    if (round === 10) await tail.waitFor((records) => records.length === expected.length, 'the first half', 30_000);
  }
  await producer.disconnect();
  const records = await tail.finish();
  expect(records.map(({ value }) => value?.toString()).sort()).toEqual(expected.sort());
});

test('does not call a topic read while a transaction is open in it', async () => {
  const topic = await topicOf(kafka, 'open', 2);
  const producer = kafka.producer({ transactionalId: topic, maxInFlightRequests: 1, idempotent: true });
  await producer.connect();
  const transaction = await producer.transaction();
  await transaction.send({ topic, messages: [{ partition: 1, value: 'v' }] });
  const tail = await CommittedTail.start(cluster.brokers, topic);
  await expect(tail.finish(3000)).rejects.toThrow(/end-marks/);
  await transaction.abort();
  await producer.disconnect();
});
