import { expect, test } from 'vitest';
import { BufferPool } from '#runtime/std/buffer-pool.ts';

test('a buffer given back is used again, whole, for what fits', () => {
  const pool = new BufferPool(1 << 20);
  const first = pool.take(20_000);
  expect(first.length).toBe(32_768);
  pool.give(first.subarray(10, 20));
  expect(pool.bytes).toBe(32_768);
  expect(pool.take(40_000).buffer).not.toBe(first.buffer);
  const again = pool.take(16_385);
  expect(again.buffer).toBe(first.buffer);
  expect([again.length, pool.bytes]).toEqual([32_768, 0]);
});

test('holds no more than its bound, nothing small, and nothing of other sizes', () => {
  const pool = new BufferPool(65_536);
  const two = [pool.take(60_000), pool.take(60_000)];
  for (const buffer of two) pool.give(buffer);
  expect(pool.bytes).toBe(65_536);
  const other = new BufferPool(1 << 20);
  for (const size of [100, 1000, 30_000, 40_000_000]) other.give(Buffer.allocUnsafeSlow(size));
  expect(other.bytes).toBe(0);
  expect(other.take(40_000_000).length).toBe(40_000_000);
});

test('nobody gives a buffer back twice', () => {
  const pool = new BufferPool(1 << 20);
  const buffer = pool.take(20_000);
  pool.give(buffer);
  expect(() => pool.give(buffer.subarray(1))).toThrow('twice');
});
