// Owns the text of small files that carry their own checksum: JSON whose last field `sha256` covers every byte before
// it, and whose end is fixed byte by byte. One flipped bit anywhere is found.

import { hash as hashOnce } from 'node:crypto';
import { invariant } from '#runtime/std/errors.ts';

/** JSON text of `value`, sealed. Numbers must be finite: JSON would turn others into null. */
export function sealJson(value: object): Uint8Array {
  const text = JSON.stringify(value, refuseLossy, 2);
  invariant(text.endsWith('\n}'), 'only an object with fields can be sealed');
  const body = Buffer.from(text.slice(0, -2));
  return Buffer.concat([body, seal(body)]);
}

/** What was sealed; null when the bytes are not what `sealJson` wrote. */
export function openSealedJson(bytes: Uint8Array): unknown {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const bodyLength = all.length - SEAL_BYTES;
  if (bodyLength <= 0) return null;
  const body = all.subarray(0, bodyLength);
  if (!all.subarray(bodyLength).equals(seal(body))) return null;
  return JSON.parse(`${body.toString('utf8')}\n}`);
}

function seal(body: Buffer): Buffer {
  return Buffer.from(`,\n  "sha256": "${hashOnce('sha256', body, 'hex')}"\n}\n`);
}

const SEAL_BYTES = seal(Buffer.alloc(0)).length;

function refuseLossy(key: string, value: unknown): unknown {
  invariant(typeof value !== 'number' || Number.isFinite(value), `field '${key}' holds ${value}, which JSON cannot`);
  invariant(typeof value !== 'bigint' && value !== undefined, `field '${key}' holds a ${typeof value}`);
  return value;
}
