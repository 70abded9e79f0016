// Owns the ways in which a record can be bad, each certain under any reading of the sample format. A bad record carries
// nothing that may be counted; a bad part stands in an array beside good samples.

import type { Random } from './random.ts';
import { sampleText } from './sample-text.ts';
import type { SeriesShape } from './series-universe.ts';

export const YEAR_3000_MS = Date.UTC(3000, 0, 1);

/** Everything a maker of broken text may use. */
export interface Breakage {
  readonly series: SeriesShape;
  readonly timestampMs: number;
  readonly random: Random;
}

type Fields = Record<string, unknown>;

function fieldsOf({ series, timestampMs }: Breakage): Fields {
  return {
    metric_name: series.metricName,
    timestamp: timestampMs,
    value: 1.5,
    labels: Object.fromEntries(series.labels),
  };
}

function changed(change: (fields: Fields, breakage: Breakage) => void): (breakage: Breakage) => string {
  return (breakage) => {
    const fields = fieldsOf(breakage);
    change(fields, breakage);
    return JSON.stringify(fields);
  };
}

/** Samples that are JSON and still no samples: usable as a whole record and as one element of an array. */
export const BROKEN_SAMPLES: Readonly<Record<string, (breakage: Breakage) => string>> = {
  'no metric_name': changed((fields) => delete fields['metric_name']),
  'no timestamp': changed((fields) => delete fields['timestamp']),
  'no value': changed((fields) => delete fields['value']),
  'metric_name is a number': changed((fields) => (fields['metric_name'] = 7)),
  'metric_name is null': changed((fields) => (fields['metric_name'] = null)),
  'timestamp is a string': changed((fields, { timestampMs }) => (fields['timestamp'] = `${timestampMs}`)),
  'timestamp is null': changed((fields) => (fields['timestamp'] = null)),
  'timestamp in the year 3000': changed((fields) => (fields['timestamp'] = YEAR_3000_MS)),
  'value is a word': changed((fields) => (fields['value'] = 'high')),
  'value is true': changed((fields) => (fields['value'] = true)),
  'value is an object': changed((fields) => (fields['value'] = { double: 1 })),
  'labels is an array': changed((fields) => (fields['labels'] = ['host', 'h-1'])),
  'labels is a string': changed((fields) => (fields['labels'] = 'host=h-1')),
  'a label is a number': changed((fields) => (fields['labels'] = { host: 1 })),
  'a label is null': changed((fields) => (fields['labels'] = { host: null })),
  'a label is an object': changed((fields) => (fields['labels'] = { host: { name: 'h-1' } })),
  'a number': () => '42',
  'a string': () => '"cpu_usage"',
};

/** Records of which nothing can be read. */
export const BROKEN_RECORDS: Readonly<Record<string, (breakage: Breakage) => Buffer | null>> = {
  'no value at all': () => null,
  'empty value': () => Buffer.alloc(0),
  'not JSON': () => Buffer.from('cpu_usage,host=h-1 value=1.5'),
  'random bytes': ({ random }) =>
    Buffer.from(Array.from({ length: 40 }, (_, at) => (at === 0 ? 0x9f : random.integer(256)))),
  truncated: (breakage) => {
    const whole = Buffer.from(plainText(breakage));
    return whole.subarray(0, 1 + breakage.random.integer(whole.length - 1));
  },
  'truncated array': (breakage) => {
    const whole = Buffer.from(`[${plainText(breakage)},${plainText(breakage)}]`);
    return whole.subarray(0, whole.length - 1 - breakage.random.integer(20));
  },
  'text behind the sample': (breakage) => Buffer.from(`${plainText(breakage)} x`),
  'two samples without an array': (breakage) => Buffer.from(`${plainText(breakage)}${plainText(breakage)}`),
  'a number of its own kind': ({ series, timestampMs }) =>
    Buffer.from(`{"metric_name":"${series.metricName}","timestamp":${timestampMs},"value":0x10,"labels":{}}`),
  'NaN without quotes': ({ series, timestampMs }) =>
    Buffer.from(`{"metric_name":"${series.metricName}","timestamp":${timestampMs},"value":NaN,"labels":{}}`),
  'single quotes': (breakage) => Buffer.from(plainText(breakage).replaceAll('"', "'")),
};

function plainText({ series, timestampMs, random }: Breakage): string {
  return sampleText(series, timestampMs, 1.5, random).trim();
}
