// Owns reading OTLP data points of the five kinds from protobuf into an OtlpPoint, and finding their attributes. Knows no
// series. Invariant: structure is checked to the end of the point; repeated numbers may come packed or not.

import type { OtlpKind } from '#operators/formats/otlp-names.ts';
import { millisecondsOf, type NumberList, type OtlpPoint } from '#operators/formats/otlp-point.ts';
import { BYTES, FIXED64, type ProtobufReader, VARINT } from '#operators/formats/protobuf-reader.ts';

const bytes = (field: number): number => (field << 3) | BYTES;
const fixed = (field: number): number => (field << 3) | FIXED64;
const varint = (field: number): number => (field << 3) | VARINT;

const TIME = fixed(3);
const COUNT = fixed(4);
const SUM = fixed(5);

const NUMBER_DOUBLE = fixed(4);
const NUMBER_INT = fixed(6);
const NUMBER_FLAGS = varint(8);

const HISTOGRAM_COUNTS = fixed(6);
const HISTOGRAM_COUNTS_PACKED = bytes(6);
const HISTOGRAM_BOUNDS = fixed(7);
const HISTOGRAM_BOUNDS_PACKED = bytes(7);
const HISTOGRAM_FLAGS = varint(10);

const EXPONENTIAL_SCALE = varint(6);
const EXPONENTIAL_ZERO_COUNT = fixed(7);
const EXPONENTIAL_POSITIVE = bytes(8);
const EXPONENTIAL_NEGATIVE = bytes(9);
const EXPONENTIAL_FLAGS = varint(10);
const EXPONENTIAL_ZERO_THRESHOLD = fixed(14);
const BUCKETS_OFFSET = varint(1);
const BUCKETS_COUNTS = varint(2);
const BUCKETS_COUNTS_PACKED = bytes(2);

const SUMMARY_QUANTILE = bytes(6);
const SUMMARY_FLAGS = varint(8);
const QUANTILE_QUANTILE = fixed(1);
const QUANTILE_VALUE = fixed(2);

/** Tag of the attributes by kind. */
export const ATTRIBUTES_TAG: Readonly<Record<OtlpKind, number>> = {
  gauge: bytes(7),
  sum: bytes(7),
  histogram: bytes(9),
  exponentialHistogram: bytes(1),
  summary: bytes(7),
};

/** The fields describe the point that was read last. */
export class OtlpPointReader {
  /** Where the attributes lie, when they lie side by side. */
  attributesStart = 0;
  attributesEnd = 0;
  attributesScattered = false;
  readonly #reader: ProtobufReader;

  constructor(reader: ProtobufReader) {
    this.#reader = reader;
  }

  /** Reads the point between the cursor and `end`. */
  read(kind: OtlpKind, point: OtlpPoint, end: number): void {
    const reader = this.#reader;
    const attributesTag = ATTRIBUTES_TAG[kind];
    point.reset();
    this.attributesStart = reader.at;
    this.attributesEnd = reader.at;
    this.attributesScattered = false;
    const none = reader.at;
    while (reader.at < end) {
      const at = reader.at;
      const tag = reader.tag(end);
      if (tag === attributesTag) {
        reader.at = reader.fieldEnd(end);
        if (this.attributesEnd === none && at !== none) this.attributesStart = at;
        else if (this.attributesEnd !== at) this.attributesScattered = true;
        this.attributesEnd = reader.at;
      } else if (tag === TIME) {
        reader.fixed64(end);
        point.timestampMs = millisecondsOf(reader.high >>> 0, reader.low >>> 0);
      } else if (kind === 'gauge' || kind === 'sum') this.#number(tag, point, end);
      else if (kind === 'histogram') this.#histogram(tag, point, end);
      else if (kind === 'exponentialHistogram') this.#exponential(tag, point, end);
      else this.#summary(tag, point, end);
    }
  }

  #number(tag: number, point: OtlpPoint, end: number): void {
    const reader = this.#reader;
    if (tag === NUMBER_DOUBLE) {
      point.value = reader.double(end);
      point.hasValue = true;
    } else if (tag === NUMBER_INT) {
      point.value = reader.sfixed64(end);
      point.hasValue = true;
    } else if (tag === NUMBER_FLAGS) point.flags = reader.int32(end);
    else reader.skip(tag, end);
  }

  #histogram(tag: number, point: OtlpPoint, end: number): void {
    const reader = this.#reader;
    if (tag === COUNT) point.count = reader.fixed64(end);
    else if (tag === SUM) this.#sum(point, end);
    else if (tag === HISTOGRAM_COUNTS_PACKED) {
      for (const stop = reader.fieldEnd(end); reader.at < stop; ) point.counts.push(reader.fixed64(stop));
    } else if (tag === HISTOGRAM_COUNTS) point.counts.push(reader.fixed64(end));
    else if (tag === HISTOGRAM_BOUNDS_PACKED) {
      for (const stop = reader.fieldEnd(end); reader.at < stop; ) point.bounds.push(reader.double(stop));
    } else if (tag === HISTOGRAM_BOUNDS) point.bounds.push(reader.double(end));
    else if (tag === HISTOGRAM_FLAGS) point.flags = reader.int32(end);
    else reader.skip(tag, end);
  }

  #exponential(tag: number, point: OtlpPoint, end: number): void {
    const reader = this.#reader;
    if (tag === COUNT) point.count = reader.fixed64(end);
    else if (tag === SUM) this.#sum(point, end);
    else if (tag === EXPONENTIAL_SCALE) point.scale = reader.sint32(end);
    else if (tag === EXPONENTIAL_ZERO_COUNT) point.zeroCount = reader.fixed64(end);
    else if (tag === EXPONENTIAL_POSITIVE) point.offset = this.#buckets(point.counts, reader.fieldEnd(end));
    else if (tag === EXPONENTIAL_NEGATIVE) {
      point.negativeOffset = this.#buckets(point.negativeCounts, reader.fieldEnd(end));
    } else if (tag === EXPONENTIAL_ZERO_THRESHOLD) point.zeroThreshold = reader.double(end);
    else if (tag === EXPONENTIAL_FLAGS) point.flags = reader.int32(end);
    else reader.skip(tag, end);
  }

  // Returns the offset.
  #buckets(counts: NumberList, end: number): number {
    const reader = this.#reader;
    let offset = 0;
    counts.count = 0;
    while (reader.at < end) {
      const tag = reader.tag(end);
      if (tag === BUCKETS_OFFSET) offset = reader.sint32(end);
      else if (tag === BUCKETS_COUNTS_PACKED) {
        for (const stop = reader.fieldEnd(end); reader.at < stop; ) counts.push(reader.uint64(stop));
      } else if (tag === BUCKETS_COUNTS) counts.push(reader.uint64(end));
      else reader.skip(tag, end);
    }
    return offset;
  }

  #summary(tag: number, point: OtlpPoint, end: number): void {
    const reader = this.#reader;
    if (tag === COUNT) point.count = reader.fixed64(end);
    else if (tag === SUM) this.#sum(point, end);
    else if (tag === SUMMARY_QUANTILE) this.#quantile(point, reader.fieldEnd(end));
    else if (tag === SUMMARY_FLAGS) point.flags = reader.int32(end);
    else reader.skip(tag, end);
  }

  #quantile(point: OtlpPoint, end: number): void {
    const reader = this.#reader;
    let quantile = 0;
    let value = 0;
    while (reader.at < end) {
      const tag = reader.tag(end);
      if (tag === QUANTILE_QUANTILE) quantile = reader.double(end);
      else if (tag === QUANTILE_VALUE) value = reader.double(end);
      else reader.skip(tag, end);
    }
    point.bounds.push(quantile);
    point.counts.push(value);
  }

  #sum(point: OtlpPoint, end: number): void {
    point.sum = this.#reader.double(end);
    point.hasSum = true;
  }
}
