// Generated samples: the same for the same seed, plausible, and where a source partitioned by series expects them.

import { expect, test } from 'vitest';
import { incidentLevel, requests, startedMs, traffic } from '#jobs/generated-world.ts';
import { DISORDER_MS, generatedRecord, generatedSeries } from '#jobs/generator.ts';
import { isRow, rowText, type ShownRow } from '#jobs/row-text.ts';

const NOON_MS = 1_700_000_000_000 - (1_700_000_000_000 % 86_400_000) + 43_200_000;

function day(seed: number): { name: string; timestampMs: number; tickMs: number; value: number; labels: object }[] {
  return generatedSeries(seed).flatMap((series) =>
    Array.from({ length: 96 }, (_, step) => {
      const tickMs = NOON_MS + step * 900_000;
      const record = generatedRecord(series, seed, tickMs);
      const sample = JSON.parse(record.value);
      expect(sample.timestamp).toBe(record.timestampMs);
      const { metric_name: name, value, labels } = sample;
      return { name, timestampMs: record.timestampMs, tickMs, value, labels };
    }),
  );
}

test('depends on the seed and nothing else', () => {
  expect(day(1)).toEqual(day(1));
  expect(day(2)).not.toEqual(day(1));
});

test('series are different and keyed by their canonical text', () => {
  const keys = generatedSeries(1).map((series) => series.key.toString());
  expect(new Set(keys).size).toBe(keys.length);
  expect(keys[0]).toBe('cpu_usage{host="api-gateway-1",region="eu-west",service="api-gateway"}');
});

test('values are such as a monitoring sees', () => {
  const bounds: Record<string, readonly [number, number]> = {
    cpu_usage: [0, 100],
    memory_used_bytes: [1e9, 1e10],
    http_request_duration_seconds: [0.001, 10],
    process_start_time_seconds: [NOON_MS / 1000 - 86_400, NOON_MS / 1000 + 86_400],
    http_requests_total: [0, 160 * 2 * 8 * 3600],
  };
  for (const { name, value } of day(1)) {
    expect(value, name).toBeGreaterThanOrEqual(bounds[name][0]);
    expect(value, name).toBeLessThanOrEqual(bounds[name][1]);
  }
});

test('counters only grow but where their process began anew, as its start time says', () => {
  const seed = 3;
  const all = generatedSeries(seed).filter((series) => series.labelsJson.includes('"host":"search-2"'));
  const started = all.find(({ metricName }) => metricName === 'process_start_time_seconds')!;
  const counters = all.filter(({ metricName }) => metricName === 'http_requests_total');
  expect(counters.length).toBe(2);
  const read = (series: (typeof all)[number], ms: number): number => series.metric.read(seed, series.host, ms, 0);
  let restarts = 0;
  for (let ms = NOON_MS; ms < NOON_MS + 86_400_000; ms += 10_000) {
    const restarted = read(started, ms) !== read(started, ms + 10_000);
    if (restarted) restarts++;
    for (const counter of counters) {
      const grown = read(counter, ms + 10_000) - read(counter, ms);
      if (restarted) expect(read(counter, ms + 10_000)).toBeLessThan(2 * 160 * 10);
      else expect(grown, `${counter.key} at ${ms}`).toBeGreaterThanOrEqual(0);
    }
  }
  expect(restarts).toBeGreaterThanOrEqual(2);
  expect(restarts).toBeLessThanOrEqual(4);
});

test('what is counted is the sum of what was going on: few failures, many in an incident', () => {
  const seed = 1;
  const [{ host }] = generatedSeries(seed);
  const stepMs = 5_000;
  let calm = 0;
  let bad = 0;
  for (let ms = NOON_MS; ms < NOON_MS + 2 * 86_400_000; ms += stepMs) {
    if (startedMs(seed, host, ms) !== startedMs(seed, host, ms + stepMs)) continue;
    const before = requests(seed, host, ms);
    const after = requests(seed, host, ms + stepMs);
    const mean = (traffic(host, ms) + traffic(host, ms + stepMs)) / 2;
    expect((after.all - before.all) / stepMs / (20 + 140 * host.level) / mean).toBeCloseTo(0.001, 4);
    const share = (after.failed - before.failed) / (after.all - before.all);
    const level = (incidentLevel(seed, host, ms) + incidentLevel(seed, host, ms + stepMs)) / 2;
    expect(share).toBeCloseTo(0.002 + (0.2 * level) / mean, 2);
    if (level === 0) calm++;
    if (level === 1) bad++;
  }
  expect(bad / (bad + calm)).toBeGreaterThan(0.005);
  expect(bad / (bad + calm)).toBeLessThan(0.1);
});

test('a few samples are late, none by more than the bound', () => {
  const samples = day(1);
  const lags = samples.map(({ tickMs, timestampMs }) => tickMs - timestampMs);
  expect(Math.min(...lags)).toBe(0);
  expect(Math.max(...lags)).toBeLessThan(DISORDER_MS);
  const late = lags.filter((lag) => lag > 0).length / lags.length;
  expect(late).toBeGreaterThan(0.01);
  expect(late).toBeLessThan(0.06);
});

test('rows are shown by window, oldest first, with a count of those left out', () => {
  const row = (start: number, host: string, revision = 0): ShownRow => ({
    metric_name: 'cpu_usage',
    labels: { host },
    resolution: '1m',
    window_start: start,
    count: 60,
    min: 1,
    max: 81,
    avg: 75.508333,
    p95: 79.9,
    revision,
  });
  const rows = [row(60_000, 'a', 2), ...['a', 'b', 'c', 'd', 'e'].map((host) => row(0, host))];
  expect(rowText(rows)).toBe(`1m  1970-01-01 00:00:00  5 rows
      cpu_usage{host="a"}  count 60  avg 75.51  min 1  max 81  p95 79.9
      cpu_usage{host="b"}  count 60  avg 75.51  min 1  max 81  p95 79.9
      cpu_usage{host="c"}  count 60  avg 75.51  min 1  max 81  p95 79.9
      … and 2 more
1m  1970-01-01 00:01:00  1 row
      cpu_usage{host="a"}  count 60  avg 75.51  min 1  max 81  p95 79.9  correction 2
`);
  expect(rowText([])).toBe('');
  const still = { ...row(0, 'still'), min: 1_795_286_732, max: 1_795_286_732, avg: null };
  expect(rowText([still, ...['a', 'b', 'c'].map((host) => row(0, host))])).not.toContain('still');
  expect(rowText([still])).toContain('avg -  min 1.795G  max 1.795G  p95 79.9');
});

test('names and labels of others cannot steer a terminal', () => {
  const evil = '\u001b[2J\u009b1m\u202e';
  const row = { resolution: '1m', window_start: 0, count: 1, min: 1, max: 1, avg: 1, p95: 1, revision: 0 };
  const text = rowText([{ ...row, metric_name: evil, labels: { [evil]: evil } }]);
  expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u);
  expect(text).toContain('\\u001b[2J');
});

test('what lacks anything that is shown of a row is none, whoever wrote it', () => {
  const row: Readonly<Record<string, unknown>> = {
    metric_name: 'cpu_usage',
    labels: {},
    resolution: '1m',
    window_start: 0,
    count: 60,
    min: 1,
    max: 81,
    avg: null,
    p95: 79.9,
  };
  expect(isRow(row)).toBe(true);
  expect(isRow({ ...row, avg: 3 })).toBe(true);
  for (const name of Object.keys(row)) expect(isRow({ ...row, [name]: undefined }), name).toBe(false);
  expect(isRow({ ...row, window_start: 1e300 })).toBe(false);
  expect(isRow({ ...row, labels: null })).toBe(false);
  for (const other of [null, 1, [], 'row']) expect(isRow(other)).toBe(false);
});
