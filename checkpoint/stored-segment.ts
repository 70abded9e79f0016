// Owns what the page set remembers of a durable segment: which of its records are still the newest of their page, and
// how many bytes they are. Knows nothing of pages; `live` shrinks only.

import type { CheckpointSegment } from '#checkpoint/contract.ts';
import { invariant } from '#runtime/std/errors.ts';

const ALL = 'all';

export class StoredSegment {
  readonly name: string;
  readonly lengthBytes: number;
  readonly sha256: string;
  readonly records: number;
  /** Bytes of all records, without header and footer. */
  readonly recordBytes: number;
  /** Bytes of the live records. */
  liveBytes: number;
  #liveRecords: number;
  readonly #live: Uint8Array;

  constructor(file: CheckpointSegment, recordBytes: number, liveBytes: number) {
    this.name = file.name;
    this.lengthBytes = file.lengthBytes;
    this.sha256 = file.sha256;
    this.records = file.records;
    this.recordBytes = recordBytes;
    this.liveBytes = liveBytes;
    this.#live = parseLive(file.live, file.records);
    this.#liveRecords = countBits(this.#live);
  }

  get liveRecords(): number {
    return this.#liveRecords;
  }

  isLive(ordinal: number): boolean {
    return (this.#live[ordinal >> 3] & (1 << (ordinal & 7))) !== 0;
  }

  /** A newer version of the record's page, or none at all, is durable elsewhere. */
  retire(ordinal: number, recordBytes: number): void {
    invariant(this.isLive(ordinal), `record ${ordinal} of ${this.name} died twice`);
    this.#live[ordinal >> 3] &= ~(1 << (ordinal & 7));
    this.#liveRecords--;
    this.liveBytes -= recordBytes;
  }

  /** As a manifest names it when `leaving` records die with that manifest; null when nothing is left. */
  describe(leaving: readonly number[]): CheckpointSegment | null {
    const live = this.#live.slice();
    for (const ordinal of leaving) live[ordinal >> 3] &= ~(1 << (ordinal & 7));
    const count = this.#liveRecords - leaving.length;
    if (count === 0) return null;
    const { name, lengthBytes, sha256, records } = this;
    return { name, lengthBytes, sha256, records, live: count === records ? ALL : toText(live) };
  }
}

/** A segment just written: all its records are live. */
export function wholeSegment(name: string, lengthBytes: number, sha256: string, records: number): CheckpointSegment {
  return { name, lengthBytes, sha256, records, live: ALL };
}

function toText(live: Uint8Array): string {
  return Buffer.from(live.buffer, live.byteOffset, live.length).toString('base64');
}

function parseLive(text: string, records: number): Uint8Array {
  const size = (records + 7) >> 3;
  if (text === ALL) {
    const live = new Uint8Array(size).fill(255);
    if ((records & 7) !== 0) live[size - 1] = (1 << (records & 7)) - 1;
    return live;
  }
  const live = new Uint8Array(Buffer.from(text, 'base64'));
  invariant(live.length === size, `a bitmap of ${live.length} bytes for ${records} records`);
  invariant((records & 7) === 0 || live[size - 1] >> (records & 7) === 0, 'the bitmap names records beyond the last');
  return live;
}

function countBits(bits: Uint8Array): number {
  let count = 0;
  for (const byte of bits) for (let rest = byte; rest !== 0; rest &= rest - 1) count++;
  return count;
}
