import { describe, expect, test } from 'vitest';
import { SeriesTable } from '#operators/series/series-table.ts';
import { Filter } from '#operators/transforms/filter.ts';
import { KeyByLabels } from '#operators/transforms/key-by-labels.ts';
import { KeyBySeries } from '#operators/transforms/key-by-series.ts';
import { MapSamples } from '#operators/transforms/map.ts';
import type { SampleView } from '#operators/transforms/sample-view.ts';
import type { BatchConsumer, Operator } from '#runtime/task/contract.ts';
import { OperatorRig } from '../windows/operator-rig.ts';

const HOUR_MS = 3_600_000;
const SERIES = ['cpu{host="a",zone="x"}', 'cpu{host="b",zone="x"}', 'cpu{host="a",zone="y"}', 'up'];

/** An operator that does nothing but hold on to keys. */
function holder(held: ReadonlySet<number>): Operator {
  return {
    id: 'holder',
    open() {},
    process() {},
    nextBoundaryMs: () => Number.POSITIVE_INFINITY,
    nextTimerMs: () => Number.POSITIVE_INFINITY,
    fire: () => true,
    usesKey: (slot) => held.has(slot),
    endEntry() {},
    wantsEntry: () => false,
  };
}

interface Tables {
  series: SeriesTable;
  keys: SeriesTable;
}

/** A rig whose tables can be looked at; they are new after a restart. */
function rigWith(make: (tables: Tables, next: readonly BatchConsumer[]) => Operator) {
  const tables: Tables = { series: new SeriesTable({ stateId: 'none' }), keys: new SeriesTable({ stateId: 'none' }) };
  const rig = new OperatorRig((collect) => {
    tables.series = new SeriesTable({ stateId: 'series' });
    tables.keys = new SeriesTable({ stateId: 'keys' });
    const operator = make(tables, [collect('out')]);
    const opening: Operator = { ...holder(new Set()), open: (context) => tables.series.open(context.state) };
    return { head: operator, operators: [opening, operator] };
  });
  return { rig, tables };
}

function textOf(table: SeriesTable, slot: number): string {
  return table.canonicalBytes(slot).toString();
}

function slotOf(table: SeriesTable, text: string): number {
  return table.find(Buffer.from(text));
}

describe('keyBy(series)', () => {
  const keyed = (held: ReadonlySet<number> = new Set()) =>
    rigWith(
      ({ series }, next) =>
        new KeyBySeries({ id: 'by-series', table: series, keyTtlMs: HOUR_MS, users: [holder(held)], next }),
    );

  test('passes rows on as they are', () => {
    const { rig, tables } = keyed();
    const rows = SERIES.map((text, i) => ({ slot: tables.series.slotOfText(text), timeMs: i, value: i * 2 }));
    rig.process(rows);
    expect(rig.collected.rows.map(({ slot, timeMs, value }) => ({ slot, timeMs, value }))).toEqual(rows);
  });

  test('forgets a key two to three keyTtl after it was last seen, and not while it is used', () => {
    const held = new Set<number>();
    const { rig, tables } = keyed(held);
    const [gone, kept, used] = ['gone', 'kept', 'used'].map((text) => tables.series.slotOfText(text));
    held.add(used);
    rig.process([gone, kept, used].map((slot) => ({ slot, timeMs: 10, value: 1 })));
    for (let hour = 1; hour <= 4; hour++) {
      rig.process([{ slot: kept, timeMs: hour * HOUR_MS, value: 1 }]);
      rig.watermarkMs = hour * HOUR_MS;
      rig.fireDue();
      expect(tables.series.isLive(gone), `after ${hour} h`).toBe(hour < 3);
    }
    expect([kept, used].map((slot) => tables.series.isLive(slot))).toEqual([true, true]);
    expect(rig.collected.counts.get('keys-evicted')).toBe(1);
    held.clear();
    rig.watermarkMs = 5 * HOUR_MS;
    rig.fireDue();
    expect(tables.series.isLive(used)).toBe(false);
  });

  test('sweeps once when the watermark leaps, and remembers when it is due', () => {
    const { rig, tables } = keyed();
    rig.process([{ slot: tables.series.slotOfText('a'), timeMs: 5, value: 1 }]);
    rig.restart();
    expect(rig.operators[1].nextTimerMs()).toBe(HOUR_MS);
    const generation = tables.series.generation;
    rig.watermarkMs = 1_000_000 * HOUR_MS + 7;
    rig.fireDue();
    expect(tables.series.generation).toBe(generation + 1);
    rig.restart();
    expect(rig.operators[1].nextTimerMs()).toBe(1_000_001 * HOUR_MS);
    expect(rig.operators[1].nextBoundaryMs(HOUR_MS)).toBe(2 * HOUR_MS);
    expect(rig.operators[1].nextBoundaryMs(-1)).toBe(0);
  });

  test('owes no sweep to a first record far behind the watermark: where the batch ends would decide what it spares', () => {
    const { rig, tables } = keyed();
    rig.watermarkMs = 10 * HOUR_MS + 7;
    rig.process([{ slot: tables.series.slotOfText('a'), timeMs: 5, value: 1 }]);
    expect(rig.operators[1].nextTimerMs()).toBe(11 * HOUR_MS);
    const generation = tables.series.generation;
    rig.fireDue();
    expect(tables.series.generation).toBe(generation);
  });
});

describe('keyBy(by(labels))', () => {
  const keyed = () =>
    rigWith(
      ({ series, keys }, next) =>
        new KeyByLabels({
          id: 'by-host',
          series,
          keys,
          labels: ['host', 'absent'],
          keyTtlMs: HOUR_MS,
          users: [],
          next,
        }),
    );

  test('brings series together that share metric name and labels', () => {
    const { rig, tables } = keyed();
    const origin = { topic: 'metrics.raw', partition: 3, offset: 12 };
    const rows = SERIES.map((text, i) => ({ slot: tables.series.slotOfText(text), timeMs: i, value: i, origin }));
    rig.process([...rows, ...rows]);
    const keys = ['cpu{host="a"}', 'cpu{host="b"}', 'cpu{host="a"}', 'up'];
    expect(rig.collected.rows.map(({ slot }) => textOf(tables.keys, slot))).toEqual([...keys, ...keys]);
    expect(
      rig.collected.rows.slice(0, 4).map(({ timeMs, value, origin: from }) => ({ timeMs, value, origin: from })),
    ).toEqual(rows.map(({ timeMs, value }) => ({ timeMs, value, origin })));
    expect(tables.keys.size).toBe(3);
  });

  test('gives the same slots after a restart, and no stale key after an eviction', () => {
    const { rig, tables } = keyed();
    const send = (text: string, timeMs: number) => {
      rig.collected.rows.length = 0;
      rig.process([{ slot: tables.series.slotOfText(text), timeMs, value: 1 }]);
      return rig.collected.rows.map(({ slot }) => `${slot} ${textOf(tables.keys, slot)}`);
    };
    const before = SERIES.map((text) => send(text, 0));
    rig.restart();
    expect(SERIES.map((text) => send(text, 0))).toEqual(before);
    for (let hour = 1; hour <= 3; hour++) {
      rig.watermarkMs = hour * HOUR_MS;
      rig.fireDue();
      if (hour < 3) send('up', hour * HOUR_MS);
    }
    expect([tables.series.size, tables.keys.size]).toEqual([1, 1]);
    expect(send('mem{host="c"}', 4 * HOUR_MS)).toEqual([`${slotOf(tables.keys, 'mem{host="c"}')} mem{host="c"}`]);
    expect(send(SERIES[0], 4 * HOUR_MS)).toEqual([`${slotOf(tables.keys, 'cpu{host="a"}')} cpu{host="a"}`]);
  });
});

test('keyBy(by(labels)) finds a key again that was forgotten although its series stayed', () => {
  class KeptSeries extends SeriesTable {
    override evict(): number {
      return super.evict(() => true);
    }
  }
  const series = new KeptSeries({ stateId: 'series' });
  const keys = new SeriesTable({ stateId: 'keys' });
  const rig = new OperatorRig((collect) => {
    const options = { series, keys, labels: ['host'], keyTtlMs: HOUR_MS, users: [], next: [collect('out')] };
    const keyBy = new KeyByLabels({ id: 'by-host', ...options });
    return { head: keyBy, operators: [keyBy] };
  });
  const slots = SERIES.map((text) => series.slotOfText(text));
  rig.process(slots.map((slot) => ({ slot, timeMs: 0, value: 1 })));
  for (let hour = 1; hour <= 4; hour++) {
    rig.watermarkMs = hour * HOUR_MS;
    rig.fireDue();
  }
  expect([series.size, keys.size]).toEqual([4, 0]);
  rig.collected.rows.length = 0;
  rig.process(slots.toReversed().map((slot) => ({ slot, timeMs: 4 * HOUR_MS, value: 1 })));
  const seen = rig.collected.rows.map(({ slot }) => textOf(keys, slot));
  expect(seen).toEqual(['up', 'cpu{host="a"}', 'cpu{host="b"}', 'cpu{host="a"}']);
});

describe('map', () => {
  const mapped = (apply: (sample: SampleView) => SampleView) =>
    rigWith(({ series }, next) => new MapSamples({ id: 'celsius', table: series, apply, next }));

  test('changes value, time, name and labels', () => {
    const { rig, tables } = mapped((sample) => ({
      metric_name: sample.metric_name.toUpperCase(),
      labels: { ...sample.labels, unit: 'C', zone: '' },
      timestamp: sample.timestamp + 1,
      value: sample.value * 2,
    }));
    const origin = { topic: 'metrics.raw', partition: 3, offset: 12 };
    const rows = SERIES.map((text, i) => ({ slot: tables.series.slotOfText(text), timeMs: i, value: i, origin }));
    rig.process(rows);
    const seen = rig.collected.rows.map(({ slot, timeMs, value, origin: from }) => [
      textOf(tables.series, slot),
      timeMs,
      value,
      from,
    ]);
    expect(seen).toEqual([
      ['CPU{host="a",unit="C"}', 1, 0, origin],
      ['CPU{host="b",unit="C"}', 2, 2, origin],
      ['CPU{host="a",unit="C"}', 3, 4, origin],
      ['UP{unit="C"}', 4, 6, origin],
    ]);
  });

  test('keeps the series when name and labels are handed back, and shows labels of any name', () => {
    const views: SampleView[] = [];
    const { rig, tables } = mapped((sample) => {
      views.push(sample);
      return { ...sample, value: 1 };
    });
    const slot = tables.series.slotOfText('cpu{__proto__="p",host="a"}');
    rig.process([{ slot, timeMs: 0, value: 9 }]);
    expect(rig.collected.rows.map((row) => [row.slot, row.value])).toEqual([[slot, 1]]);
    expect(Object.entries(views[0].labels)).toEqual([
      ['__proto__', 'p'],
      ['host', 'a'],
    ]);
    expect(Object.isFrozen(views[0].labels)).toBe(true);
    expect(tables.series.size).toBe(1);
  });

  test.each<[string, (sample: SampleView) => unknown]>([
    [
      "threw 'no'",
      () => {
        throw new Error('no');
      },
    ],
    ['gave no sample', () => null],
    ['value', (sample) => ({ ...sample, value: '1' })],
    ['timestamp', (sample) => ({ ...sample, timestamp: 1.5 })],
    ['metric_name must not be empty', (sample) => ({ ...sample, metric_name: '' })],
    ['labels.a must be a string', (sample) => ({ ...sample, labels: { a: 1 } })],
  ])('fails with step and sample when the function is wrong: %s', (problem, apply) => {
    const { rig, tables } = mapped(apply as (sample: SampleView) => SampleView);
    const run = () => rig.process([{ slot: tables.series.slotOfText('up{a="1"}'), timeMs: 7, value: 1 }]);
    expect(run).toThrow(expect.objectContaining({ code: 'operator-failed' }));
    expect(run).toThrow(problem);
    expect(run).toThrow("map 'celsius'");
    expect(run).toThrow('up{"a":"1"} at 7');
  });
});

describe('filter', () => {
  const filtered = (apply: (sample: SampleView) => boolean) =>
    rigWith(({ series }, next) => new Filter({ id: 'production', table: series, apply, next }));

  test('keeps the rows for which the function is true, in order', () => {
    const { rig, tables } = filtered(({ labels, value }) => labels['host'] === 'a' && value % 2 === 0);
    const rows = Array.from({ length: 1000 }, (_, i) => ({
      slot: tables.series.slotOfText(SERIES[i % 4]),
      timeMs: i,
      value: Math.floor(i / 4),
      origin: { topic: 'metrics.raw', partition: 1, offset: i },
    }));
    rig.process(rows);
    const wanted = rows.filter((_, i) => i % 4 !== 1 && i % 4 !== 3 && Math.floor(i / 4) % 2 === 0);
    expect(rig.collected.rows.map(({ slot, timeMs, value, origin }) => ({ slot, timeMs, value, origin }))).toEqual(
      wanted,
    );
  });

  test('fails with step and function when the function throws or gives no boolean', () => {
    for (const apply of [
      () => {
        throw new Error('no');
      },
      () => 1 as unknown as boolean,
    ]) {
      const { rig, tables } = filtered(apply);
      const run = () => rig.process([{ slot: tables.series.slotOfText('up'), timeMs: 7, value: 1 }]);
      expect(run).toThrow(expect.objectContaining({ code: 'operator-failed' }));
      expect(run).toThrow("the function of filter 'production'");
    }
  });
});
