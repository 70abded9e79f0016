// What one partition reader holds and hands out: order, position, bounds, frames given back.

import { describe, expect, it } from 'vitest';
import { Frame, FramePool } from '#runtime/log/kafka/frame-pool.ts';
import { KafkaPartitionReader } from '#runtime/log/kafka/partition-reader.ts';
import type { AbortedTransaction, FetchedPartition } from '#runtime/log/kafka/wire/fetch.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { encodeBatch, record } from '#test/suites/log/bytes.ts';

const TOPIC_ID = Buffer.alloc(16, 7).toString('base64url');

function batch(baseOffset: number, values: string[], transactional = false): Buffer {
  const { bytes } = encodeBatch(
    't',
    0,
    values.map((value) => record(value)),
  );
  bytes.writeBigInt64BE(BigInt(baseOffset), 0);
  if (!transactional) return bytes;
  const sealed = Buffer.from(bytes);
  sealed.writeInt16BE(0x10, 21);
  sealed.writeBigInt64BE(5n, 43);
  return reseal(sealed);
}

function reseal(bytes: Buffer): Buffer {
  let crc = ~0;
  for (let i = 21; i < bytes.length; i++) {
    crc ^= bytes[i];
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  bytes.writeUInt32BE(~crc >>> 0, 17);
  return bytes;
}

class Desk {
  readonly pool = new FramePool();
  readonly closed: KafkaPartitionReader[] = [];
  readonly reader: KafkaPartitionReader;
  drained = 0;

  constructor(readAheadBytesMax = 1000, offset = 0n) {
    const at = { topic: 't', partition: 0, topicId: TOPIC_ID, offset };
    this.reader = new KafkaPartitionReader(at, { readAheadBytesMax, batchBytesMax: 1 << 20 }, (one) => {
      this.closed.push(one);
    });
    this.reader.home = { drained: () => this.drained++ };
  }

  /** An answer as the fetcher would hand it on. */
  feed(batches: Buffer[], options: { copy?: boolean; aborted?: AbortedTransaction[]; end?: number } = {}): void {
    const records = Buffer.concat(batches);
    const bytes = this.pool.take(records.length);
    records.copy(bytes, 0);
    const frame = new Frame(this.pool, bytes, 0, records.length);
    const part: FetchedPartition = {
      topicId: TOPIC_ID,
      partition: 0,
      error: 0,
      highWatermark: 100n,
      lastStable: 90n,
      logStart: 0n,
      aborted: options.aborted ?? [],
      recordsStart: 0,
      recordsEnd: options.end ?? records.length,
    };
    frame.retain();
    this.reader.accept(part, frame, options.copy ?? false);
    frame.release();
    // Whoever does not hold the frame must not care what becomes of it.
    if (!frame.retained) bytes.fill(0xaa);
    this.reader.wake();
  }

  values(): string[] {
    const seen: string[] = [];
    for (;;) {
      const out = this.reader.poll();
      if (out === null) return seen;
      seen.push(`${out.baseOffset}+${out.count}`);
      out.release();
    }
  }
}

describe('partition reader', () => {
  it('hands out batches in order and gives every frame back', () => {
    const desk = new Desk();
    desk.feed([batch(0, ['a', 'b']), batch(2, ['c'])]);
    desk.feed([batch(3, ['d'])]);
    expect(desk.pool.lentBytes).toBeGreaterThan(0);
    expect(desk.values()).toEqual(['0+2', '2+1', '3+1']);
    expect(desk.reader.position).toBe(4n);
    expect(desk.reader.fetchOffset).toBe(4n);
    expect(desk.pool.lentBytes).toBe(0);
  });

  it('has at most one batch out, and forgives no second release', () => {
    const desk = new Desk();
    desk.feed([batch(0, ['a']), batch(1, ['b'])]);
    const out = desk.reader.poll();
    expect(() => desk.reader.poll()).toThrow(/still out/);
    out?.release();
    expect(() => out?.release()).toThrow(/twice/);
  });

  it('is hungry until its bound is reached, and says once when there is room again', () => {
    const desk = new Desk(150);
    desk.feed([batch(0, ['a'])]);
    expect(desk.reader.hungry).toBe(true);
    desk.feed([batch(1, ['b'.repeat(100)])]);
    desk.feed([batch(2, ['c'.repeat(100)])]);
    expect(desk.reader.hungry).toBe(false);
    expect(desk.drained).toBe(0);
    expect(desk.values()).toEqual(['0+1', '1+1', '2+1']);
    expect(desk.drained).toBe(1);
    expect(desk.reader.hungry).toBe(true);
  });

  it('moves its position over invisible batches without a poll, and wakes who waits', async () => {
    const desk = new Desk();
    const aborted = [{ producerId: 5n, firstOffset: 0n }];
    const waiting = desk.reader.ready();
    desk.feed([batch(0, ['no'], true), batch(1, ['no'], true)], { aborted });
    await waiting;
    expect(desk.reader.position).toBe(2n);
    desk.feed([batch(2, ['yes']), batch(3, ['no'], true)], { aborted });
    await desk.reader.ready();
    expect(desk.reader.position).toBe(2n);
    const out = desk.reader.poll();
    expect(desk.reader.position).toBe(4n);
    out?.release();
    expect(desk.reader.poll()).toBe(null);
    let told = false;
    void desk.reader.ready().then(() => {
      told = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(told, 'nothing new: nobody is woken').toBe(false);
  });

  it('keeps what it copied when the frame is used again', () => {
    const desk = new Desk();
    desk.feed([batch(0, ['a'])], { copy: true });
    expect(desk.pool.lentBytes).toBe(0);
    expect(desk.values()).toEqual(['0+1']);
  });

  it('skips records below the offset it was opened at, in the first batch only', () => {
    const desk = new Desk(1000, 2n);
    desk.feed([batch(0, ['a', 'b', 'c']), batch(3, ['d'])]);
    const first = desk.reader.poll();
    expect(first?.skipBelowDelta).toBe(2);
    first?.release();
    const second = desk.reader.poll();
    expect(second?.skipBelowDelta).toBe(0);
    second?.release();
  });

  it('asks to be served first while only the beginning of a batch fits', () => {
    const desk = new Desk();
    const bytes = batch(0, ['a'.repeat(300)]);
    desk.feed([bytes], { end: 200 });
    expect([desk.reader.starving, desk.reader.fetchOffset, desk.reader.holding]).toEqual([true, 0n, false]);
    desk.feed([bytes]);
    expect([desk.reader.starving, desk.reader.fetchOffset]).toEqual([false, 1n]);
    expect(desk.values()).toEqual(['0+1']);
  });

  it('throws an error after the data before it, every time it is polled', async () => {
    const desk = new Desk();
    desk.feed([batch(0, ['a'])]);
    desk.reader.fail(new StreamError('offset-out-of-range', 'gone', 'none'));
    await desk.reader.ready();
    expect(desk.values.bind(desk)).toThrow('gone');
    expect(() => desk.reader.poll()).toThrow('gone');
    await desk.reader.ready();
    expect(desk.reader.status().fault).toBe('gone');
  });

  it('stops at a corrupt batch with everything before it handed out', () => {
    const desk = new Desk();
    const broken = batch(1, ['b']);
    broken[broken.length - 2] ^= 1;
    desk.feed([batch(0, ['a']), broken, batch(2, ['c'])]);
    const out = desk.reader.poll();
    expect(out?.baseOffset).toBe(0n);
    out?.release();
    expect(() => desk.reader.poll()).toThrow(expect.objectContaining({ code: 'log-corrupt' }));
    expect(desk.pool.lentBytes).toBe(0);
  });

  it('lets go of everything when it is closed, also while a batch is out', async () => {
    const desk = new Desk();
    const waiting = desk.reader.ready();
    desk.feed([batch(0, ['a']), batch(1, ['b'])]);
    await waiting;
    const out = desk.reader.poll();
    desk.reader.close();
    expect(out?.bytes.includes('a')).toBe(true);
    out?.release();
    expect(desk.pool.lentBytes).toBe(0);
    expect(desk.closed).toEqual([desk.reader]);
    await desk.reader.ready();
    expect(() => desk.reader.poll()).toThrow(/closed/);
  });
});
