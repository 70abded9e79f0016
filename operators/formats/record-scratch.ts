// Owns the memory a binary decoder reads a record from: a copy with room in front for the decoder's own keys and slack
// behind for words read past the end. Invariant: after `reserve` the record's bytes and the slack lie in one buffer,
// whatever was there before.

/** Room in front of the record, a whole number of words. */
export const SCRATCH_HEAD_BYTES = 32;
/** What may be read or written behind a record. */
export const SCRATCH_SLACK_BYTES = 32;
const KEPT_BYTES_MAX = 4 * 1024 * 1024;

/** Where a record is read from: in place, or a copy when there is no slack behind it. Any number of records in a row. */
export class BoundRecord {
  bytes: Buffer = Buffer.alloc(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  readonly #scratch = new RecordScratch();

  /** Takes the record bytes[start, end); where it begins in `this.bytes`. */
  bind(bytes: Buffer, start: number, end: number): number {
    if (end + SCRATCH_SLACK_BYTES > bytes.length) {
      this.#scratch.copy(bytes, start, end);
      this.bytes = this.#scratch.bytes;
      this.view = this.#scratch.view;
      return SCRATCH_HEAD_BYTES;
    }
    if (bytes !== this.bytes) {
      this.bytes = bytes;
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    return start;
  }

  /** Lets a large copy's memory go. */
  release(): void {
    this.#scratch.release();
  }
}

export class RecordScratch {
  bytes: Buffer = Buffer.alloc(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  #kept: Buffer = Buffer.alloc(0);

  /** Makes room for a record that begins at SCRATCH_HEAD_BYTES. Large ones get memory of their own. */
  reserve(sizeBytes: number): void {
    const needed = SCRATCH_HEAD_BYTES + sizeBytes + SCRATCH_SLACK_BYTES;
    if (needed <= this.#kept.length) {
      if (this.bytes !== this.#kept) this.#use(this.#kept);
      return;
    }
    if (needed > KEPT_BYTES_MAX) {
      this.#use(Buffer.allocUnsafeSlow(needed));
      return;
    }
    this.#kept = Buffer.alloc(Math.min(KEPT_BYTES_MAX, Math.max(needed, this.#kept.length * 2, 64 * 1024)));
    this.#use(this.#kept);
  }

  /** Copies bytes[start, end) to SCRATCH_HEAD_BYTES; returns where the copy ends. */
  copy(bytes: Buffer, start: number, end: number): number {
    this.reserve(end - start);
    bytes.copy(this.bytes, SCRATCH_HEAD_BYTES, start, end);
    return SCRATCH_HEAD_BYTES + end - start;
  }

  /** Lets a large record's memory go. */
  release(): void {
    if (this.bytes !== this.#kept) this.#use(this.#kept);
  }

  #use(bytes: Buffer): void {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
}
