import { describe, expect, test } from 'vitest';
import { MergedStats } from '#operators/aggregates/merged-stats.ts';
import { Stats } from '#operators/aggregates/stats.ts';
import { MergedWindow } from '#operators/windows/merged-window.ts';
import { TumblingWindow } from '#operators/windows/tumbling-window.ts';
import type { BatchConsumer } from '#runtime/task/contract.ts';
import { type BuildStage, OperatorRig, type Result, type Row } from './operator-rig.ts';
import { Random } from './random.ts';
import { type ExpectedResult, WindowOracle } from './window-oracle.ts';

const MINUTE_MS = 60_000;
const STEPS = [
  { name: '1m', sizeMs: MINUTE_MS },
  { name: '5m', sizeMs: 5 * MINUTE_MS },
  { name: '15m', sizeMs: 15 * MINUTE_MS },
];

/** 1m, and from its results 5m and 15m. */
function cascade(allowedLatenessMs: number): BuildStage {
  return (collect) => {
    const merged = STEPS.slice(1).map(
      ({ name, sizeMs }) =>
        new MergedWindow<MergedStats>({
          id: name,
          sizeMs,
          paneMs: MINUTE_MS,
          allowedLatenessMs,
          makeAggregate: () => new MergedStats(),
          results: [collect(name)],
        }),
    );
    const minute = new TumblingWindow({
      id: '1m',
      sizeMs: MINUTE_MS,
      allowedLatenessMs,
      aggregate: new Stats(),
      results: [collect('1m'), ...merged],
      late: [collect('late')],
    });
    return { head: minute, operators: [minute, ...merged] };
  };
}

interface Scenario {
  readonly latenessMs: number;
  readonly boundMs: number;
  /** Log records; each is atomic. */
  readonly records: readonly (readonly Row[])[];
}

/** Records around the epoch: out of order, late, gaps, broken values, several rows per record. */
function scenario(seed: number): Scenario {
  const random = new Random(seed);
  const latenessMs = [0, 0, 30_000, 60_000, 200_000][random.below(5)];
  const boundMs = [0, 5_000, 70_000][random.below(3)];
  const slots = [3, 20, 400][random.below(3)];
  const shape = random.below(3);
  const records: Row[][] = [];
  let timeMs = -4 * MINUTE_MS + random.below(MINUTE_MS);
  for (let i = 0; i < 250; i++) {
    timeMs += random.chance(0.02) ? random.below(7 * MINUTE_MS) : random.below(8_000);
    const rows: Row[] = [];
    for (let n = random.chance(0.2) ? 1 + random.below(6) : 1; n > 0; n--) {
      const back = random.chance(0.3) ? random.below(300_000) : random.below(4_000);
      const value = shape === 0 ? random.below(20) - 5 : (random.next() - 0.3) * 10 ** (shape * random.below(6));
      const broken = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY][random.below(3)];
      const at = timeMs - back;
      rows.push({ slot: random.below(slots), timeMs: at, value: random.chance(0.02) ? broken : value });
    }
    records.push(rows);
  }
  return { latenessMs, boundMs, records };
}

function expected({ latenessMs, boundMs, records }: Scenario): WindowOracle {
  const oracle = new WindowOracle({ minuteMs: MINUTE_MS, steps: STEPS, boundMs, latenessMs });
  for (const rows of records) oracle.record({ rows });
  return oracle;
}

interface RunOptions {
  /** Whether to gather records into batches as a source does, up to the next boundary. */
  readonly gather: boolean;
  /** Firings until the entry ends; asked again after each stop. */
  readonly budget?: () => number;
  /** Called between steps and when a firing was stopped. */
  readonly between?: (rig: OperatorRig) => void;
}

function run({ latenessMs, boundMs, records }: Scenario, options: RunOptions): OperatorRig {
  const rig = new OperatorRig(cascade(latenessMs));
  const budget = options.budget ?? (() => Number.POSITIVE_INFINITY);
  for (let i = 0; i < records.length; ) {
    const cutMs = rig.boundaryMs() + boundMs;
    const rows: Row[] = [];
    let maxMs = Number.NEGATIVE_INFINITY;
    do {
      rows.push(...records[i]);
      maxMs = Math.max(maxMs, ...records[i++].map((row) => row.timeMs));
    } while (options.gather && i < records.length && maxMs < cutMs);
    rig.process(rows);
    rig.watermarkMs = Math.max(rig.watermarkMs, maxMs - boundMs);
    while (!rig.fireDue(budget())) options.between?.(rig);
    options.between?.(rig);
  }
  return rig;
}

function expectSame(rig: OperatorRig, oracle: WindowOracle, seed: number): void {
  const { results, rows, counts } = rig.collected;
  for (const { name } of STEPS) {
    const got = results.filter((result) => result.step === name);
    const wanted = oracle.results.filter((result) => result.step === name);
    expect(got.map(identity), `results of ${name}, seed ${seed}`).toEqual(wanted.map(identity));
    got.forEach((result, i) => {
      expectResult(result, wanted[i], seed);
    });
  }
  const late = rows.map(({ slot, timeMs, value }) => ({ slot, timeMs, value }));
  expect(late, `late rows, seed ${seed}`).toEqual(oracle.late);
  expect(counts.get('late') ?? 0).toBe(oracle.late.length);
  expect(counts.get('not-finite') ?? 0).toBe(oracle.notFinite);
}

function identity({ slot, startMs, endMs, revision, late }: Result | ExpectedResult): string {
  return `${slot} [${startMs},${endMs}) r${revision}${late ? ' late' : ''}`;
}

function expectResult(got: Result, wanted: ExpectedResult, seed: number): void {
  const { sorted } = wanted;
  const exactly = [got.count, got.sum, got.min, got.max];
  expect(exactly, `${got.step} ${identity(got)}, seed ${seed}`).toEqual([
    sorted.length,
    wanted.sum,
    sorted[0],
    sorted[sorted.length - 1],
  ]);
  for (const [q, value] of [
    [0.5, got.p50],
    [0.95, got.p95],
    [0.99, got.p99],
  ]) {
    const exact = sorted[Math.ceil(q * sorted.length) - 1];
    expect(Math.abs(value - exact)).toBeLessThanOrEqual(Math.abs(exact) * 0.01);
  }
}

const SEEDS = Array.from({ length: 60 }, (_, seed) => seed);

describe('a cascade of windows', () => {
  test('equals the oracle, in batches as large as can be', () => {
    const revisions = new Set<number>();
    for (const seed of SEEDS) {
      const input = scenario(seed);
      const rig = run(input, { gather: true });
      expectSame(rig, expected(input), seed);
      for (const { revision } of rig.collected.results) revisions.add(revision);
    }
    expect(Math.max(...revisions)).toBeGreaterThan(3);
  });

  test('gives the same output and the same pages from batches of one record', () => {
    for (const seed of SEEDS) {
      const input = scenario(seed);
      const single = run(input, { gather: false });
      const gathered = run(input, { gather: true });
      expect(single.collected).toEqual(gathered.collected);
      expect(single.pages.snapshot()).toEqual(gathered.pages.snapshot());
    }
  });

  test('stops at any firing and goes on from pages alone', () => {
    for (const seed of SEEDS.slice(0, 25)) {
      const input = scenario(seed);
      const random = new Random(seed + 1000);
      const plain = run(input, { gather: true });
      const stopped = run(input, {
        gather: true,
        budget: () => random.below(4),
        between: (rig) => {
          if (random.chance(0.15)) expect(rig.restart()).toEqual(rig.pages.snapshot());
        },
      });
      expect(stopped.collected, `seed ${seed}`).toEqual(plain.collected);
      expect(stopped.pages.snapshot()).toEqual(plain.pages.snapshot());
    }
  });

  test('keeps no page of windows that are over', () => {
    for (const seed of SEEDS.slice(0, 10)) {
      const rig = run(scenario(seed), { gather: true });
      expect(rig.pages.snapshot().size).toBeGreaterThan(0);
      rig.watermarkMs += 24 * 60 * MINUTE_MS;
      rig.fireDue();
      expect(rig.pages.snapshot().size).toBe(0);
      expect(rig.operators.map((operator) => operator.nextTimerMs())).toEqual(
        STEPS.map(() => Number.POSITIVE_INFINITY),
      );
      for (let slot = 0; slot < 400; slot++) {
        expect(rig.operators.some((operator) => operator.usesKey(slot))).toBe(false);
      }
    }
  });
});

test('a firing of n keys can be stopped after each of them', () => {
  const rows = Array.from({ length: 9 }, (_, i) => ({ slot: (i * 37) % 300, timeMs: i, value: i }));
  for (const latenessMs of [0, MINUTE_MS]) {
    const fire = (budget: number, restart: boolean) => {
      const rig = new OperatorRig(cascade(latenessMs));
      rig.process(rows);
      rig.watermarkMs = 15 * MINUTE_MS;
      let stops = 0;
      while (!rig.fireDue(stops === 0 ? budget : 1)) {
        stops++;
        if (restart) rig.restart();
      }
      return { results: rig.collected.results, pages: rig.pages.snapshot(), stops };
    };
    const whole = fire(Number.POSITIVE_INFINITY, false);
    expect(whole.results.map((result) => result.step)).toEqual(
      ['1m', '5m', '15m'].flatMap((step) => rows.map(() => step)),
    );
    const slots = [...rows].map((row) => row.slot).sort((left, right) => left - right);
    expect(whole.results.map((result) => result.slot)).toEqual([...slots, ...slots, ...slots]);
    for (let budget = 0; budget <= 27; budget++) {
      for (const restart of [false, true]) {
        const stopped = fire(budget, restart);
        expect(stopped.results).toEqual(whole.results);
        expect(stopped.pages).toEqual(whole.pages);
        expect(stopped.stops).toBe(27 - budget);
      }
    }
  }
});

test('a key is used while a window holds it, and no longer', () => {
  const rig = new OperatorRig(cascade(0));
  rig.process([{ slot: 700, timeMs: 0, value: 1 }]);
  const used = () => rig.operators.map((operator) => operator.usesKey(700));
  expect(used()).toEqual([true, false, false]);
  rig.watermarkMs = MINUTE_MS;
  rig.fireDue();
  expect(used()).toEqual([false, true, true]);
  expect(rig.operators.some((operator) => operator.usesKey(701) || operator.usesKey(1_000_000))).toBe(false);
});

test('times far from 1970 have pages, and those beyond counting are late', () => {
  const rig = new OperatorRig(cascade(0));
  const farMs = 4e15;
  rig.process([
    { slot: 0, timeMs: -5, value: 1 },
    { slot: 1, timeMs: 0, value: 2 },
    { slot: 2, timeMs: -farMs, value: 3 },
    { slot: 3, timeMs: farMs, value: 4 },
    { slot: 4, timeMs: Number.MAX_SAFE_INTEGER, value: 5 },
    { slot: 5, timeMs: Number.MIN_SAFE_INTEGER, value: 6 },
    { slot: 6, timeMs: Number.NaN, value: 7 },
  ]);
  expect(rig.collected.rows.map((row) => row.slot)).toEqual([4, 5, 6]);
  rig.restart();
  rig.watermarkMs = 1;
  rig.fireDue();
  expect(rig.collected.results.filter(({ step }) => step === '1m').map(({ slot, startMs }) => [slot, startMs])).toEqual(
    [
      [2, Math.floor(-farMs / MINUTE_MS) * MINUTE_MS],
      [0, -MINUTE_MS],
    ],
  );
  rig.restart();
  rig.watermarkMs = 5e15;
  rig.fireDue();
  expect(rig.collected.results.filter(({ step }) => step === '5m')).toHaveLength(4);
});

test('too many open windows are refused with a remedy', () => {
  const make = (): BuildStage => (collect) => {
    const results: BatchConsumer[] = [collect('1m')];
    const options = { id: '1m', sizeMs: MINUTE_MS, allowedLatenessMs: 0, results, late: [], panesMax: 3 };
    const window = new TumblingWindow({ ...options, aggregate: new Stats() });
    return { head: window, operators: [window] };
  };
  const rig = new OperatorRig(make());
  const row = (minute: number) => ({ slot: 0, timeMs: minute * MINUTE_MS, value: 1 });
  rig.process([row(1), row(5), row(9), row(5)]);
  expect(() => rig.process([row(6)])).toThrow(expect.objectContaining({ code: 'window-limit' }));
});

test('boundaries are window ends and the ends of lateness', () => {
  const at = (latenessMs: number, watermarkMs: number) => {
    const rig = new OperatorRig(cascade(latenessMs));
    rig.watermarkMs = watermarkMs;
    return rig.boundaryMs();
  };
  expect(at(0, Number.NEGATIVE_INFINITY)).toBe(Number.NEGATIVE_INFINITY);
  expect(at(0, 59_999)).toBe(60_000);
  expect(at(0, 60_000)).toBe(120_000);
  expect(at(0, -60_000)).toBe(0);
  expect(at(45_000, 60_000)).toBe(105_000);
  expect(at(45_000, 105_000)).toBe(120_000);
  expect(at(90_000, 0)).toBe(30_000);
});
