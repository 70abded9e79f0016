// Owns Kafka's partitioning hash (murmur2, seed 0x9747b28c), so that our keys land where Kafka's producers put them.

/** 32-bit murmur2 of bytes[start, end), as a signed integer. */
export function murmur2(bytes: Uint8Array, start = 0, end = bytes.length): number {
  const m = 0x5bd1e995;
  const length = end - start;
  let h = 0x9747b28c ^ length;
  let at = start;
  const blocks = start + (length & ~3);
  while (at < blocks) {
    let k = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    k = Math.imul(k, m);
    k ^= k >>> 24;
    k = Math.imul(k, m);
    h = Math.imul(h, m) ^ k;
    at += 4;
  }
  const rest = end - at;
  if (rest === 3) h ^= bytes[at + 2] << 16;
  if (rest >= 2) h ^= bytes[at + 1] << 8;
  if (rest >= 1) h = Math.imul(h ^ bytes[at], m);
  h ^= h >>> 13;
  h = Math.imul(h, m);
  return h ^ (h >>> 15);
}

/** The partition Kafka's default partitioner gives a key with this hash. */
export function partitionOf(hash: number, partitionCount: number): number {
  return (hash & 0x7fffffff) % partitionCount;
}
