// Owns which series a protobuf OTLP point belongs to: the resource, metric and attributes around it, as ranges of bytes,
// and the memory of which bytes led where. Walks nothing. Invariant: bytes of a resource, of a metric's head or of
// attributes that were accepted once are not looked at again.

import { utf8Text } from '#operators/formats/label-set.ts';
import { readAttributes } from '#operators/formats/otlp-attributes.ts';
import { type OtlpResource, partSeries, pointLabels, resourceOf } from '#operators/formats/otlp-labels.ts';
import { type OtlpKind, otlpMetricName } from '#operators/formats/otlp-names.ts';
import { ATTRIBUTES_TAG, type OtlpPointReader } from '#operators/formats/otlp-protobuf-points.ts';
import type { PointSeries } from '#operators/formats/otlp-samples.ts';
import { BYTES, type ProtobufReader } from '#operators/formats/protobuf-reader.ts';
import { finishHash, hashRange, RawSeriesCache } from '#operators/formats/raw-series-cache.ts';
import { type SampleRows, UNKNOWN_SERIES } from '#operators/formats/sample-rows.ts';

const RESOURCE_ATTRIBUTES = (1 << 3) | BYTES;

export const DELTA = 1;
export const CUMULATIVE = 2;

/** Keys in the head of the scratch: of a series, and of a resource or a metric's head. */
const SERIES_KEY_AT = 0;
const SERIES_KEY_BYTES = 16;
const CONTEXT_KEY_AT = 16;
const CONTEXT_KEY_BYTES = 8;
const CONTEXT_BYTES_MAX = 16 * 1024 * 1024;
const ID_MAX = 0x3fffffff;
const NO_ID = -1;
/** In place of a part: the series is the resource's `target_info`. */
const TARGET_INFO = -1;
/** In place of a kind: the key is a resource's. */
const RESOURCE = -1;

const KIND_NUMBERS: Readonly<Record<OtlpKind, number>> = {
  gauge: 0,
  sum: 1,
  histogram: 2,
  exponentialHistogram: 3,
  summary: 4,
};

/** What stands around the points of a metric; ranges are of the reader's bytes. */
export class MetricHead {
  kind: OtlpKind = 'gauge';
  /** DELTA, CUMULATIVE, or 0 for neither. */
  temporality = 0;
  isMonotonic = false;
  nameStart = 0;
  nameEnd = 0;
  unitStart = 0;
  unitEnd = 0;
  /** All of the head, when name and unit lie in front of the data; else an empty range. */
  start = 0;
  end = 0;

  setTemporality(value: number): void {
    this.temporality = value === DELTA || value === CUMULATIVE ? value : 0;
  }

  get hasTemporality(): boolean {
    return this.kind !== 'gauge' && this.kind !== 'summary';
  }
}

export class OtlpContext implements PointSeries {
  problem = '';
  readonly #rows: SampleRows;
  readonly #reader: ProtobufReader;
  /** Ids of resources, times two and one more when they have a target_info, and of metrics' heads. */
  readonly #ids: RawSeriesCache;
  #nextId = 1;
  #resourceStart = 0;
  #resourceEnd = 0;
  #resourceId = NO_ID;
  /** Of the bytes at hand, once something asked for it. */
  #resource: OtlpResource | null = null;
  #head: MetricHead | null = null;
  #metricId = NO_ID;
  #metricName = '';
  #points: OtlpPointReader | null = null;
  #pointStart = 0;
  #pointEnd = 0;
  #attributesHash = 0;
  #labels: Record<string, string> | null = null;

  constructor(rows: SampleRows, reader: ProtobufReader, bytesMax = CONTEXT_BYTES_MAX) {
    this.#rows = rows;
    this.#reader = reader;
    this.#ids = new RawSeriesCache({ bytesMax: Math.min(bytesMax, CONTEXT_BYTES_MAX) });
  }

  /** Takes the resource of what follows; what is wrong with it, or null. Error: RecordRefusal. */
  setResource(start: number, end: number): string | null {
    this.#resourceStart = start;
    this.#resourceEnd = end;
    this.#resource = null;
    const { view } = this.#reader;
    view.setInt32(CONTEXT_KEY_AT, RESOURCE, true);
    view.setInt32(CONTEXT_KEY_AT + 4, 0, true);
    const hash = finishHash(hashRange(view, CONTEXT_KEY_AT, CONTEXT_KEY_AT + 8), hashRange(view, start, end));
    this.#resourceId = this.#ids.find(view, CONTEXT_KEY_AT, CONTEXT_KEY_BYTES, start, end - start, hash);
    if (this.#resourceId >= 0) return null;
    const problem = this.#readResource();
    if (problem !== null) return problem;
    this.#resourceId = this.#takeId() * 2 + (this.#resource!.targetInfo === null ? 0 : 1);
    this.#ids.insert(view, CONTEXT_KEY_AT, CONTEXT_KEY_BYTES, start, end - start, hash, this.#resourceId);
    return null;
  }

  #readResource(): string | null {
    const attributes = readAttributes(this.#reader, this.#resourceStart, this.#resourceEnd, RESOURCE_ATTRIBUTES);
    if (typeof attributes === 'string') return attributes;
    const resource = resourceOf(attributes);
    if (typeof resource === 'string') return resource;
    this.#resource = resource;
    return null;
  }

  /** Handle of the resource's `target_info`, UNKNOWN_SERIES when it has none. */
  targetInfo(): number {
    if ((this.#resourceId & 1) === 0) return UNKNOWN_SERIES;
    const { view } = this.#reader;
    const start = this.#resourceStart;
    const size = this.#resourceEnd - start;
    this.#setSeriesKey(this.#resourceId, TARGET_INFO, 0);
    const hash = finishHash(hashRange(view, SERIES_KEY_AT, SERIES_KEY_BYTES), hashRange(view, start, start + size));
    const slot = this.#rows.cache.find(view, SERIES_KEY_AT, SERIES_KEY_BYTES, start, size, hash);
    if (slot >= 0) return slot;
    if (this.#resource === null) this.#readResource();
    const canonical = this.#resource!.targetInfo!;
    return this.#rows.seriesOfPassing(canonical, view, SERIES_KEY_AT, SERIES_KEY_BYTES, start, size, hash);
  }

  /** Takes the metric of the points that follow; null, or what is wrong with it and where. */
  setMetric(head: MetricHead): readonly [problem: string, path: string] | null {
    const { view } = this.#reader;
    const { end, start } = head;
    this.#head = head;
    this.#metricName = '';
    const bits = KIND_NUMBERS[head.kind] | (head.temporality << 4) | (head.isMonotonic ? 8 : 0);
    view.setInt32(CONTEXT_KEY_AT, bits, true);
    view.setInt32(CONTEXT_KEY_AT + 4, this.#resourceId, true);
    const hash = finishHash(hashRange(view, CONTEXT_KEY_AT, CONTEXT_KEY_AT + 8), hashRange(view, start, end));
    const isKept = end > start;
    this.#metricId = isKept ? this.#ids.find(view, CONTEXT_KEY_AT, CONTEXT_KEY_BYTES, start, end - start, hash) : NO_ID;
    if (this.#metricId >= 0) return null;
    if (head.hasTemporality && head.temporality === 0) {
      return ['must be delta (1) or cumulative (2)', `.${head.kind}.aggregationTemporality`];
    }
    const problem = this.#nameMetric(head);
    if (problem !== null) return [problem, '.name'];
    if (!isKept) return null;
    this.#metricId = this.#takeId();
    this.#ids.insert(view, CONTEXT_KEY_AT, CONTEXT_KEY_BYTES, start, end - start, hash, this.#metricId);
    return null;
  }

  #nameMetric(head: MetricHead): string | null {
    const { bytes } = this.#reader;
    const name = utf8Text(bytes, head.nameStart, head.nameEnd);
    const unit = utf8Text(bytes, head.unitStart, head.unitEnd);
    if (name === null || unit === null) return 'or the unit is no valid UTF-8';
    this.#metricName = otlpMetricName(name, unit, head.kind, head.isMonotonic);
    return this.#metricName === '' ? 'has no letter or digit' : null;
  }

  /** Takes the point whose samples are asked for next. */
  setPoint(points: OtlpPointReader, start: number, end: number): void {
    this.#points = points;
    this.#pointStart = start;
    this.#pointEnd = end;
    this.#labels = null;
    this.#attributesHash = hashRange(this.#reader.view, points.attributesStart, points.attributesEnd);
  }

  seriesOf(part: number, bound: number): number {
    const points = this.#points!;
    const { view } = this.#reader;
    const start = points.attributesStart;
    const size = points.attributesEnd - start;
    const isKept = this.#metricId >= 0 && !points.attributesScattered;
    let hash = 0;
    if (isKept) {
      this.#setSeriesKey(this.#metricId, part, bound);
      hash = finishHash(hashRange(view, SERIES_KEY_AT, SERIES_KEY_BYTES), this.#attributesHash);
      const slot = this.#rows.cache.find(view, SERIES_KEY_AT, SERIES_KEY_BYTES, start, size, hash);
      if (slot >= 0) return slot;
    }
    const canonical = this.#canonical(part, bound);
    if (canonical === null) return UNKNOWN_SERIES;
    if (!isKept) return this.#rows.seriesOfText(canonical);
    return this.#rows.seriesOfPassing(canonical, view, SERIES_KEY_AT, SERIES_KEY_BYTES, start, size, hash);
  }

  #canonical(part: number, bound: number): string | null {
    const head = this.#head!;
    if (this.#metricName === '') this.#nameMetric(head);
    if (this.#resource === null) this.#readResource();
    if (this.#labels === null) {
      const tag = ATTRIBUTES_TAG[head.kind];
      const attributes = readAttributes(this.#reader, this.#pointStart, this.#pointEnd, tag);
      const isDelta = head.hasTemporality && head.temporality === DELTA;
      const labels = typeof attributes === 'string' ? attributes : pointLabels(attributes, this.#resource, isDelta);
      if (typeof labels === 'string') {
        this.problem = labels;
        return null;
      }
      this.#labels = labels;
    }
    const canonical = partSeries(this.#metricName, this.#labels, part, bound);
    if (typeof canonical === 'string') return canonical;
    this.problem = canonical.message;
    return null;
  }

  #setSeriesKey(id: number, part: number, bound: number): void {
    const { view } = this.#reader;
    view.setInt32(SERIES_KEY_AT, id, true);
    view.setInt32(SERIES_KEY_AT + 4, part, true);
    view.setFloat64(SERIES_KEY_AT + 8, bound, true);
  }

  // Ids are never given twice while something remembers them.
  #takeId(): number {
    if (this.#nextId >= ID_MAX) {
      this.#ids.clear();
      this.#rows.cache.clear();
      this.#nextId = 1;
    }
    return this.#nextId++;
  }
}
