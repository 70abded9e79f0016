import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { RecordWalker, stampBatch } from '#runtime/log/record-batch.ts';
import { BufferPool } from '#runtime/std/buffer-pool.ts';
import { OutputStage } from '#runtime/task/output-stage.ts';
import { decodeBatches } from '#test/suites/log/bytes.ts';

interface Row {
  readonly sink: number;
  readonly topic: string;
  readonly partition: number;
  readonly key: string | null;
  readonly value: string | null;
}

const rows: Row[] = [
  { sink: 0, topic: 'a', partition: 0, key: 'k1', value: 'one' },
  { sink: 0, topic: 'a', partition: 1, key: 'k2', value: 'two and more bytes than a word' },
  { sink: 1, topic: 'b', partition: 0, key: null, value: 'three' },
  { sink: 1, topic: 'b', partition: 0, key: 'k1', value: null },
];

function stage(list: readonly Row[], batchBytesMax?: number): OutputStage {
  const output = new OutputStage(null, batchBytesMax);
  for (const { sink, topic, partition, key, value } of list) {
    const bytes = value === null ? null : Buffer.from(value);
    output.append(sink, topic, partition, 1, key === null ? null : Buffer.from(key), bytes, 0, bytes?.length ?? 0);
  }
  return output;
}

test('the hash does not depend on the order of records', () => {
  expect(stage([...rows].reverse()).hash()).toBe(stage(rows).hash());
});

test.each<[string, Partial<Row>]>([
  ['sink', { sink: 1 }],
  ['partition', { partition: 2 }],
  ['key', { key: 'k9' }],
  ['value', { value: 'onf' }],
  ['missing key', { key: null }],
])('another %s gives another hash', (_, change) => {
  expect(stage([{ ...rows[0], ...change }, ...rows.slice(1)]).hash()).not.toBe(stage(rows).hash());
});

test('a record twice, or bytes moved from key to value, give another hash', () => {
  expect(stage([...rows, rows[0]]).hash()).not.toBe(stage(rows).hash());
  const moved = { ...rows[0], key: 'k', value: '1one' };
  expect(stage([moved, ...rows.slice(1)]).hash()).not.toBe(stage(rows).hash());
});

test('only the headers said to be hashed take part', () => {
  const hash = (message: string, hashed: number) => {
    const output = new OutputStage();
    const headers = [
      { key: 'error-code', value: Buffer.from('x') },
      { key: 'error-message', value: Buffer.from(message) },
    ];
    output.append(0, 'd', 0, 1, null, Buffer.from('v'), 0, 1, headers, hashed);
    return output.hash();
  };
  expect(hash('one text', 1)).toBe(hash('another text', 1));
  expect(hash('one text', 2)).not.toBe(hash('another text', 2));
});

test('batches are cut at the size bound and hold every record in order', () => {
  const many = Array.from({ length: 500 }, (_, i) => ({ ...rows[0], value: `value ${i}` }));
  const output = stage(many, 2_000);
  expect(output.records).toBe(500);
  const batches = output.take();
  expect(batches.length).toBeGreaterThan(3);
  const values: string[] = [];
  const walker = new RecordWalker();
  for (const { bytes, recordCount } of batches) {
    expect(bytes.length).toBeLessThanOrEqual(2_000);
    walker.reset(bytes, 61, bytes.length, recordCount);
    while (walker.next()) values.push(walker.bytes.toString('utf8', walker.valueStart, walker.valueEnd));
  }
  expect(values).toEqual(many.map((row) => row.value));
  expect(output.records).toBe(0);
  expect(output.hash()).toBe(new OutputStage().hash());
});

test('a record larger than the bound gets a batch of its own', () => {
  const output = stage([rows[0], { ...rows[0], value: 'x'.repeat(5_000) }, rows[0]], 2_000);
  expect(output.take().map((batch) => batch.recordCount)).toEqual([1, 1, 1]);
});

test('a batch above the bound goes compressed where that is shorter, with all of its header and records', () => {
  const values = ['word '.repeat(1_000), randomBytes(5_000).toString('latin1')];
  const headers = [{ key: 'h', value: Buffer.from('i') }];
  for (const [at, value] of values.entries()) {
    const output = new OutputStage(new BufferPool(1 << 20, 1), 2_000);
    const bytes = Buffer.from(value, 'latin1');
    output.append(0, 'a', 3, 77, Buffer.from('k'), bytes, 0, bytes.length, headers);
    const [batch] = output.take();
    expect(batch.bytes.length < 2_000, `value ${at}`).toBe(at === 0);
    stampBatch(batch.bytes, 9n, 2, 5);
    const [stored] = decodeBatches(batch.bytes);
    expect(stored).toMatchObject({ producerId: 9n, producerEpoch: 2, baseSequence: 5, transactional: true });
    expect(stored.records.length).toBe(1);
    const [record] = stored.records;
    expect([record.timestampMs, String(record.key), record.value?.equals(bytes)]).toEqual([77, 'k', true]);
    expect(record.headers).toEqual([['h', Buffer.from('i')]]);
  }
});

test('what was taken stays as it is until it is released; then its memory is used again', () => {
  const pool = new BufferPool(1 << 20, 1);
  const output = new OutputStage(pool);
  const put = (value: string) => {
    const bytes = Buffer.from(value.repeat(50));
    output.append(0, 'd', 0, 1, null, bytes, 0, bytes.length);
    return output.take();
  };
  const first = put('first');
  const copy = Buffer.from(first[0].bytes);
  const second = put('other');
  expect(first[0].bytes.equals(copy)).toBe(true);
  output.release(first);
  const third = put('third');
  expect(third[0].bytes.buffer).toBe(first[0].bytes.buffer);
  expect(second[0].bytes.includes('other')).toBe(true);
  output.release([...second, ...third]);
  expect(() => output.release(third)).toThrow('twice');
});
