// Figures in the text format of Prometheus: as its own programs read them, whatever stands in a label.

import { expect, test } from 'vitest';
import { Histogram } from '#runtime/std/histogram.ts';
import { MetricsText } from '#runtime/std/metrics-text.ts';

test('a family is told once, with its samples together, whatever their order', () => {
  const text = new MetricsText();
  text.declare('a_total', 'counter', 'Of a.');
  text.declare('b', 'gauge', 'Of b,\nin two lines with a \\.');
  text.declare('nobody', 'gauge', 'Without a sample.');
  text.add('a_total', { job: 'x' }, 1);
  text.add('b', {}, 2.5);
  text.add('a_total', { job: 'y', partition: 3 }, 4e21);
  expect(text.toString()).toBe(
    [
      '# HELP a_total Of a.',
      '# TYPE a_total counter',
      'a_total{job="x"} 1',
      'a_total{job="y",partition="3"} 4e+21',
      '# HELP b Of b,\\nin two lines with a \\\\.',
      '# TYPE b gauge',
      'b 2.5',
      '',
    ].join('\n'),
  );
});

test('label values keep quotes, line ends and backslashes', () => {
  const text = new MetricsText();
  text.declare('a', 'gauge', 'A.');
  text.add('a', { value: 'a "b"\n\\c' }, Number.NaN);
  text.add('a', { value: '' }, Number.NEGATIVE_INFINITY);
  expect(text.toString().split('\n').slice(2, 4)).toEqual(['a{value="a \\"b\\"\\n\\\\c"} NaN', 'a{value=""} -Inf']);
});

test('a distribution is told by what is at most as large as each bound, its sum and its count', () => {
  const histogram = new Histogram([0.1, 1]);
  for (const value of [0.05, 0.1, 0.2, 1, 7]) histogram.observe(value);
  const text = new MetricsText();
  text.declare('d_seconds', 'histogram', 'D.');
  text.addDistribution('d_seconds', { job: 'x' }, histogram.read());
  expect(text.toString().split('\n').slice(2)).toEqual([
    'd_seconds_bucket{job="x",le="0.1"} 2',
    'd_seconds_bucket{job="x",le="1"} 4',
    'd_seconds_bucket{job="x",le="+Inf"} 5',
    'd_seconds_sum{job="x"} 8.35',
    'd_seconds_count{job="x"} 5',
    '',
  ]);
});

test('wrong names, metrics without a declaration and second declarations are our mistakes', () => {
  const text = new MetricsText();
  text.declare('a', 'gauge', 'A.');
  expect(() => text.declare('a', 'gauge', 'A.')).toThrow('declared twice');
  expect(() => text.declare('a-b', 'gauge', 'A.')).toThrow('no name of a metric');
  expect(() => text.add('b', {}, 1)).toThrow('not declared');
  expect(() => text.add('a', { 'x-y': 1 }, 1)).toThrow('no name of a label');
});
