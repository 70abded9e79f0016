// Owns the contract tests of writers: transactions, fencing, the guard of the entry offset, sizes.

import { expect, it } from 'vitest';
import { StreamError } from '#runtime/std/errors.ts';
import { type LogBench, readTo, SuiteWriter, shown, staged, suiteWriter, take, texts } from '#test/suites/log/bench.ts';
import { encodeBatch, record, type StoredRecord } from '#test/suites/log/bytes.ts';

export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof StreamError) return error.code;
    throw error;
  }
  return 'none';
}

export function writingTests(bench: LogBench): void {
  it('keeps order, batches and bigint offsets of what one writer sends', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'order');
    const writer = await suiteWriter(bench, client, 'order');
    const values: string[] = [];
    let next = 0;
    for (let i = 0; i < 12; i++) {
      const batches = Array.from({ length: 1 + (i % 3) }, () => {
        const some = Array.from({ length: 1 + (i % 7) }, () => `v${next++}`);
        values.push(...some);
        return staged(topic, 0, some);
      });
      const offset = await writer.transact(`entry ${i}`, batches);
      expect(typeof offset).toBe('bigint');
    }
    const reader = await bench.reader(client, topic);
    const seen = await readTo(reader, await bench.settledEnd(client, topic));
    expect(texts(seen)).toEqual(values);
    for (let i = 1; i < seen.length; i++) expect(seen[i].offset > seen[i - 1].offset).toBe(true);
    const entries = await bench.reader(client, writer.commits.topic);
    const log = await readTo(entries, await bench.settledEnd(client, writer.commits.topic));
    expect(texts(log)).toEqual(Array.from({ length: 12 }, (_, i) => `entry ${i}`));
    expect(typeof log[0].offset).toBe('bigint');
  });

  it('stores headers, null keys, tombstones, empty values and event times as written', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'fields');
    const writer = await suiteWriter(bench, client, 'fields');
    const records = [
      record('plain', { key: Buffer.from('k'), timestampMs: 1_700_000_000_123 }),
      record(null, { key: Buffer.from('tombstone') }),
      record('', { key: Buffer.alloc(0) }),
      record('headers', {
        timestampMs: 1_600_000_000_000,
        headers: [
          ['source-topic', Buffer.from('metrics.raw')],
          ['ключ', Buffer.from([0, 255, 128])],
          ['', Buffer.alloc(0)],
        ],
      }),
      record(Buffer.from([0, 0, 0, 0]), { key: Buffer.from([0, 0, 0, 0]) }),
      record('large header', { headers: [['h', Buffer.alloc(300, 7)]] }),
    ];
    await writer.transact('one', [encodeBatch(topic, 0, records)]);
    const reader = await bench.reader(client, topic);
    const seen = await readTo(reader, await bench.settledEnd(client, topic));
    expect(shown(seen)).toEqual(shown(records));
  });

  it('commits all partitions of a transaction or none, while a reader polls in between', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'atomic', 3);
    const writer = await suiteWriter(bench, client, 'atomic');
    const partitions = [0, 1, 2];
    const readers = await Promise.all(partitions.map((p) => bench.reader(bench.client(), topic, p)));
    const seen: StoredRecord[][] = partitions.map(() => []);
    const committed: number[] = [];
    for (let i = 0; i < 30; i++) {
      const batches = partitions.flatMap((p) => [staged(topic, p, [`${i}:a`, `${i}:b`]), staged(topic, p, [`${i}:c`])]);
      if (i % 4 === 3) {
        const wrong = writer.transact(`${i}`, batches, writer.expected + 5n);
        expect(await codeOf(wrong)).toBe('foreign-writer');
        await writer.again();
      } else {
        await writer.transact(`${i}`, batches);
        committed.push(i);
      }
      for (const p of partitions) take(readers[p], seen[p]);
    }
    const expected = committed.flatMap((i) => [`${i}:a`, `${i}:b`, `${i}:c`]);
    for (const p of partitions) {
      seen[p].push(...(await readTo(readers[p], await bench.settledEnd(client, topic, p))));
      expect(texts(seen[p])).toEqual(expected);
    }
    const entries = await bench.reader(client, writer.commits.topic);
    const log = await readTo(entries, await bench.settledEnd(client, writer.commits.topic));
    expect(texts(log)).toEqual(committed.map(String));
  });

  it('shuts out an older writer of the id: it cannot commit and its records never appear', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'fenced');
    const old = await suiteWriter(bench, client, 'fenced');
    await old.transact('old 1', [staged(topic, 0, ['old 1'])]);
    const next = new SuiteWriter(bench, bench.client(), old.writer.transactionalId, old.commits);
    await next.fence();
    expect(['writer-fenced', 'writer-dead']).toContain(
      await codeOf(old.transact('old 2', [staged(topic, 0, ['old 2'])])),
    );
    expect(await codeOf(old.transact('old 3', [staged(topic, 0, ['old 3'])]))).toBe('writer-dead');
    expect(await codeOf(old.again())).toBe('writer-fenced');
    await next.again();
    await next.transact('new 1', [staged(topic, 0, ['new 1'])]);
    expect(await codeOf(old.again())).toBe('writer-fenced');
    await next.transact('new 2', [staged(topic, 0, ['new 2'])]);
    const reader = await bench.reader(client, topic);
    expect(texts(await readTo(reader, await bench.settledEnd(client, topic)))).toEqual(['old 1', 'new 1', 'new 2']);
  });

  it('lets an older writer of the id back in only by fencing, which shuts out the newer one', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'back');
    const first = await suiteWriter(bench, client, 'back');
    const second = new SuiteWriter(bench, bench.client(), first.writer.transactionalId, first.commits);
    await second.fence();
    await first.fence();
    await first.transact('first', [staged(topic, 0, ['first'])]);
    expect(await codeOf(second.transact('second', [staged(topic, 0, ['second'])]))).not.toBe('none');
    const reader = await bench.reader(client, topic);
    expect(texts(await readTo(reader, await bench.settledEnd(client, topic)))).toEqual(['first']);
  });

  it('is dead after a failed transaction until it is initialised again with its own epoch', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'dead');
    const writer = await suiteWriter(bench, client, 'dead');
    await writer.transact('one', [staged(topic, 0, ['one'])]);
    for (let round = 0; round < 3; round++) {
      const lost = [staged(topic, 0, [`lost ${round}`])];
      expect(await codeOf(writer.transact('lost', lost, writer.expected + 1n))).toBe('foreign-writer');
      expect(await codeOf(writer.transact('dead', lost))).toBe('writer-dead');
      await writer.again();
      await writer.transact(`kept ${round}`, [staged(topic, 0, [`kept ${round}`])]);
    }
    const reader = await bench.reader(client, topic);
    const seen = texts(await readTo(reader, await bench.settledEnd(client, topic)));
    expect(seen).toEqual(['one', 'kept 0', 'kept 1', 'kept 2']);
  });

  it('refuses a commit whose entry would not be where it is expected, and sends the same bytes again', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'guard', 2);
    const writer = await suiteWriter(bench, client, 'guard');
    const foreign = new SuiteWriter(bench, client, bench.name('foreign-id'), writer.commits);
    await foreign.fence();
    await foreign.transact('foreign', [staged(topic, 1, ['foreign'])]);
    const batches = [staged(topic, 0, ['mine'])];
    const entry = staged(writer.commits.topic, 0, ['mine']);
    const transaction = { batches, entry, expectedEntryOffset: writer.expected };
    expect(await codeOf(writer.writer.transact(transaction))).toBe('foreign-writer');
    await writer.again();
    const result = await writer.writer.transact({ ...transaction, expectedEntryOffset: writer.expected });
    expect(result.entryOffset).toBe(writer.expected);
    expect(result.nextEntryOffset > result.entryOffset).toBe(true);
    const reader = await bench.reader(client, topic);
    expect(texts(await readTo(reader, await bench.settledEnd(client, topic)))).toEqual(['mine']);
    const entries = await bench.reader(client, writer.commits.topic);
    const log = await readTo(entries, await bench.settledEnd(client, writer.commits.topic));
    expect(texts(log)).toEqual(['foreign', 'mine']);
  });

  it('says where the next entry belongs, also behind one of several records', async () => {
    const client = bench.client();
    const writer = await suiteWriter(bench, client, 'entries');
    for (const values of [['a'], ['b', 'c', 'd'], ['e']]) {
      const entry = staged(writer.commits.topic, 0, values);
      const transaction = { batches: [], entry, expectedEntryOffset: writer.expected };
      const result = await writer.writer.transact(transaction);
      expect(result.entryOffset).toBe(writer.expected);
      writer.expected = result.nextEntryOffset;
    }
    const reader = await bench.reader(client, writer.commits.topic);
    const log = await readTo(reader, await bench.settledEnd(client, writer.commits.topic));
    expect(texts(log)).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('commits an entry without other records', async () => {
    const client = bench.client();
    const writer = await suiteWriter(bench, client, 'entry-only');
    const first = await writer.transact('a', []);
    const second = await writer.transact('b', []);
    expect(second > first).toBe(true);
    const reader = await bench.reader(client, writer.commits.topic);
    const log = await readTo(reader, await bench.settledEnd(client, writer.commits.topic));
    expect(log.map((one) => [one.offset, one.value?.toString()])).toEqual([
      [first, 'a'],
      [second, 'b'],
    ]);
  });

  it('keeps many writers of one client apart', async () => {
    const client = bench.client();
    const topic = await bench.topic(client, 'many');
    const commits = await bench.topic(client, 'many-commits', 4);
    const writers = [0, 1, 2, 3].map(
      (partition) => new SuiteWriter(bench, client, bench.name('many-id'), { topic: commits, partition }),
    );
    await Promise.all(writers.map((writer) => writer.fence()));
    await Promise.all(
      writers.map(async (writer, w) => {
        for (let i = 0; i < 8; i++)
          await writer.transact(`${w}:${i}`, [staged(topic, 0, [`${w}:${i}:x`, `${w}:${i}:y`])]);
      }),
    );
    const reader = await bench.reader(client, topic);
    const seen = texts(await readTo(reader, await bench.settledEnd(client, topic)));
    expect(seen.length).toBe(64);
    for (let w = 0; w < 4; w++) {
      const own = Array.from({ length: 8 }, (_, i) => [`${w}:${i}:x`, `${w}:${i}:y`]).flat();
      expect(seen.filter((value) => value?.startsWith(`${w}:`))).toEqual(own);
    }
  });

  it('refuses a record beyond max.message.bytes, shows nothing of its transaction and goes on afterwards', async () => {
    const client = bench.client();
    const small = await bench.topic(client, 'small', 2, { 'max.message.bytes': '20000' });
    expect((await client.admin.describeConfig(small))['max.message.bytes']).toBe('20000');
    const writer = await suiteWriter(bench, client, 'small');
    const batches = [staged(small, 0, ['fits']), staged(small, 1, [Buffer.alloc(30_000, 120)])];
    expect(await codeOf(writer.transact('too large', batches))).toBe('record-too-large');
    await writer.again();
    await writer.transact('fits', [staged(small, 0, ['second']), staged(small, 1, ['second'])]);
    for (const partition of [0, 1]) {
      const reader = await bench.reader(client, small, partition);
      expect(texts(await readTo(reader, await bench.settledEnd(client, small, partition)))).toEqual(['second']);
    }
  });

  it('says that a topic to be written does not exist', async () => {
    const client = bench.client();
    const writer = await suiteWriter(bench, client, 'absent');
    const absent = staged(bench.name('absent'), 0, ['x']);
    expect(await codeOf(writer.transact('x', [absent]))).toBe('topic-unknown');
    await writer.again();
    await writer.transact('y', []);
  });
}
