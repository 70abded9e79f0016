// Owns the JSON text of rollup rows: fields, their order and number spelling of CONTRACT section 5. Knows no window and no
// topic; quantiles and averages come as numbers. Invariant: the bytes are those of JSON.stringify of the same row.

import { NUMBER_BYTES_MAX, writeNumber } from '#operators/formats/json-number-text.ts';
import type { ByteWriter } from '#runtime/std/byte-writer.ts';

/** A piece of constant text, written by words: the bytes behind `length` are overwritten by what follows. */
interface Piece {
  readonly words: Int32Array;
  readonly length: number;
}

function piece(text: string): Piece {
  const length = Buffer.byteLength(text);
  const bytes = Buffer.alloc(Math.ceil(length / 4) * 4);
  bytes.write(text);
  return { words: Int32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readInt32LE(i * 4)), length };
}

const WINDOW_END = piece(',"window_end":');
const COUNT = piece(',"count":');
const SUM = piece(',"sum":');
const MIN = piece(',"min":');
const MAX = piece(',"max":');
const AVG = piece(',"avg":');
const P50 = piece(',"p50":');
const P95 = piece(',"p95":');
const P99 = piece(',"p99":');
const RUN = piece(',"run":');
const REVISION = piece(',"revision":');
/** Room for eleven numbers and the constant text between them. */
const ROW_BYTES_MAX = 12 * NUMBER_BYTES_MAX + 256;

/** Encodes the rows of one resolution, such as `1m`. */
export class JsonRowEncoder {
  readonly #resolution: Piece;
  #bytes: Buffer = Buffer.alloc(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  #at = 0;

  constructor(resolution: string) {
    this.#resolution = piece(`,"resolution":${JSON.stringify(resolution)},"window_start":`);
  }

  /** Appends one row. `seriesJson` is the key table's `jsonBytes` of the series. */
  encode(
    out: ByteWriter,
    seriesJson: Uint8Array,
    windowStartMs: number,
    windowEndMs: number,
    count: number,
    sum: number,
    min: number,
    max: number,
    avg: number,
    p50: number,
    p95: number,
    p99: number,
    run: number,
    revision: number,
  ): void {
    out.ensure(seriesJson.length + this.#resolution.length + ROW_BYTES_MAX);
    if (out.bytes !== this.#bytes) {
      this.#bytes = out.bytes;
      this.#view = new DataView(out.bytes.buffer, out.bytes.byteOffset, out.bytes.length);
    }
    this.#bytes[out.length] = 0x7b;
    this.#bytes.set(seriesJson, out.length + 1);
    this.#at = out.length + 1 + seriesJson.length;
    this.#field(this.#resolution, windowStartMs);
    this.#field(WINDOW_END, windowEndMs);
    this.#field(COUNT, count);
    this.#field(SUM, sum);
    this.#field(MIN, min);
    this.#field(MAX, max);
    this.#field(AVG, avg);
    this.#field(P50, p50);
    this.#field(P95, p95);
    this.#field(P99, p99);
    this.#field(RUN, run);
    this.#field(REVISION, revision);
    this.#bytes[this.#at] = 0x7d;
    out.length = this.#at + 1;
  }

  #field(name: Piece, value: number): void {
    const words = name.words;
    const view = this.#view;
    let at = this.#at;
    for (let i = 0; i < words.length; i++, at += 4) view.setInt32(at, words[i], true);
    this.#at = writeNumber(this.#bytes, this.#at + name.length, value);
  }
}
