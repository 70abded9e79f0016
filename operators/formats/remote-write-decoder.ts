// Owns turning a Prometheus remote-write 1.0 request (a snappy block of the protobuf message WriteRequest) into rows.
// Exemplars and metadata are no samples and are passed over. Invariant: label bytes that became a series once are not
// looked at again; a record whose structure is broken anywhere leaves nothing.

import { isTimestamp } from '#operators/formats/json-sample-scanner.ts';
import { canonicalOfPairs, PAIRS_MAX, utf8Text } from '#operators/formats/label-set.ts';
import { BYTES, FIXED64, ProtobufReader, VARINT } from '#operators/formats/protobuf-reader.ts';
import { finishHash, HASH_SEED, hashRange } from '#operators/formats/raw-series-cache.ts';
import { RecordScratch, SCRATCH_HEAD_BYTES } from '#operators/formats/record-scratch.ts';
import {
  RECORD_BYTES_MAX,
  type RecordOrigin,
  type RecordOutcome,
  RecordRefusal,
  type SampleDecoder,
  type SampleDecoderOptions,
} from '#operators/formats/sample-decoder.ts';
import { SampleRows } from '#operators/formats/sample-rows.ts';
import { SNAPPY_SLACK_BYTES, SnappyBlock } from '#operators/formats/snappy-block.ts';
import type { Batch } from '#runtime/task/contract.ts';

/** Tags of WriteRequest, TimeSeries, Label and Sample. */
const REQUEST_TIMESERIES = (1 << 3) | BYTES;
/** Of a 2.0 request, which would otherwise look like an empty one. */
const REQUEST_2_TIMESERIES = (5 << 3) | BYTES;
const SERIES_LABEL = (1 << 3) | BYTES;
const SERIES_SAMPLE = (2 << 3) | BYTES;
const SERIES_HISTOGRAM = (4 << 3) | BYTES;
const LABEL_NAME = (1 << 3) | BYTES;
const LABEL_VALUE = (2 << 3) | BYTES;
const SAMPLE_VALUE = (1 << 3) | FIXED64;
const SAMPLE_TIMESTAMP = (2 << 3) | VARINT;

const NO_SERIES = -1;

export class RemoteWriteDecoder implements SampleDecoder {
  readonly #rows: SampleRows;
  readonly #snappy = new SnappyBlock();
  readonly #scratch = new RecordScratch();
  readonly #input = new RecordScratch();
  readonly #reader = new ProtobufReader();
  #inputBytes: Buffer = Buffer.alloc(0);
  #inputView: DataView = new DataView(new ArrayBuffer(0));
  /** Of the time series that was looked at last. */
  #labelsStart = 0;
  #labelsEnd = 0;
  #labelsScattered = false;
  #samples = 0;
  #histograms = 0;

  constructor(options: SampleDecoderOptions) {
    this.#rows = new SampleRows(options);
  }

  get outcome(): RecordOutcome {
    return this.#rows;
  }

  decode(bytes: Buffer, start: number, end: number, origin: RecordOrigin, batch: Batch): void {
    const rows = this.#rows;
    rows.begin(origin, batch);
    try {
      const size = this.#uncompress(bytes, start, end);
      rows.hasParts = true;
      this.#request(SCRATCH_HEAD_BYTES + size);
    } catch (error) {
      if (!(error instanceof RecordRefusal)) throw error;
      rows.discard(error);
    }
    rows.settle(this.#scratch.view);
    this.#scratch.release();
  }

  // Into the scratch; returns the size.
  #uncompress(bytes: Buffer, start: number, end: number): number {
    const snappy = this.#snappy;
    snappy.open(bytes, start, end, RECORD_BYTES_MAX);
    this.#scratch.reserve(snappy.sizeBytes);
    if (end + SNAPPY_SLACK_BYTES > bytes.length) {
      const copyEnd = this.#input.copy(bytes, start, end);
      snappy.open(this.#input.bytes, SCRATCH_HEAD_BYTES, copyEnd, RECORD_BYTES_MAX);
      this.#read(this.#input.bytes, this.#input.view);
    } else {
      if (bytes !== this.#inputBytes) {
        this.#inputBytes = bytes;
        this.#inputView = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      }
      this.#read(bytes, this.#inputView);
    }
    return snappy.sizeBytes;
  }

  #read(bytes: Buffer, view: DataView): void {
    this.#snappy.read(bytes, view, this.#scratch.bytes, this.#scratch.view, SCRATCH_HEAD_BYTES);
  }

  #request(end: number): void {
    const reader = this.#reader;
    reader.bind(this.#scratch.bytes, this.#scratch.view);
    reader.at = SCRATCH_HEAD_BYTES;
    let index = 0;
    while (reader.at < end) {
      const tag = reader.tag(end);
      if (tag === REQUEST_TIMESERIES) {
        this.#timeSeries(reader.fieldEnd(end), index++);
      } else if (tag === REQUEST_2_TIMESERIES) {
        throw new RecordRefusal('protobuf-invalid', 'is a remote-write 2.0 request: let the sender use 1.0');
      } else reader.skip(tag, end);
    }
  }

  #timeSeries(end: number, index: number): void {
    const reader = this.#reader;
    const start = reader.at;
    this.#lookOver(end);
    const series = this.#series(start, end, index);
    if (this.#histograms > 0) this.#refuseHistograms(index);
    reader.at = start;
    let at = 0;
    while (reader.at < end) {
      const tag = reader.tag(end);
      if (tag === SERIES_SAMPLE) {
        this.#sample(reader.fieldEnd(end), series, index, at++);
      } else reader.skip(tag, end);
    }
  }

  // Finds the labels, which must be known before the first sample and may stand anywhere.
  #lookOver(end: number): void {
    const reader = this.#reader;
    let labelsStart = reader.at;
    let labelsEnd = labelsStart;
    let scattered = false;
    let samples = 0;
    let histograms = 0;
    while (reader.at < end) {
      const at = reader.at;
      const tag = reader.tag(end);
      if (tag === SERIES_LABEL) {
        reader.at = reader.fieldEnd(end);
        if (labelsEnd === at) labelsEnd = reader.at;
        else if (labelsEnd === labelsStart) {
          labelsStart = at;
          labelsEnd = reader.at;
        } else scattered = true;
      } else {
        if (tag === SERIES_SAMPLE) samples++;
        else if (tag === SERIES_HISTOGRAM) histograms++;
        reader.skip(tag, end);
      }
    }
    this.#labelsStart = labelsStart;
    this.#labelsEnd = labelsEnd;
    this.#labelsScattered = scattered;
    this.#samples = samples;
    this.#histograms = histograms;
  }

  // Handle of the series, NO_SERIES when its labels are wrong (then that is a fault) or nothing asks for it.
  #series(start: number, end: number, index: number): number {
    const view = this.#reader.view;
    const labelsStart = this.#labelsStart;
    const size = this.#labelsEnd - labelsStart;
    if (this.#labelsScattered || size === 0) {
      const canonical = this.#canonical(start, end, index);
      return canonical === null || this.#samples === 0 ? NO_SERIES : this.#rows.seriesOfText(canonical);
    }
    const hash = finishHash(HASH_SEED, hashRange(view, labelsStart, this.#labelsEnd));
    const slot = this.#rows.cache.find(view, labelsStart, 0, labelsStart, size, hash);
    if (slot >= 0) return slot;
    const canonical = this.#canonical(labelsStart, this.#labelsEnd, index);
    if (canonical === null || this.#samples === 0) return NO_SERIES;
    return this.#rows.seriesOf(canonical, view, labelsStart, 0, labelsStart, size, hash);
  }

  #canonical(start: number, end: number, index: number): string | null {
    const reader = this.#reader;
    const pairs: (string | null)[] = [];
    reader.at = start;
    while (reader.at < end) {
      const tag = reader.tag(end);
      if (tag === SERIES_LABEL) {
        this.#label(reader.fieldEnd(end), pairs);
      } else reader.skip(tag, end);
    }
    const canonical = canonicalOfPairs(pairs);
    if (typeof canonical === 'string') return canonical;
    if (this.#samples > 0 && !this.#rows.countsFaultOnly()) {
      this.#rows.fault('sample-invalid', canonical.message, `$.timeseries[${index}]${canonical.path}`);
    }
    return null;
  }

  #label(end: number, pairs: (string | null)[]): void {
    const reader = this.#reader;
    const isKept = pairs.length < PAIRS_MAX * 2;
    let name: string | null = '';
    let value: string | null = '';
    while (reader.at < end) {
      const tag = reader.tag(end);
      if (tag === LABEL_NAME || tag === LABEL_VALUE) {
        const stop = reader.fieldEnd(end);
        const text = isKept ? utf8Text(reader.bytes, reader.at, stop) : null;
        reader.at = stop;
        if (tag === LABEL_NAME) name = text;
        else value = text;
      } else reader.skip(tag, end);
    }
    if (isKept) pairs.push(name, value);
  }

  #sample(end: number, series: number, seriesIndex: number, index: number): void {
    const reader = this.#reader;
    let value = 0;
    let valueAt = 0;
    let timestampMs = 0;
    while (reader.at < end) {
      const tag = reader.tag(end);
      if (tag === SAMPLE_VALUE) {
        valueAt = reader.at;
        value = reader.double(end);
      } else if (tag === SAMPLE_TIMESTAMP) timestampMs = reader.int64(end);
      else reader.skip(tag, end);
    }
    if (series === NO_SERIES) return;
    const rows = this.#rows;
    if (timestampMs <= rows.skewLimitMs && isTimestamp(timestampMs)) {
      if (Number.isNaN(value)) {
        const { view } = reader;
        rows.appendNaN(series, timestampMs, view.getUint32(valueAt + 4, true), view.getUint32(valueAt, true));
      } else rows.append(series, timestampMs, value);
    } else if (!rows.countsFaultOnly()) {
      rows.timestampFault(timestampMs, `$.timeseries[${seriesIndex}].samples[${index}].timestamp`);
    }
  }

  #refuseHistograms(index: number): void {
    if (this.#rows.countsFaultOnly()) return;
    const message = 'are native histograms, which are no samples: send classic ones';
    this.#rows.fault('sample-invalid', message, `$.timeseries[${index}].histograms`);
  }
}
