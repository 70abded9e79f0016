// Owns the oracle's own reading of a record's value: which samples are in it and which parts are bad. Slow and plain on
// purpose (JSON.parse and type checks); shares nothing with the decoders it judges.

import { canonicalText } from './placement.ts';

export interface Sample {
  readonly series: string;
  readonly metricName: string;
  readonly labels: readonly (readonly [string, string])[];
  readonly timestampMs: number;
  /** NaN, infinite or a finite number. A stale marker (`null`) is NaN here. */
  readonly value: number;
}

export interface Judgement {
  readonly samples: readonly Sample[];
  readonly badParts: number;
  /** Elements of the array, or 1. */
  readonly parts: number;
  /** Which elements of the array are bad, ascending; null when the value is no array. */
  readonly badElements: readonly number[] | null;
}

const NOTHING_READABLE: Judgement = { samples: [], badParts: 1, parts: 1, badElements: null };
const WORDS: ReadonlyMap<unknown, number> = new Map<unknown, number>([
  ['NaN', Number.NaN],
  ['+Inf', Number.POSITIVE_INFINITY],
  ['-Inf', Number.NEGATIVE_INFINITY],
  [null, Number.NaN],
]);

/** Reads one record's value; samples later than `latestMs` are bad parts. */
export function judge(value: Uint8Array | null, latestMs: number): Judgement {
  if (value === null) return NOTHING_READABLE;
  let content: unknown;
  try {
    content = JSON.parse(Buffer.from(value).toString('utf8'));
  } catch {
    return NOTHING_READABLE;
  }
  const parts = Array.isArray(content) ? content : [content];
  const read = parts.map((part) => readSample(part, latestMs));
  const samples = read.filter((sample) => sample !== null);
  const badElements = Array.isArray(content) ? [...read.keys()].filter((index) => read[index] === null) : null;
  return { samples, badParts: parts.length - samples.length, parts: parts.length, badElements };
}

function readSample(part: unknown, latestMs: number): Sample | null {
  if (typeof part !== 'object' || part === null || Array.isArray(part)) return null;
  const field = (name: string) => (Object.hasOwn(part, name) ? (part as Record<string, unknown>)[name] : undefined);
  const metricName = field('metric_name');
  const timestampMs = field('timestamp');
  const givenLabels = field('labels');
  const labels = readLabels(givenLabels === undefined ? {} : givenLabels);
  const value = readValue(field('value'));
  if (typeof metricName !== 'string' || metricName === '' || labels === null || value === null) return null;
  if (typeof timestampMs !== 'number' || !Number.isSafeInteger(timestampMs) || timestampMs > latestMs) return null;
  return { series: canonicalText(metricName, labels), metricName, labels, timestampMs, value };
}

function readValue(value: unknown): number | null {
  return typeof value === 'number' ? value : (WORDS.get(value) ?? null);
}

function readLabels(labels: unknown): [string, string][] | null {
  if (typeof labels !== 'object' || labels === null || Array.isArray(labels)) return null;
  const pairs: [string, string][] = [];
  for (const [name, value] of Object.entries(labels)) {
    if (typeof value !== 'string') return null;
    if (value !== '') pairs.push([name, value]);
  }
  return pairs;
}
