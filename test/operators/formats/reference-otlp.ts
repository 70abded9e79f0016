// Owns the slow truth about an OTLP metrics request: what the samples of a request are, said over plain objects. How
// these are read from protobuf and JSON lies beside it. Shares no code with the decoder.

import { type ReferenceResult, seriesText } from '#test/operators/formats/reference-decoder.ts';

export type Kind = 'gauge' | 'sum' | 'histogram' | 'exponentialHistogram' | 'summary';
export type Attributes = readonly (readonly [key: string, text: string])[];

/** A string in the place of something says where it is wrong, behind the path of the thing. */
export interface Request {
  readonly resources: readonly (Resource | string)[];
}
export interface Resource {
  readonly attributes: Attributes | string;
  /** Metrics by scope. */
  readonly scopes: readonly ((Metric | string)[] | string)[];
}
export interface Metric {
  readonly name: string | null;
  readonly unit: string | null;
  readonly kind: Kind | null;
  readonly temporality: number;
  readonly monotonic: boolean;
  readonly points: readonly (Point | string)[];
}
export interface Point {
  readonly timeNs: bigint;
  readonly stale: boolean;
  readonly attributes: Attributes | null;
  readonly value: number | null;
  readonly count: bigint;
  readonly sum: number | null;
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
  readonly scale: number;
  readonly zeroCount: number;
  readonly zeroThreshold: number;
  readonly positive: Buckets;
  readonly negative: Buckets;
}
export interface Buckets {
  readonly offset: number;
  readonly counts: readonly number[];
}

interface Found {
  readonly series: string;
  readonly value: number;
}

export function referenceOtlp(request: Request, skewLimitMs: number): ReferenceResult {
  const result: ReferenceResult = { rows: [], notFinite: 0, faults: [] };
  const fault = (path: string, code = 'sample-invalid') => result.faults.push(`${code} ${path}`);
  for (const [r, resource] of request.resources.entries()) {
    const at = `$.resourceMetrics[${r}]`;
    if (typeof resource === 'string') {
      fault(at + resource);
      continue;
    }
    const identity = identityOf(resource.attributes);
    if (identity === null) {
      fault(`${at}.resource`);
      continue;
    }
    let newest = Number.NEGATIVE_INFINITY;
    for (const [s, metrics] of resource.scopes.entries()) {
      if (typeof metrics === 'string') {
        fault(`${at}.scopeMetrics[${s}]${metrics}`);
        continue;
      }
      for (const [m, metric] of metrics.entries()) {
        const path = `${at}.scopeMetrics[${s}].metrics[${m}]`;
        newest = Math.max(newest, takeMetric(metric, path, identity, skewLimitMs, result));
      }
    }
    if (identity.target !== null && newest > Number.NEGATIVE_INFINITY) {
      result.rows.push({ series: identity.target, timestampMs: newest, value: 1 });
    }
  }
  return result;
}

interface Identity {
  readonly labels: [string, string][];
  readonly target: string | null;
}

function identityOf(attributes: Attributes | string): Identity | null {
  if (typeof attributes === 'string' || attributes.length > 256) return null;
  const find = (wanted: string) => attributes.filter(([key]) => key === wanted).pop()?.[1] ?? '';
  const [name, space, instance] = ['service.name', 'service.namespace', 'service.instance.id'].map(find);
  const labels: [string, string][] = [];
  if (name !== '') labels.push(['job', space === '' ? name : `${space}/${name}`]);
  if (instance !== '') labels.push(['instance', instance]);
  const rest = attributes.filter(([key]) => !/^service\.(name|namespace|instance\.id)$/.test(key));
  if (rest.some(([key]) => key === '')) return null;
  if (rest.length === 0 || labels.length === 0) return { labels, target: null };
  const all = merged(rest, labels).filter(([label]) => label !== '__name__');
  return all.length > 64 ? null : { labels, target: seriesText('target_info', all) };
}

const known = new Map<string, string>();

function labelOf(key: string): string {
  if (!known.has(key)) {
    const label = [...key].map((char) => (/^[a-z0-9_]$/i.test(char) ? char : '_')).join('');
    known.set(key, label.replace(/^(?=\d)/, 'key_').replace(/^_(?!_)/, 'key_'));
  }
  return known.get(key)!;
}

/** Labels of attributes, those of `over` in their place. */
function merged(attributes: Attributes, over: [string, string][]): [string, string][] {
  const labels = new Map<string, string[]>();
  const sorted = [...attributes].sort((a, b) => Buffer.compare(Buffer.from(a[0]), Buffer.from(b[0])));
  for (const [key, text] of sorted) {
    const label = labelOf(key);
    labels.set(label, [...(labels.get(label) ?? []), text]);
  }
  for (const [label, text] of over) labels.set(label, [text]);
  return [...labels]
    .map(([label, texts]): [string, string] => [label, texts.join(';')])
    .filter(([, text]) => text !== '');
}

// Returns the newest time of a point taken.
function takeMetric(
  metric: Metric | string,
  path: string,
  identity: Identity,
  skewLimitMs: number,
  result: ReferenceResult,
): number {
  if (typeof metric === 'string') {
    result.faults.push(`sample-invalid ${path}${metric}`);
    return Number.NEGATIVE_INFINITY;
  }
  const wrong = metricFault(metric);
  if (wrong !== null) result.faults.push(`sample-invalid ${path}${wrong}`);
  if (wrong !== null || metric.points.length === 0) return Number.NEGATIVE_INFINITY;
  const name = nameOf(metric);
  const over = [...identity.labels];
  if (hasTemporality(metric.kind) && metric.temporality === 1) over.push(['__temporality__', 'delta']);
  let newest = Number.NEGATIVE_INFINITY;
  for (const [p, point] of metric.points.entries()) {
    const at = `${path}.${metric.kind}.dataPoints[${p}]`;
    if (typeof point === 'string') {
      result.faults.push(`sample-invalid ${at}${point}`);
      continue;
    }
    const timestampMs = Number(point.timeNs / 1000000n);
    if (point.timeNs === 0n) result.faults.push(`sample-invalid ${at}.timeUnixNano`);
    else if (timestampMs > skewLimitMs) result.faults.push(`timestamp-ahead ${at}.timeUnixNano`);
    else {
      const samples = samplesOf(name, metric.kind as Kind, point, over);
      if (typeof samples === 'string') result.faults.push(`sample-invalid ${at}${samples}`);
      else {
        newest = Math.max(newest, timestampMs);
        for (const { series, value } of samples) {
          if (point.stale || !Number.isFinite(value)) result.notFinite++;
          else result.rows.push({ series, timestampMs, value });
        }
      }
    }
  }
  return newest;
}

function hasTemporality(kind: Kind | null): boolean {
  return kind === 'sum' || kind === 'histogram' || kind === 'exponentialHistogram';
}

function metricFault(metric: Metric): string | null {
  if (metric.kind === null) return '';
  if (metric.points.length === 0) return null;
  if (hasTemporality(metric.kind) && metric.temporality !== 1 && metric.temporality !== 2) {
    return `.${metric.kind}.aggregationTemporality`;
  }
  if (metric.name === null || metric.unit === null) return '.name';
  return /[a-z0-9:]/i.test(metric.name) ? null : '.name';
}

const UNIT_WORDS =
  'd days,h hours,min minutes,s seconds,ms milliseconds,us microseconds,ns nanoseconds,By bytes,KiBy kibibytes,MiBy mebibytes,GiBy gibibytes,TiBy tebibytes,kBy kilobytes,KBy kilobytes,MBy megabytes,GBy gigabytes,TBy terabytes,m meters,V volts,A amperes,J joules,W watts,g grams,Cel celsius,Hz hertz,1 ,% percent';
const PER_WORDS = 's second,m minute,h hour,d day,w week,mo month,y year';

function wordOf(unit: string, table: string): string {
  if (unit.includes('{') || unit.includes('}')) return '';
  const found = table.split(',').find((entry) => entry.split(' ')[0] === unit);
  return (found === undefined ? unit : found.split(' ')[1]).replace(/[^a-z0-9:]+/gi, '_').replace(/^_|_$/g, '');
}

function nameOf(metric: Metric): string {
  let tokens = metric
    .name!.replace(/[^a-z0-9:]+/gi, ' ')
    .trim()
    .split(' ');
  const [main, ...behind] = metric.unit!.split('/');
  const unit = wordOf(main.trim(), UNIT_WORDS);
  const per = wordOf(behind.join('/').trim(), PER_WORDS);
  if (!tokens.includes(unit) && unit !== '') tokens.push(unit);
  if (per !== '' && !tokens.includes(`per_${per}`)) tokens.push(`per_${per}`);
  const last =
    metric.kind === 'sum' && metric.monotonic ? 'total' : metric.unit === '1' && metric.kind === 'gauge' ? 'ratio' : '';
  if (last !== '') tokens = tokens.filter((token) => token !== last).concat(last);
  return tokens.join('_').replace(/^(?=\d)/, '_');
}

/** Samples of a point in their order, or where it is wrong. */
function samplesOf(name: string, kind: Kind, point: Point, over: [string, string][]): Found[] | string {
  const wrong = pointFault(kind, point);
  if (wrong !== null) return wrong;
  const { attributes } = point;
  if (attributes === null || attributes.length > 256 || attributes.some(([key]) => key === '')) return '.attributes';
  if (merged(attributes, []).some(([label]) => label === '__name__')) return '.attributes';
  const found: Found[] = [];
  let labelsMax = 0;
  const add = (suffix: string, value: number, extra: [string, string][] = []) => {
    const labels = merged(attributes, [...over, ...extra]);
    labelsMax = Math.max(labelsMax, labels.length);
    found.push({ series: seriesText(name + suffix, labels), value });
  };
  if (point.value !== null || kind === 'gauge' || kind === 'sum') add('', point.value ?? 0);
  else {
    if (point.sum !== null || kind === 'summary') add('_sum', point.sum ?? 0);
    add('_count', Number(point.count));
    if (kind === 'summary') {
      for (const [i, quantile] of point.bounds.entries()) add('', point.counts[i], [['quantile', decimal(quantile)]]);
    } else {
      for (const [bound, count] of kind === 'histogram' ? explicit(point) : exponential(point)) {
        add('_bucket', count, [['le', decimal(bound)]]);
      }
      add('_bucket', Number(point.count), [['le', '+Inf']]);
    }
  }
  return labelsMax > 64 ? '.attributes' : found;
}

function pointFault(kind: Kind, point: Point): string | null {
  const { bounds, counts } = point;
  if (kind === 'gauge' || kind === 'sum') return point.value === null && !point.stale ? '' : null;
  if (kind === 'summary') return bounds.every((q) => q >= 0 && q <= 1) ? null : '.quantileValues';
  if (kind === 'histogram') {
    if (counts.length === 0 && bounds.length === 0) return null;
    if (counts.length !== bounds.length + 1) return '.bucketCounts';
    const rises = bounds.every((bound, i) => Number.isFinite(bound) && (i === 0 || bound > bounds[i - 1]));
    return rises ? null : '.explicitBounds';
  }
  if (Math.abs(point.scale + 0) > 20 || point.scale < -10) return '.scale';
  if (!(Number.isFinite(point.zeroThreshold) && point.zeroThreshold >= 0)) return '.zeroThreshold';
  const isBad = (index: number) => !Number.isFinite(power(point.scale, index)) || power(point.scale, index) === 0;
  if (point.negative.counts.some((_, i) => isBad(point.negative.offset + i))) return '.negative';
  const { positive } = point;
  if (
    positive.counts.length > 0 &&
    [positive.offset, ...positive.counts.map((_, i) => positive.offset + i + 1)].some(isBad)
  ) {
    return '.positive';
  }
  return null;
}

function explicit(point: Point): [number, number][] {
  let sum = 0;
  return point.bounds.map((bound, i): [number, number] => {
    sum += point.counts[i];
    return [bound, sum];
  });
}

/** 2 to the index / 2^scale: whole powers exactly, the rest of twelve digits. */
function power(scale: number, index: number): number {
  if (scale <= 0) return 2 ** (index * 2 ** -scale);
  const whole = Math.floor(index / 2 ** scale);
  const rest = index / 2 ** scale - whole;
  return Number(Math.exp(rest * Math.LN2).toPrecision(12)) * 2 ** whole;
}

/** All buckets by their upper bounds, from the lowest; of equal or falling bounds the first is named. */
function exponential(point: Point): [number, number][] {
  const { negative, positive, scale } = point;
  const steps: [bound: number, count: number][] = [];
  for (const [i, count] of [...negative.counts.entries()].reverse())
    steps.push([-power(scale, negative.offset + i), count]);
  const hasZero = point.zeroCount > 0 || negative.counts.length > 0;
  if (hasZero) steps.push([point.zeroThreshold, point.zeroCount]);
  if (positive.counts.length > 0) steps.push([power(scale, positive.offset), 0]);
  for (const [i, count] of positive.counts.entries()) steps.push([power(scale, positive.offset + i + 1), count]);
  let sum = 0;
  const named: [number, number][] = [];
  for (const [bound, count] of steps) {
    sum += count;
    const floor = bound > 0 && hasZero ? point.zeroThreshold : Number.NEGATIVE_INFINITY;
    if (bound > floor || bound === point.zeroThreshold) {
      if (!named.some(([other]) => other === bound)) named.push([bound, sum]);
    }
  }
  return named;
}

function decimal(value: number): string {
  const text = Object.is(value, -0) ? '-0' : value.toString();
  if (!text.includes('e')) return text;
  const [digits, exponent] = text.replace('-', '').split('e');
  const [whole, fraction = ''] = digits.replace(/^-/, '').split('.');
  const by = Number(text.split('e')[1]);
  const all = `${'0'.repeat(400)}${whole}${fraction}${'0'.repeat(400)}`;
  const point = 400 + whole.length + by;
  const plain = `${all.slice(0, point).replace(/^0+(?=\d)/, '')}.${all.slice(point).replace(/0+$/, '')}`.replace(
    /\.$/,
    '',
  );
  return exponent === undefined ? text : (value < 0 ? '-' : '') + plain;
}
