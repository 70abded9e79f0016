// murmur2 agrees with what Kafka's own producer computes.

import { expect, test } from 'vitest';
import { murmur2, partitionOf } from '#runtime/std/murmur2.ts';

// Values of org.apache.kafka.common.utils.Utils.murmur2 (its own unit test).
test.each([
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
])('hashes %s as Kafka does', (text, hash) => {
  expect(murmur2(Buffer.from(text))).toBe(hash);
  expect(partitionOf(hash, 7)).toBe((hash & 0x7fffffff) % 7);
});
