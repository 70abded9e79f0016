// Rollup rows read back from Avro and from remote write: what our encoders write, what others may write, damage, and what is
// no row. Compared with slow readers.

import { compressSync, uncompressSync } from 'snappy';
import { expect, test } from 'vitest';
import { ROLLUP_ROW_SCHEMA, type RollupRow, rowEncoder } from '#operators/formats/row-encoder.ts';
import { rowDecoder } from '#operators/formats/row-format.ts';
import { SeriesTable } from '#operators/series/series-table.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { Batch, rollupColumns } from '#runtime/task/contract.ts';
import { bytesField, damaged, doubleBytes, fieldsOf, zigzag } from './protobuf-bytes.ts';
import { type AvroValue, type Entries, isText, readAvroValue } from './reference-avro.ts';
import { seriesText } from './reference-decoder.ts';
import { referenceRemoteWrite } from './reference-remote-write.ts';
import { label, sample } from './remote-write-generator.ts';
import { pick, type Random, seeded } from './sample-generator.ts';

const VALUES = ['count', 'sum', 'min', 'max', 'avg', 'p50', 'p95', 'p99'] as const;
const END = 1_700_000_060_000;

function openTable(): SeriesTable {
  const table = new SeriesTable({ stateId: 'rows/series' });
  table.open({ register: () => ({ epoch: 1, touch: () => {} }) });
  return table;
}

interface ReadRow {
  readonly series: string;
  readonly window: readonly [number, number];
  readonly values: readonly number[];
  readonly run: number;
  readonly revision: number;
}

function decoder(format: 'avro' | 'remote-write') {
  const table = openTable();
  const rows = rowDecoder(format, table);
  const batch = new Batch(2);
  batch.rollups = rollupColumns(2);
  /** The row, or its fault; whatever stands around the record. */
  const read = (value: Buffer, slack = 64, skewLimitMs = Number.POSITIVE_INFINITY): ReadRow | string => {
    batch.clear();
    const bytes = Buffer.concat([Buffer.from([0x7b, 1]), value, Buffer.alloc(slack, 0x31)]);
    const fault = rows.decode(bytes, 2, 2 + value.length, { partition: 3, offset: 77, skewLimitMs }, batch);
    if (fault !== null) {
      expect(batch.count).toBe(0);
      return fault.code;
    }
    const { rollups } = batch;
    expect([batch.count, batch.originPartition[0], batch.originOffset[0]]).toEqual([1, 3, 77]);
    expect([batch.timestampMs[0], batch.maxTimestampMs]).toEqual(Array(2).fill(rollups!.windowEndMs[0] - 1));
    return {
      series: Buffer.from(table.canonicalBytes(batch.key[0])).toString(),
      window: [rollups!.windowStartMs[0], rollups!.windowEndMs[0]],
      values: [...rollups!.values.subarray(0, 8)],
      run: rollups!.run[0],
      revision: rollups!.revision[0],
    };
  };
  return { table, batch, read };
}

function randomRow(next: Random): RollupRow {
  const windowStartMs = pick(next, [0, -300_000, 1_700_000_100_000, 2 ** 33]);
  const value = (): number =>
    next() < 0.05
      ? pick(next, [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, -0, 5e-324])
      : (next() - 0.5) * 10 ** Math.floor(next() * 30);
  const values = { sum: value(), min: value(), max: value(), avg: value(), p50: value(), p95: value(), p99: value() };
  const count = Math.floor(next() * 10 ** Math.floor(next() * 15));
  const [run, revision] = [pick(next, [0, 3]), pick(next, [0, 1, 200])];
  return { windowStartMs, windowEndMs: windowStartMs + 300_000, count, ...values, run, revision };
}

const SERIES = ['cpu', 'http:requests{Zone="z",a="1",host="h\\"\\\\\\n"}', '{"odd name",x="ü"}', 'a{__x="1"}', 'größe'];

/** A record of a row of one of the series, as a sink writes it. */
function records(format: 'avro' | 'remote-write') {
  const table = openTable();
  const encoder = rowEncoder(format, '5m', table);
  const out = new ByteWriter(16);
  return (next: Random): { series: string; row: RollupRow; bytes: Buffer } => {
    const series = pick(next, SERIES);
    const row = randomRow(next);
    out.clear();
    encoder.encode(out, table.slotOfText(series), row);
    return { series, row, bytes: out.toBytes() };
  };
}

function withResolution(series: string): string {
  return series.replace(/^\{"([^"]+)"|^[^{]+/, (name) =>
    name.startsWith('{') ? `${name.slice(0, -1)}:5m"` : `${name}:5m`,
  );
}

test.each(['avro', 'remote-write'] as const)('what our own sinks write as %s comes back', (format) => {
  const next = seeded(9);
  const make = records(format);
  const { read, table } = decoder(format);
  for (let i = 0; i < 2_000; i++) {
    const { bytes, row, series } = make(next);
    const known = format === 'avro' ? { run: row.run, revision: row.revision } : { run: 0, revision: 0 };
    expect(read(bytes, i % 70)).toEqual({
      series: withResolution(series),
      window: [row.windowStartMs, row.windowEndMs],
      values: VALUES.map((name) => row[name]),
      ...known,
    });
    // Slots get other series now and then.
    if (i % 100 === 0) for (let generation = 0; generation < 3; generation++) table.evict(() => false);
  }
});

/** The slow truth about a record; a code when it is no row. */
function reference(format: 'avro' | 'remote-write', record: Buffer): ReadRow | string {
  return format === 'avro' ? avroReference(record) : writeReference(record);
}

function avroReference(record: Buffer): ReadRow | string {
  let fields: Map<string, AvroValue>;
  try {
    fields = readAvroValue(record, ROLLUP_ROW_SCHEMA) as Map<string, AvroValue>;
  } catch (error) {
    if (error instanceof RangeError) return 'bad';
    throw error;
  }
  const [from, to, run, revision] = ['window_start', 'window_end', 'run', 'revision'].map((name) =>
    Number(fields.get(name)),
  );
  if ([from, to].some((ms) => Math.abs(ms) > 8.64e15) || from >= to) return 'bad';
  if ([run, revision].some((int) => int < 0 || int >= 2 ** 31)) return 'bad';
  const entries = (fields.get('labels') as Entries).list.map(([name, value]) => [name, value as Buffer] as const);
  const [name, resolution] = [fields.get('metric_name') as Buffer, String(fields.get('resolution'))];
  if (name.length === 0 || !/^\w{1,16}$/.test(resolution) || ![name, ...entries.flat()].every(isText)) return 'bad';
  const labels = new Map(entries.map(([label, value]) => [label.toString(), value.toString()]));
  if (labels.has('') || (labels.get('__name__') ?? '') !== '') return 'bad';
  const series = seriesText(
    `${name}:${resolution}`,
    [...labels].filter(([, value]) => value !== ''),
  );
  return { series, window: [from, to], values: VALUES.map((value) => Number(fields.get(value))), run, revision };
}

function writeReference(record: Buffer): ReadRow | string {
  const { faults, notFinite, rows } = referenceRemoteWrite(record, Number.MAX_SAFE_INTEGER);
  // What is not finite has no row there.
  if (faults.length > 0 || rows.length + notFinite !== 8) return 'bad';
  return 'perhaps';
}

test.each([
  ['avro', 30_000],
  ['remote-write', 10_000],
] as const)('damaged %s is a fault or the row that others read', { timeout: 120_000 }, (format, count) => {
  const next = seeded(17);
  const make = records(format);
  const { read } = decoder(format);
  let [good, bad] = [0, 0];
  for (let i = 0; i < count; i++) {
    const { bytes } = make(next);
    let record = damaged(next, bytes);
    if (format === 'remote-write' && next() < 0.8) {
      const message = uncompressSync(bytes, { asBuffer: true, copyOutputData: true }) as Buffer;
      record = compressSync(damaged(next, message), { copyOutputData: true }) as Buffer;
    }
    const [found, expected] = [read(record), reference(format, record)];
    const text = record.toString('hex');
    if (typeof found === 'string') bad++;
    else good++;
    if (expected === 'bad') expect(typeof found, text).toBe('string');
    else if (typeof expected !== 'string') expect(found, text).toEqual(expected);
  }
  expect(good).toBeGreaterThan(count / 100);
  expect(bad).toBeGreaterThan(count / 10);
});

const NUMBERS = VALUES.map((name, i) => [`cpu:5m:${name}`, i + 1] as const);

function request(series: readonly Buffer[]): Buffer {
  return compressSync(Buffer.concat(series), { copyOutputData: true }) as Buffer;
}

function series(name: string, value: number, atMs = END, host = 'a'): Buffer {
  return bytesField(1, label('__name__', name), label('host', host), sample(value, atMs));
}

test('the eight series of a row may come in any order, with labels in any order', () => {
  const { read } = decoder('remote-write');
  const expected = { series: 'cpu:5m{host="a"}', window: [END - 300_000, END], run: 0, revision: 0 };
  const values = [1, 2, 3, 4, 5, 6, 7, 8];
  const all = NUMBERS.map(([name, value]) => series(name, value));
  const turned = NUMBERS.map(([name, value]) =>
    bytesField(1, label('host', 'a'), label('__name__', name), sample(value, END)),
  );
  for (const list of [all, all.toReversed(), turned, [...all.slice(0, 3), ...turned.slice(3)], all]) {
    expect(read(request(list))).toEqual({ ...expected, values });
  }
});

const all = NUMBERS.map(([name, value]) => series(name, value));
const instead = (of: number, other: Buffer) => request([...all.slice(0, of), other, ...all.slice(of + 1)]);

test.each<[string, Buffer]>([
  ['seven series', request(all.slice(1))],
  ['none', request([])],
  ['one twice', request([...all.slice(1), all[1]])],
  ['nine', request([...all, all[0]])],
  ['another host', instead(3, series('cpu:5m:max', 1, END, 'b'))],
  ['another resolution', instead(3, series('cpu:1m:max', 1))],
  ['another time', instead(7, series('cpu:5m:p99', 1, END + 1))],
  ['a series of no row', instead(0, series('cpu:5m:p42', 1))],
  ['a name without resolution', instead(0, series('cpu:count', 1))],
  [
    'two samples',
    instead(0, bytesField(1, label('__name__', 'cpu:5m:count'), label('host', 'a'), sample(1, END), sample(1, END))),
  ],
  ['no sample', instead(0, bytesField(1, label('__name__', 'cpu:5m:count'), label('host', 'a')))],
  [
    'a name twice',
    instead(
      0,
      bytesField(1, label('__name__', 'cpu:5m:count'), label('host', 'a'), label('host', 'a'), sample(1, END)),
    ),
  ],
  ['a resolution that is no duration', request(VALUES.map((name) => series(`cpu:often:${name}`, 1)))],
  ['a window of nothing', request(VALUES.map((name) => series(`cpu:0s:${name}`, 1)))],
  ['a time that is none', request(VALUES.map((name) => series(`cpu:5m:${name}`, 1, 9e15)))],
  ['no snappy', Buffer.from('hello')],
])('a request with %s is no row, and leaves nothing behind', (_, record) => {
  for (const first of [false, true]) {
    const { read, table } = decoder('remote-write');
    if (first) expect(read(request(all))).toMatchObject({ run: 0 });
    const { size } = table;
    expect(read(record)).toMatch(/^(row|snappy|protobuf)-invalid$/);
    expect(table.size).toBe(size);
  }
});

function avroRow(change: {
  name?: string;
  labels?: Buffer;
  resolution?: string;
  window?: [number, number];
  run?: number;
}) {
  const { labels = zigzag(0), name = 'cpu', resolution = '5m', run = 0, window = [END - 300_000, END] } = change;
  const text = (of: string) => Buffer.concat([zigzag(Buffer.byteLength(of)), Buffer.from(of)]);
  const doubles = Array.from({ length: 7 }, () => doubleBytes(1.5));
  const numbers = [zigzag(window[0]), zigzag(window[1]), zigzag(7), ...doubles, zigzag(run), zigzag(0)];
  return Buffer.concat([text(name), labels, text(resolution), ...numbers]);
}

const longText = Buffer.concat([zigzag(2), Buffer.from('xx')]);

test('blocks of labels as Avro allows them are the same row', () => {
  const { read } = decoder('avro');
  const pair = Buffer.concat([longText, longText]);
  const block = Buffer.concat([zigzag(1), pair, zigzag(0)]);
  const sized = Buffer.concat([zigzag(-1), zigzag(pair.length), pair, zigzag(0)]);
  for (const labels of [block, sized]) expect(read(avroRow({ labels }))).toMatchObject({ series: 'cpu:5m{xx="xx"}' });
});

test.each<[string, Buffer]>([
  ['nothing', Buffer.alloc(0)],
  ['a frame of a registry', Buffer.concat([Buffer.from([0, 0, 0, 0, 1]), avroRow({})])],
  ['something behind it', Buffer.concat([avroRow({}), Buffer.from([0])])],
  ['no name', avroRow({ name: '' })],
  ['no resolution', avroRow({ resolution: 'a:b' })],
  ['a window turned round', avroRow({ window: [END, END - 1] })],
  ['a negative run', avroRow({ run: -1 })],
  ['a run beyond counting', avroRow({ run: 2 ** 40 })],
  ['a billion labels', avroRow({ labels: zigzag(1e9) })],
  ['three hundred labels', avroRow({ labels: Buffer.concat([zigzag(300), ...Array(600).fill(longText), zigzag(0)]) })],
  ['no UTF-8', avroRow({ labels: Buffer.concat([zigzag(1), longText, zigzag(1), Buffer.from([0xff]), zigzag(0)]) })],
])('%s is no row in Avro, and leaves nothing behind', (_, record) => {
  const { read, table } = decoder('avro');
  expect(read(record)).toMatch(/^(row|avro)-invalid$/);
  expect(table.size).toBe(0);
});

test.each([
  ['avro', avroRow({})],
  ['remote-write', request(all)],
] as const)('a window in %s that ends too far ahead is refused, the first and the second time', (format, record) => {
  const { read } = decoder(format);
  expect(read(record, 64, END - 2)).toBe('timestamp-ahead');
  expect(read(record, 64, END - 1)).toMatchObject({ window: [END - 300_000, END] });
  expect(read(record, 64, END - 2)).toBe('timestamp-ahead');
});

test('the reader of the test reads what it is given', () => {
  expect(fieldsOf(all[0])).toHaveLength(1);
  expect(avroReference(avroRow({}))).toMatchObject({ series: 'cpu:5m', run: 0 });
});
