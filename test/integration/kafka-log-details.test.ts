// What only Kafka has: aborted transactions larger than a fetch, checked by Kafka's own reader too; epochs that run out;
// partitions that nobody polls beside busy ones; a process that ends when its client is closed.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { LogClient, PartitionReader } from '#runtime/log/contract.ts';
import { connectKafka, type KafkaLogOptions } from '#runtime/log/kafka/kafka-client.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { javaConsume } from '#test/harness/java-consumer.ts';
import { hasMavenAndJava } from '#test/harness/kafka-jars.ts';
import { RawKafka } from '#test/harness/kafka-raw.ts';
import { sharedKafka, uniqueName } from '#test/harness/shared-kafka.ts';
import { stamp } from '#test/integration/kafka-log-subject.ts';
import { readTo, texts } from '#test/suites/log/bench.ts';
import { committedRecords, decodeBatches, encodeBatch, record, type StoredRecord } from '#test/suites/log/bytes.ts';

let brokers: string[] = [];
const clients: LogClient[] = [];

beforeAll(async () => {
  ({ brokers } = await sharedKafka());
});
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});

function connect(options: Partial<KafkaLogOptions> = {}): LogClient {
  const client = connectKafka({ brokers, clientId: 'details', clock: systemClock, ...options });
  clients.push(client);
  return client;
}

async function newTopic(
  client: LogClient,
  what: string,
  partitionCount = 1,
): Promise<{ topic: string; topicId: string }> {
  const topic = uniqueName(what);
  await client.admin.createTopics([{ topic, partitionCount }]);
  const [description] = await client.admin.describeTopics([topic]);
  return { topic, topicId: description!.topicId };
}

async function settled(client: LogClient, topic: string, partition = 0): Promise<bigint> {
  for (;;) {
    const [stable, high] = await client.admin.listOffsets([
      { topic, partition, at: 'last-stable' },
      { topic, partition, at: 'high-watermark' },
    ]);
    if (stable === high) return high;
  }
}

const CONTROL_KEYS = [Buffer.alloc(4), Buffer.from([0, 0, 0, 1]), null];

/** Overlapping transactions of several batches, ended in both orders, most of them aborted. */
async function fillWithAborts(topic: string): Promise<void> {
  const raw = new RawKafka(brokers);
  const ids = [uniqueName('aborts'), uniqueName('aborts')];
  const batch = (label: string, i: number) =>
    encodeBatch(topic, 0, [
      record(`${label} ${i} ${'.'.repeat(200)}`, { key: CONTROL_KEYS[i % 3] }),
      record(`${label} ${i}'`),
    ]);
  for (const [round, ends] of ['aabb', 'abab', 'AbBa', 'bAaB', 'ba', 'aB'].entries()) {
    const open = await Promise.all(ids.map((id) => raw.begin(id, 60_000)));
    for (let i = 0; i < 6; i++) {
      await open[i % 2].append(batch(`${'ab'[i % 2]} ${round}`, i), stamp);
      if (i % 4 === 0) await raw.produce(batch(`plain ${round}`, i), null);
    }
    for (const end of new Set(ends.toLowerCase())) {
      const transaction = open[end === 'a' ? 0 : 1];
      if (ends.includes(end.toUpperCase())) await transaction.commit();
      else await transaction.abort();
      await raw.produce(batch(`after ${end} ${round}`, 0), null);
    }
  }
}

describe('kafka adapter', () => {
  it('agrees with an independent decoder and with Kafka itself from every offset, however small the fetches are', async () => {
    const client = connect();
    const { topic, topicId } = await newTopic(client, 'aborted');
    await fillWithAborts(topic);
    const end = await settled(client, topic);
    const expected = committedRecords(decodeBatches(await new RawKafka(brokers).dump(topic, 0)));
    if (await hasMavenAndJava()) {
      const java = await javaConsume(brokers, topic, 0);
      expect(java).toEqual(expected.map(({ offset, value }) => ({ offset, value: String(value) })));
    }
    expect(expected.length).toBeGreaterThan(30);
    for (const partitionBytesMax of [1, 900, 5000, 1 << 20]) {
      const reader = connect({ partitionBytesMax }).reader();
      const starts = Array.from({ length: Number(end) + 1 }, (_, i) => BigInt(i));
      for (const group of [0n, 1n, 2n, 3n]) {
        const read = async (offset: bigint) => {
          const one = reader.open({ topic, partition: 0, topicId, offset });
          const seen = await readTo(one, end);
          expect(seen, `from ${offset}, fetches of ${partitionBytesMax}`).toEqual(
            expected.filter((record) => record.offset >= offset),
          );
          one.close();
        };
        await Promise.all(starts.filter((offset) => offset % 4n === group).map(read));
      }
      await reader.close();
    }
  });

  it('goes on over the last epoch of a producer id, with every transaction once', async () => {
    const client = connect();
    const { topic, topicId } = await newTopic(client, 'epochs');
    const { topic: commits } = await newTopic(client, 'epochs-commits');
    const id = uniqueName('epochs-id');
    const reached = await new RawKafka(brokers).wearOut(id, 32_740);
    expect(reached).toBeGreaterThanOrEqual(32_740);
    const writer = client.writer(id);
    await writer.fence();
    let expectedEntryOffset = 0n;
    for (let i = 0; i < 60; i++) {
      const batches = [encodeBatch(topic, 0, [record(`${i}`)])];
      const result = await writer.transact({
        batches,
        entry: encodeBatch(commits, 0, [record(`${i}`)]),
        expectedEntryOffset,
      });
      expectedEntryOffset = result.nextEntryOffset;
      if (i === 40) await writer.initialiseAgain();
    }
    const end = await settled(client, topic);
    const reader = client.reader().open({ topic, partition: 0, topicId, offset: 0n });
    expect(texts(await readTo(reader, end))).toEqual(Array.from({ length: 60 }, (_, i) => `${i}`));
    const stored = decodeBatches(await new RawKafka(brokers).dump(topic, 0));
    expect(new Set(stored.map(({ producerId }) => producerId)).size).toBe(2);
  });

  it('says for good what a broker will never take, and goes on afterwards', async () => {
    const client = connect();
    const topic = uniqueName('refused');
    await client.admin.createTopics([
      {
        topic,
        partitionCount: 2,
        config: { 'message.timestamp.after.max.ms': '3600000', 'cleanup.policy': 'compact' },
      },
    ]);
    const { topic: commits } = await newTopic(client, 'refused-commits');
    const writer = client.writer(uniqueName('refused-id'));
    await writer.fence();
    const transact = async (timestampMs: number, key: Buffer | null) => {
      const [expectedEntryOffset] = await client.admin.listOffsets([
        { topic: commits, partition: 0, at: 'last-stable' },
      ]);
      const batches = [encodeBatch(topic, 0, [record('x', { timestampMs, key })])];
      return writer.transact({ batches, entry: encodeBatch(commits, 0, [record('x')]), expectedEntryOffset });
    };
    const key = Buffer.from('key');
    const year3000 = Date.UTC(3000, 0, 1);
    await expect(transact(year3000, key)).rejects.toMatchObject({ code: 'record-refused' });
    await writer.initialiseAgain();
    await expect(transact(1_700_000_000_000, null)).rejects.toMatchObject({ code: 'record-refused' });
    await writer.initialiseAgain();
    await settled(client, commits);
    await transact(1_700_000_000_000, key);
  });

  it('lets a partition that nobody polls stop nobody, and holds no more of it than it may', async () => {
    const client = connect({ readAheadBytesMax: 200_000, partitionBytesMax: 100_000, heldBytesMax: 1 << 20 });
    const { topic, topicId } = await newTopic(client, 'slow', 4);
    const raw = new RawKafka(brokers);
    const filler = 'x'.repeat(1000);
    const produce = (partition: number, count: number, from: number) =>
      raw.produce(
        encodeBatch(
          topic,
          partition,
          Array.from({ length: count }, (_, i) => record(`${from + i} ${filler}`)),
        ),
        null,
      );
    for (let round = 0; round < 20; round++) for (const p of [0, 1, 2, 3]) await produce(p, 50, round * 50);
    const log = client.reader();
    const open = [0, 1, 2, 3].map((partition) => log.open({ topic, partition, topicId, offset: 0n }));
    const [stuck, ...busy] = open;
    for (const one of busy) expect((await readTo(one, 1000n)).length).toBe(1000);
    const { fetches } = stuck.status();
    expect(stuck.position).toBe(0n);
    // Full since long: what is written now reaches the others without it.
    for (let round = 20; round < 23; round++) for (const p of [1, 2, 3]) await produce(p, 50, round * 50);
    for (const one of busy) expect((await readTo(one, 1150n)).length).toBe(150);
    expect(stuck.status().fetches).toBe(fetches);
    expect(fetches).toBeLessThan(8);
    expect((await readTo(stuck, 1000n)).map(({ offset }) => offset)).toEqual(
      Array.from({ length: 1000 }, (_, i) => BigInt(i)),
    );
  });

  it('reads the same partition several times over one reader', async () => {
    const client = connect();
    const { topic, topicId } = await newTopic(client, 'twice');
    const raw = new RawKafka(brokers);
    for (let i = 0; i < 20; i++) await raw.produce(encodeBatch(topic, 0, [record(`${i}`)]), null);
    const log = client.reader();
    const open = [0n, 5n, 0n, 19n].map((offset) => log.open({ topic, partition: 0, topicId, offset }));
    const seen = await Promise.all(open.map((one) => readTo(one, 20n)));
    expect(seen.map((records: StoredRecord[]) => records.length)).toEqual([20, 15, 20, 1]);
    await raw.produce(encodeBatch(topic, 0, [record('20')]), null);
    const more = await Promise.all(open.map((one: PartitionReader) => readTo(one, 21n)));
    expect(more.map(texts)).toEqual([['20'], ['20'], ['20'], ['20']]);
  });

  it('keeps no process alive once the client is closed', async () => {
    const script = `
      import { connectKafka } from '#runtime/log/kafka/kafka-client.ts';
      import { systemClock } from '#runtime/std/clock.ts';
      const client = connectKafka({ brokers: ${JSON.stringify(brokers)}, clientId: 'short', clock: systemClock });
      await client.admin.createTopics([{ topic: '${uniqueName('short')}', partitionCount: 1 }]);
      const writer = client.writer('${uniqueName('short-id')}');
      await writer.fence();
      client.reader().open({ topic: 'nowhere', partition: 0, topicId: 'x', offset: 0n });
      await new Promise((resolve) => setTimeout(resolve, 300));
      await client.close();
      process.stdout.write('closed');`;
    const node = [process.execPath, '--input-type=module', '--eval', script] as const;
    const { stdout } = await promisify(execFile)(node[0], node.slice(1), { timeout: 15_000 });
    expect(stdout).toBe('closed');
  });
});
