import { describe, expect, test } from 'vitest';
import {
  EXCHANGE_DATA,
  EXCHANGE_IDLE,
  EXCHANGE_WATERMARK,
  ExchangeBlock,
  ExchangeRecord,
  encodeControl,
  encodeMarker,
} from '#operators/formats/exchange-block.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { Batch } from '#runtime/task/contract.ts';
import { Random } from '../windows/random.ts';

interface BlockRow {
  readonly key: string;
  readonly timeMs: number;
  readonly value: number;
  readonly partition: number;
  readonly offset: number;
}

function encode(rows: readonly BlockRow[], writer: number, watermarkMs: number, block = new ExchangeBlock()): Buffer {
  const places = new Map<string, number>();
  block.clear();
  block.originTopic = 'metrics.raw';
  for (const { key, timeMs, value, partition, offset } of rows) {
    let place = places.get(key);
    if (place === undefined) {
      place = block.addKey(Buffer.from(key));
      places.set(key, place);
    }
    block.addRow(place, timeMs, value, partition, offset);
  }
  const out = new ByteWriter(16);
  block.encode(out, writer, watermarkMs);
  return out.toBytes();
}

/** Reads a record that lies in the middle of other bytes. */
function decode(bytes: Buffer, record = new ExchangeRecord(), batch = new Batch(4)): BlockRow[] {
  const around = Buffer.concat([Buffer.alloc(3, 0xff), bytes, Buffer.alloc(2, 0xff)]);
  record.read(around, 3, 3 + bytes.length);
  if (record.kind !== EXCHANGE_DATA) return [];
  const keys = Array.from({ length: record.keyCount }, (_, k) =>
    around.toString('utf8', record.keyStart[k], record.keyEnd[k]),
  );
  const from = batch.count;
  record.rowsInto(
    batch,
    Int32Array.from(keys, (_, k) => k),
  );
  return Array.from({ length: batch.count - from }, (_, i) => ({
    key: keys[batch.key[from + i]],
    timeMs: batch.timestampMs[from + i],
    value: batch.value[from + i],
    partition: batch.originPartition[from + i],
    offset: batch.originOffset[from + i],
  }));
}

function randomRows(random: Random): BlockRow[] {
  const keys = 1 + random.below(40);
  const onePartition = random.chance(0.7);
  const strange = random.chance(0.2);
  let offset = random.below(2 ** 31) * 100;
  return Array.from({ length: 1 + random.below(300) }, () => {
    offset += random.below(300) - 20;
    const wild = [-8.64e15, 8.64e15, 0.5, -1, 2 ** 50 + 2][random.below(5)];
    return {
      key: `metric_ü{host="h-${random.below(keys)}"}`,
      timeMs: strange && random.chance(0.1) ? wild : 1_700_000_000_000 + random.below(90_000) - random.below(3) * 2e12,
      value: [random.next() * 100, -0, Number.NaN, Number.NEGATIVE_INFINITY, 5e-324][
        random.chance(0.8) ? 0 : random.below(5)
      ],
      partition: onePartition ? 7 : random.below(64),
      offset,
    };
  });
}

describe('an exchange block', () => {
  test('gives back what was put in, block after block', () => {
    const block = new ExchangeBlock();
    const record = new ExchangeRecord();
    for (let seed = 0; seed < 150; seed++) {
      const random = new Random(seed);
      const rows = randomRows(random);
      const watermarkMs = [Number.NEGATIVE_INFINITY, -5, 1.7e12][random.below(3)];
      const bytes = encode(rows, seed * 7, watermarkMs, block);
      expect(decode(bytes, record), `seed ${seed}`).toEqual(rows);
      expect([record.kind, record.writer, record.watermarkMs]).toEqual([EXCHANGE_DATA, seed * 7, watermarkMs]);
      expect(record.originTopic).toBe('metrics.raw');
    }
  });

  test('appends behind rows that are there, and tells the largest time of both', () => {
    const batch = new Batch(2);
    const row = (timeMs: number) => ({ key: 'a', timeMs, value: 1, partition: 0, offset: 1 });
    decode(encode([row(10), row(99), row(20)], 0, 0), new ExchangeRecord(), batch);
    decode(encode([row(50)], 0, 0), new ExchangeRecord(), batch);
    expect([...batch.timestampMs.subarray(0, batch.count)]).toEqual([10, 99, 20, 50]);
    expect(batch.maxTimestampMs).toBe(99);
  });

  test('costs about 11 bytes per row beside its dictionary', () => {
    const rows = Array.from({ length: 4096 }, (_, i) => ({
      key: `k${i % 100}`,
      timeMs: 1_700_000_000_000 + i,
      value: i,
      partition: 3,
      offset: 1000 + i,
    }));
    expect(encode(rows, 0, 0).length / rows.length).toBeLessThan(11.5);
  });
});

test('controls say writer, watermark and idleness', () => {
  const record = new ExchangeRecord();
  for (const idle of [false, true]) {
    for (const watermarkMs of [Number.NEGATIVE_INFINITY, -1, 1.7e12]) {
      const out = new ByteWriter();
      encodeControl(out, 300, watermarkMs, idle);
      expect(decode(out.toBytes(), record)).toEqual([]);
      expect(record.kind).toBe(idle ? EXCHANGE_IDLE : EXCHANGE_WATERMARK);
      expect([record.writer, record.watermarkMs, record.rows]).toEqual([300, watermarkMs, 0]);
    }
  }
});

describe('a damaged record', () => {
  const corrupt = expect.objectContaining({ code: 'exchange-corrupt' });

  test('is refused at every length short of the whole, and when something follows', () => {
    for (let seed = 500; seed < 510; seed++) {
      const bytes = encode(randomRows(new Random(seed)).slice(0, 40), 3, 1.7e12);
      for (let length = 0; length < bytes.length; length++) {
        expect(() => decode(bytes.subarray(0, length)), `${length} of ${bytes.length}`).toThrow(corrupt);
      }
      expect(() => decode(Buffer.concat([bytes, Buffer.alloc(1)]))).toThrow(corrupt);
    }
    const out = new ByteWriter();
    encodeControl(out, 1, 5, false);
    for (let length = 0; length < out.length; length++) {
      expect(() => decode(out.toBytes().subarray(0, length))).toThrow(corrupt);
    }
    expect(() => decode(Buffer.concat([out.toBytes(), Buffer.alloc(1)]))).toThrow(corrupt);
    out.clear();
    encodeMarker(out, 1, 5, true, 'before-upgrade');
    for (let length = 0; length < out.length; length++) {
      expect(() => decode(out.toBytes().subarray(0, length))).toThrow(corrupt);
    }
    expect(() => decode(Buffer.concat([out.toBytes(), Buffer.alloc(1)]))).toThrow(corrupt);
  });

  test('never does worse than being refused', () => {
    for (let seed = 600; seed < 1600; seed++) {
      const random = new Random(seed);
      const bytes = encode(randomRows(random).slice(0, 30), 3, 1.7e12);
      for (let flips = 1 + random.below(3); flips > 0; flips--) bytes[random.below(bytes.length)] = random.below(256);
      try {
        decode(bytes);
      } catch (error) {
        expect(error, `seed ${seed}`).toBeInstanceOf(StreamError);
      }
    }
  });

  test('names an unknown kind, an idleness that is none and another version', () => {
    const out = new ByteWriter();
    encodeControl(out, 1, 5, false);
    const changed = (at: number, value: number) => {
      const bytes = Buffer.from(out.toBytes());
      bytes[at] = value;
      return () => decode(bytes);
    };
    expect(changed(0, 9)).toThrow('unknown kind 9');
    expect(changed(0, 0)).toThrow('unknown kind 0');
    out.clear();
    encodeMarker(out, 1, 5, false, 's');
    expect(changed(out.length - 3, 2)).toThrow('says 2 where it says whether its writer is idle');
    expect(changed(1, 2)).toThrow('version 2');
  });
});
