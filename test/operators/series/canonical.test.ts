import { expect, test } from 'vitest';
import { parseJson } from '#operators/formats/json-value.ts';
import {
  canonicalSeries,
  canonicalText,
  compareCodePoints,
  type LabelPair,
  parseCanonical,
  seriesJson,
  sortedLabels,
} from '#operators/series/canonical.ts';
import { pick, type Random, seeded } from '#test/operators/formats/sample-generator.ts';

const PIECES = [
  'a',
  'b',
  '{',
  '}',
  '"',
  '\\',
  ',',
  '=',
  '\n',
  ' ',
  'n',
  'ü',
  '\u{1f600}',
  '\uffee',
  '__proto__',
  '\t',
  '.',
  '=',
];

function text(next: Random, pieces: number): string {
  let made = pick(next, PIECES);
  for (let i = Math.floor(next() * pieces); i > 0; i--) made += pick(next, PIECES);
  return made;
}

function labelsOf(next: Random): LabelPair[] {
  const labels = new Map<string, string>();
  for (let i = Math.floor(next() * 4); i > 0; i--) labels.set(text(next, 2), next() < 0.2 ? '' : text(next, 3));
  return sortedLabels(labels);
}

test('reads back to the same name and labels, and different series have different texts', () => {
  const next = seeded(31);
  const seen = new Map<string, string>();
  for (let i = 0; i < 15_000; i++) {
    const series = { metricName: text(next, 2), labels: labelsOf(next) };
    const canonical = canonicalText(series.metricName, series.labels);
    const identity = JSON.stringify(series);
    if (JSON.stringify(parseCanonical(canonical)) !== identity) expect(parseCanonical(canonical)).toEqual(series);
    if (seen.has(canonical)) expect(seen.get(canonical)).toBe(identity);
    seen.set(canonical, identity);
    const json = parseJson(`{${seriesJson(series)}}`) as { metric_name: string; labels: Record<string, string> };
    expect(json.metric_name).toBe(series.metricName);
    expect(sortedLabels(Object.entries(json.labels))).toEqual(series.labels);
  }
  expect(seen.size).toBeGreaterThan(5_000);
});

test('orders text as its UTF-8 bytes are ordered', () => {
  const next = seeded(32);
  for (let i = 0; i < 20_000; i++) {
    const a = text(next, 3);
    const b = next() < 0.5 ? text(next, 3) : a + text(next, 1);
    expect(Math.sign(compareCodePoints(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
  }
  expect(compareCodePoints('\u{10000}', '\uffff')).toBeGreaterThan(0);
});

test.each([
  ['up', {}, 'up'],
  ['up', { a: '' }, 'up'],
  ['cpu_usage', { region: 'eu', host: 'h-1', empty: '' }, 'cpu_usage{host="h-1",region="eu"}'],
  ['m', { a: 'back\\slash "quoted"\nline\ttab' }, 'm{a="back\\\\slash \\"quoted\\"\\nline\ttab"}'],
  ['m', JSON.parse('{"__proto__":"x"}'), 'm{__proto__="x"}'],
  ['m', { b: '1', B: '2', a: '3', '10': '4', '9': '5' }, 'm{10="4",9="5",B="2",a="3",b="1"}'],
  ['http.server/duration', { 'http.route': '/' }, 'http.server/duration{http.route="/"}'],
  ['a{b="c"}', {}, '{"a{b=\\"c\\"}"}'],
  ['a b', { 'c,d': 'e' }, '{"a b","c,d"="e"}'],
])('%s %j is %s', (metricName, labels, canonical) => {
  expect(canonicalSeries(metricName, labels)).toBe(canonical);
});

test.each([
  [undefined, {}, 'metric_name'],
  ['', {}, 'metric_name'],
  [5, {}, 'metric_name'],
  ['\ud800', {}, 'metric_name'],
  ['m', null, 'labels'],
  ['m', [], 'labels'],
  ['m', 'a=b', 'labels'],
  ['m', { '': 'x' }, 'labels'],
  ['m', { a: 1 }, 'labels.a'],
  ['m', { a: null }, 'labels.a'],
  ['m', { 'a b': true }, 'labels["a b"]'],
  ['m', { a: 'x\udc00' }, 'labels.a'],
])('%.20s %j is refused at %s', (metricName, labels, path) => {
  expect(canonicalSeries(metricName, labels)).toMatchObject({ path });
});

test.each(['a{', 'a{b}', 'a{b=c}', 'a{b="c}', 'a{b="c"}x', '{a="b"}'])('%s cannot be read', (canonical) => {
  expect(() => parseCanonical(canonical)).toThrow(/canonical series/);
});

test('a name that makes the text too long is refused', () => {
  expect(canonicalSeries('m'.repeat(65_536), {})).toHaveLength(65_536);
  expect(canonicalSeries('m'.repeat(65_537), {})).toMatchObject({ path: 'labels' });
});
