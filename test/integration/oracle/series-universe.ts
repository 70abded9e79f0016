// Owns the series of a data set and how their values move: three metrics, a few awkward label sets among plain ones.
// Knows nothing of time or partitions.

import { canonicalText } from './placement.ts';
import type { Random } from './random.ts';

export interface SeriesShape {
  readonly metricName: string;
  readonly labels: readonly (readonly [string, string])[];
  readonly canonical: string;
  /** Next value; `exact` gives multiples of 1/64, whose sums do not depend on order. */
  next(random: Random, exact: boolean): number;
}

const METRICS = ['cpu_usage', 'http_requests_total', 'temperature_celsius'] as const;
const REGIONS = ['eu-west-1', 'us-east-1', 'ap-south-1'];

/** Label sets that have broken parsers and canonicalisers before. */
const AWKWARD: readonly (readonly (readonly [string, string])[])[] = [
  [],
  [['__proto__', 'polluted']],
  [
    ['constructor', 'a'],
    ['toString', 'b'],
  ],
  [['quote', 'say "hi"']],
  [['backslash', 'C:\\temp\\new']],
  [['newline', 'first\nsecond']],
  [
    ['tab', 'a\tb'],
    ['control', '\u0001\u001f'],
  ],
  [['unicode', 'Grüße aus 東京 🚀']],
  [
    ['brace', '}{,="'],
    ['comma', 'a,b="c"'],
  ],
  [
    ['a', '1'],
    ['B', '2'],
    ['_c', '3'],
    ['a1', '4'],
    ['aa', '5'],
  ],
  [['long', 'x'.repeat(1000)]],
  [
    ['digits', '12345'],
    ['slash', '/var/log/*.log'],
  ],
];

export function makeSeries(count: number, random: Random): SeriesShape[] {
  const all: SeriesShape[] = [];
  for (let index = 0; index < count; index++) {
    const metricName = METRICS[index % METRICS.length];
    const awkward = AWKWARD[Math.floor(index / METRICS.length)];
    all.push(new MovingSeries(metricName, awkward ?? plainLabels(index), random));
  }
  return random.shuffled(all);
}

function plainLabels(index: number): [string, string][] {
  return [
    ['service', `s-${Math.floor(index / 30)}`],
    ['host', `host-${String((index * 7919) % 100_000).padStart(5, '0')}.prod`],
    ['region', REGIONS[index % REGIONS.length]],
    ['instance', `i-${index.toString(16).padStart(8, '0')}`],
  ];
}

class MovingSeries implements SeriesShape {
  readonly metricName: string;
  readonly labels: readonly (readonly [string, string])[];
  readonly canonical: string;
  #value: number;

  constructor(metricName: string, labels: readonly (readonly [string, string])[], random: Random) {
    this.metricName = metricName;
    this.labels = labels;
    this.canonical = canonicalText(metricName, labels);
    this.#value = metricName === 'cpu_usage' ? 20 + random.next() * 60 : random.integer(1000);
  }

  next(random: Random, exact: boolean): number {
    const value = this.#move(random);
    return exact ? Math.round(value * 64) / 64 : value;
  }

  #move(random: Random): number {
    switch (this.metricName) {
      case 'cpu_usage':
        this.#value = Math.min(100, Math.max(0.01, this.#value + (random.next() - 0.5) * 8));
        return Math.round(this.#value * 100) / 100;
      case 'http_requests_total':
        this.#value += random.chance(0.001) ? -this.#value : random.integer(500);
        return this.#value;
      default:
        return random.chance(0.05) ? 0 : (random.next() - 0.5) * 10 ** random.integer(6);
    }
  }
}
