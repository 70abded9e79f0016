// Owns the records of the entry under construction: one batch builder per topic and partition, cut at `batchBytesMax`,
// and the order-free output hash. Bytes stay until `take`; what it hands out is kept by the committer until its fate
// is known.

import type { OutsideOutput } from '#runtime/effect/contract.ts';
import type { StagedBatch } from '#runtime/log/contract.ts';
import { gzipBatch, RecordBatchBuilder, type RecordHeader } from '#runtime/log/record-batch.ts';
import type { BufferPool } from '#runtime/std/buffer-pool.ts';
import type { Output } from '#runtime/task/contract.ts';

const FIRST_BYTES = 4096;
const NO_HEADERS: readonly RecordHeader[] = [];

export class OutputStage implements Output {
  stagedBytes = 0;
  records = 0;
  /** Records of `outside`, not among `records`. */
  outsideRecords = 0;
  readonly outside: OutsideOutput = {
    append: (topic, partition, timestampMs, key, value, headers) => {
      this.#stage(topic, partition, timestampMs, key, value, 0, value.length, headers);
      this.outsideRecords++;
    },
  };
  readonly #batchBytesMax: number;
  readonly #pool: BufferPool | null;
  readonly #builders = new Map<string, (RecordBatchBuilder | undefined)[]>();
  #full: StagedBatch[] = [];
  #hashLow = 0;
  #hashHigh = 0;
  readonly #keyView = new WordView();
  readonly #valueView = new WordView();
  #second = 0;

  /** @param batchBytesMax uncompressed size at which a batch is closed @default 900,000 */
  constructor(pool: BufferPool | null = null, batchBytesMax = 900_000) {
    this.#pool = pool;
    this.#batchBytesMax = batchBytesMax;
  }

  append(
    sinkIndex: number,
    topic: string,
    partition: number,
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    valueStart: number,
    valueEnd: number,
    headers: readonly RecordHeader[] = NO_HEADERS,
    hashedHeaders: number = headers.length,
  ): void {
    const keySize = key === null ? 0 : key.length;
    this.#stage(topic, partition, timestampMs, key, value, valueStart, valueEnd, headers);
    this.records++;

    this.#second = 0;
    let hash = Math.imul(sinkIndex + 1, 0x9e3779b1) ^ Math.imul(partition + 1, 0x85ebca6b);
    if (key !== null) hash = this.#mix(hash, this.#keyView, key, 0, keySize);
    if (value !== null) hash = this.#mix(hash ^ 0x27d4eb2f, this.#valueView, value, valueStart, valueEnd);
    for (let i = 0; i < hashedHeaders; i++) {
      const name = Buffer.from(headers[i].key);
      const { value: content } = headers[i];
      hash = this.#mix(hash, this.#keyView, name, 0, name.length);
      hash = this.#mix(hash, this.#keyView, content, 0, content.length);
    }
    this.#hashLow = (this.#hashLow + hash) >>> 0;
    this.#hashHigh = (this.#hashHigh + Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) + this.#second) >>> 0;
  }

  #stage(
    topic: string,
    partition: number,
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    valueStart: number,
    valueEnd: number,
    headers: readonly RecordHeader[],
  ): void {
    let builders = this.#builders.get(topic);
    if (builders === undefined) this.#builders.set(topic, (builders = []));
    let builder = builders[partition];
    if (builder === undefined)
      builders[partition] = builder = new RecordBatchBuilder(topic, partition, FIRST_BYTES, this.#pool);
    const keySize = key === null ? 0 : key.length;
    const size = keySize + (valueEnd - valueStart) + 32;
    if (builder.recordCount > 0 && builder.sizeBytes + size > this.#batchBytesMax)
      this.#full.push(this.#finished(builder));
    const before = builder.sizeBytes;
    builder.append(timestampMs, key, 0, keySize, value, valueStart, valueEnd, headers);
    this.stagedBytes += builder.sizeBytes - before;
  }

  // Two multiply-rotate lanes over 32-bit words: 0.1 µs for a 350 B row against 0.4 µs byte by byte. The second lane
  // is left in #second so that no pair is allocated.
  #mix(seed: number, words: WordView, bytes: Uint8Array, start: number, end: number): number {
    const view = words.of(bytes.buffer);
    const base = bytes.byteOffset;
    let at = base + start;
    const stop = base + end;
    let one = seed ^ (end - start);
    let two = this.#second ^ Math.imul(seed, 0x165667b1);
    for (; at + 4 <= stop; at += 4) {
      const word = view.getInt32(at, true);
      one = Math.imul((one ^ word) | 0, 0x9e3779b1);
      one = (one << 13) | (one >>> 19);
      two = Math.imul((two + word) | 0, 0x85ebca77);
      two = (two << 17) | (two >>> 15);
    }
    let rest = 0;
    for (let shift = 0; at < stop; at++, shift += 8) rest |= view.getUint8(at) << shift;
    one = Math.imul(one ^ rest ^ (one >>> 15), 0x85ebca6b);
    two = Math.imul(two ^ rest ^ (two >>> 13), 0xc2b2ae35);
    this.#second = two ^ (two >>> 16);
    return one ^ (one >>> 16);
  }

  /** 64 bits as hex: a sum, so the order of records does not matter. */
  hash(): string {
    return this.#hashHigh.toString(16).padStart(8, '0') + this.#hashLow.toString(16).padStart(8, '0');
  }

  /** All batches staged, in no particular order between partitions; the stage is empty again. */
  take(): StagedBatch[] {
    const batches = this.#full;
    this.#full = [];
    for (const builders of this.#builders.values()) {
      for (const builder of builders)
        if (builder !== undefined && builder.recordCount > 0) batches.push(this.#finished(builder));
    }
    this.#reset();
    return batches;
  }

  // Only one record alone is larger: one that came compressed, perhaps, and fits no topic otherwise.
  #finished(builder: RecordBatchBuilder): StagedBatch {
    const batch = builder.finish();
    if (batch.bytes.length <= this.#batchBytesMax) return batch;
    const smaller = gzipBatch(batch);
    if (smaller !== batch) this.#pool?.give(batch.bytes);
    return smaller;
  }

  /** Forgets everything staged, for replayed output. */
  discard(): void {
    this.release(this.take());
  }

  /** For batches that nobody will look at any more: their fate is known. */
  release(batches: readonly StagedBatch[]): void {
    for (const { bytes } of batches) this.#pool?.give(bytes);
  }

  #reset(): void {
    this.stagedBytes = 0;
    this.records = 0;
    this.outsideRecords = 0;
    this.#hashLow = 0;
    this.#hashHigh = 0;
  }
}

/** Where a record batch has the timestamp of its newest record. */
const MAX_TIMESTAMP_AT = 35;

/** Of all records of these batches; -Infinity when there are none. */
export function newestRecordMs(batches: readonly StagedBatch[]): number {
  let newestMs = Number.NEGATIVE_INFINITY;
  for (const { bytes } of batches) {
    const ms = bytes.readInt32BE(MAX_TIMESTAMP_AT) * 2 ** 32 + bytes.readUInt32BE(MAX_TIMESTAMP_AT + 4);
    if (ms > newestMs) newestMs = ms;
  }
  return newestMs;
}

/** The view of the buffer seen last: keys lie in one buffer and values in another, a record after the other. */
class WordView {
  #buffer: ArrayBufferLike = new ArrayBuffer(0);
  #view: DataView<ArrayBufferLike> = new DataView(this.#buffer);

  of(buffer: ArrayBufferLike): DataView<ArrayBufferLike> {
    if (this.#buffer !== buffer) {
      this.#buffer = buffer;
      this.#view = new DataView(buffer);
    }
    return this.#view;
  }
}
