import { compressSync, uncompressSync } from 'snappy';
import { expect, test } from 'vitest';
import { RemoteWriteDecoder } from '#operators/formats/remote-write-decoder.ts';
import {
  encodeSeriesLabels,
  encodeWriteRequest,
  type WriteRequestColumns,
} from '#operators/formats/remote-write-encoder.ts';
import { FAULTS_MAX } from '#operators/formats/sample-decoder.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import {
  compare,
  type Decoding,
  decodeRecord,
  decoding,
  faultTexts,
  rowTexts,
} from '#test/operators/formats/decoder-comparison.ts';
import { bytesField, varint } from '#test/operators/formats/protobuf-bytes.ts';
import { referenceRemoteWrite } from '#test/operators/formats/reference-remote-write.ts';
import { label, remoteWriteRecord, sample } from '#test/operators/formats/remote-write-generator.ts';
import { seeded } from '#test/operators/formats/sample-generator.ts';

function remoteWrite(): Decoding {
  return decoding((options) => new RemoteWriteDecoder(options));
}

function request(...series: Buffer[]): Buffer {
  return compressSync(Buffer.concat(series), { copyOutputData: true });
}

test.each([
  [1, 50_000, undefined],
  [2, 45_000, undefined],
  [3, 5_000, 96 * 1024],
])(
  'decodes what a slow reader reads (seed %i, %i requests, cache %s)',
  { timeout: 120_000 },
  (seed, count, bytesMax) => {
    const { rows, faults } = compare({
      seed,
      count,
      bytesMax,
      make: (options) => new RemoteWriteDecoder(options),
      record: remoteWriteRecord,
      reference: referenceRemoteWrite,
    });
    expect(rows).toBeGreaterThan(count);
    expect(faults).toBeGreaterThan(count / 10);
  },
);

test('a wrong time series is named, its neighbours become rows; the same labels in another order are the same series', () => {
  const state = remoteWrite();
  const name = label('__name__', 'up');
  decodeRecord(
    state,
    request(
      bytesField(1, name, label('a', '1'), label('b', '2'), sample(1, 5), sample(2, 1800000000000), sample(3, 7)),
      bytesField(1, label('a', '1'), sample(1, 5)),
      bytesField(1, label('b', '2'), label('a', '1'), name, label('c', ''), sample(4, 8)),
      bytesField(1, name, label('a', '1'), label('a', '2'), sample(1, 5)),
    ),
  );
  expect(rowTexts(state)).toEqual(['up{a="1",b="2"} 1 @5', 'up{a="1",b="2"} 3 @7', 'up{a="1",b="2"} 4 @8']);
  expect(faultTexts(state)).toEqual([
    'timestamp-ahead $.timeseries[0].samples[1].timestamp',
    'sample-invalid $.timeseries[1].labels.__name__',
    'sample-invalid $.timeseries[3].labels.a',
  ]);
  expect(state.decoder.outcome.hasParts).toBe(true);
});

test('a request that breaks off in its last sample leaves no row and no series', () => {
  const state = remoteWrite();
  const good = bytesField(1, label('__name__', 'new'), sample(1, 5));
  const broken = Buffer.concat([varint(10), varint(good.length - 3), good.subarray(2, -1)]);
  decodeRecord(state, request(good, good, broken));
  expect(state.batch.count).toBe(0);
  expect(state.table.size).toBe(0);
  expect(faultTexts(state)).toEqual(['protobuf-invalid $']);
  expect(state.decoder.outcome.hasParts).toBe(false);
  decodeRecord(state, request(good));
  expect(rowTexts(state)).toEqual(['new 1 @5']);
});

test('what claims gigabytes is refused before memory is taken', () => {
  const state = remoteWrite();
  const before = process.memoryUsage();
  const claims = [
    Buffer.concat([varint(2 ** 32 - 1), Buffer.from([0, 0x41])]),
    Buffer.concat([varint(2 ** 31), Buffer.alloc(100, 0xfe)]),
    Buffer.concat([varint(30 * 2 ** 20), Buffer.alloc(1000, 0xfe)]),
    Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
    Buffer.alloc(0),
  ];
  for (const claim of claims) {
    decodeRecord(state, claim);
    expect(faultTexts(state)).toEqual(['snappy-invalid $']);
  }
  decodeRecord(state, request(Buffer.concat([Buffer.from([10]), varint(2 ** 32 - 1), Buffer.from('x')])));
  expect(faultTexts(state)).toEqual(['protobuf-invalid $']);
  const after = process.memoryUsage();
  expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(4 * 2 ** 20);
});

test('a bomb of empty samples ends at the limit of rows and leaves nothing', () => {
  const state = remoteWrite();
  decodeRecord(state, request(bytesField(1, label('__name__', 'up'), Buffer.from('1200'.repeat(1_100_000), 'hex'))));
  expect(faultTexts(state)).toEqual(['sample-invalid $']);
  expect(state.batch.count).toBe(0);
});

test('more wrong parts than can be named are counted', () => {
  const state = remoteWrite();
  decodeRecord(state, request(...Array.from({ length: 1000 }, () => bytesField(1, label('x', 'y'), sample(1, 1)))));
  expect(state.decoder.outcome.faultCount).toBe(1000);
  expect(state.decoder.outcome.faults).toHaveLength(FAULTS_MAX);
});

test('an evicted series is not found through remembered bytes', () => {
  const state = remoteWrite();
  const record = (name: string): Buffer => request(bytesField(1, label('__name__', name), sample(1, 1)));
  for (const name of ['a', 'b', 'a', 'b']) decodeRecord(state, record(name));
  for (let generation = 0; generation < 3; generation++) {
    state.table.markSeen(Int32Array.of(1), 1);
    state.table.evict(() => false);
  }
  decodeRecord(state, record('c'));
  expect(state.batch.key[0]).toBe(0);
  decodeRecord(state, record('a'));
  expect(rowTexts(state)).toEqual(['a 1 @1']);
  expect(state.batch.key[0]).toBe(2);
});

function columns(seed: number, count: number): WriteRequestColumns & { readonly texts: string[] } {
  const next = seeded(seed);
  const labels = [
    encodeSeriesLabels('up', []),
    encodeSeriesLabels('cpu:1m:avg', [
      ['Zone', 'ü'],
      ['host', 'h"\\\n'],
    ]),
    encodeSeriesLabels('long', [['x', 'y'.repeat(300)]]),
  ];
  const names = ['up', 'cpu:1m:avg{Zone="ü",host="h\\"\\\\\\n"}', `long{x="${'y'.repeat(300)}"}`];
  const series = Int32Array.from({ length: count }, () => Math.floor(next() * 3));
  const times = [0, 1, 127, 128, 2 ** 31, 2 ** 32 + 5, 1700000000000, -1, -(2 ** 33), -8.64e15];
  const timestampMs = Float64Array.from({ length: count }, () => times[Math.floor(next() * times.length)]);
  const value = Float64Array.from({ length: count }, () => (next() < 0.1 ? 0 : (next() - 0.5) * 10 ** (next() * 40)));
  const texts = Array.from(series, (of, i) => `${names[of]} ${value[i]} @${timestampMs[i]}`);
  return { count, series, timestampMs, value, labels, texts };
}

test('what the encoder writes is read back, by the decoder and by the reference, row for row in order', () => {
  const state = remoteWrite();
  const scratch = new ByteWriter(16);
  for (let seed = 1; seed <= 300; seed++) {
    const rows = columns(seed, seed);
    const from = seed % 7 === 0 ? 2 : 0;
    const body = encodeWriteRequest(scratch, rows, from);
    decodeRecord(state, body);
    expect(rowTexts(state)).toEqual(rows.texts.slice(from));
    const reference = referenceRemoteWrite(body, Number.MAX_SAFE_INTEGER);
    expect(reference.rows.map((r) => `${r.series} ${r.value} @${r.timestampMs}`)).toEqual(rows.texts.slice(from));
    expect(reference.faults).toEqual([]);
  }
});

test('rows of one series that follow each other share a TimeSeries, labels are sorted with __name__ among them', () => {
  const labels = [
    encodeSeriesLabels('m', [
      ['Zone', 'z'],
      ['a', '1'],
    ]),
  ];
  const three = {
    count: 3,
    series: new Int32Array(3),
    timestampMs: Float64Array.of(1, 2, 3),
    value: new Float64Array(3),
    labels,
  };
  const message = uncompressSync(encodeWriteRequest(new ByteWriter(), three), { asBuffer: true }) as Buffer;
  const expected = bytesField(
    1,
    label('Zone', 'z'),
    label('__name__', 'm'),
    label('a', '1'),
    sample(0, 1),
    sample(0, 2),
    sample(0, 3),
  );
  expect(message.toString('hex')).toBe(expected.toString('hex'));
});
