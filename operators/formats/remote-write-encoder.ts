// Owns writing Prometheus remote-write 1.0 requests: the protobuf message WriteRequest from columns, and its snappy
// block. Knows no HTTP. Invariant: the same columns give the same bytes; rows keep their order.

import { writeValue } from '#operators/formats/special-values.ts';
import { compareCodePoints, type LabelPair, METRIC_NAME_LABEL } from '#operators/series/canonical.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { compressSnappy } from '#runtime/std/snappy.ts';

const TIMESERIES = 0x0a;
const LABEL = 0x0a;
const NAME = 0x0a;
const LABEL_VALUE = 0x12;
const SAMPLE = 0x12;
const VALUE = 0x09;
const TIMESTAMP = 0x10;

/** tag, size; tag and eight bytes of value; tag and at most ten bytes of timestamp */
const SAMPLE_BYTES_MAX = 2 + 9 + 11;
const TWO_32 = 4294967296;

/** Rows side by side. A TimeSeries is made of rows of one series that follow each other: sort by series for short requests. */
export interface WriteRequestColumns {
  readonly count: number;
  /** Per row: index in `labels`. */
  readonly series: Int32Array;
  /** Whole milliseconds. */
  readonly timestampMs: Float64Array;
  readonly value: Float64Array;
  /** By series: what `encodeSeriesLabels` gave. Not changed, not kept. */
  readonly labels: readonly Uint8Array[];
}

/** The labels of a series as they stand in a TimeSeries: `__name__` among them, sorted by name. `labels` have no empty values. */
export function encodeSeriesLabels(metricName: string, labels: readonly LabelPair[]): Buffer {
  const pairs: LabelPair[] = [[METRIC_NAME_LABEL, metricName], ...labels];
  pairs.sort((a, b) => compareCodePoints(a[0], b[0]));
  const out = new ByteWriter(256);
  for (const pair of pairs) writeLabel(out, pair);
  return out.toBytes();
}

/** The labels of series that differ in their names only: what stands before and behind the name. */
export interface SharedLabels {
  readonly before: Buffer;
  readonly after: Buffer;
}

/** As `encodeSeriesLabels`, without the name. */
export function encodeSharedLabels(labels: readonly LabelPair[]): SharedLabels {
  const sorted = [...labels].sort((a, b) => compareCodePoints(a[0], b[0]));
  const end = sorted.findIndex(([name]) => compareCodePoints(name, METRIC_NAME_LABEL) > 0);
  const at = end < 0 ? sorted.length : end;
  const [before, after] = [new ByteWriter(256), new ByteWriter(256)];
  for (const pair of sorted.slice(0, at)) writeLabel(before, pair);
  for (const pair of sorted.slice(at)) writeLabel(after, pair);
  return { before: before.toBytes(), after: after.toBytes() };
}

function writeLabel(out: ByteWriter, [name, value]: LabelPair): void {
  const nameSize = Buffer.byteLength(name);
  const valueSize = Buffer.byteLength(value);
  out.u8(LABEL);
  out.uvarint(2 + varintSize(nameSize) + nameSize + varintSize(valueSize) + valueSize);
  out.u8(NAME);
  out.text(name);
  out.u8(LABEL_VALUE);
  out.text(value);
}

const NAME_LABEL = Buffer.concat([
  Buffer.from([NAME, METRIC_NAME_LABEL.length]),
  Buffer.from(METRIC_NAME_LABEL),
  Buffer.from([LABEL_VALUE]),
]);

/** Appends a TimeSeries with labels as `encodeSeriesLabels` gave them, and rows [start, end) of both columns. */
export function writeSeries(
  out: ByteWriter,
  labels: Uint8Array,
  timestampMs: Float64Array,
  value: Float64Array,
  start: number,
  end: number,
): void {
  let size = labels.length;
  for (let at = start; at < end; at++) size += 2 + sampleSize(timestampMs[at]);
  out.ensure(6 + size);
  out.bytes[out.length++] = TIMESERIES;
  out.uvarint(size);
  out.raw(labels);
  for (let at = start; at < end; at++) writeSample(out, timestampMs[at], value, at);
}

/** Appends a TimeSeries named `name` followed by `ending`, with rows [start, end) of both columns. */
export function writeNamedSeries(
  out: ByteWriter,
  labels: SharedLabels,
  name: Uint8Array,
  ending: Uint8Array,
  timestampMs: Float64Array,
  value: Float64Array,
  start: number,
  end: number,
): void {
  const { after, before } = labels;
  const nameSize = name.length + ending.length;
  const labelSize = NAME_LABEL.length + varintSize(nameSize) + nameSize;
  let size = before.length + 1 + varintSize(labelSize) + labelSize + after.length;
  for (let at = start; at < end; at++) size += 2 + sampleSize(timestampMs[at]);
  out.ensure(6 + size);
  out.bytes[out.length++] = TIMESERIES;
  out.uvarint(size);
  out.raw(before);
  out.bytes[out.length++] = LABEL;
  out.uvarint(labelSize);
  out.raw(NAME_LABEL);
  out.uvarint(nameSize);
  out.raw(name);
  out.raw(ending);
  out.raw(after);
  for (let at = start; at < end; at++) writeSample(out, timestampMs[at], value, at);
}

/** Appends the WriteRequest of rows [start, end), not compressed. 40 ns a row with labels of 80 bytes. */
export function writeWriteRequest(out: ByteWriter, columns: WriteRequestColumns, start = 0, end = columns.count): void {
  const { labels, series } = columns;
  for (let row = start; row < end; ) {
    const of = series[row];
    const first = row;
    let size = labels[of].length;
    for (; row < end && series[row] === of; row++) size += 2 + sampleSize(columns.timestampMs[row]);
    out.ensure(6 + size);
    out.bytes[out.length++] = TIMESERIES;
    out.uvarint(size);
    out.raw(labels[of]);
    for (let at = first; at < row; at++) writeSample(out, columns.timestampMs[at], columns.value, at);
  }
}

/** The body of a remote-write 1.0 request with rows [start, end): WriteRequest in a snappy block. `scratch` is overwritten. */
export function encodeWriteRequest(
  scratch: ByteWriter,
  columns: WriteRequestColumns,
  start = 0,
  end = columns.count,
): Buffer {
  scratch.clear();
  writeWriteRequest(scratch, columns, start, end);
  return compressSnappy(scratch.bytes, 0, scratch.length);
}

function sampleSize(timestampMs: number): number {
  return 10 + (timestampMs < 0 ? 10 : varintSize(timestampMs));
}

function varintSize(value: number): number {
  if (value < 128) return 1;
  if (value < 16384) return 2;
  let size = 2;
  for (let rest = Math.floor(value / 16384); rest > 0; rest = Math.floor(rest / 128)) size++;
  return size;
}

// A sample is below 128 bytes, so its size is one byte.
function writeSample(out: ByteWriter, timestampMs: number, values: Float64Array, at: number): void {
  out.ensure(SAMPLE_BYTES_MAX);
  out.bytes[out.length] = SAMPLE;
  out.bytes[out.length + 1] = sampleSize(timestampMs);
  out.bytes[out.length + 2] = VALUE;
  out.length += 3;
  writeValue(out, values, at);
  out.bytes[out.length++] = TIMESTAMP;
  if (timestampMs >= 0) out.uvarint(timestampMs);
  else writeNegative(out, timestampMs);
}

// Two's complement of 64 bits, ten bytes.
function writeNegative(out: ByteWriter, value: number): void {
  const { bytes } = out;
  const low = (value % TWO_32) >>> 0;
  const high = Math.floor(value / TWO_32) | 0;
  let at = out.length;
  for (let shift = 0; shift < 28; shift += 7) bytes[at++] = ((low >>> shift) & 127) | 128;
  bytes[at++] = (low >>> 28) | ((high & 7) << 4) | 128;
  for (let shift = 3; shift < 31; shift += 7) bytes[at++] = ((high >>> shift) & 127) | 128;
  bytes[at++] = 1;
  out.length = at;
}
