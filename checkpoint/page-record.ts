// Owns the bytes of one page record, in segments and under the digest:
// text state id · uvarint page · u32 length · body · 16 bytes of hash over all before.

import type { PagedState } from '#checkpoint/contract.ts';
import { PAGE_HASH_BYTES, type PageHash } from '#checkpoint/page-digest.ts';
import type { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant } from '#runtime/std/errors.ts';

const LENGTH_BYTES = 4;
const KIND_BYTES = 1;

/**
 * Appends the record of a page and leaves its hash in `hash`. Returns the length of the body; 0: the page is empty,
 * nothing was appended and the hash is zero.
 */
export function writePageRecord(out: ByteWriter, state: PagedState, page: number, hash: PageHash): number {
  const start = out.length;
  out.text(state.stateId);
  out.uvarint(page);
  const lengthAt = out.length;
  out.u32(0);
  state.writePage(page, out);
  const bodyBytes = out.length - lengthAt - LENGTH_BYTES;
  invariant(bodyBytes >= 0, `state '${state.stateId}' took back bytes while it wrote page ${page}`);
  if (bodyBytes === 0) {
    out.length = start;
    hash.clear();
    return 0;
  }
  out.bytes.writeUInt32BE(bodyBytes, lengthAt);
  hash.ofBytes(out.bytes, start, out.length);
  hash.writeTo(out);
  return bodyBytes;
}

/** Where a record and its parts lie in the bytes of a segment. */
export interface PageRecord {
  readonly stateId: string;
  readonly page: number;
  readonly start: number;
  readonly bodyStart: number;
  readonly bodyEnd: number;
  /** With the kind byte before and the hash after it: what it takes in its segment. */
  readonly recordBytes: number;
}

/** Steps over one record. Throws when it does not fit. */
export function readPageRecord(input: ByteReader): PageRecord {
  const start = input.at;
  const stateId = input.text();
  const page = input.uvarint();
  const bodyBytes = input.u32();
  const bodyStart = input.at;
  input.raw(bodyBytes);
  const bodyEnd = input.at;
  input.raw(PAGE_HASH_BYTES);
  return { stateId, page, start, bodyStart, bodyEnd, recordBytes: KIND_BYTES + input.at - start };
}
