import { expect, test } from 'vitest';
import { SeriesTable } from '#operators/series/series-table.ts';
import { SamplesSource, type SamplesSourceOptions } from '#operators/sources/samples-source.ts';
import { BATCH_HEADER_BYTES, RecordBatchBuilder, RecordWalker } from '#runtime/log/record-batch.ts';
import { murmur2, partitionOf } from '#runtime/std/murmur2.ts';
import { Batch, type DecodeLimits, type SourceContext } from '#runtime/task/contract.ts';

const UNLIMITED: DecodeLimits = {
  cutTimestampMs: Number.POSITIVE_INFINITY,
  stopDelta: Number.MAX_SAFE_INTEGER,
  skipBelowDelta: 0,
  skewLimitMs: Number.POSITIVE_INFINITY,
  rowsMax: 1000,
};
const INPUT = { topic: 'metrics.raw', partition: 2, baseOffset: 1000n, baseTimestampMs: 0 };

interface Run {
  readonly source: SamplesSource;
  readonly table: SeriesTable;
  readonly batch: Batch;
  readonly walker: RecordWalker;
  readonly letters: string[];
  readonly counts: Record<string, number>;
  decode(limits?: Partial<DecodeLimits>): number[];
}

function run(values: readonly (string | null)[], partitionedBy: SamplesSourceOptions['partitionedBy'] = null): Run {
  const table = new SeriesTable({ stateId: 's/series' });
  const source = new SamplesSource({ id: 'samples', table, format: 'json', partitionedBy });
  const letters: string[] = [];
  const counts: Record<string, number> = {};
  source.open({
    state: { register: () => ({ epoch: 1, touch: () => {} }) },
    partitionCount: () => 8,
    count: (counter: string, by: number) => {
      counts[counter] = (counts[counter] ?? 0) + by;
    },
    deadLetter: (at: RecordWalker, _: unknown, code: string, message: string, path?: string) => {
      letters.push(`${at.offsetDelta} ${code} ${path ?? '-'}: ${message}`);
    },
  } as unknown as SourceContext);
  const builder = new RecordBatchBuilder('metrics.raw', 2);
  for (const value of values) {
    const bytes = value === null ? null : Buffer.from(value);
    builder.append(0, null, 0, 0, bytes, 0, bytes?.length ?? 0);
  }
  const staged = builder.finish();
  const walker = new RecordWalker();
  walker.reset(staged.bytes, BATCH_HEADER_BYTES, staged.bytes.length, staged.recordCount);
  const batch = new Batch(16);
  const decode = (limits: Partial<DecodeLimits> = {}): number[] => {
    batch.clear();
    source.decode(INPUT, walker, { ...UNLIMITED, ...limits }, batch);
    return Array.from(batch.timestampMs.subarray(0, batch.count));
  };
  return { source, table, batch, walker, letters, counts, decode };
}

function sample(timestampMs: number, value: unknown = 1, name = 'up'): string {
  return JSON.stringify({ metric_name: name, timestamp: timestampMs, value, labels: {} });
}

test('rows carry where they came from', () => {
  const { batch, decode } = run([sample(5), sample(6, 7.5, 'cpu')]);
  expect(decode()).toEqual([5, 6]);
  expect(batch.originTopic).toBe('metrics.raw');
  expect(Array.from(batch.originPartition.subarray(0, 2))).toEqual([2, 2]);
  expect(Array.from(batch.originOffset.subarray(0, 2))).toEqual([1000, 1001]);
  expect(Array.from(batch.key.subarray(0, 2))).toEqual([0, 1]);
  expect(batch.value[1]).toBe(7.5);
});

test('stops after the record that reaches the cut, rows of its array included, and goes on there', () => {
  const { source, decode } = run([sample(5), `[${sample(9)},${sample(20)},${sample(3)}]`, sample(4), sample(20)]);
  expect(decode({ cutTimestampMs: 20 })).toEqual([5, 9, 20, 3]);
  expect(source.consumedDelta).toBe(2);
  expect(decode({ cutTimestampMs: 30 })).toEqual([4, 20]);
  expect(source.consumedDelta).toBe(4);
});

test('a cut that is already reached still lets one record through, so that work goes on', () => {
  const { source, decode } = run(['bad', sample(1)]);
  expect(decode({ cutTimestampMs: Number.NEGATIVE_INFINITY })).toEqual([]);
  expect(source.consumedDelta).toBe(1);
  expect(decode({ cutTimestampMs: Number.NEGATIVE_INFINITY })).toEqual([1]);
});

test('stops before the stop delta, leaves that record to the next call, and skips what is below', () => {
  const { source, walker, decode } = run([0, 1, 2, 3, 4].map((i) => sample(i)));
  expect(decode({ stopDelta: 3, skipBelowDelta: 1 })).toEqual([1, 2]);
  expect([source.consumedDelta, walker.left]).toEqual([3, 2]);
  expect(decode({ stopDelta: 3, skipBelowDelta: 3 })).toEqual([]);
  expect([source.consumedDelta, walker.left]).toEqual([3, 2]);
  expect(decode({ skipBelowDelta: 3 })).toEqual([3, 4]);
  expect(source.consumedDelta).toBe(5);
});

test('stops at about rowsMax rows, never inside a record', () => {
  const { decode } = run([sample(1), `[${sample(2)},${sample(3)},${sample(4)}]`, sample(5)]);
  expect(decode({ rowsMax: 2 })).toEqual([1, 2, 3, 4]);
  expect(decode({ rowsMax: 2 })).toEqual([5]);
});

test('cuts anywhere give the same rows as no cut', () => {
  const values = Array.from({ length: 50 }, (_, i) =>
    i % 7 === 3 ? `[${sample(i)},${sample(i + 1, i % 2 ? 'x' : 2)}]` : sample(i),
  );
  const whole = run(values);
  const expected = whole.decode();
  for (const rowsMax of [1, 2, 7]) {
    const cut = run(values);
    const rows: number[] = [];
    while (cut.walker.left > 0) rows.push(...cut.decode({ rowsMax, cutTimestampMs: rows.length }));
    expect(rows).toEqual(expected);
    expect(cut.letters).toEqual(whole.letters);
    expect(cut.counts).toEqual(whole.counts);
  }
});

test('every sample is a row, counted as not finite, or named in a dead letter', () => {
  const parts = [sample(1), sample(2, 'NaN'), sample(3, null), sample(4, 'x'), sample(5), sample(99), '7'];
  const { letters, counts, decode } = run([
    `[${parts.join(',')}]`,
    sample(6, '+Inf'),
    '{"metric_name":',
    null,
    sample(7),
    '[]',
    sample(99),
  ]);
  expect(decode({ skewLimitMs: 50 })).toEqual([1, 5, 7]);
  expect(counts).toEqual({ samples: 3, 'not-finite': 3, 'bad-samples': 6 });
  expect(letters).toEqual([
    '0 sample-invalid $[3].value, $[5].timestamp, $[6]: $[3].value must be a number, "NaN", "+Inf", "-Inf" or null; 2 more bad samples in this record',
    expect.stringMatching(/^2 json-invalid -: the record is no valid JSON: /),
    '3 sample-invalid -: the record has no value (a tombstone)',
    '6 timestamp-ahead -: $.timestamp is further ahead of the clock than maxSkew: 99',
  ]);
});

test('a record of many bad parts is one dead letter with a bounded path', () => {
  const { letters, counts, decode } = run([`[${Array.from({ length: 500 }, () => '1').join(',')}]`]);
  expect(decode()).toEqual([]);
  expect(counts).toEqual({ 'bad-samples': 500 });
  expect(letters).toHaveLength(1);
  expect(letters[0]).toMatch(/^0 sample-invalid \$\[0\], \$\[1\], .*\$\[19\], …: .*499 more bad samples/);
});

test('samples that are not finite do not raise the event time', () => {
  const { batch, decode } = run([sample(5), sample(50, 'NaN')]);
  decode();
  expect(batch.maxTimestampMs).toBe(5);
});

test("partitionedBy 'series' takes the series of this partition and stops at the first other one", () => {
  const names = Array.from({ length: 40 }, (_, i) => `m${i}`);
  const here = names.filter((name) => partitionOf(murmur2(Buffer.from(name)), 8) === 2);
  const other = names.find((name) => !here.includes(name))!;
  const expected = partitionOf(murmur2(Buffer.from(other)), 8);
  const values = [...here, ...here].map((name, i) => sample(i, 1, name));
  expect(run(values, 'series').decode()).toHaveLength(values.length);
  for (const value of [sample(1, 1, other), `[${sample(1, 'x')},${sample(1, 1, other)}]`]) {
    const failing = run([...values, value], 'series');
    expect(() => failing.decode()).toThrow(
      expect.objectContaining({
        code: 'series-not-partitioned',
        message: expect.stringMatching(new RegExp(`'${other}' is on partition 2 of .* partition ${expected} of 8`)),
        remedy: expect.stringMatching(/murmur2.*'producer'.*exchanges/),
      }),
    );
    expect(failing.table.size).toBe(here.length);
  }
  expect(run([sample(1, 'NaN', other)], 'series').decode()).toEqual([]);
  expect(run([sample(1, 1, other)], 'producer').decode()).toEqual([1]);
});
