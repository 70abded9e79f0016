// Owns the oracle's own decoder of the values that records are kept and exchanged as, written from the layout: a tag, then
// what belongs to it.

import type { PlainBytes } from '#test/simulation/oracle/plain-bytes.ts';

export function plainValue(bytes: PlainBytes): unknown {
  const tag = bytes.byte();
  if (tag === 0) return null;
  if (tag === 1 || tag === 2) return tag === 2;
  if (tag === 3) return bytes.signed();
  if (tag === 4) return bytes.double();
  if (tag === 5) return bytes.text();
  if (tag === 6) return Array.from({ length: bytes.unsigned() }, () => plainValue(bytes));
  if (tag === 7 || tag === 8) {
    const fields = Array.from({ length: bytes.unsigned() }, () => [bytes.text(), plainValue(bytes)] as const);
    return Object.fromEntries(fields);
  }
  throw new Error(`a value begins with ${tag}`);
}
