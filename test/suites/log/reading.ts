// Owns the contract tests of readers: read committed from every offset against the slow decoder, open transactions,
// codecs, large records, ends of a log.

import { expect, it } from 'vitest';
import { StreamError } from '#runtime/std/errors.ts';
import {
  inTime,
  type LogBench,
  placed,
  readTo,
  readToError,
  shown,
  staged,
  suiteWriter,
  texts,
} from '#test/suites/log/bench.ts';
import { committedRecords, decodeBatches, encodeBatch, record, type StoredRecord } from '#test/suites/log/bytes.ts';
import type { RawTransaction } from '#test/suites/log/subject.ts';
import { codeOf } from '#test/suites/log/writing.ts';

const FOUR_ZEROS = Buffer.alloc(4);

/** Records whose keys look like those of control records. */
function tricky(topic: string, label: string, count: number) {
  const keys = [FOUR_ZEROS, Buffer.from([0, 0, 0, 1]), null, Buffer.from('k')];
  return encodeBatch(
    topic,
    0,
    Array.from({ length: count }, (_, i) => record(`${label}.${i}`, { key: keys[i % 4] })),
  );
}

/** Fills partition 0 with committed, failed, overlapping and plain batches in all orders the subject can make. */
async function fillMixed(bench: LogBench, topic: string): Promise<string[] | null> {
  const client = bench.client();
  const writer = await suiteWriter(bench, client, 'mixed');
  const { log } = bench;
  const written: string[] = [];
  const labels = (label: string, count: number) => Array.from({ length: count }, (_, i) => `${label}.${i}`);
  for (let i = 0; i < 16; i++) {
    const count = 1 + ((i * 7) % 5);
    if (i % 3 === 1) {
      expect(await codeOf(writer.transact(`f${i}`, [tricky(topic, `failed ${i}`, count)], 99_999n))).toBe(
        'foreign-writer',
      );
      await writer.again();
    } else {
      await writer.transact(`c${i}`, [tricky(topic, `done ${i}`, count), tricky(topic, `more ${i}`, 2)]);
      written.push(...labels(`done ${i}`, count), ...labels(`more ${i}`, 2));
    }
    if (log.appendRaw !== undefined && i % 5 === 0) {
      await log.appendRaw(tricky(topic, `plain ${i}`, 2));
      written.push(...labels(`plain ${i}`, 2));
    }
  }
  const { beginRaw } = log;
  if (beginRaw === undefined) return written;
  const ids = Array.from({ length: 3 }, () => bench.name('raw-id'));
  const begin = (i: number): Promise<RawTransaction> => beginRaw.call(log, ids[i], 60_000);
  for (const ends of ['ab', 'ba', 'aB', 'Ab', 'bA', 'Ba', 'AB', 'BA']) {
    const a = await begin(0);
    const b = await begin(1);
    await a.append(tricky(topic, `A0 ${ends}`, 2));
    await b.append(tricky(topic, `B1 ${ends}`, 1));
    await b.append(tricky(topic, `B2 ${ends}`, 3));
    await a.append(tricky(topic, `A3 ${ends}`, 1));
    for (const end of ends) {
      const one = end.toLowerCase() === 'a' ? a : b;
      await (end === end.toUpperCase() ? one.commit() : one.abort());
    }
  }
  for (let i = 0; i < 6; i++) {
    const c = await begin(2);
    await c.append(tricky(topic, `C ${i}`, 2));
    await (i % 2 === 0 ? c.abort() : c.commit());
  }
  return null;
}

async function oracle(bench: LogBench, topic: string, written: string[] | null): Promise<StoredRecord[]> {
  const client = bench.client();
  const end = await bench.settledEnd(client, topic);
  if (bench.log.dump !== undefined) {
    const expected = committedRecords(decodeBatches(await bench.log.dump({ topic, partition: 0 })));
    if (written !== null) expect(texts(expected)).toEqual(written);
    return expected;
  }
  const seen = await readTo(await bench.reader(client, topic), end);
  if (written !== null) expect(texts(seen)).toEqual(written);
  return seen;
}

export function readingTests(bench: LogBench): void {
  const { capabilities } = bench.subject;

  it('shows exactly the committed records from every start offset', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'every');
    const expected = await oracle(bench, topic, await fillMixed(bench, topic));
    const end = await bench.settledEnd(client, topic);
    expect(expected.length).toBeGreaterThan(40);
    const topicId = await bench.topicId(client, topic);
    for (let from = 0n; from <= end; from += 8n) {
      const reads: Promise<void>[] = [];
      for (let offset = from; offset < from + 8n && offset <= end; offset++) {
        const reader = client.reader();
        const partition = reader.open({ topic, partition: 0, topicId, offset });
        const read = async () => {
          const seen = await readTo(partition, end);
          const rest = expected.filter((one) => one.offset >= offset);
          expect(placed(seen), `read from ${offset}`).toEqual(placed(rest));
          await reader.close();
        };
        reads.push(read());
      }
      await Promise.all(reads);
    }
  });

  it('goes on over what is written later, with a position that only grows', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'live');
    const writer = await suiteWriter(bench, client, 'live');
    const reader = await bench.reader(bench.client(), topic);
    const seen: StoredRecord[] = [];
    const written: string[] = [];
    for (let i = 0; i < 15; i++) {
      const values = Array.from({ length: 1 + (i % 4) }, (_, j) => `${i}.${j}`);
      await writer.transact(`${i}`, [staged(topic, 0, values)]);
      written.push(...values);
      if (i % 3 === 0) {
        await codeOf(writer.transact('lost', [staged(topic, 0, ['lost'])], writer.expected + 9n));
        await writer.again();
      }
      seen.push(...(await readTo(reader, await bench.settledEnd(client, topic))));
      expect(texts(seen)).toEqual(written);
    }
  });

  it('reports position, log start and ends, and keeps answering without data', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'status');
    const writer = await suiteWriter(bench, client, 'status');
    await writer.transact('x', [staged(topic, 0, ['a', 'b', 'c'])]);
    const end = await bench.settledEnd(client, topic);
    const reader = await bench.reader(client, topic);
    expect(reader.position).toBe(0n);
    await readTo(reader, end);
    const { fetches } = reader.status();
    const status = await bench.eventually('the reader has seen the end three times', () => {
      const now = reader.status();
      return now.position === end && now.highWatermark === end && now.fetches >= fetches + 3 ? now : undefined;
    });
    expect(status).toMatchObject({ position: end, logStart: 0n, lastStable: end, highWatermark: end, fault: null });
    expect(reader.poll()).toBe(null);
    await client.admin.deleteRecords([{ topic, partition: 0, before: 2n }]);
    await bench.eventually('the log start is seen', () => reader.status().logStart === 2n);
  });

  it('reads several partitions over one connection and closes one without disturbing the others', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'several', 3);
    const writer = await suiteWriter(bench, client, 'several');
    const topicId = await bench.topicId(client, topic);
    const reader = client.reader();
    const open = [0, 1, 2].map((partition) => reader.open({ topic, partition, topicId, offset: 0n }));
    const write = async (label: string) => {
      await writer.transact(
        label,
        [0, 1, 2].map((partition) => staged(topic, partition, [`${label} ${partition}`])),
      );
    };
    await write('first');
    const ends = await Promise.all([0, 1, 2].map((p) => bench.settledEnd(client, topic, p)));
    for (const p of [0, 1, 2]) expect(texts(await readTo(open[p], ends[p]))).toEqual([`first ${p}`]);
    open[1].close();
    await write('second');
    for (const p of [0, 2]) {
      expect(texts(await readTo(open[p], await bench.settledEnd(client, topic, p)))).toEqual([`second ${p}`]);
    }
    const again = reader.open({ topic, partition: 1, topicId, offset: 0n });
    expect(texts(await readTo(again, await bench.settledEnd(client, topic, 1)))).toEqual(['first 1', 'second 1']);
    await reader.close();
  });

  it('reads a record of 5 MB between small ones', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'large', 1, { 'max.message.bytes': '8388608' });
    const writer = await suiteWriter(bench, client, 'large');
    const large = Buffer.alloc(5_000_000);
    for (let i = 0, x = 1; i < large.length; i++) large[i] = x = (x * 75) % 65_537;
    await writer.transact('before', [staged(topic, 0, ['before'])]);
    await writer.transact('large', [staged(topic, 0, [large])]);
    await writer.transact('after', [staged(topic, 0, ['after 1', 'after 2'])]);
    const reader = await bench.reader(bench.client(), topic);
    const seen = await readTo(reader, await bench.settledEnd(client, topic));
    expect(seen.length).toBe(4);
    expect(seen[1].value?.equals(large)).toBe(true);
    expect(texts([seen[0], seen[2], seen[3]])).toEqual(['before', 'after 1', 'after 2']);
  });

  it('stops with an error when the start offset lies behind the end', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'behind');
    const reader = await bench.reader(client, topic, 0, 1000n);
    const seen: StoredRecord[] = [];
    const error = await readToError(reader, seen);
    expect(placed(seen)).toEqual([]);
    expect(error).toBeInstanceOf(StreamError);
    expect((error as StreamError).code).toBe('offset-out-of-range');
    expect((error as StreamError).message).toContain('1000');
  });

  it('stops with an error when its topic does not exist', async () => {
    const client = bench.client();
    const reader = client.reader().open({ topic: bench.name('absent'), partition: 0, topicId: 'absent', offset: 0n });
    const error = await readToError(reader, []);
    expect((error as StreamError).code).toBe('topic-unknown');
  });

  for (const codec of capabilities.codecs) {
    it(`reads ${codec} batches from every record on`, async () => {
      const client = bench.client();
      const topic = await bench.topic(client, codec);
      const records = Array.from({ length: 50 }, (_, i) =>
        record(`${codec} `.repeat(i * 40) + i, {
          key: i % 3 === 0 ? null : Buffer.from(`k${i}`),
          timestampMs: 1_700_000_000_000 + i,
        }),
      );
      for (const at of [0, 25]) {
        await bench.log.appendRaw!(encodeBatch(topic, 0, records.slice(at, at + 25), codec));
        await bench.log.appendRaw!(encodeBatch(topic, 0, [record('between')]));
      }
      const expected = [...records.slice(0, 25), record('between'), ...records.slice(25), record('between')];
      const end = await bench.settledEnd(client, topic);
      expect(end).toBe(BigInt(expected.length));
      for (const start of [0, 1, 24, 25, 26, 30, 51]) {
        const reader = await bench.reader(client, topic, 0, BigInt(start));
        const seen = await readTo(reader, end);
        expect(shown(seen)).toEqual(shown(expected.slice(start)));
        reader.close();
      }
      const timestampMs = records[33].timestampMs;
      expect(await bench.offsetOf(client, { timestampMs }, topic)).toBe(34n);
    });
  }

  if (capabilities.gaps) {
    it('goes over gaps of offsets, from wherever it starts', async () => {
      const client = bench.client();
      const topic = await bench.topic(client, 'gaps');
      const baseMs = 1_700_000_000_000;
      const values: string[] = [];
      for (let i = 0; i < 4; i++) {
        const labels = [`${i}.0`, `${i}.1`, `${i}.2`];
        values.push(...labels);
        const records = labels.map((label, j) => record(label, { timestampMs: baseMs + i * 1_000 + j }));
        await bench.log.appendBeforeGap!(encodeBatch(topic, 0, records));
      }
      await bench.log.appendRaw!(encodeBatch(topic, 0, [record('last', { timestampMs: baseMs + 9_000 })]));
      const end = await bench.settledEnd(client, topic);
      const all = await readTo(await bench.reader(client, topic), end);
      expect(texts(all)).toEqual([...values, 'last']);
      expect(all[3].offset - all[2].offset).toBeGreaterThan(1n);
      const starts = all.flatMap(({ offset }) => [offset, offset + 1n]);
      for (const start of starts) {
        const reader = await bench.reader(client, topic, 0, start);
        expect(placed(await readTo(reader, end)), `from ${start}`).toEqual(
          placed(all.filter(({ offset }) => offset >= start)),
        );
        expect(reader.position).toBe(end);
        reader.close();
      }
      const times = all.map(({ timestampMs }) => timestampMs);
      for (const [i, timestampMs] of times.entries()) {
        expect(await bench.offsetOf(client, { timestampMs }, topic)).toBe(all[i].offset);
      }
      expect(await bench.offsetOf(client, { timestampMs: baseMs + 2_003 }, topic)).toBe(all[9].offset);
      // A cut into a gap leaves everything behind it.
      await client.admin.deleteRecords([{ topic, partition: 0, before: all[5].offset + 1n }]);
      const rest = await readTo(await bench.reader(client, topic, 0, all[5].offset + 1n), end);
      expect(placed(rest)).toEqual(placed(all.slice(6)));
    });
  }

  if (capabilities.transactionTimeoutMs !== null) openTransactionTests(bench);
}

function openTransactionTests(bench: LogBench): void {
  it('shows nothing behind an open transaction until it ends, then everything in order', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'open');
    const writer = await suiteWriter(bench, client, 'open');
    const open = await bench.log.beginRaw!(bench.name('open-id'), 60_000);
    await writer.transact('1', [staged(topic, 0, ['before'])]);
    await bench.settledEnd(client, topic);
    await open.append(staged(topic, 0, ['held']));
    await writer.transact('2', [staged(topic, 0, ['behind'])]);
    const reader = await bench.reader(bench.client(), topic);
    const stable = await bench.offsetOf(client, 'last-stable', topic);
    const seen = await readTo(reader, stable);
    expect(texts(seen)).toEqual(['before']);
    const status = await bench.eventually('the reader stands before the open transaction', () => {
      const now = reader.status();
      return now.fetches > 1 && now.highWatermark > now.lastStable ? now : undefined;
    });
    expect(status.position).toBe(status.lastStable);
    expect(reader.poll()).toBe(null);
    await open.commit();
    expect(texts(await readTo(reader, await bench.settledEnd(client, topic)))).toEqual(['held', 'behind']);
  });

  it('ends the open transaction of a writer that is fenced', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'abandoned');
    const id = bench.name('abandoned-id');
    const open = await bench.log.beginRaw!(id, 60_000);
    await open.append(staged(topic, 0, ['abandoned']));
    const next = client.writer(id);
    await inTime(next.fence(), 'the id is fenced');
    expect(await bench.offsetOf(client, 'last-stable', topic)).toBe(
      await bench.offsetOf(client, 'high-watermark', topic),
    );
    await expect(open.commit()).rejects.toThrow();
    const reader = await bench.reader(client, topic);
    expect(placed(await readTo(reader, await bench.settledEnd(client, topic)))).toEqual([]);
  });

  it('ends an open transaction that nobody ends once its time is over', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'timeout');
    const open = await bench.log.beginRaw!(bench.name('timeout-id'), 1000);
    await open.append(staged(topic, 0, ['forgotten']));
    const reader = await bench.reader(client, topic);
    expect(await bench.offsetOf(client, 'last-stable', topic)).toBe(0n);
    expect(placed(await readTo(reader, await bench.settledEnd(client, topic)))).toEqual([]);
    await expect(open.commit()).rejects.toThrow();
  });
}
