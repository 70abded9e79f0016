import { describe, expect, test } from 'vitest';
import { Stats } from '#operators/aggregates/stats.ts';
import { SeriesTable } from '#operators/series/series-table.ts';
import { LateSink } from '#operators/sinks/late-sink.ts';
import { TopicSink } from '#operators/sinks/topic-sink.ts';
import { TumblingWindow } from '#operators/windows/tumbling-window.ts';
import { murmur2 } from '#runtime/std/murmur2.ts';
import { OperatorRig, type Row } from '../windows/operator-rig.ts';
import { Random } from '../windows/random.ts';
import { StatePages } from '../windows/state-pages.ts';
import { CollectedOutput } from './collected-output.ts';

const PARTITIONS = 7;
const SERIES = ['up', 'cpu{host="h-1"}', 'mem{a="\\"",b="ü\\n"}', 'cpu{__proto__="x"}'];
const LABELS: readonly Record<string, string>[] = [
  {},
  { host: 'h-1' },
  { a: '"', b: 'ü\n' },
  JSON.parse('{"__proto__":"x"}'),
];
const METRICS = ['up', 'cpu', 'mem', 'cpu'];

function stage(latenessMs = 0, run?: number) {
  const output = new CollectedOutput();
  const rig = new OperatorRig(
    () => {
      const keys = new SeriesTable({ stateId: 'series' });
      keys.open(new StatePages());
      for (const series of SERIES) keys.slotOfText(series);
      const rows = new TopicSink({ id: 'rows', sinkIndex: 1, topic: 'metrics.rollup.1m', resolution: '1m', keys, run });
      const late = new LateSink({ id: 'late', sinkIndex: 2, topic: 'metrics.raw.late', keys });
      const window = new TumblingWindow({
        id: '1m',
        sizeMs: 60_000,
        allowedLatenessMs: latenessMs,
        aggregate: new Stats(),
        results: [rows],
        late: [late],
      });
      return { head: window, operators: [window, rows, late] };
    },
    { output, partitionCount: () => PARTITIONS },
  );
  return { rig, output };
}

function partitionOf(series: string): number {
  return (murmur2(Buffer.from(series)) & 0x7fffffff) % PARTITIONS;
}

describe('rollup rows', () => {
  test('say what CONTRACT says, keyed and placed by the series', () => {
    const random = new Random(5);
    const { rig, output } = stage(0, 3);
    const rows: Row[] = Array.from({ length: 200 }, () => ({
      slot: random.below(SERIES.length),
      timeMs: 1_700_000_040_000 + random.below(60_000),
      value: Math.round(random.next() * 1e6) / 1e3,
    }));
    rig.process(rows);
    rig.watermarkMs = 1_700_000_100_000;
    rig.fireDue();
    expect(output.records).toHaveLength(SERIES.length);
    output.records.forEach((record, slot) => {
      const values = rows.filter((row) => row.slot === slot).map((row) => row.value);
      const sum = values.reduce((total, value) => total + value, 0);
      const sorted = [...values].sort((left, right) => left - right);
      const row = JSON.parse(record.value!.toString());
      const { p50, p95, p99, ...exact } = row;
      expect(exact).toEqual({
        metric_name: METRICS[slot],
        labels: LABELS[slot],
        resolution: '1m',
        window_start: 1_700_000_040_000,
        window_end: 1_700_000_100_000,
        count: values.length,
        sum,
        min: sorted[0],
        max: sorted[sorted.length - 1],
        avg: sum / values.length,
        run: 3,
        revision: 0,
      });
      for (const [q, got] of [
        [0.5, p50],
        [0.95, p95],
        [0.99, p99],
      ]) {
        const wanted = sorted[Math.ceil(q * sorted.length) - 1];
        expect(Math.abs(got - wanted)).toBeLessThanOrEqual(wanted * 0.01);
      }
      expect(record.key!.toString()).toBe(SERIES[slot]);
      expect(record).toMatchObject({ sinkIndex: 1, topic: 'metrics.rollup.1m', partition: partitionOf(SERIES[slot]) });
      expect(record.timestampMs).toBe(1_700_000_099_999);
    });
  });

  test('keep the order of fields of CONTRACT, and revisions of corrections', () => {
    const { rig, output } = stage(60_000);
    rig.process([{ slot: 0, timeMs: 0, value: 2 }]);
    rig.watermarkMs = 60_000;
    rig.fireDue();
    rig.process([{ slot: 0, timeMs: 1, value: 4 }]);
    expect(output.records.map((record) => record.value!.toString())).toEqual([
      '{"metric_name":"up","labels":{},"resolution":"1m","window_start":0,"window_end":60000,"count":1,"sum":2,"min":2,"max":2,"avg":2,"p50":2,"p95":2,"p99":2,"run":0,"revision":0}',
      '{"metric_name":"up","labels":{},"resolution":"1m","window_start":0,"window_end":60000,"count":2,"sum":6,"min":2,"max":4,"avg":3,"p50":2,"p95":4,"p99":4,"run":0,"revision":1}',
    ]);
  });

  test('say null for a sum that no number can say, and for its average, and count them', () => {
    const { rig, output } = stage();
    const largest = Number.MAX_VALUE;
    const feed = (slot: number, values: readonly number[]) =>
      rig.process(values.map((value, i) => ({ slot, timeMs: i, value })));
    feed(0, [largest, 1, largest]);
    feed(1, [-largest, -largest]);
    feed(2, [largest, -largest]);
    rig.watermarkMs = 60_000;
    rig.fireDue();
    const rows = output.records.map((record) => JSON.parse(record.value!.toString()));
    expect(rows).toMatchObject([
      { count: 3, sum: null, avg: null, min: 1, max: largest, p99: largest },
      { count: 2, sum: null, avg: null, min: -largest, max: -largest, p50: -largest },
      { count: 2, sum: 0, avg: 0, min: -largest, max: largest },
    ]);
    expect(rig.collected.counts.get('sum-overflow')).toBe(2);
    expect(rig.collected.counts.get('rows')).toBe(3);
  });

  test('carry no record timestamp before 1970', () => {
    const { rig, output } = stage();
    rig.process([{ slot: 0, timeMs: -90_000, value: 1 }]);
    rig.watermarkMs = 0;
    rig.fireDue();
    expect(output.records.map((record) => record.timestampMs)).toEqual([0]);
    expect(JSON.parse(output.records[0].value!.toString()).window_start).toBe(-120_000);
  });
});

test('a late sample goes to the late topic as it was, with where it came from', () => {
  const { rig, output } = stage();
  rig.watermarkMs = 1_700_000_100_000;
  const origin = (offset: number) => ({ topic: 'metrics.raw', partition: 11, offset });
  rig.process([
    { slot: 2, timeMs: 1_700_000_000_123, value: 1.25, origin: origin(2 ** 40) },
    { slot: 1, timeMs: 1_700_000_100_000, value: 5, origin: origin(8) },
    { slot: 3, timeMs: -5, value: -1, origin: origin(9) },
  ]);
  expect(output.records.map(({ value }) => JSON.parse(value!.toString()))).toEqual([
    { metric_name: 'mem', timestamp: 1_700_000_000_123, value: 1.25, labels: LABELS[2] },
    { metric_name: 'cpu', timestamp: -5, value: -1, labels: LABELS[3] },
  ]);
  const [first, second] = output.records;
  expect(first).toMatchObject({
    sinkIndex: 2,
    topic: 'metrics.raw.late',
    partition: partitionOf(SERIES[2]),
    hashedHeaders: 3,
  });
  expect(first.key!.toString()).toBe(SERIES[2]);
  expect([first.timestampMs, second.timestampMs]).toEqual([1_700_000_000_123, 0]);
  const headers = first.headers.map(({ key, value }) => [key, Buffer.from(value).toString()]);
  expect(headers).toEqual([
    ['source-topic', 'metrics.raw'],
    ['source-partition', '11'],
    ['source-offset', '1099511627776'],
  ]);
  expect(rig.collected.counts.get('late')).toBe(2);
});
