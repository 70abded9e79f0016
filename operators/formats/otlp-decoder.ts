// Owns turning an OTLP metrics request (ExportMetricsServiceRequest) into rows, in protobuf or in JSON: told apart by the
// first byte, which cannot be the same. Invariant: a request whose structure is broken leaves nothing.

import { OtlpJsonDecoder } from '#operators/formats/otlp-json-decoder.ts';
import { OtlpProtobufDecoder } from '#operators/formats/otlp-protobuf-decoder.ts';
import { RecordScratch } from '#operators/formats/record-scratch.ts';
import {
  type RecordOrigin,
  type RecordOutcome,
  RecordRefusal,
  type SampleDecoder,
  type SampleDecoderOptions,
} from '#operators/formats/sample-decoder.ts';
import { SampleRows } from '#operators/formats/sample-rows.ts';
import type { Batch } from '#runtime/task/contract.ts';

const OPEN = 0x7b;

export class OtlpDecoder implements SampleDecoder {
  readonly #rows: SampleRows;
  readonly #scratch = new RecordScratch();
  readonly #protobuf: OtlpProtobufDecoder;
  readonly #json: OtlpJsonDecoder;

  constructor(options: SampleDecoderOptions) {
    this.#rows = new SampleRows(options);
    this.#protobuf = new OtlpProtobufDecoder(this.#rows, options);
    this.#json = new OtlpJsonDecoder(this.#rows);
  }

  get outcome(): RecordOutcome {
    return this.#rows;
  }

  decode(bytes: Buffer, start: number, end: number, origin: RecordOrigin, batch: Batch): void {
    const rows = this.#rows;
    rows.begin(origin, batch);
    rows.hasParts = true;
    try {
      if (looksLikeJson(bytes, start, end)) this.#json.decode(bytes.subarray(start, end));
      else {
        const copyEnd = this.#scratch.copy(bytes, start, end);
        this.#protobuf.decode(this.#scratch.bytes, this.#scratch.view, copyEnd);
      }
    } catch (error) {
      if (!(error instanceof RecordRefusal)) throw error;
      rows.discard(error);
    }
    rows.settle(this.#scratch.view);
    this.#scratch.release();
  }
}

/**
 * An object in JSON: 0x7b is field 15 as a group, which no protobuf has here. Space in front of it is taken for one when
 * it cannot be a field either.
 */
export function looksLikeJson(bytes: Buffer, start: number, end: number): boolean {
  let at = start;
  while (at < end && (bytes[at] === 0x20 || bytes[at] === 0x09 || bytes[at] === 0x0d)) at++;
  return at < end && bytes[at] === OPEN;
}
