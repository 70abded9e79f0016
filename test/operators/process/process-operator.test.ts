// A function with state and timers sees its key's state and nothing else, its timers fire once and in order, and a
// restart from pages changes nothing.

import { describe, expect, it } from 'vitest';
import { float64, json, list, map, type StateCodec, text } from '#checkpoint/codecs.ts';
import type {
  AggregateFunction,
  AggregatingState,
  FunctionContext,
  ListState,
  MapState,
  OwningCodec,
  ProcessCallbacks,
  StateDescriptor,
  TtlPlan,
  ValueState,
} from '#operators/process/contract.ts';
import { ProcessOperator } from '#operators/process/process-operator.ts';
import { recordOf } from '#operators/records/record-rows.ts';
import { SeriesTable } from '#operators/series/series-table.ts';
import { OperatorRig, type Row } from '#test/operators/windows/operator-rig.ts';

const NUMBER = float64() as OwningCodec<unknown>;
const TEXT = text() as OwningCodec<unknown>;
const NUMBERS = list(NUMBER as StateCodec<unknown>);
const MAP = map(text(), NUMBER as StateCodec<unknown>) as unknown as OwningCodec<Map<unknown, unknown>>;
const SUM: AggregateFunction<unknown, unknown, unknown> = {
  create: () => 0,
  add: (a, b) => (a as number) + (b as number),
  result: (a) => ({ sum: a }),
};

const KEYS = ['a', 'b', 'c', 'd'];

interface World {
  readonly rig: OperatorRig;
  at(timeMs: number, ...rows: readonly (readonly [key: number, record: unknown])[]): void;
  watermark(timeMs: number): void;
  clock(timeMs: number): void;
  sent(): unknown[];
}

function world(callbacks: ProcessCallbacks, states: Record<string, StateDescriptor> = {}): World {
  const rig = new OperatorRig((collect) => {
    const keys = new SeriesTable({ stateId: 'keys' });
    const operator = new ProcessOperator({
      id: 'p',
      keys: {
        slotCount: KEYS.length,
        canonicalBytes: (slot) => Buffer.from(KEYS[slot]),
        hash: () => 0,
        jsonBytes: (slot) => keys.jsonBytes(slot),
        metricName: () => '',
        labels: () => [],
      },
      states: new Map(Object.entries(states)),
      callbacks,
      view: recordOf,
      next: [collect('main')],
      sides: new Map([['odd', [collect('odd')]]]),
    });
    return { head: operator, operators: [operator] };
  });
  const fireClock = () => {
    for (const { clockTimers } of rig.operators) {
      while (clockTimers !== undefined && clockTimers.nextMs() <= rig.clockMs) {
        clockTimers.fire(clockTimers.nextMs(), { take: () => true });
      }
    }
  };
  return {
    rig,
    at(timeMs, ...rows) {
      rig.process(rows.map(([slot, record]): Row => ({ slot, timeMs, value: 0, record })));
    },
    watermark(timeMs) {
      rig.watermarkMs = timeMs;
      rig.fireDue();
    },
    clock(timeMs) {
      rig.clockMs = timeMs;
      fireClock();
    },
    sent: () => rig.collected.rows.map(({ step, timeMs, slot, record }) => [step, timeMs, KEYS[slot], record]),
  };
}

const value = (ttl: TtlPlan | null = null): StateDescriptor => ({ kind: 'value', codec: NUMBER, ttl });
const count = ({ state }: FunctionContext) => state['count'] as ValueState<number>;

const records = (it: World) => it.rig.collected.rows.map(({ record }) => record);

describe('state', () => {
  it('belongs to one key, and survives a restart', () => {
    const it = world(
      {
        process(_record, context) {
          const next = (count(context).get() ?? 0) + 1;
          count(context).set(next);
          context.emit([context.key, next]);
        },
      },
      { count: value() },
    );
    it.at(1, [0, 'x'], [1, 'x'], [0, 'x']);
    it.rig.restart();
    it.at(2, [0, 'x'], [1, 'x'], [2, 'x']);
    expect(it.sent().map((row) => (row as unknown[])[3])).toEqual([
      ['a', 1],
      ['b', 1],
      ['a', 2],
      ['a', 3],
      ['b', 2],
      ['c', 1],
    ]);
  });

  it('holds lists, maps in the order in which their keys came, and accumulators', () => {
    const it = world(
      {
        process(record, { state, emit }) {
          const list = state['list'] as ListState<number>;
          const map = state['map'] as MapState<string, number>;
          const sum = state['sum'] as AggregatingState<number, { sum: number }>;
          const number = record as number;
          list.add(number);
          map.set(`k${number}`, number);
          sum.add(number);
          if (number === 9) map.delete('k5');
          emit({ list: [...list.get()], map: [...map.entries()], size: map.size, sum: sum.get() });
        },
      },
      {
        list: { kind: 'list', codec: NUMBERS, element: NUMBER, ttl: null },
        map: { kind: 'map', codec: MAP, key: TEXT, value: NUMBER, ttl: null },
        sum: { kind: 'aggregating', codec: NUMBER, aggregate: SUM, ttl: null },
      },
    );
    it.at(1, [0, 7], [0, 5], [1, 1]);
    it.rig.restart();
    it.at(2, [0, 6], [0, 9]);
    expect(records(it)).toEqual([
      { list: [7], map: [['k7', 7]], size: 1, sum: { sum: 7 } },
      {
        list: [7, 5],
        map: [
          ['k7', 7],
          ['k5', 5],
        ],
        size: 2,
        sum: { sum: 12 },
      },
      { list: [1], map: [['k1', 1]], size: 1, sum: { sum: 1 } },
      {
        list: [7, 5, 6],
        map: [
          ['k7', 7],
          ['k5', 5],
          ['k6', 6],
        ],
        size: 3,
        sum: { sum: 18 },
      },
      {
        list: [7, 5, 6, 9],
        map: [
          ['k7', 7],
          ['k6', 6],
          ['k9', 9],
        ],
        size: 3,
        sum: { sum: 27 },
      },
    ]);
  });

  it('lives as long as its time to live in event time, also when nobody looked when it ended', () => {
    const ttl: TtlPlan = { ms: 800, update: 'write' };
    const it = world(
      {
        process(record, context) {
          context.emit(count(context).get());
          if (record === 'set') count(context).set(1);
        },
      },
      { count: value(ttl) },
    );
    it.watermark(0);
    it.at(100, [0, 'set'], [1, 'set']);
    it.watermark(899);
    it.at(899, [0, 'look'], [1, 'set']);
    it.watermark(900);
    it.at(900, [0, 'look'], [1, 'look']);
    const before = it.rig.pages.snapshot();
    it.rig.restart();
    it.watermark(1_000_000);
    it.at(1_000_000, [0, 'look'], [1, 'look']);
    expect(records(it)).toEqual([null, null, 1, 1, null, 1, null, null]);
    expect(before.size).toBeGreaterThan(0);
    expect([...it.rig.pages.snapshot().keys()]).toEqual([]);
    expect(it.rig.operators[0].usesKey(0)).toBe(false);
  });

  it('cannot be changed behind its back', () => {
    const it = world(
      {
        process(_record, context) {
          const state = context.state['count'] as ValueState<unknown>;
          const before = state.get() as { n: number } | null;
          if (before !== null) before.n++;
          state.set({ n: 1 });
        },
      },
      { count: { kind: 'value', codec: json() as OwningCodec<unknown>, ttl: null } },
    );
    it.at(1, [0, 'x']);
    expect(() => it.at(2, [0, 'x'])).toThrow(/read only/);
    it.rig.restart();
    expect(() => it.at(3, [0, 'x'])).toThrow(/read only/);
  });
});

describe('timers', () => {
  const echo: ProcessCallbacks = {
    process(record, { timers }) {
      for (const timeMs of record as number[]) {
        if (timeMs < 0) timers.deleteEventTime(-timeMs);
        else timers.onEventTime(timeMs);
      }
    },
    onTimer: ({ kind, timeMs }, { key, timestampMs, emit }) => emit(`${kind} ${key} ${timeMs} ${timestampMs}`),
  };

  it('fire once each, by time and then by key, and not when they were deleted', () => {
    const it = world(echo);
    it.at(1, [1, [30, 10, 30]], [0, [20, 10, 40]], [1, [-10, 20, 25, -25, 25]]);
    it.watermark(19);
    it.rig.restart();
    it.watermark(35);
    expect(records(it)).toEqual([
      'event-time a 10 10',
      'event-time a 20 20',
      'event-time b 20 20',
      'event-time b 25 25',
      'event-time b 30 30',
    ]);
    it.at(36, [0, [-40]]);
    it.watermark(99);
    expect(records(it)).toHaveLength(5);
    expect([...it.rig.pages.snapshot().keys()]).toEqual([]);
  });

  it('that a budget interrupts go on in the next entry', () => {
    const it = world(echo);
    it.at(1, [0, [10, 20]], [1, [10]]);
    it.rig.watermarkMs = 50;
    expect(it.rig.fireDue(1)).toBe(false);
    expect(records(it)).toEqual(['event-time a 10 10']);
    it.rig.restart();
    expect(it.rig.fireDue()).toBe(true);
    expect(records(it)).toEqual(['event-time a 10 10', 'event-time b 10 10', 'event-time a 20 20']);
  });

  it('by the clock fire when the clock of entries reaches them', () => {
    const it = world({
      process: (record, { timers }) => timers.onClock(record as number),
      onTimer: ({ kind, timeMs }, { emit, clockMs }) => emit(`${kind} ${timeMs} at ${clockMs}`),
    });
    it.watermark(5);
    it.at(6, [0, 1_000], [1, 900], [1, 5_000]);
    it.clock(1_500);
    it.rig.restart();
    it.clock(6_000);
    expect(it.sent()).toEqual([
      ['main', 5, 'b', 'clock 900 at 1500'],
      ['main', 5, 'a', 'clock 1000 at 1500'],
      ['main', 5, 'b', 'clock 5000 at 6000'],
    ]);
  });

  it('of the past fire right after the record that asked for them, however batches are cut', () => {
    const rows = [
      [0, [5, 3]],
      [1, [4, 20]],
      [0, [2]],
    ] as const;
    const whole = world(echo);
    whole.watermark(10);
    whole.at(11, ...rows);
    const single = world(echo);
    single.watermark(10);
    for (const row of rows) single.at(11, row);
    expect(records(whole)).toEqual([3, 5, 4, 2].map((at) => `event-time ${at === 4 ? 'b' : 'a'} ${at} ${at}`));
    expect(whole.sent()).toEqual(single.sent());
  });

  it('cannot keep an entry from ending', () => {
    const again = world({
      process: (_record, { timers }) => timers.onEventTime(50),
      onTimer: ({ timeMs }, { timers }) => timers.onEventTime(timeMs),
    });
    again.at(1, [0, 'x']);
    expect(() => again.watermark(60)).toThrow(/asked in its timer of 50 for one at 50, which is not after it/);
  });

  it('at no time are refused with the remedy', () => {
    const it = world(echo);
    expect(() => it.at(1, [0, [1.5]])).toThrow(/timer at 1\.5, which is no time in whole milliseconds/);
  });
});

describe('results', () => {
  it('go where they are sent, at the time they are given', () => {
    const it = world({
      process(record, { emit, side }) {
        const number = record as number;
        if (number % 2 === 1) side('odd', number, 77);
        else emit(number);
      },
    });
    it.at(3, [0, 1], [0, 2], [2, 3]);
    expect(it.sent()).toEqual([
      ['main', 3, 'a', 2],
      ['odd', 77, 'a', 1],
      ['odd', 77, 'c', 3],
    ]);
  });

  it('that cannot be sent fail, naming operator, key and time', () => {
    const it = world({ process: (_record, { side }) => side('even', 1) });
    expect(() => it.at(3, [1, 1])).toThrow(/process 'p' sent to the side output 'even'.*declared: 'odd'.*key b at 3/);
    const late = world({ process: async () => {} });
    expect(() => late.at(3, [1, 1])).toThrow(/is asynchronous/);
  });
});
