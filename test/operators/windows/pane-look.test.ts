// What people see of open windows of samples: every window that a key has open, with what it would give if it fired now.
// The oracle keeps every value.

import { expect, test } from 'vitest';
import { MergedStats } from '#operators/aggregates/merged-stats.ts';
import { Stats } from '#operators/aggregates/stats.ts';
import { MergedWindow } from '#operators/windows/merged-window.ts';
import { TumblingWindow } from '#operators/windows/tumbling-window.ts';
import { OperatorRig, type Row } from './operator-rig.ts';
import { Random } from './random.ts';

const MINUTE_MS = 60_000;
const FIVE_MS = 5 * MINUTE_MS;
const SLOTS = 300;

interface Shown {
  readonly start: number;
  readonly end: number;
  readonly firings: number;
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  readonly avg: number;
  readonly p50: number;
  readonly p99: number;
}

function rigOf(allowedLatenessMs: number): OperatorRig {
  return new OperatorRig((collect) => {
    const five = new MergedWindow({
      id: '5m',
      sizeMs: FIVE_MS,
      paneMs: MINUTE_MS,
      allowedLatenessMs,
      makeAggregate: () => new MergedStats(),
      results: [collect('5m')],
    });
    const results = [collect('1m'), five];
    const aggregate = new Stats();
    const minute = new TumblingWindow({ id: '1m', sizeMs: MINUTE_MS, allowedLatenessMs, aggregate, results, late: [] });
    return { head: minute, operators: [minute, five] };
  });
}

/** By slot and minute, the values in their order. */
type Values = Map<number, Map<number, number[]>>;

function put(values: Values, { slot, timeMs, value }: Row): void {
  const minutes = values.get(slot) ?? new Map<number, number[]>();
  values.set(slot, minutes);
  const start = Math.floor(timeMs / MINUTE_MS) * MINUTE_MS;
  minutes.set(start, [...(minutes.get(start) ?? []), value]);
}

/** Windows of a size that hold something: values by start, one list for each minute. */
function windowsOf(values: Values, slot: number, sizeMs: number, counts: (minute: number) => boolean) {
  const windows = new Map<number, number[][]>();
  for (const [minute, list] of [...(values.get(slot) ?? [])].sort(([a], [b]) => a - b)) {
    const start = Math.floor(minute / sizeMs) * sizeMs;
    if (counts(minute)) windows.set(start, [...(windows.get(start) ?? []), list]);
  }
  return windows;
}

function expectShown(shown: readonly Shown[], expected: ReadonlyMap<number, number[][]>, sizeMs: number): void {
  expect(shown.map(({ start, end }) => [start, end])).toEqual([...expected.keys()].map((at) => [at, at + sizeMs]));
  for (const window of shown) {
    const minutes = expected.get(window.start) ?? [];
    const sorted = minutes.flat().sort((a, b) => a - b);
    const sums = minutes.map((list) => list.reduce((sum, value) => sum + value, 0));
    const sum = sums.reduce((total, each) => total + each, 0);
    expect(window).toMatchObject({ count: sorted.length, sum, min: sorted[0], max: sorted.at(-1) });
    expect(window.avg).toBe(sum / sorted.length);
    for (const [q, value] of [
      [0.5, window.p50],
      [0.99, window.p99],
    ]) {
      const exact = sorted[Math.ceil(q * sorted.length) - 1];
      expect(Math.abs(value - exact)).toBeLessThanOrEqual(Math.abs(exact) * 0.01);
    }
  }
}

test.each([0, 90_000])(
  'with %i ms of lateness, open windows show what they hold, and looking changes nothing',
  (latenessMs) => {
    for (let seed = 0; seed < 8; seed++) {
      const random = new Random(seed);
      const rig = rigOf(latenessMs);
      const values: Values = new Map();
      let timeMs = random.below(MINUTE_MS) - 3 * MINUTE_MS;
      let seen = 0;
      for (let round = 0; round < 40; round++) {
        timeMs += random.below(50_000);
        // One boundary at most lies between two rounds of rows: all of a round are judged alike.
        const rows = Array.from({ length: 1 + random.below(8) }, () => {
          const late = random.chance(0.3) ? random.below(200_000) : 0;
          return { slot: random.below(3) * 133, timeMs: timeMs - late, value: (random.next() - 0.3) * 1_000 };
        });
        rig.process(rows);
        for (const row of rows) {
          const end = (Math.floor(row.timeMs / MINUTE_MS) + 1) * MINUTE_MS;
          if (end + latenessMs > rig.watermarkMs) put(values, row);
        }
        rig.watermarkMs = Math.max(rig.watermarkMs, timeMs);
        rig.fireDue();
        const pages = rig.pages.snapshot();
        const [minute, five] = rig.operators;
        const { watermarkMs } = rig;
        for (let slot = 0; slot < SLOTS; slot += 133) {
          const open = (start: number, sizeMs: number) => start + sizeMs + latenessMs > watermarkMs;
          const shown = (operator = minute) => (operator.look?.(slot)?.states['windows'] ?? []) as Shown[];
          expectShown(
            shown(),
            windowsOf(values, slot, MINUTE_MS, (at) => open(at, MINUTE_MS)),
            MINUTE_MS,
          );
          const fired = (at: number) =>
            at + MINUTE_MS <= watermarkMs && open(Math.floor(at / FIVE_MS) * FIVE_MS, FIVE_MS);
          expectShown(shown(five), windowsOf(values, slot, FIVE_MS, fired), FIVE_MS);
          seen += shown(five).length;
        }
        expect(rig.pages.snapshot()).toEqual(pages);
      }
      expect(seen).toBeGreaterThan(20);
    }
  },
);

test('firings and timers of a window are those that are left', () => {
  const rig = rigOf(90_000);
  rig.process([{ slot: 7, timeMs: 1_000, value: 2 }]);
  const [minute, five] = rig.operators;
  expect(minute.look?.(7)).toMatchObject({ states: { windows: [{ firings: 0 }] }, eventTimersMs: [MINUTE_MS] });
  expect(five.look?.(7)).toBe(null);
  rig.watermarkMs = 70_000;
  rig.fireDue();
  rig.process([{ slot: 7, timeMs: 2_000, value: 3 }]);
  expect(minute.look?.(7)).toMatchObject({
    states: { windows: [{ firings: 2, count: 2, sum: 5 }] },
    eventTimersMs: [MINUTE_MS + 90_000],
    clockTimersMs: [],
  });
  expect(five.look?.(7)).toMatchObject({
    states: { windows: [{ firings: 0, count: 2, sum: 5 }] },
    eventTimersMs: [FIVE_MS],
  });
  expect([minute.look?.(8), minute.look?.(1_000_000)]).toEqual([null, null]);
});
