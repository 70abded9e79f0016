// Owns walking an OTLP ExportMetricsServiceRequest in protobuf down to its points. Descriptions, scopes and exemplars are
// no samples and are passed over. Invariant: structure is checked to the end of the request, whatever is wrong with its
// parts.

import { MetricHead, OtlpContext } from '#operators/formats/otlp-context.ts';
import type { OtlpKind } from '#operators/formats/otlp-names.ts';
import { OtlpPoint } from '#operators/formats/otlp-point.ts';
import { OtlpPointReader } from '#operators/formats/otlp-protobuf-points.ts';
import { OtlpSamples } from '#operators/formats/otlp-samples.ts';
import { BYTES, ProtobufReader, VARINT } from '#operators/formats/protobuf-reader.ts';
import { SCRATCH_HEAD_BYTES } from '#operators/formats/record-scratch.ts';
import type { SampleDecoderOptions } from '#operators/formats/sample-decoder.ts';
import { type SampleRows, UNKNOWN_SERIES } from '#operators/formats/sample-rows.ts';

const RESOURCE_METRICS = (1 << 3) | BYTES;
const RESOURCE = (1 << 3) | BYTES;
const SCOPE_METRICS = (2 << 3) | BYTES;
const METRICS = (2 << 3) | BYTES;
const METRIC_NAME = (1 << 3) | BYTES;
const METRIC_UNIT = (3 << 3) | BYTES;
const GAUGE = (5 << 3) | BYTES;
const SUM = (7 << 3) | BYTES;
const HISTOGRAM = (9 << 3) | BYTES;
const EXPONENTIAL_HISTOGRAM = (10 << 3) | BYTES;
const SUMMARY = (11 << 3) | BYTES;
const DATA_POINTS = (1 << 3) | BYTES;
const TEMPORALITY = (2 << 3) | VARINT;
const MONOTONIC = (3 << 3) | VARINT;

export class OtlpProtobufDecoder {
  readonly #rows: SampleRows;
  readonly #samples: OtlpSamples;
  readonly #reader = new ProtobufReader();
  readonly #points = new OtlpPointReader(this.#reader);
  readonly #point = new OtlpPoint();
  readonly #context: OtlpContext;
  readonly #head = new MetricHead();
  #resourceIndex = 0;
  #scopeIndex = 0;
  #metricIndex = 0;
  #isGoodResource = false;
  #dataStart = 0;
  #dataEnd = 0;
  #pointCount = 0;

  constructor(rows: SampleRows, options: SampleDecoderOptions) {
    this.#rows = rows;
    this.#samples = new OtlpSamples(rows);
    this.#context = new OtlpContext(rows, this.#reader, options.bytesMax);
  }

  /** Appends the samples of the request from SCRATCH_HEAD_BYTES to `end`. Error: RecordRefusal. */
  decode(bytes: Buffer, view: DataView, end: number): void {
    const reader = this.#reader;
    reader.bind(bytes, view);
    reader.at = SCRATCH_HEAD_BYTES;
    this.#resourceIndex = 0;
    while (reader.at < end) {
      const tag = reader.tag(end);
      if (tag === RESOURCE_METRICS) {
        this.#resourceMetrics(reader.fieldEnd(end));
        this.#resourceIndex++;
      } else reader.skip(tag, end);
    }
  }

  #resourceMetrics(end: number): void {
    const reader = this.#reader;
    const start = reader.at;
    let resourceStart = start;
    let resourceEnd = start;
    while (reader.at < end) {
      const tag = reader.tag(end);
      if (tag === RESOURCE) {
        resourceEnd = reader.fieldEnd(end);
        resourceStart = reader.at;
        reader.at = resourceEnd;
      } else reader.skip(tag, end);
    }
    const problem = this.#context.setResource(resourceStart, resourceEnd);
    this.#isGoodResource = problem === null;
    if (problem !== null && !this.#rows.countsFaultOnly()) {
      this.#rows.fault('sample-invalid', problem, `$.resourceMetrics[${this.#resourceIndex}].resource`);
    }
    this.#samples.newestMs = Number.NEGATIVE_INFINITY;
    this.#scopeIndex = 0;
    reader.at = start;
    while (reader.at < end) {
      const tag = reader.tag(end);
      if (tag === SCOPE_METRICS) {
        this.#scopeMetrics(reader.fieldEnd(end));
        this.#scopeIndex++;
      } else reader.skip(tag, end);
    }
    this.#targetInfo();
  }

  #scopeMetrics(end: number): void {
    const reader = this.#reader;
    this.#metricIndex = 0;
    while (reader.at < end) {
      const tag = reader.tag(end);
      if (tag === METRICS) {
        this.#metric(reader.fieldEnd(end));
        this.#metricIndex++;
      } else reader.skip(tag, end);
    }
  }

  #metric(end: number): void {
    this.#readHead(end);
    if (this.#dataStart < 0) {
      if (this.#isGoodResource) this.#metricFault('has no data of a kind that is known', '');
      return;
    }
    this.#lookOver();
    if (this.#pointCount > 0) {
      const fault = this.#isGoodResource ? this.#context.setMetric(this.#head) : null;
      if (fault !== null) this.#metricFault(fault[0], fault[1]);
      this.#takePoints(this.#isGoodResource && fault === null);
    }
    this.#reader.at = end;
  }

  // Finds name, unit and data, which may stand in any order; of several data the last one counts.
  #readHead(end: number): void {
    const reader = this.#reader;
    const head = this.#head;
    const start = reader.at;
    head.start = start;
    head.end = start;
    head.nameStart = head.nameEnd = head.unitStart = head.unitEnd = start;
    this.#dataStart = -1;
    while (reader.at < end) {
      const at = reader.at;
      const tag = reader.tag(end);
      const kind = kindOf(tag);
      if (kind !== null) {
        head.end = this.#dataStart < 0 ? at : start;
        head.kind = kind;
        this.#dataEnd = reader.fieldEnd(end);
        this.#dataStart = reader.at;
        reader.at = this.#dataEnd;
      } else if (tag === METRIC_NAME || tag === METRIC_UNIT) {
        const stop = reader.fieldEnd(end);
        if (tag === METRIC_NAME) {
          head.nameStart = reader.at;
          head.nameEnd = stop;
        } else {
          head.unitStart = reader.at;
          head.unitEnd = stop;
        }
        reader.at = stop;
        if (this.#dataStart >= 0) head.end = start;
      } else reader.skip(tag, end);
    }
  }

  // Temporality and monotonicity stand behind the points.
  #lookOver(): void {
    const reader = this.#reader;
    const head = this.#head;
    const end = this.#dataEnd;
    head.temporality = 0;
    head.isMonotonic = false;
    this.#pointCount = 0;
    reader.at = this.#dataStart;
    while (reader.at < end) {
      const tag = reader.tag(end);
      if (tag === DATA_POINTS) {
        this.#pointCount++;
        reader.at = reader.fieldEnd(end);
      } else if (tag === TEMPORALITY && head.hasTemporality) head.setTemporality(reader.int32(end));
      else if (tag === MONOTONIC && head.kind === 'sum') {
        reader.int64(end);
        head.isMonotonic = reader.low !== 0 || reader.high !== 0;
      } else reader.skip(tag, end);
    }
  }

  #takePoints(isGood: boolean): void {
    const reader = this.#reader;
    const end = this.#dataEnd;
    let index = 0;
    reader.at = this.#dataStart;
    while (reader.at < end) {
      const tag = reader.tag(end);
      if (tag !== DATA_POINTS) {
        reader.skip(tag, end);
        continue;
      }
      const stop = reader.fieldEnd(end);
      const start = reader.at;
      this.#points.read(this.#head.kind, this.#point, stop);
      if (isGood) this.#takePoint(start, stop, index);
      reader.at = stop;
      index++;
    }
  }

  #takePoint(start: number, end: number, index: number): void {
    const rows = this.#rows;
    const point = this.#point;
    if (!(point.timestampMs <= rows.skewLimitMs)) {
      if (rows.countsFaultOnly()) return;
      const path = this.#pathOf(`.${this.#head.kind}.dataPoints[${index}].timeUnixNano`);
      if (Number.isNaN(point.timestampMs)) rows.fault('sample-invalid', 'is missing', path);
      else rows.timestampFault(point.timestampMs, path);
      return;
    }
    this.#context.setPoint(this.#points, start, end);
    const fault = this.#samples.take(this.#head.kind, point, this.#context);
    if (fault === null || rows.countsFaultOnly()) return;
    const path = this.#pathOf(`.${this.#head.kind}.dataPoints[${index}]${fault.path}`);
    rows.fault('sample-invalid', fault.message, path);
  }

  // One sample a resource and request, as new as its newest point.
  #targetInfo(): void {
    const { newestMs } = this.#samples;
    if (!this.#isGoodResource || newestMs === Number.NEGATIVE_INFINITY) return;
    const series = this.#context.targetInfo();
    if (series !== UNKNOWN_SERIES) this.#rows.append(series, newestMs, 1);
  }

  #metricFault(problem: string, path: string): void {
    if (!this.#rows.countsFaultOnly()) this.#rows.fault('sample-invalid', problem, this.#pathOf(path));
  }

  #pathOf(behind: string): string {
    const scope = `$.resourceMetrics[${this.#resourceIndex}].scopeMetrics[${this.#scopeIndex}]`;
    return `${scope}.metrics[${this.#metricIndex}]${behind}`;
  }
}

function kindOf(tag: number): OtlpKind | null {
  switch (tag) {
    case GAUGE:
      return 'gauge';
    case SUM:
      return 'sum';
    case HISTOGRAM:
      return 'histogram';
    case EXPONENTIAL_HISTOGRAM:
      return 'exponentialHistogram';
    case SUMMARY:
      return 'summary';
    default:
      return null;
  }
}
