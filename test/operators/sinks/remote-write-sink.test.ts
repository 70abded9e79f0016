// What a stage has for a time-series database: names, order, requests, and dead letters of what is not taken. Read by
// the slow reference reader.

import { uncompressSync } from 'snappy';
import { expect, test } from 'vitest';
import { SeriesTable } from '#operators/series/series-table.ts';
import { RemoteWriteSink, type RemoteWriteSinkOptions } from '#operators/sinks/remote-write-sink.ts';
import type { OutsideOutput } from '#runtime/effect/contract.ts';
import type { RecordHeader } from '#runtime/log/record-batch.ts';
import { Batch, type OperatorContext, rollupColumns } from '#runtime/task/contract.ts';
import { referenceRemoteWrite } from '#test/operators/formats/reference-remote-write.ts';
import { CollectedOutput } from './collected-output.ts';

const END = 1_700_000_060_000;

interface OutsideRecord {
  readonly topic: string;
  readonly partition: number;
  readonly key: string | null;
  readonly value: unknown;
  readonly headers: Readonly<Record<string, string>>;
}

function sinkOf(options: Partial<RemoteWriteSinkOptions> = {}) {
  const keys = new SeriesTable({ stateId: 's/series' });
  keys.open({ register: () => ({ epoch: 1, touch: () => {} }) });
  const sink = new RemoteWriteSink({
    id: 'to-db',
    target: 'db',
    keys,
    names: 'any',
    sourceTopic: 'rows',
    deadLetterTopic: 'rows.dead-letter',
    sinkIndex: 0,
    ...options,
  });
  const output = new CollectedOutput();
  const counts: Record<string, number> = {};
  sink.open({
    output,
    partitionCount: () => 2,
    count: (counter: string, by: number) => {
      counts[counter] = (counts[counter] ?? 0) + by;
    },
  } as unknown as OperatorContext);
  const outside: OutsideRecord[] = [];
  const outsideOutput: OutsideOutput = {
    append: (topic, partition, _timestampMs, key, value, headers) => {
      const text = Buffer.from(value).toString();
      outside.push({
        topic,
        partition,
        key: key && Buffer.from(key).toString(),
        value: JSON.parse(text),
        headers: named(headers),
      });
    },
  };
  return { sink, keys, output, counts, outside, settle: () => sink.settle(outsideOutput) };
}

function named(headers: readonly RecordHeader[]): Record<string, string> {
  return Object.fromEntries(headers.map(({ key, value }) => [key, Buffer.from(value).toString()]));
}

/** Rows of (series with resolution, window end, first number; the others count on from it). */
function rowBatch(keys: SeriesTable, rows: readonly (readonly [string, number, number])[]): Batch {
  const batch = new Batch(rows.length);
  batch.rollups = rollupColumns(rows.length);
  for (const [i, [series, endMs, value]] of rows.entries()) {
    batch.key[i] = keys.slotOfText(series);
    batch.timestampMs[i] = endMs - 1;
    batch.originPartition[i] = 3;
    batch.originOffset[i] = 100 + i;
    batch.rollups.windowStartMs[i] = endMs - 60_000;
    batch.rollups.windowEndMs[i] = endMs;
    for (let v = 0; v < 8; v++) batch.rollups.values[i * 8 + v] = value + v;
    batch.rollups.revision[i] = i;
    batch.count++;
  }
  return batch;
}

function sampleBatch(keys: SeriesTable, samples: readonly (readonly [string, number, number])[]): Batch {
  const batch = new Batch(samples.length);
  for (const [i, [series, timestampMs, value]] of samples.entries()) {
    batch.key[i] = keys.slotOfText(series);
    batch.timestampMs[i] = timestampMs;
    batch.value[i] = value;
    batch.originOffset[i] = i;
    batch.count++;
  }
  return batch;
}

function sentBy(sink: RemoteWriteSink, start = 0, end = sink.count): string[] {
  const { faults, rows } = referenceRemoteWrite(Buffer.from(sink.encode(start, end)), Number.MAX_SAFE_INTEGER);
  expect(faults).toEqual([]);
  return rows.map(({ series, timestampMs, value }) => `${series} ${timestampMs - END} ${value}`);
}

test('a row is eight samples at the end of its window, named after its series, resolution and number', () => {
  const { keys, sink } = sinkOf();
  sink.process(rowBatch(keys, [['cpu_usage:1m{Zone="a",host="h\\"1"}', END, 10]]));
  const names = ['count', 'sum', 'min', 'max', 'avg', 'p50', 'p95', 'p99'];
  expect(sentBy(sink)).toEqual(names.map((name, v) => `cpu_usage:1m:${name}{Zone="a",host="h\\"1"} 0 ${10 + v}`));
});

test('samples go as they are, in the order of the rows, those of a series too', () => {
  const { keys, sink } = sinkOf();
  sink.process(
    sampleBatch(keys, [
      ['a', END, 1],
      ['b{x="1"}', END, 2],
      ['a', END + 1, 3],
      ['a', END - 5, 4],
    ]),
  );
  sink.process(sampleBatch(keys, [['b{x="1"}', END, -0]]));
  expect(sentBy(sink)).toEqual(['a 0 1', 'b{x="1"} 0 2', 'a 1 3', 'a -5 4', 'b{x="1"} 0 0']);
});

test('the same rows give the same bytes, in any portion', () => {
  const all = (sink: RemoteWriteSink) => Buffer.from(sink.encode(0, sink.count)).toString('hex');
  const one = sinkOf();
  const two = sinkOf();
  two.keys.slotOfText('somebody{else="1"}');
  const rows = [
    ['a:1m', END, 1],
    ['b:1m{x="1"}', END, 2],
    ['a:1m', END + 60_000, 3],
  ] as const;
  one.sink.process(rowBatch(one.keys, rows));
  two.sink.process(rowBatch(two.keys, rows));
  expect(all(two.sink)).toBe(all(one.sink));
  const whole = sentBy(one.sink);
  expect([...sentBy(one.sink, 0, 5), ...sentBy(one.sink, 5, 6), ...sentBy(one.sink, 6, 24)]).toEqual(whole);
});

test('a number of a row that nobody knows is left out and counted, one that overflowed is infinite', () => {
  const { counts, keys, sink } = sinkOf();
  const batch = rowBatch(keys, [['a:1m', END, 1]]);
  batch.rollups!.values[1] = Number.NaN;
  batch.rollups!.values[4] = Number.NEGATIVE_INFINITY;
  sink.process(batch);
  expect(sentBy(sink).map((text) => text.split(' ')[0])).toEqual(
    ['count', 'min', 'max', 'p50', 'p95', 'p99'].map((name) => `a:1m:${name}`),
  );
  const avg = uncompressSync(Buffer.from(sink.encode(3, 4)), { asBuffer: true }) as Buffer;
  // The reader of the test leaves infinities out.
  expect(avg.includes('a:1m:avg') && avg.includes(Buffer.from([0, 0, 0, 0, 0, 0, 0xf0, 0xff]))).toBe(true);
  expect(counts).toEqual({ 'samples-out': 7, 'not-finite': 1 });
});

test('requests are bounded in samples and in bytes; a sample larger than that goes alone', () => {
  const { keys, sink } = sinkOf({ requestSamplesMax: 10, requestBytesMax: 2_000 });
  const samples = Array.from({ length: 35 }, (_, i) => [`m${i}`, END, i] as const);
  sink.process(sampleBatch(keys, [...samples, [`m{a="${'x'.repeat(5_000)}"}`, END, 1], ['m', END, 2]]));
  const ends: number[] = [];
  for (let start = 0; start < sink.count; start = ends.at(-1) ?? 0) ends.push(sink.requestEnd(start));
  expect(ends).toEqual([10, 20, 30, 35, 36, 37]);
  const large = sinkOf({ requestBytesMax: 2_000 });
  large.sink.process(
    sampleBatch(
      large.keys,
      samples.map(([name]) => [`${name}{a="${'x'.repeat(400)}"}`, END, 1] as const),
    ),
  );
  const end = large.sink.requestEnd(0);
  expect(end).toBeGreaterThan(2);
  expect(end * 400).toBeLessThan(2_000);
});

test('a request without samples is an empty block', () => {
  const { keys, sink } = sinkOf();
  sink.process(sampleBatch(keys, [['a', END, 1]]));
  expect([...sink.encode(0, 0)]).toEqual([0]);
  expect(sentBy(sink)).toEqual(['a 0 1']);
});

test('the queue says when it is full, and mentions its series until it is empty', () => {
  const { keys, settle, sink } = sinkOf({ queueBytesMax: 70_000 });
  let rows = 0;
  for (; !sink.full; rows++) sink.process(rowBatch(keys, [[`m${rows}:1m`, END, 1]]));
  expect(rows * 8 * 22).toBeLessThan(70_000);
  expect(rows * 8 * 100).toBeGreaterThan(70_000);
  expect([sink.usesKey(0), sink.usesKey(rows - 1), sink.usesKey(rows)]).toEqual([true, true, false]);
  expect(sink.wantsEntry()).toBe(true);
  settle();
  expect([sink.count, sink.full, sink.usesKey(0), sink.wantsEntry()]).toEqual([0, false, false, false]);
  sink.process(rowBatch(keys, [['m1:1m', END, 1]]));
  expect([sink.usesKey(0), sink.usesKey(1)]).toEqual([false, true]);
  sink.discard();
  expect(sink.count).toBe(0);
});

test('a refused part makes a dead letter of its row, once, with what was refused', () => {
  const { counts, keys, outside, settle, sink } = sinkOf();
  sink.process(
    rowBatch(keys, [
      ['a:1m', END, 1],
      ['b:x:1m{l="v"}', END, 5],
    ]),
  );
  sink.refuse(8 + 2, { status: 400, message: 'out of order' });
  sink.refuse(8 + 5, { status: 422, message: '' });
  settle();
  expect(outside).toHaveLength(1);
  const [{ headers, key, partition, topic, value }] = outside;
  expect([topic, partition, key]).toEqual(['rows.dead-letter', 1, 'b:x{l="v"}']);
  expect(headers).toEqual({
    'source-topic': 'rows',
    'source-partition': '3',
    'source-offset': '101',
    target: 'db',
    'error-code': 'receiver-refused',
    'error-path': 'b:x:1m:min, b:x:1m:p50',
    'error-message': '400 out of order',
  });
  expect(value).toEqual({
    metric_name: 'b:x',
    labels: { l: 'v' },
    resolution: '1m',
    window_start: END - 60_000,
    window_end: END,
    ...{ count: 5, sum: 6, min: 7, max: 8, avg: 9, p50: 10, p95: 11, p99: 12 },
    run: 0,
    revision: 1,
  });
  expect(counts['dead-letter']).toBe(1);
});

test('a row that is refused whole names no part; a sample is its own dead letter', () => {
  const { keys, outside, settle, sink } = sinkOf();
  sink.process(rowBatch(keys, [['a:1m', END, 1]]));
  for (let item = 0; item < 8; item++) sink.refuse(item, { status: 400, message: 'no' });
  settle();
  sink.process(
    sampleBatch(keys, [
      ['s{l="v"}', 123, 1.5],
      ['t', 124, 2],
    ]),
  );
  sink.refuse(0, { status: 400, message: 'no' });
  settle();
  expect(outside.map(({ headers }) => headers['error-path'])).toEqual([undefined, undefined]);
  expect(outside[1]).toMatchObject({
    key: 's{l="v"}',
    value: { metric_name: 's', timestamp: 123, value: 1.5, labels: { l: 'v' } },
    headers: { 'source-offset': '0', 'error-code': 'receiver-refused' },
  });
});

test.each([
  ['cpu.usage:1m', "Prometheus has no metric named 'cpu.usage:1m'"],
  ['cpu:1m{"a b"="1"}', "Prometheus has no label named 'a b'"],
])('%s is a dead letter where Prometheus names are asked for', (series, message) => {
  const { keys, output, sink } = sinkOf({ names: 'prometheus' });
  sink.process(
    rowBatch(keys, [
      ['good:1m', END, 1],
      [series, END, 2],
      ['good:1m', END + 1, 3],
    ]),
  );
  expect(sink.count).toBe(16);
  expect(sentBy(sink).every((text) => text.startsWith('good:1m:'))).toBe(true);
  expect(output.records).toHaveLength(1);
  const [{ hashedHeaders, headers, value }] = output.records;
  const texts = named(headers);
  expect(texts).toMatchObject({ target: 'db', 'error-code': 'name-invalid', 'error-message': message });
  expect(headers[hashedHeaders].key).toBe('error-message');
  expect(JSON.parse(String(value))).toMatchObject({ count: 2, revision: 1 });
});

test('names of any kind go where they are taken', () => {
  const { keys, sink } = sinkOf({ names: 'any' });
  sink.process(sampleBatch(keys, [['cpu.usage{"a b"="1"}', END, 1]]));
  expect(sentBy(sink)).toEqual(['cpu.usage{"a b"="1"} 0 1']);
});

test('a slot that was given to another series is sent under the new name', () => {
  const { keys, settle, sink } = sinkOf();
  sink.process(sampleBatch(keys, [['old', END, 1]]));
  sentBy(sink);
  settle();
  for (let generation = 0; generation < 3; generation++) keys.evict(() => false);
  sink.process(sampleBatch(keys, [['new{a="1"}', END, 2]]));
  expect(sentBy(sink)).toEqual(['new{a="1"} 0 2']);
});
