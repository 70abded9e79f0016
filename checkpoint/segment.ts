// Owns the format of a segment file: magic, version, label, page records, footer. It says where records lie; which of
// them are the state is written in the manifest. Immutable once sealed; its SHA-256 covers every byte.

import { createHash, hash as hashOnce } from 'node:crypto';
import type { PagedState, TaskIdentity } from '#checkpoint/contract.ts';
import type { PageHash } from '#checkpoint/page-digest.ts';
import { type PageRecord, readPageRecord, writePageRecord } from '#checkpoint/page-record.ts';
import { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import { invariant } from '#runtime/std/errors.ts';

const MAGIC = Buffer.from('MSEG', 'latin1');
const END_MAGIC = Buffer.from('GESM', 'latin1');
const FORMAT = 1;
const KIND_PAGE = 1;
const KIND_FOOTER = 255;
const FRAME_BYTES = 1024;

/** Who wrote a segment and for which checkpoint; only people and tools read it. */
export interface SegmentLabel {
  readonly identity: TaskIdentity;
  readonly attempt: string;
  readonly entry: number;
}

export interface SealedSegment {
  readonly bytes: Uint8Array;
  readonly sha256: string;
  readonly records: number;
}

/** Builds one segment in memory. Hashes as it grows, so that sealing a large one does not stall the loop. */
export class SegmentWriter {
  readonly #out: ByteWriter;
  readonly #sha = createHash('sha256');
  #hashedBytes = 0;
  #records = 0;

  /** `expectedBytes`: what the records will take, as far as known; a buffer that need not grow saves half the time. */
  constructor(label: SegmentLabel, expectedBytes: number) {
    this.#out = new ByteWriter(FRAME_BYTES + expectedBytes);
    this.#out.raw(MAGIC);
    this.#out.u8(FORMAT);
    this.#out.text(JSON.stringify({ ...label.identity, attempt: label.attempt, entry: label.entry }));
  }

  get lengthBytes(): number {
    return this.#out.length;
  }

  get records(): number {
    return this.#records;
  }

  /** Appends a page; returns the length of its body, 0 when it is empty and nothing was appended. */
  append(state: PagedState, page: number, hash: PageHash): number {
    const start = this.#out.length;
    this.#out.u8(KIND_PAGE);
    const bodyBytes = writePageRecord(this.#out, state, page, hash);
    if (bodyBytes === 0) {
      this.#out.length = start;
      return 0;
    }
    this.#records++;
    this.#update();
    return bodyBytes;
  }

  seal(): SealedSegment {
    const out = this.#out;
    out.u8(KIND_FOOTER);
    out.u32(this.#records);
    out.i64(BigInt(out.length + 8 + END_MAGIC.length));
    out.raw(END_MAGIC);
    this.#update();
    return { bytes: out.bytes.subarray(0, out.length), sha256: this.#sha.digest('hex'), records: this.#records };
  }

  #update(): void {
    this.#sha.update(this.#out.bytes.subarray(this.#hashedBytes, this.#out.length));
    this.#hashedBytes = this.#out.length;
  }
}

/** SHA-256 of a whole file, lower-case hex. */
export function fileSha256(bytes: Uint8Array): string {
  return hashOnce('sha256', bytes, 'hex');
}

/** The records of a segment in their order; throws InvariantError when the bytes are not a whole segment. */
export function readSegment(bytes: Uint8Array): PageRecord[] {
  const input = new ByteReader(bytes);
  invariant(input.raw(MAGIC.length).equals(MAGIC), 'not a segment: wrong magic');
  const format = input.u8();
  invariant(format === FORMAT, `segment format ${format}, this version reads ${FORMAT}`);
  input.text();
  const records: PageRecord[] = [];
  for (;;) {
    const kind = input.u8();
    if (kind === KIND_FOOTER) break;
    invariant(kind === KIND_PAGE, `record ${records.length} of unknown kind ${kind}`);
    records.push(readPageRecord(input));
  }
  invariant(input.u32() === records.length, 'the footer counts other records');
  invariant(input.i64() === BigInt(bytes.length), 'the footer names another length');
  invariant(input.raw(END_MAGIC.length).equals(END_MAGIC) && input.done, 'the footer does not end the file');
  return records;
}
