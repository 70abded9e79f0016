// Owns one snapshot under way: the pages still to be copied as they were at the capture, and the segments they were
// copied into. A page leaves `pending` before it can change, so what is written is the state of the capture.

import type { Page } from '#checkpoint/page.ts';
import { PageDigest, PageHash } from '#checkpoint/page-digest.ts';
import { type SealedSegment, type SegmentLabel, SegmentWriter } from '#checkpoint/segment.ts';
import type { StoredSegment } from '#checkpoint/stored-segment.ts';
import { invariant } from '#runtime/std/errors.ts';

/** A page's new place: record `ordinal` of the snapshot's segment number `segment`; -1 when the page was empty. */
export interface CopiedPage {
  readonly page: Page;
  readonly segment: number;
  readonly ordinal: number;
  readonly recordBytes: number;
}

export interface SnapshotOptions {
  readonly label: SegmentLabel;
  readonly segmentBytesMax: number;
  readonly digest: PageDigest;
  /** Pages changed since the last durable checkpoint, then pages of segments to be rewritten. */
  readonly pages: readonly Page[];
  readonly changedCount: number;
  /** Durable segments as of the capture. */
  readonly segments: readonly StoredSegment[];
  /** Told the hash and size of a page as it is copied, while it is still pending. */
  readonly hashed: (page: Page, hash: PageHash, bodyBytes: number) => void;
}

const SMALLEST_BYTES = 16 * 1024;
const RECORD_FRAME_BYTES = 64;

export class PageSnapshot {
  /** Digest of the state at the capture, once every page is copied. */
  readonly digest = new PageDigest();
  readonly segments: readonly StoredSegment[];
  readonly pages: readonly Page[];
  readonly changedCount: number;
  readonly copied: CopiedPage[] = [];
  readonly #label: SegmentLabel;
  readonly #segmentBytesMax: number;
  readonly #hashed: SnapshotOptions['hashed'];
  readonly #hash = new PageHash();
  #next = 0;
  #writer: SegmentWriter | null = null;
  #sealed: SealedSegment[] = [];
  #sealedBytes = 0;
  #segmentCount = 0;
  /** Of the pages still to be copied, as far as they were serialised before. */
  #expectedBytes = 0;

  constructor(options: SnapshotOptions) {
    this.#label = options.label;
    this.#segmentBytesMax = options.segmentBytesMax;
    this.#hashed = options.hashed;
    this.digest.copy(options.digest);
    this.pages = options.pages;
    this.changedCount = options.changedCount;
    this.segments = options.segments;
    for (const page of options.pages) {
      page.pending = true;
      this.#expectedBytes += expectedBytes(page);
    }
  }

  /** Copies about `bytesMax` bytes more; true when every page is copied. */
  advance(bytesMax: number): boolean {
    let left = bytesMax;
    while (this.#next < this.pages.length) {
      const page = this.pages[this.#next];
      if (page.pending) {
        if (left <= 0) return false;
        left -= this.copy(page);
      }
      this.#next++;
    }
    return true;
  }

  /** Copies one pending page as it is now; returns the bytes of its record. */
  copy(page: Page): number {
    invariant(page.pending, 'a page is copied once');
    const writer = (this.#writer ??= this.#newWriter());
    this.#expectedBytes -= expectedBytes(page);
    const before = writer.lengthBytes;
    const bodyBytes = writer.append(page.owner.state, page.number, this.#hash);
    this.#hashed(page, this.#hash, bodyBytes);
    page.pending = false;
    const recordBytes = writer.lengthBytes - before;
    const segment = bodyBytes === 0 ? -1 : this.#segmentCount;
    this.copied.push({ page, segment, ordinal: writer.records - 1, recordBytes });
    if (writer.lengthBytes >= this.#segmentBytesMax) this.seal();
    return recordBytes;
  }

  /** The last page may reach beyond the cut: leave it an eighth. */
  #newWriter(): SegmentWriter {
    const room = Math.min(this.#expectedBytes, this.#segmentBytesMax) * 1.125;
    return new SegmentWriter(this.#label, Math.max(SMALLEST_BYTES, Math.ceil(room)));
  }

  get done(): boolean {
    return this.#next >= this.pages.length;
  }

  /** Bytes copied and not yet taken. */
  get heldBytes(): number {
    const writer = this.#writer;
    return this.#sealedBytes + (writer === null || writer.records === 0 ? 0 : writer.lengthBytes);
  }

  /** Ends the segment being filled. */
  seal(): void {
    const writer = this.#writer;
    if (writer === null || writer.records === 0) return;
    const sealed = writer.seal();
    this.#sealed.push(sealed);
    this.#sealedBytes += sealed.bytes.length;
    this.#segmentCount++;
    this.#writer = null;
  }

  /** The oldest sealed segment that is not written; it counts as held until `release`. */
  get firstSealed(): SealedSegment | null {
    return this.#sealed[0] ?? null;
  }

  release(sealed: SealedSegment): void {
    invariant(this.#sealed.shift() === sealed, 'segments are written in their order');
    this.#sealedBytes -= sealed.bytes.length;
  }

  /** Frees what is held; the snapshot takes no more. */
  drop(): void {
    for (const page of this.pages) page.pending = false;
    this.#next = this.pages.length;
    this.#sealed = [];
    this.#sealedBytes = 0;
    this.#writer = null;
  }
}

function expectedBytes(page: Page): number {
  return page.sizeBytes + RECORD_FRAME_BYTES;
}
