// The way through fetched batches against a plain oracle: random logs of overlapping transactions, read from every
// offset, cut at every place, with the list of aborted transactions a broker would send.

import { crc32c } from '@node-rs/crc32';
import { describe, expect, it } from 'vitest';
import { BatchCursor, offsetAfter } from '#runtime/log/kafka/batch-cursor.ts';
import type { AbortedTransaction } from '#runtime/log/kafka/wire/fetch.ts';
import { committedRecords, decodeBatches, decodeRecords, encodeBatch, record } from '#test/suites/log/bytes.ts';

interface Log {
  readonly bytes: Buffer;
  /** Start of each batch in `bytes`, and the end. */
  readonly cuts: number[];
  readonly aborted: (AbortedTransaction & { readonly markerOffset: bigint })[];
  readonly end: bigint;
}

function seal(bytes: Buffer): Buffer {
  bytes.writeUInt32BE(crc32c(bytes.subarray(21)), 17);
  return bytes;
}

function stamped(bytes: Buffer, baseOffset: bigint, producerId: bigint, attributes: number): Buffer {
  bytes.writeBigInt64BE(baseOffset, 0);
  bytes.writeInt16BE(bytes.readInt16BE(21) | attributes, 21);
  bytes.writeBigInt64BE(producerId, 43);
  return seal(bytes);
}

function marker(baseOffset: bigint, producerId: bigint, commit: boolean): Buffer {
  const one = record(Buffer.alloc(6), { key: Buffer.from([0, 0, 0, commit ? 1 : 0]) });
  return stamped(encodeBatch('t', 0, [one]).bytes, baseOffset, producerId, 0x30);
}

/** A batch that compaction emptied: it still has its offsets. */
function emptied(baseOffset: bigint, lastDelta: number): Buffer {
  const bytes = Buffer.from(encodeBatch('t', 0, [record('x')]).bytes.subarray(0, 61));
  bytes.writeInt32BE(49, 8);
  bytes.writeInt32BE(lastDelta, 23);
  bytes.writeInt32BE(0, 57);
  return stamped(bytes, baseOffset, -1n, 0);
}

function randomLog(seed: number): Log {
  let state = seed * 2654435761;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) % below;
  };
  const keys = [Buffer.alloc(4), Buffer.from([0, 0, 0, 1]), null, Buffer.from('key')];
  const batches: Buffer[] = [];
  const open = new Map<bigint, bigint>();
  const aborted: Log['aborted'] = [];
  let offset = 0n;
  const append = (bytes: Buffer) => {
    batches.push(bytes);
    offset = bytes.readBigInt64BE(0) + BigInt(bytes.readInt32BE(23)) + 1n;
  };
  const end = (producerId: bigint) => {
    const commit = random(2) === 0;
    const firstOffset = open.get(producerId)!;
    open.delete(producerId);
    if (!commit) aborted.push({ producerId, firstOffset, markerOffset: offset });
    append(marker(offset, producerId, commit));
  };
  for (let step = 0; step < 40; step++) {
    const producerId = BigInt(random(4));
    const move = random(10);
    if (move < 5) {
      const records = Array.from({ length: 1 + random(4) }, (_, i) =>
        record(`${offset}.${i}`, { key: keys[random(4)] }),
      );
      if (!open.has(producerId)) open.set(producerId, offset);
      append(stamped(encodeBatch('t', 0, records).bytes, offset, producerId, 0x10));
    } else if (move < 8 && open.has(producerId)) end(producerId);
    else if (move === 8) append(stamped(encodeBatch('t', 0, [record(`plain ${offset}`)]).bytes, offset, -1n, 0));
    else append(emptied(offset, random(5)));
  }
  for (const producerId of [...open.keys()]) end(producerId);
  const cuts = [0];
  for (const bytes of batches) cuts.push(cuts.at(-1)! + bytes.length);
  return { bytes: Buffer.concat(batches), cuts, aborted, end: offset };
}

/** What a broker sends for a fetch at `from` that ends at byte `cut`: transactions that overlap it, in any order. */
function abortedFor(log: Log, from: bigint, upTo: bigint, seed: number): AbortedTransaction[] {
  const overlapping = log.aborted.filter((one) => one.markerOffset >= from && one.firstOffset < upTo);
  return seed % 2 === 0 ? overlapping : overlapping.toReversed();
}

function readFrom(log: Log, start: bigint, fetchBytes: number, seed: number): [bigint, string][] {
  const seen: [bigint, string][] = [];
  let from = start;
  while (from < log.end) {
    const first = log.cuts.findIndex((at, i) => {
      if (i === log.cuts.length - 1) return false;
      return log.bytes.readBigInt64BE(at) + BigInt(log.bytes.readInt32BE(at + 23)) >= from;
    });
    const recordsStart = log.cuts[first];
    const whole = log.cuts[first + 1];
    const recordsEnd = Math.min(log.bytes.length, Math.max(whole, recordsStart + fetchBytes));
    const next = offsetAfter(log.bytes, recordsStart, recordsEnd);
    const aborted = abortedFor(log, from, next, seed);
    const cursor = new BatchCursor('t/0', log.bytes, { recordsStart, recordsEnd, aborted }, from);
    while (cursor.next()) {
      const body = log.bytes.subarray(cursor.recordsStart, cursor.recordsEnd);
      for (const one of decodeRecords(body, cursor.count, cursor.baseOffset, cursor.baseTimestampMs)) {
        if (one.offset >= start) seen.push([one.offset, String(one.value)]);
      }
    }
    expect(cursor.nextOffset).toBe(next);
    expect(next > from).toBe(true);
    from = next;
  }
  return seen;
}

function oneBatch(change: (bytes: Buffer) => void): BatchCursor {
  const bytes = Buffer.concat([encodeBatch('t', 0, [record('a'), record('b')]).bytes]);
  change(bytes);
  return new BatchCursor('t/0', bytes, { recordsStart: 0, recordsEnd: bytes.length, aborted: [] }, 0n);
}

describe('batch cursor', () => {
  it('shows exactly the committed records from every start offset, wherever fetches are cut', () => {
    let shown = 0;
    let hidden = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const log = randomLog(seed);
      const all = decodeBatches(log.bytes);
      const expected = committedRecords(all).map((one) => [one.offset, String(one.value)] as [bigint, string]);
      shown += expected.length;
      hidden += all.reduce((sum, one) => sum + (one.control === null ? one.records.length : 0), 0) - expected.length;
      for (let from = 0n; from < log.end; from++) {
        const wanted = expected.filter(([offset]) => offset >= from);
        for (const fetchBytes of [1, 150, 700, 1 << 20]) {
          expect(readFrom(log, from, fetchBytes, seed), `seed ${seed} from ${from}`).toEqual(wanted);
        }
      }
    }
    expect(shown).toBeGreaterThan(250);
    expect(hidden).toBeGreaterThan(250);
  });

  it('finds a flipped bit anywhere behind the checksum', () => {
    const { length } = encodeBatch('t', 0, [record('a'), record('b')]).bytes;
    for (let at = 21; at < length; at++) {
      const cursor = oneBatch((bytes) => {
        bytes[at] ^= 1 << (at % 8);
      });
      expect(() => cursor.next(), `byte ${at}`).toThrow(expect.objectContaining({ code: 'log-corrupt' }));
    }
  });

  it('refuses impossible lengths and old formats, and waits for the rest of a batch that is cut off', () => {
    for (const length of [-12, -1, 0, 48]) {
      const cursor = oneBatch((bytes) => bytes.writeInt32BE(length, 8));
      expect(() => cursor.next()).toThrow(expect.objectContaining({ code: 'log-corrupt' }));
    }
    const old = oneBatch((bytes) => {
      bytes[16] = 1;
    });
    expect(() => old.next()).toThrow(expect.objectContaining({ code: 'log-unsupported' }));
    const { bytes } = encodeBatch('t', 0, [record('a')]);
    for (let end = 0; end < bytes.length; end++) {
      expect(offsetAfter(bytes, 0, end)).toBe(-1n);
      expect(new BatchCursor('t/0', bytes, { recordsStart: 0, recordsEnd: end, aborted: [] }, 0n).next()).toBe(false);
    }
    expect(offsetAfter(bytes, 0, bytes.length)).toBe(1n);
  });

  it('moves over empty batches by their last offset', () => {
    const bytes = emptied(10n, 6);
    const cursor = new BatchCursor('t/0', bytes, { recordsStart: 0, recordsEnd: bytes.length, aborted: [] }, 12n);
    expect(cursor.next()).toBe(false);
    expect(cursor.nextOffset).toBe(17n);
  });
});
