// Owns walking an OTLP ExportMetricsServiceRequest in JSON down to its points. Made for being right, not fast: senders
// that care use protobuf. Invariant: gives the samples and faults that the same request gives in protobuf; a field of a
// wrong type costs the part it stands in.

import { isUtf8 } from 'node:buffer';
import { nestsDeeperThan, parseJson } from '#operators/formats/json-value.ts';
import {
  attributesOf,
  booleanOf,
  countOf,
  doubleOf,
  int32Of,
  int64Of,
  type JsonObject,
  listOf,
  millisecondsOf,
  objectOf,
  PartFault,
  temporalityOf,
  textOf,
  uint32Of,
} from '#operators/formats/otlp-json-fields.ts';
import { type OtlpResource, partSeries, pointLabels, resourceOf } from '#operators/formats/otlp-labels.ts';
import { type OtlpKind, otlpMetricName } from '#operators/formats/otlp-names.ts';
import { type NumberList, OtlpPoint } from '#operators/formats/otlp-point.ts';
import { OtlpSamples, type PointSeries } from '#operators/formats/otlp-samples.ts';
import { NESTING_MAX, RecordRefusal } from '#operators/formats/sample-decoder.ts';
import { type SampleRows, UNKNOWN_SERIES } from '#operators/formats/sample-rows.ts';

const KINDS: readonly OtlpKind[] = ['gauge', 'sum', 'histogram', 'exponentialHistogram', 'summary'];
const DELTA = 1;

export class OtlpJsonDecoder implements PointSeries {
  problem = '';
  readonly #rows: SampleRows;
  readonly #samples: OtlpSamples;
  readonly #point = new OtlpPoint();
  #resource: OtlpResource | null = null;
  #metricName = '';
  #isDelta = false;
  /** Of the point at hand. */
  #labels: Record<string, string> = {};

  constructor(rows: SampleRows) {
    this.#rows = rows;
    this.#samples = new OtlpSamples(rows);
  }

  /** Appends the samples of the request. Error: RecordRefusal. */
  decode(record: Buffer): void {
    const parsed = parse(record);
    if (parsed === null || typeof parsed !== 'object' || Array.isArray(parsed)) {
      throw new RecordRefusal('sample-invalid', 'must be an object with resourceMetrics');
    }
    const list = (parsed as JsonObject)['resourceMetrics'];
    // Logs and traces have the same shape under other names; they must not look like an empty request.
    if (!Array.isArray(list) && list !== null && Object.keys(parsed).length > 0) {
      throw new RecordRefusal('sample-invalid', 'must have an array of resourceMetrics');
    }
    this.#each(list, '$', 'resourceMetrics', (entry, path) => this.#resourceMetrics(objectOf(entry, ''), path));
  }

  // Calls `take` for each entry of a list; what is wrong with an entry costs the entry.
  #each(list: unknown, path: string, name: string, take: (entry: unknown, path: string) => void): void {
    const entries = this.#guard(path, () => listOf(list, `.${name}`)) ?? [];
    for (const [index, entry] of entries.entries()) {
      const at = `${path}.${name}[${index}]`;
      this.#guard(at, () => take(entry, at));
    }
  }

  #guard<T>(path: string, run: () => T): T | null {
    try {
      return run();
    } catch (error) {
      if (!(error instanceof PartFault)) throw error;
      this.#fault(error.message, path + error.path);
      return null;
    }
  }

  #resourceMetrics(entry: JsonObject, path: string): void {
    const described = entry['resource'];
    const attributes =
      described === undefined || described === null
        ? []
        : attributesOf(objectOf(described, '.resource')['attributes'], '.resource');
    const resource = resourceOf(attributes);
    if (typeof resource === 'string') throw new PartFault(resource, '.resource');
    this.#resource = resource;
    this.#samples.newestMs = Number.NEGATIVE_INFINITY;
    this.#each(entry['scopeMetrics'], path, 'scopeMetrics', (scope, at) => {
      this.#each(objectOf(scope, '')['metrics'], at, 'metrics', (metric, place) => {
        this.#metric(objectOf(metric, ''), place);
      });
    });
    const { newestMs } = this.#samples;
    if (resource.targetInfo === null || newestMs === Number.NEGATIVE_INFINITY) return;
    this.#rows.append(this.#rows.seriesOfText(resource.targetInfo), newestMs, 1);
  }

  #metric(metric: JsonObject, path: string): void {
    const kinds = KINDS.filter((kind) => metric[kind] !== undefined && metric[kind] !== null);
    if (kinds.length === 0) throw new PartFault('has no data of a kind that is known', '');
    if (kinds.length > 1) throw new PartFault('has data of more than one kind', '');
    const kind = kinds[0];
    const data = objectOf(metric[kind], `.${kind}`);
    const points = listOf(data['dataPoints'], `.${kind}.dataPoints`);
    if (points.length === 0) return;
    const hasTemporality = kind !== 'gauge' && kind !== 'summary';
    const temporality = hasTemporality ? temporalityOf(data['aggregationTemporality']) : 0;
    if (hasTemporality && temporality === 0) {
      throw new PartFault('must be delta (1) or cumulative (2)', `.${kind}.aggregationTemporality`);
    }
    const isMonotonic = kind === 'sum' && booleanOf(data['isMonotonic'], '.sum.isMonotonic');
    const name = otlpMetricName(textOf(metric['name'], '.name'), textOf(metric['unit'], '.unit'), kind, isMonotonic);
    if (name === '') throw new PartFault('has no letter or digit', '.name');
    this.#metricName = name;
    this.#isDelta = temporality === DELTA;
    this.#each(points, `${path}.${kind}`, 'dataPoints', (point, at) => this.#take(kind, objectOf(point, ''), at));
  }

  #take(kind: OtlpKind, fields: JsonObject, path: string): void {
    const point = this.#point;
    point.reset();
    point.timestampMs = millisecondsOf(fields['timeUnixNano'], '.timeUnixNano');
    point.flags = uint32Of(fields['flags'], '.flags');
    if (kind === 'gauge' || kind === 'sum') readNumber(fields, point);
    else readAggregate(kind, fields, point);
    const attributes = attributesOf(fields['attributes'], '.attributes');
    if (Number.isNaN(point.timestampMs)) throw new PartFault('is missing', '.timeUnixNano');
    if (point.timestampMs > this.#rows.skewLimitMs) {
      this.#rows.timestampFault(point.timestampMs, `${path}.timeUnixNano`);
      return;
    }
    const labels = pointLabels(attributes, this.#resource, this.#isDelta);
    if (typeof labels === 'string') throw new PartFault(labels, '.attributes');
    this.#labels = labels;
    const fault = this.#samples.take(kind, point, this);
    if (fault !== null) throw new PartFault(fault.message, fault.path);
  }

  seriesOf(part: number, bound: number): number {
    const canonical = partSeries(this.#metricName, this.#labels, part, bound);
    if (typeof canonical === 'string') return this.#rows.seriesOfText(canonical);
    this.problem = canonical.message;
    return UNKNOWN_SERIES;
  }

  #fault(message: string, path: string): void {
    if (!this.#rows.countsFaultOnly()) this.#rows.fault('sample-invalid', message, path);
  }
}

function parse(record: Buffer): unknown {
  if (!isUtf8(record)) throw new RecordRefusal('json-invalid', 'is no valid UTF-8');
  if (nestsDeeperThan(record, NESTING_MAX)) throw new RecordRefusal('json-invalid', `nests deeper than ${NESTING_MAX}`);
  try {
    return parseJson(record.toString());
  } catch (error) {
    throw new RecordRefusal('json-invalid', `is no valid JSON: ${(error as Error).message}`);
  }
}

function has(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function readNumber(fields: JsonObject, point: OtlpPoint): void {
  const { asDouble, asInt } = fields;
  if (has(asDouble) && has(asInt)) throw new PartFault('has two values', '');
  point.hasValue = has(asDouble) || has(asInt);
  if (has(asDouble)) point.value = doubleOf(asDouble, '.asDouble');
  else if (has(asInt)) point.value = Number(int64Of(asInt, '.asInt'));
}

function readAggregate(kind: OtlpKind, fields: JsonObject, point: OtlpPoint): void {
  point.count = countOf(fields['count'], '.count');
  point.hasSum = has(fields['sum']);
  if (point.hasSum) point.sum = doubleOf(fields['sum'], '.sum');
  if (kind === 'histogram') {
    fill(point.counts, fields['bucketCounts'], '.bucketCounts', countOf);
    fill(point.bounds, fields['explicitBounds'], '.explicitBounds', doubleOf);
  } else if (kind === 'summary') {
    for (const entry of listOf(fields['quantileValues'], '.quantileValues')) {
      const { quantile, value } = objectOf(entry, '.quantileValues');
      point.bounds.push(has(quantile) ? doubleOf(quantile, '.quantileValues') : 0);
      point.counts.push(has(value) ? doubleOf(value, '.quantileValues') : 0);
    }
  } else {
    point.scale = int32Of(fields['scale'], '.scale');
    point.zeroCount = countOf(fields['zeroCount'], '.zeroCount');
    if (has(fields['zeroThreshold'])) point.zeroThreshold = doubleOf(fields['zeroThreshold'], '.zeroThreshold');
    point.offset = readBuckets(fields['positive'], point.counts, '.positive');
    point.negativeOffset = readBuckets(fields['negative'], point.negativeCounts, '.negative');
  }
}

function readBuckets(value: unknown, counts: NumberList, path: string): number {
  if (!has(value)) return 0;
  const buckets = objectOf(value, path);
  fill(counts, buckets['bucketCounts'], path, countOf);
  return int32Of(buckets['offset'], path);
}

function fill(list: NumberList, value: unknown, path: string, read: (entry: unknown, path: string) => number): void {
  for (const entry of listOf(value, path)) list.push(read(entry, path));
}
