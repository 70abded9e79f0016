// Owns the labels that OTLP attributes become: those of a point, `job` and `instance` of its resource, `le` and
// `quantile`, and those of `target_info`. Knows no wire format. Invariant: attributes whose keys become the same label
// are joined in the order of their keys, so their order on the wire means nothing.

import { decimalText, otlpLabelName } from '#operators/formats/otlp-names.ts';
import { BUCKET, COUNT, QUANTILE, SUM } from '#operators/formats/otlp-samples.ts';
import {
  canonicalSeries,
  compareCodePoints,
  METRIC_NAME_LABEL,
  type SeriesFault,
} from '#operators/series/canonical.ts';

/** A key and its value as text. */
export type Attribute = readonly [key: string, text: string];

type Labels = Record<string, string>;

const IDENTIFYING = ['service.name', 'service.namespace', 'service.instance.id'];

export interface OtlpResource {
  readonly job: string;
  readonly instance: string;
  /** Canonical series of `target_info`; null when the resource says nothing but who it is, or not who it is. */
  readonly targetInfo: string | null;
}

/** What the attributes of a resource say; a text tells what is wrong with them. */
export function resourceOf(attributes: readonly Attribute[]): OtlpResource | string {
  const last = (key: string): string => attributes.findLast((attribute) => attribute[0] === key)?.[1] ?? '';
  const [name, namespace, instance] = IDENTIFYING.map(last);
  const job = name === '' || namespace === '' ? name : `${namespace}/${name}`;
  const others = attributes.filter(([key]) => !IDENTIFYING.includes(key));
  if (others.some(([key]) => key === '')) return 'has an attribute without a key';
  if (others.length === 0 || (job === '' && instance === '')) return { job, instance, targetInfo: null };
  const labels = labelsOf(others);
  identify(labels, job, instance);
  // The name of target_info is ours, as in Prometheus; it is no reason to lose the points.
  delete labels[METRIC_NAME_LABEL];
  const targetInfo = canonicalSeries('target_info', labels);
  return typeof targetInfo === 'string' ? { job, instance, targetInfo } : targetInfo.message;
}

/** Labels of the series of a point; a text tells what is wrong with the attributes. */
export function pointLabels(
  attributes: readonly Attribute[],
  resource: OtlpResource | null,
  isDelta: boolean,
): Labels | string {
  if (attributes.some(([key]) => key === '')) return 'has an attribute without a key';
  const labels = labelsOf(attributes);
  if ((labels[METRIC_NAME_LABEL] ?? '') !== '') return `has an attribute that would be the label ${METRIC_NAME_LABEL}`;
  if (resource !== null) identify(labels, resource.job, resource.instance);
  if (isDelta) labels['__temporality__'] = 'delta';
  return labels;
}

/** Canonical series of a part of a metric, such as the bucket of a bound. */
export function partSeries(metricName: string, labels: Labels, part: number, bound: number): string | SeriesFault {
  switch (part) {
    case SUM:
      return canonicalSeries(`${metricName}_sum`, labels);
    case COUNT:
      return canonicalSeries(`${metricName}_count`, labels);
    case BUCKET:
      return canonicalSeries(`${metricName}_bucket`, withLabel(labels, 'le', decimalText(bound)));
    case QUANTILE:
      return canonicalSeries(metricName, withLabel(labels, 'quantile', decimalText(bound)));
    default:
      return canonicalSeries(metricName, labels);
  }
}

function withLabel(labels: Labels, name: string, value: string): Labels {
  return Object.assign(Object.create(null), labels, { [name]: value });
}

function labelsOf(attributes: readonly Attribute[]): Labels {
  const labels: Labels = Object.create(null);
  for (const [key, text] of attributes.toSorted((a, b) => compareCodePoints(a[0], b[0]))) {
    const name = otlpLabelName(key);
    labels[name] = name in labels ? `${labels[name]};${text}` : text;
  }
  return labels;
}

function identify(labels: Labels, job: string, instance: string): void {
  if (job !== '') labels['job'] = job;
  if (instance !== '') labels['instance'] = instance;
}
