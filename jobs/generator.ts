// Owns the samples of `millrace start`: what the hosts of generated-world.ts report. A pure function of seed and tick;
// who writes them, and when, is generated-load.ts's affair.

import { dayWave, type Host, incidentLevel, requests, startedMs, traffic, uniform } from '#jobs/generated-world.ts';
import { canonicalText, type LabelPair, sortedLabels } from '#operators/series/canonical.ts';
import { murmur2 } from '#runtime/std/murmur2.ts';

export const TICK_MS = 1_000;

/** How far generated samples lie behind their tick at most: less than the default bound of sources. */
export const DISORDER_MS = 4_000;

const SERVICES = ['api-gateway', 'checkout', 'search', 'payments', 'users'];
const REGIONS = ['eu-west', 'us-east', 'ap-south'];
const HOSTS_PER_SERVICE = 4;
const DISORDERED_SHARE = 0.03;
const HOUR_MS = 3_600_000;
const GIB = 2 ** 30;

/** What a host reports at a moment; `noise` in [0, 1) differs with each sample. */
interface Metric {
  readonly name: string;
  readonly labels: readonly LabelPair[];
  read(seed: number, host: Host, ms: number, noise: number): number;
}

const METRICS: readonly Metric[] = [
  { name: 'cpu_usage', labels: [], read: cpuUsage },
  { name: 'memory_used_bytes', labels: [], read: memoryUsed },
  { name: 'http_request_duration_seconds', labels: [], read: latency },
  { name: 'process_start_time_seconds', labels: [], read: (seed, host, ms) => startedMs(seed, host, ms) / 1_000 },
  {
    name: 'http_requests_total',
    labels: [['code', '200']],
    read: (seed, host, ms) => {
      const { all, failed } = requests(seed, host, ms);
      return Math.floor(all - failed);
    },
  },
  {
    name: 'http_requests_total',
    labels: [['code', '500']],
    read: (seed, host, ms) => Math.floor(requests(seed, host, ms).failed),
  },
];

function cpuUsage(seed: number, host: Host, ms: number, noise: number): number {
  const spike = noise > 0.995 ? 35 : 0;
  const busy = (10 + 30 * host.level) * traffic(host, ms) + 30 * incidentLevel(seed, host, ms);
  return round(Math.min(100, busy + 12 * noise + spike), 3);
}

// It leaks a little until the next deploy, and caches grow with the day.
function memoryUsed(seed: number, host: Host, ms: number, noise: number): number {
  const hours = (ms - startedMs(seed, host, ms)) / HOUR_MS;
  const used = 1.5 + 3 * host.level + 0.08 * hours + 0.3 * dayWave(ms) + 0.8 * incidentLevel(seed, host, ms);
  return Math.round((used + 0.1 * noise) * GIB);
}

// Most answers are quick, a few are many times slower, and in an incident most are slow.
function latency(seed: number, host: Host, ms: number, noise: number): number {
  const tail = 0.7 + 0.3 / (1.02 - noise);
  return round((0.02 + 0.05 * host.level) * tail * (1 + 6 * incidentLevel(seed, host, ms)), 6);
}

export interface GeneratedSeries {
  /** Canonical text in UTF-8: the record key, so that Kafka's partitioner keeps a series together. */
  readonly key: Buffer;
  /** murmur2 of `key`. */
  readonly hash: number;
  readonly metricName: string;
  readonly labelsJson: string;
  readonly metric: Metric;
  readonly host: Host;
}

/** All series, in a fixed order; the same for the same seed. */
export function generatedSeries(seed: number): GeneratedSeries[] {
  return hosts(seed).flatMap((host) =>
    METRICS.map((metric): GeneratedSeries => {
      const labels = sortedLabels([
        ['service', host.service],
        ['host', host.name],
        ['region', host.region],
        ...metric.labels,
      ]);
      const key = Buffer.from(canonicalText(metric.name, labels));
      const labelsJson = JSON.stringify(Object.fromEntries(labels));
      return { key, hash: murmur2(key), metricName: metric.name, labelsJson, metric, host };
    }),
  );
}

function hosts(seed: number): Host[] {
  return SERVICES.flatMap((service) =>
    Array.from({ length: HOSTS_PER_SERVICE }, (_, index): Host => {
      const name = `${service}-${index + 1}`;
      const hash = murmur2(Buffer.from(name));
      const region = REGIONS[index % REGIONS.length];
      const serviceHash = murmur2(Buffer.from(service));
      return { service, region, name, index, serviceHash, hash, level: uniform(seed, hash, 0) };
    }),
  );
}

/** The record of one series for one tick (a multiple of TICK_MS): a JSON sample as CONTRACT §4 has it. */
export function generatedRecord(
  series: GeneratedSeries,
  seed: number,
  tickMs: number,
): { timestampMs: number; value: string } {
  const tick = Math.floor(tickMs / TICK_MS);
  const draw = uniform(seed ^ 0x5bd1e995, series.hash, tick);
  const lag = draw < DISORDERED_SHARE ? Math.floor((draw / DISORDERED_SHARE) * DISORDER_MS) : 0;
  const timestampMs = tickMs - lag;
  const value = series.metric.read(seed, series.host, timestampMs, uniform(seed, series.hash, tick));
  const json = `{"metric_name":"${series.metricName}","timestamp":${timestampMs},"value":${value},"labels":${series.labelsJson}}`;
  return { timestampMs, value: json };
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
