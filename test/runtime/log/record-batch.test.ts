// Properties of building, stamping and walking record batches, against a decoder that shares no code with them.

import { describe, expect, it } from 'vitest';
import {
  ATTRIBUTE_TRANSACTIONAL,
  BATCH_HEADER_BYTES,
  RecordBatchBuilder,
  RecordWalker,
  stampBatch,
} from '#runtime/log/record-batch.ts';
import { InvariantError } from '#runtime/std/errors.ts';
import { Random } from '#test/simulation/world/random.ts';
import {
  decodeBatches,
  decodeRecords,
  encodeBatch,
  type PlainRecord,
  type StoredRecord,
  varint,
} from '#test/suites/log/bytes.ts';

const BASE_MS = 1_700_000_000_000;
/** Sizes around every boundary of a zigzag varint of up to three bytes. */
const SIZES = [0, 1, 2, 62, 63, 64, 65, 127, 128, 8190, 8191, 8192, 8193];
const DELTAS = [
  0,
  1,
  -1,
  63,
  64,
  -64,
  -65,
  8191,
  8192,
  -8193,
  2 ** 20,
  2 ** 27 - 1,
  2 ** 27,
  2 ** 31,
  -(2 ** 31),
  2 ** 40,
  -(2 ** 40),
];
const NAMES = ['', 'a', 'source-offset', 'naïve', '名', '😀', '__proto__'];

function randomRecord(random: Random): PlainRecord {
  const bytes = () =>
    random.chance(0.2) ? null : random.bytes(random.chance(0.1) ? random.pick(SIZES) : random.int(40));
  const headers = Array.from({ length: random.chance(0.3) ? random.range(1, 4) : 0 }, () => {
    return [random.pick(NAMES), random.bytes(random.chance(0.1) ? random.pick(SIZES) : random.int(20))] as const;
  });
  const timestampMs = BASE_MS + (random.chance(0.3) ? random.pick(DELTAS) : random.int(1000));
  return { timestampMs, key: bytes(), value: bytes(), headers };
}

function append(builder: RecordBatchBuilder, one: PlainRecord, random: Random): void {
  // The builder takes ranges: surround them with bytes that must not get in.
  const framed = (bytes: Buffer | null) => {
    if (bytes === null) return { bytes: null, start: 0, end: 0 };
    const before = random.int(4);
    const whole = Buffer.concat([random.bytes(before), bytes, random.bytes(random.int(4))]);
    return { bytes: whole, start: before, end: before + bytes.length };
  };
  const key = framed(one.key);
  const value = framed(one.value);
  const headers = one.headers.map(([name, bytes]) => ({ key: name, value: bytes! }));
  builder.append(one.timestampMs, key.bytes, key.start, key.end, value.bytes, value.start, value.end, headers);
}

function walk(bytes: Buffer, start: number, end: number, count: number): StoredRecord[] {
  const walker = new RecordWalker();
  walker.reset(bytes, start, end, count);
  const records: StoredRecord[] = [];
  while (walker.next()) {
    const slice = (from: number, to: number) => (from < 0 ? null : Buffer.from(bytes.subarray(from, to)));
    records.push({
      offset: BigInt(walker.offsetDelta),
      timestampMs: walker.timestampDelta,
      key: slice(walker.keyStart, walker.keyEnd),
      value: slice(walker.valueStart, walker.valueEnd),
      headers: walker.headers().map((header) => [header.key, Buffer.from(header.value)] as const),
    });
  }
  return records;
}

function hex(records: readonly PlainRecord[], baseMs = 0): string[] {
  return records.map(({ timestampMs, key, value, headers }) => {
    const fields = headers.map(([name, bytes]) => `${name}=${bytes?.toString('hex')}`);
    return [timestampMs - baseMs, key?.toString('hex') ?? null, value?.toString('hex') ?? null, ...fields].join(' ');
  });
}

describe('record batches', () => {
  it('hold what was appended, to an independent decoder and to the walker', () => {
    const random = new Random(11);
    const builder = new RecordBatchBuilder('t', 3, 64);
    for (let round = 0; round < 300; round++) {
      const records = Array.from({ length: random.chance(0.1) ? random.range(60, 140) : random.range(1, 9) }, () =>
        randomRecord(random),
      );
      for (const one of records) append(builder, one, random);
      expect(builder.recordCount).toBe(records.length);
      const size = builder.sizeBytes;
      const staged = builder.finish();
      expect(staged).toMatchObject({ topic: 't', partition: 3, recordCount: records.length });
      expect(staged.bytes.length).toBe(size);
      stampBatch(staged.bytes, 77n, 5, 12);

      const [batch] = decodeBatches(staged.bytes);
      expect(batch).toMatchObject({ producerId: 77n, producerEpoch: 5, baseSequence: 12, transactional: true });
      expect(batch.lastOffset - batch.baseOffset).toBe(BigInt(records.length - 1));
      expect(hex(batch.records)).toEqual(hex(records));
      expect(batch.records.map((one) => Number(one.offset))).toEqual(records.map((_, i) => i));
      expect(Number(staged.bytes.readBigInt64BE(27))).toBe(records[0].timestampMs);
      expect(Number(staged.bytes.readBigInt64BE(35))).toBe(Math.max(...records.map((one) => one.timestampMs)));

      const walked = walk(staged.bytes, BATCH_HEADER_BYTES, staged.bytes.length, records.length);
      expect(hex(walked)).toEqual(hex(records, records[0].timestampMs));
      expect(walked.map((one) => Number(one.offset))).toEqual(records.map((_, i) => i));
    }
  });

  it('are walked as they were encoded elsewhere, wherever they lie in a buffer', () => {
    const random = new Random(12);
    for (let round = 0; round < 200; round++) {
      const records = Array.from({ length: random.range(1, 6) }, () => randomRecord(random));
      const { bytes } = encodeBatch('t', 0, records);
      const before = random.int(50);
      const buffer = Buffer.concat([random.bytes(before), bytes.subarray(61), random.bytes(random.int(50))]);
      const walked = walk(buffer, before, before + bytes.length - 61, records.length);
      expect(hex(walked)).toEqual(hex(records, records[0].timestampMs));
    }
  });

  it('have record sizes of one to four bytes', () => {
    for (const size of [50, 63, 64, 100, 8_000, 8_191, 8_200, 1_048_570, 1_048_580]) {
      const value = Buffer.alloc(size, 7);
      const builder = new RecordBatchBuilder('t', 0, 16);
      builder.append(BASE_MS, null, 0, 0, value, 0, size);
      builder.append(BASE_MS, null, 0, 0, null, 0, 0);
      const { bytes } = builder.finish();
      const [first, second] = walk(bytes, 61, bytes.length, 2);
      expect(first.value?.equals(value)).toBe(true);
      expect([second.key, second.value]).toEqual([null, null]);
      expect(decodeRecords(bytes.subarray(61), 2, 0n, BASE_MS).map((one) => one.value?.length ?? null)).toEqual([
        size,
        null,
      ]);
    }
  });

  it('leave the builder empty, with bytes of their own', () => {
    const builder = new RecordBatchBuilder('t', 0);
    expect(() => builder.finish()).toThrow(InvariantError);
    builder.append(BASE_MS + 5, null, 0, 0, Buffer.from('first'), 0, 5);
    const first = builder.finish();
    const copy = Buffer.from(first.bytes);
    expect(builder.recordCount).toBe(0);
    expect(() => builder.finish()).toThrow(InvariantError);
    builder.append(BASE_MS, null, 0, 0, Buffer.from('other'), 0, 5);
    const second = builder.finish();
    expect(first.bytes.equals(copy)).toBe(true);
    expect(hex(walk(second.bytes, 61, second.bytes.length, 1))).toEqual(['0  6f74686572']);
    expect(second.bytes.readBigInt64BE(35)).toBe(BigInt(BASE_MS));
  });

  it('can be stamped again with other producer fields, and keep everything else', () => {
    const { bytes } = encodeBatch('t', 0, [{ timestampMs: BASE_MS, key: null, value: Buffer.from('v'), headers: [] }]);
    stampBatch(bytes, 1n, 2, 3);
    const once = Buffer.from(bytes);
    stampBatch(bytes, 2n ** 53n + 1n, 32_766, 2_147_483_647);
    const [batch] = decodeBatches(bytes);
    expect(batch).toMatchObject({ producerId: 2n ** 53n + 1n, producerEpoch: 32_766, baseSequence: 2_147_483_647 });
    expect(bytes.readInt16BE(21)).toBe(ATTRIBUTE_TRANSACTIONAL);
    expect(bytes.equals(once)).toBe(false);
    stampBatch(bytes, 1n, 2, 3);
    expect(bytes.equals(once)).toBe(true);
  });

  it('can be walked with a record put back', () => {
    const builder = new RecordBatchBuilder('t', 0);
    for (const text of ['a', 'bb', 'ccc']) {
      const headers = [{ key: 'h', value: Buffer.from(text) }];
      builder.append(BASE_MS, null, 0, 0, Buffer.from(text), 0, text.length, headers);
    }
    const { bytes } = builder.finish();
    const walker = new RecordWalker();
    walker.reset(bytes, 61, bytes.length, 3);
    expect(() => walker.back()).toThrow(InvariantError);
    const seen: string[] = [];
    for (let i = 0; walker.next(); i++) {
      seen.push(bytes.toString('utf8', walker.valueStart, walker.valueEnd));
      if (i % 2 === 0) {
        walker.back();
        expect(() => walker.back()).toThrow(InvariantError);
      }
      expect(walker.headers()[0].value.toString()).toBe(seen.at(-1));
    }
    expect(seen).toEqual(['a', 'a', 'bb', 'bb', 'ccc', 'ccc']);
  });
});

describe('malformed records', () => {
  /** Walks everything; true when it was refused. Whatever is handed out lies inside. */
  function refused(bytes: Buffer, start: number, end: number, count: number): boolean {
    const walker = new RecordWalker();
    walker.reset(bytes, start, end, count);
    try {
      while (walker.next()) {
        for (const [from, to] of [
          [walker.keyStart, walker.keyEnd],
          [walker.valueStart, walker.valueEnd],
        ]) {
          if (from !== -1) {
            expect(from).toBeGreaterThanOrEqual(start);
            expect(to).toBeGreaterThanOrEqual(from);
            expect(to).toBeLessThanOrEqual(end);
          } else expect(to).toBe(-1);
        }
        expect(Number.isSafeInteger(walker.offsetDelta) || Math.abs(walker.offsetDelta) > 2 ** 52).toBe(true);
        for (const header of walker.headers()) {
          expect(header.value.byteOffset + header.value.length).toBeLessThanOrEqual(bytes.byteOffset + end);
        }
      }
    } catch (error) {
      expect(error).toBeInstanceOf(RangeError);
      return true;
    }
    return false;
  }

  it('are refused or stay inside their batch, whatever bytes are flipped or cut', () => {
    const random = new Random(13);
    let refusals = 0;
    for (let round = 0; round < 4000; round++) {
      const records = Array.from({ length: random.range(1, 5) }, () => randomRecord(random));
      const body = Buffer.from(encodeBatch('t', 0, records).bytes.subarray(61));
      for (let flips = random.range(1, 4); flips > 0; flips--) {
        const at = random.int(Math.min(body.length, 60));
        body[at] = random.chance(0.5) ? random.pick([0, 1, 127, 128, 255]) : body[at] ^ (1 << random.int(8));
      }
      const end = random.chance(0.3) ? random.int(body.length + 1) : body.length;
      // Bytes behind the batch belong to somebody else.
      const buffer = random.chance(0.5) ? body : Buffer.concat([body, random.bytes(random.int(100))]);
      if (refused(buffer, 0, end, records.length + random.int(3))) refusals++;
    }
    expect(refusals).toBeGreaterThan(2000);
    expect(refusals).toBeLessThan(4000);
  });

  it('are refused when a batch ends early or holds fewer records than it says', () => {
    const random = new Random(14);
    for (let round = 0; round < 100; round++) {
      const records = Array.from({ length: random.range(1, 4) }, () => randomRecord(random));
      const body = Buffer.from(encodeBatch('t', 0, records).bytes.subarray(61));
      expect(refused(body, 0, body.length, records.length)).toBe(false);
      for (let end = 0; end < Math.min(body.length, 200); end++)
        expect(refused(body, 0, end, records.length)).toBe(true);
      expect(refused(body, 0, body.length, records.length + 1)).toBe(true);
      expect(refused(Buffer.concat([body, body]), 0, body.length, records.length + 1)).toBe(true);
    }
  });

  const endless = Buffer.alloc(40, 0xff);
  const wrapped = (...fields: Buffer[]) => {
    const bytes = Buffer.concat(fields);
    return Buffer.concat([varint(bytes.length), bytes]);
  };
  const zero = Buffer.from([0]);
  const cases: [string, Buffer][] = [
    ['a varint that never ends', endless],
    ['a negative size', varint(-5)],
    ['a size beyond any buffer', Buffer.concat([varint(2n ** 62n), zero])],
    ['no bytes at all', Buffer.alloc(0)],
    ['a size of nothing', zero],
    ['a key beyond the record', wrapped(zero, zero, zero, varint(1000), varint(-1), zero)],
    ['a key beyond any buffer', wrapped(zero, zero, zero, varint(2n ** 61n), varint(-1), zero)],
    ['a value beyond the record', wrapped(zero, zero, zero, varint(-1), varint(3), zero)],
    ['more headers than bytes', wrapped(zero, zero, zero, varint(-1), varint(-1), varint(2n ** 60n))],
    ['a negative number of headers', wrapped(zero, zero, zero, varint(-1), varint(-1), varint(-1))],
    ['a header without a name', wrapped(zero, zero, zero, varint(-1), varint(-1), varint(1), varint(-1), zero)],
    ['a header name beyond the record', wrapped(zero, zero, zero, varint(-1), varint(-1), varint(1), varint(9), zero)],
    ['a header beyond the record', wrapped(zero, zero, zero, varint(-1), varint(-1), varint(1), zero, varint(500))],
    [
      'a header beyond any buffer',
      wrapped(zero, zero, zero, varint(-1), varint(-1), varint(1), zero, varint(2n ** 61n)),
    ],
  ];
  for (const [what, body] of cases) {
    it(`with ${what} are refused`, () => {
      expect(refused(body, 0, body.length, 1)).toBe(true);
      const surrounded = Buffer.concat([body, Buffer.alloc(100, 3)]);
      expect(refused(surrounded, 0, body.length, 1)).toBe(true);
    });
  }
});
