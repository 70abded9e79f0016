// Owns the contract tests of topics: administration, offsets by place and time, retention, partitions added, topics
// created again.

import { expect, it } from 'vitest';
import type { StreamError } from '#runtime/std/errors.ts';
import {
  type LogBench,
  placed,
  readTo,
  readToError,
  staged,
  suiteWriter,
  take,
  texts,
} from '#test/suites/log/bench.ts';
import { encodeBatch, record, type StoredRecord } from '#test/suites/log/bytes.ts';
import { codeOf } from '#test/suites/log/writing.ts';

export function topicTests(bench: LogBench): void {
  it('names one installation to every client', async () => {
    const identity = await bench.client().admin.identity();
    expect(identity.length).toBeGreaterThan(0);
    expect(await bench.client().admin.identity()).toBe(identity);
  });

  it('creates, describes, lists and deletes topics, and leaves existing ones alone', async () => {
    const { admin } = bench.client();
    const [a, b] = [bench.name('topic'), bench.name('topic')];
    await admin.createTopics([
      { topic: a, partitionCount: 3, config: { 'retention.ms': '86400000' } },
      { topic: b, partitionCount: 1 },
    ]);
    const before = await admin.describeTopics([a, bench.name('absent'), b]);
    expect(before.map((one) => one?.partitionCount ?? null)).toEqual([3, null, 1]);
    expect(before[0]?.topicId).not.toBe(before[2]?.topicId);
    await admin.createTopics([{ topic: a, partitionCount: 5 }]);
    expect(await admin.describeTopics([a])).toEqual([before[0]]);
    expect(await admin.listTopics()).toEqual(expect.arrayContaining([a, b]));
    const config = await admin.describeConfig(a);
    expect(config['retention.ms']).toBe('86400000');
    expect(Number(config['max.message.bytes'])).toBeGreaterThan(0);
    await admin.deleteTopics([b, bench.name('absent')]);
    await bench.eventually('the topic is gone', async () => (await admin.describeTopics([b]))[0] === null);
    expect(await admin.listTopics()).not.toContain(b);
    const query = { topic: b, partition: 0, at: 'earliest' } as const;
    expect(await codeOf(admin.listOffsets([query]))).toBe('topic-unknown');
    expect(await codeOf(admin.describeConfig(b))).toBe('topic-unknown');
  });

  it('lists offsets in the order asked: earliest, last stable, high watermark and by time', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'offsets', 2);
    const writer = await suiteWriter(bench, client, 'offsets');
    const base = 1_700_000_000_000;
    const at = (seconds: number) => record(`${seconds}`, { timestampMs: base + seconds * 1000 });
    await writer.transact('1', [encodeBatch(topic, 0, [at(10), at(20), at(30)])]);
    await writer.transact('2', [encodeBatch(topic, 0, [at(25), at(50)]), encodeBatch(topic, 1, [at(5)])]);
    await writer.transact('3', [encodeBatch(topic, 0, [at(60)])]);
    const [end, end1] = [await bench.settledEnd(client, topic), await bench.settledEnd(client, topic, 1)];
    const records = await readTo(await bench.reader(client, topic), end);
    const offsetOf = (value: string) => records.find((one) => one.value?.toString() === value)!.offset;
    const time = (seconds: number) => ({ topic, partition: 0, at: { timestampMs: base + seconds * 1000 } });
    const offsets = await client.admin.listOffsets([
      { topic, partition: 1, at: 'high-watermark' },
      { topic, partition: 0, at: 'earliest' },
      { topic, partition: 0, at: 'last-stable' },
      { topic, partition: 0, at: 'high-watermark' },
      time(0),
      time(11),
      time(30),
      time(31),
      time(60),
      time(61),
    ]);
    const byTime = [offsetOf('10'), offsetOf('20'), offsetOf('30'), offsetOf('50'), offsetOf('60'), end];
    expect(offsets).toEqual([end1, 0n, end, end, ...byTime]);
  });

  it('tells a reader that retention overtook it which range is lost, and never jumps', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'overtaken');
    const writer = await suiteWriter(bench, client, 'overtaken');
    for (let i = 0; i < 10; i++) await writer.transact(`${i}`, [staged(topic, 0, [`${i}`, `${i}'`])]);
    const end = await bench.settledEnd(client, topic);
    const all = await readTo(await bench.reader(client, topic), end);
    const reading = await bench.reader(client, topic);
    const before: StoredRecord[] = [];
    await bench.eventually('the first batch is read', () => take(reading, before));
    const cut = all[13].offset;
    await client.admin.deleteRecords([{ topic, partition: 0, before: cut }]);
    expect(await bench.offsetOf(client, 'earliest', topic)).toBe(cut);

    const late = await bench.reader(client, topic, 0, all[3].offset);
    const seen: StoredRecord[] = [];
    const error = (await readToError(late, seen)) as StreamError;
    expect(error.code).toBe('offset-out-of-range');
    expect(error.message).toContain(`${all[3].offset}`);
    expect(error.message).toContain(`${cut}`);
    expect(placed(seen)).toEqual([]);
    expect(() => late.poll()).toThrow(error.message);

    const rest = await readTo(await bench.reader(client, topic, 0, cut), end);
    expect(placed(rest)).toEqual(placed(all.slice(13)));

    // What was fetched before the cut may still be handed out; after that the error, nothing left out in between.
    const failed = await readTo(reading, end, before).then(
      () => null,
      (thrown: unknown) => thrown as StreamError,
    );
    if (failed === null) expect(placed(before)).toEqual(placed(all));
    else {
      expect(failed.code).toBe('offset-out-of-range');
      expect(placed(before)).toEqual(placed(all.slice(0, before.length)));
    }
  });

  it('removes all records of a partition and goes on with the next offset', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'emptied');
    const writer = await suiteWriter(bench, client, 'emptied');
    await writer.transact('1', [staged(topic, 0, ['a', 'b'])]);
    const end = await bench.settledEnd(client, topic);
    await client.admin.deleteRecords([{ topic, partition: 0, before: end }]);
    expect(await bench.offsetOf(client, 'earliest', topic)).toBe(end);
    expect(await bench.offsetOf(client, 'high-watermark', topic)).toBe(end);
    await writer.transact('2', [staged(topic, 0, ['c'])]);
    const reader = await bench.reader(client, topic, 0, end);
    const [record] = await readTo(reader, await bench.settledEnd(client, topic));
    expect([record.offset, record.value?.toString()]).toEqual([end, 'c']);
  });

  it('adds partitions that can be written and read while old readers go on', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'grown');
    const writer = await suiteWriter(bench, client, 'grown');
    await writer.transact('1', [staged(topic, 0, ['old'])]);
    const old = await bench.reader(client, topic);
    expect(texts(await readTo(old, await bench.settledEnd(client, topic)))).toEqual(['old']);
    const topicId = await bench.topicId(client, topic);
    await client.admin.createPartitions(topic, 3);
    await bench.eventually('the partitions are there', async () => {
      const [seen] = await client.admin.describeTopics([topic]);
      return seen?.partitionCount === 3 && seen.topicId === topicId;
    });
    await writer.transact('2', [staged(topic, 0, ['more']), staged(topic, 2, ['new'])]);
    expect(texts(await readTo(old, await bench.settledEnd(client, topic)))).toEqual(['more']);
    const grown = await bench.reader(bench.client(), topic, 2);
    expect(texts(await readTo(grown, await bench.settledEnd(client, topic, 2)))).toEqual(['new']);
  });

  it('does not take a topic that was created again for the old one', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'again');
    const writer = await suiteWriter(bench, client, 'again');
    await writer.transact('1', [staged(topic, 0, ['a', 'b', 'c'])]);
    const oldId = await bench.topicId(client, topic);
    const live = await bench.reader(client, topic);
    expect(texts(await readTo(live, await bench.settledEnd(client, topic)))).toEqual(['a', 'b', 'c']);
    await client.admin.deleteTopics([topic]);
    await bench.eventually('the topic is gone', async () => (await client.admin.describeTopics([topic]))[0] === null);
    await client.admin.createTopics([{ topic, partitionCount: 1 }]);
    const newId = await bench.topicId(client, topic);
    expect(newId).not.toBe(oldId);
    const seen: StoredRecord[] = [];
    const stale = client.reader().open({ topic, partition: 0, topicId: oldId, offset: 0n });
    expect(((await readToError(stale, seen)) as StreamError).code).toBe('topic-recreated');
    const error = (await readToError(live, seen)) as StreamError;
    expect(['topic-recreated', 'topic-unknown']).toContain(error.code);
    expect(placed(seen)).toEqual([]);
    const fresh = await suiteWriter(bench, bench.client(), 'again');
    await fresh.transact('2', [staged(topic, 0, ['new'])]);
    const reader = await bench.reader(bench.client(), topic);
    expect(texts(await readTo(reader, await bench.settledEnd(client, topic)))).toEqual(['new']);
  });

  it('publishes offsets under a group', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'group');
    await client.admin.publishOffsets(bench.name('group-id'), [{ topic, partition: 0, offset: 0n }]);
  });
}
