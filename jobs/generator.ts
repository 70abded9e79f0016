// Owns the samples of `millrace start`: a small, seeded world of services and hosts. A pure function of seed and tick;
// who writes them, and when, is generated-load.ts's affair.

import { canonicalText, type LabelPair, sortedLabels } from '#operators/series/canonical.ts';
import { murmur2 } from '#runtime/std/murmur2.ts';

export const TICK_MS = 1_000;

/** How far generated samples lie behind their tick at most: less than the default bound of sources. */
export const DISORDER_MS = 4_000;

const SERVICES = ['api-gateway', 'checkout', 'search', 'payments', 'users'];
const REGIONS = ['eu-west', 'us-east'];
const HOSTS_PER_SERVICE = 4;
const DISORDERED_SHARE = 0.03;
const DAY_MS = 86_400_000;

/** What a metric is worth: `level` in [0, 1) is the host's own, `wave` in [-1, 1] the hour of the day, `noise` in [0, 1). */
type Shape = (level: number, wave: number, noise: number) => number;

const METRICS: readonly (readonly [string, Shape])[] = [
  [
    'cpu_usage',
    (level, wave, noise) => clamp(25 + 40 * level + 15 * wave + 12 * (noise - 0.5) + spike(noise, 35), 100),
  ],
  ['memory_used_bytes', (level, wave, noise) => Math.round((2 + 5 * level + 0.4 * wave + 0.2 * noise) * 2 ** 30)],
  [
    'http_requests_per_second',
    (level, wave, noise) => Math.round((80 + 300 * level) * (1 + 0.6 * wave) * (0.8 + 0.4 * noise)),
  ],
  [
    'http_latency_seconds',
    (level, wave, noise) => round((0.02 + 0.05 * level) * (1 + 0.3 * wave) * latencyTail(noise), 6),
  ],
];

export interface GeneratedSeries {
  /** Canonical text in UTF-8: the record key, so that Kafka's partitioner keeps a series together. */
  readonly key: Buffer;
  /** murmur2 of `key`. */
  readonly hash: number;
  readonly metricName: string;
  readonly labelsJson: string;
  readonly shape: Shape;
  readonly level: number;
}

/** All series, in a fixed order; the same for the same seed. */
export function generatedSeries(seed: number): GeneratedSeries[] {
  const all: GeneratedSeries[] = [];
  for (const service of SERVICES) {
    for (let host = 1; host <= HOSTS_PER_SERVICE; host++) {
      const region = REGIONS[host % REGIONS.length];
      for (const [metricName, shape] of METRICS) {
        const labels: LabelPair[] = sortedLabels([
          ['service', service],
          ['host', `${service}-${host}`],
          ['region', region],
        ]);
        const key = Buffer.from(canonicalText(metricName, labels));
        const labelsJson = JSON.stringify(Object.fromEntries(labels));
        const level = uniform(seed, murmur2(Buffer.from(`${service}-${host}`)), 0);
        all.push({ key, hash: murmur2(key), metricName, labelsJson, shape, level });
      }
    }
  }
  return all;
}

/** The record of one series for one tick (a multiple of TICK_MS): a JSON sample as CONTRACT §4 has it. */
export function generatedRecord(
  series: GeneratedSeries,
  seed: number,
  tickMs: number,
): { timestampMs: number; value: string } {
  const tick = Math.floor(tickMs / TICK_MS);
  const wave = Math.sin((2 * Math.PI * (tickMs % DAY_MS)) / DAY_MS);
  const value = series.shape(series.level, wave, uniform(seed, series.hash, tick));
  const draw = uniform(seed ^ 0x5bd1e995, series.hash, tick);
  const lag = draw < DISORDERED_SHARE ? Math.floor((draw / DISORDERED_SHARE) * DISORDER_MS) : 0;
  const timestampMs = tickMs - lag;
  const json = `{"metric_name":"${series.metricName}","timestamp":${timestampMs},"value":${value},"labels":${series.labelsJson}}`;
  return { timestampMs, value: json };
}

/** A number in [0, 1) that looks random and depends on its three arguments only. */
function uniform(seed: number, series: number, tick: number): number {
  let h = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(series, 0xc2b2ae35) ^ Math.imul(tick, 0x27d4eb2f);
  h ^= Math.floor(tick / 2 ** 32);
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
}

function spike(noise: number, height: number): number {
  return noise > 0.995 ? height : 0;
}

/** Most answers are quick, a few are many times slower. */
function latencyTail(noise: number): number {
  return 0.7 + 0.3 / (1.02 - noise);
}

function clamp(value: number, max: number): number {
  return round(Math.min(max, Math.max(0, value)), 3);
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
