// The functions that ship do what plain models say, however batches are cut, entries stop and tasks restart.

import { describe, expect, it } from 'vitest';
import { json } from '#checkpoint/codecs.ts';
import {
  COUNTER_SAMPLES,
  type CounterSamples,
  counterSamples,
  increaseOf,
  rateOf,
} from '#operators/aggregates/counter-range.ts';
import { globalAggregate, LocalAggregate } from '#operators/aggregates/local-aggregate.ts';
import { topK } from '#operators/aggregates/top-k.ts';
import type { AggregateFunction } from '#operators/process/contract.ts';
import { RecordWindow } from '#operators/windows/record-window.ts';
import { AT_END } from '#operators/windows/window-trigger.ts';
import { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import type { BatchConsumer } from '#runtime/task/contract.ts';
import { OperatorRig, type Row } from '../windows/operator-rig.ts';
import { Random } from '../windows/random.ts';
import { KeyNames } from './key-names.ts';
import { drive, type Entry, type Model } from './random-drive.ts';
import { STAGES } from './script-stages.ts';

const KEYS = 3;

function keyNames(): KeyNames {
  const keys = new KeyNames();
  for (let slot = 0; slot < KEYS; slot++) keys.slotOf(`k${slot}`);
  return keys;
}

function randomEntries(random: Random, recordOf: () => unknown): Entry[] {
  let nowMs = 0;
  return Array.from({ length: 30 }, (): Entry => {
    const records = Array.from({ length: random.below(6) }, () =>
      Array.from({ length: 1 + random.below(3) }, (): Row => {
        nowMs += random.chance(0.05) ? random.below(80) : random.below(4);
        const timeMs = nowMs - (random.chance(0.4) ? random.below(40) : 0);
        return { slot: random.below(KEYS), timeMs, value: 0, record: recordOf() };
      }),
    );
    return { clockMs: 0, records };
  });
}

function sent(rig: OperatorRig): unknown[][] {
  return rig.collected.rows.map(({ step, slot, timeMs, record }) => [step, slot, timeMs, record]);
}

/** Side outputs leave behind the others of their batch. */
function byStep(rows: readonly unknown[][]): unknown[] {
  return [...Map.groupBy(rows, ([step]) => step)].sort();
}

class PassModel implements Model {
  readonly sent: unknown[][] = [];
  watermarkMs = Number.NEGATIVE_INFINITY;
  readonly #passes: (row: Row, watermarkMs: number, passed: readonly Row[]) => boolean | 'late';
  readonly #passed: Row[] = [];

  constructor(passes: (row: Row, watermarkMs: number, passed: readonly Row[]) => boolean | 'late') {
    this.#passes = passes;
  }

  clock(): void {}

  row(row: Row): void {
    const own = this.#passed.filter(({ slot }) => slot === row.slot);
    const verdict = this.#passes(row, this.watermarkMs, own);
    if (verdict === false) return;
    this.sent.push([verdict === 'late' ? 'late' : 'out', row.slot, row.timeMs, row.record]);
    if (verdict === true) this.#passed.push(row);
  }

  watermark(timeMs: number): void {
    this.watermarkMs = timeMs;
  }
}

describe('deduplicate and distinct', () => {
  it('let the first of a time go on, and forget it when nothing can come near it', () => {
    for (let seed = 1; seed <= 150; seed++) {
      const random = new Random(seed);
      const withinMs = 1 + random.below(30);
      const latenessMs = random.below(20);
      let serial = 0;
      const words = [`${withinMs}ms`, 'lateness', `${latenessMs}ms`];
      const rig = new OperatorRig(STAGES['deduplicate'](words, keyNames()));
      const model = new PassModel(({ timeMs }, watermarkMs, passed) => {
        if (timeMs + latenessMs < watermarkMs) return 'late';
        return !passed.some((row) => Math.abs(row.timeMs - timeMs) < withinMs);
      });
      const boundMs = random.below(20);
      drive(
        rig,
        model,
        randomEntries(random, () => serial++),
        boundMs,
        random,
      );
      expect(byStep(sent(rig)), `seed ${seed}`).toEqual(byStep(model.sent));
      rig.watermarkMs = 1e6;
      rig.fireDue();
      expect([...rig.pages.snapshot().keys()], `seed ${seed} leaves state`).toEqual([]);
    }
  });

  it('let the first of a value go on, and forget it when its time is over', () => {
    for (let seed = 1; seed <= 150; seed++) {
      const random = new Random(seed);
      const forgetMs = 8 + random.below(60);
      const rig = new OperatorRig(STAGES['distinct'](['forget', `${forgetMs}ms`], keyNames()));
      const model = new PassModel(({ timeMs, record }, watermarkMs, passed) => {
        if (timeMs + forgetMs <= watermarkMs) return 'late';
        return !passed.some((row) => row.record === record && row.timeMs + forgetMs > watermarkMs);
      });
      drive(
        rig,
        model,
        randomEntries(random, () => `v${random.below(5)}`),
        random.below(20),
        random,
      );
      expect(byStep(sent(rig)), `seed ${seed}`).toEqual(byStep(model.sent));
      rig.watermarkMs = 1e6;
      rig.fireDue();
      expect([...rig.pages.snapshot().keys()], `seed ${seed} leaves state`).toEqual([]);
    }
  });
});

describe('top-K', () => {
  it('is what sorting gives, in any order of merging', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = new Random(seed);
      const k = 1 + random.below(4);
      const perId = random.chance(0.5);
      const aggregate = topK({
        k,
        by: (record) => (record as [string, number])[1],
        id: perId ? (record) => (record as [string, number])[0] : null,
      });
      const records = Array.from({ length: random.below(20) }, (): [string, number] => [
        `id${random.below(4)}`,
        random.below(6),
      ]);
      const cut = random.below(records.length + 1);
      const fold = (part: readonly [string, number][]) =>
        part.reduce((top, record) => aggregate.add(top, record), aggregate.create());
      const merged = aggregate.merge!(fold(records.slice(0, cut)), fold(records.slice(cut)));
      const candidates = perId
        ? [...Map.groupBy(records, ([id]) => id).values()].map((own) => own.toSorted((a, b) => b[1] - a[1])[0])
        : records;
      const best = candidates.toSorted((a, b) => b[1] - a[1]).slice(0, k);
      const scores = (top: readonly unknown[]) => top.map((record) => (record as [string, number])[1]);
      expect(scores(aggregate.result(merged)), `seed ${seed}`).toEqual(scores(best));
      expect(scores(aggregate.result(fold(records))), `seed ${seed}`).toEqual(scores(best));
      if (!perId) expect(aggregate.result(fold(records)), `seed ${seed}`).toEqual(best);
    }
  });
});

describe('increase and rate of windows', () => {
  const aggregate = counterSamples((record) => {
    const [timeMs, value] = record as [number, number];
    return { timeMs, value };
  });
  const fold = (records: readonly (readonly [number, number])[]): CounterSamples =>
    records.reduce((samples, record) => aggregate.add(samples, record), aggregate.create());
  const every = (stepMs: number, values: readonly number[], fromMs = 0) =>
    values.map((value, i) => [fromMs + i * stepMs, value] as const);
  const MINUTE = 60_000;

  // Samples that begin one step after the border, as a range (0, 50m] of Prometheus has them, seen from its other end.
  it('is what Prometheus gives for the same samples', () => {
    const steady = fold(every(5 * MINUTE, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100], 5 * MINUTE));
    expect(increaseOf(steady, 0, 50 * MINUTE)).toBeCloseTo(100, 9);
    expect(rateOf(steady, 0, 50 * MINUTE)).toBeCloseTo(100 / 3000, 9);
    // Reset in the middle: 10 … 50, 0 … 40.
    const reset = fold(every(5 * MINUTE, [10, 20, 30, 40, 50, 0, 10, 20, 30, 40], 5 * MINUTE));
    expect(increaseOf(reset, 0, 50 * MINUTE)).toBeCloseTo((80 * 50) / 45, 9);
    // Too far from both borders: half a distance on each side.
    const inside = fold(every(10_000, [100, 110, 120], 60_000));
    expect(increaseOf(inside, 0, 200_000)).toBeCloseTo((20 * (5 + 20 + 5)) / 20, 9);
    // Near the border, but it would have been below 0 before: 2 of 20 s at 1 a second.
    const young = fold(every(10_000, [2, 12, 22], 8_000));
    expect(increaseOf(young, 0, 28_001)).toBeCloseTo((20 * (2 + 20 + 0.001)) / 20, 9);
    expect(increaseOf(fold(every(1, [5])), 0, 10)).toBeNull();
    expect(increaseOf(fold([]), 0, 10)).toBeNull();
    const twice: [number, number][] = [
      [0, 1],
      [0, 9],
      [1_000, 2],
      [1_000, 0],
    ];
    expect(fold(twice)).toEqual(
      fold([
        [0, 1],
        [1_000, 2],
      ]),
    );
    expect(increaseOf(fold(every(1_000, [5, 5, 5])), 0, 3_000)).toBe(0);
  });

  it('does not depend on the order in which samples come, but for two of one time', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = new Random(seed);
      const records = every(
        1_000,
        Array.from({ length: 2 + random.below(10) }, () => random.below(50)),
      );
      const shuffled = records.toSorted(() => random.next() - 0.5);
      const cut = random.below(records.length);
      const merged = aggregate.merge!(fold(shuffled.slice(0, cut)), fold(shuffled.slice(cut)));
      expect(fold(shuffled), `seed ${seed}`).toEqual(fold(records));
      expect(merged, `seed ${seed}`).toEqual(fold(records));
      const out = new ByteWriter();
      COUNTER_SAMPLES.write(merged, out);
      expect(COUNTER_SAMPLES.read(new ByteReader(out.toBytes()))).toEqual(merged);
      const total = records.reduce((sum, [, value], i) => {
        const before = i === 0 ? value : records[i - 1][1];
        return sum + (value < before ? value : value - before);
      }, 0);
      const sampledMs = records.length * 1_000 - 1_000;
      const plain = increaseOf(merged, 0, sampledMs + 1e-9)!;
      expect(plain, `seed ${seed}`).toBeCloseTo(total, 6);
    }
  });
});

describe('an aggregate that is split', () => {
  const mean: AggregateFunction<unknown, unknown, unknown> = {
    create: () => ({ sum: 0, count: 0 }),
    add(accumulator, value) {
      const held = accumulator as { sum: number; count: number };
      held.sum += value as number;
      held.count++;
      return held;
    },
    result: (accumulator) => accumulator,
    // Gives one of them away: it must not be changed behind its back.
    merge(a, b) {
      const [left, right] = [a as { sum: number; count: number }, b as { sum: number; count: number }];
      if (left.count === 0) return right;
      left.sum += right.sum;
      left.count += right.count;
      return left;
    },
  };
  const windowOf = (aggregate: typeof mean, results: BatchConsumer) =>
    new RecordWindow({
      id: 'w',
      keys: keyNames(),
      assigner: { kind: 'sliding', sizeMs: 30, slideMs: 20, offsetMs: 5 },
      trigger: AT_END,
      allowedLatenessMs: 0,
      function: { kind: 'aggregate', codec: json(), aggregate, result: null },
      results: [results],
      late: [],
    });

  it('gives the results of one that is not', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = new Random(seed);
      const heldMax = 1 + random.below(20);
      const split = new OperatorRig((collect) => {
        const whole = windowOf(globalAggregate(mean, json()), collect('out'));
        const local = new LocalAggregate({
          id: 'l',
          paneMs: 10,
          offsetMs: 5,
          aggregate: mean,
          codec: json(),
          heldMax,
          next: [whole],
        });
        return { head: local, operators: [local, whole] };
      });
      const plain = new OperatorRig((collect) => {
        const whole = windowOf(mean, collect('out'));
        return { head: whole, operators: [whole] };
      });
      // Nothing is late, as behind an exchange: the watermark rises when the entry is over.
      for (const { records } of randomEntries(random, () => random.below(100))) {
        for (const rig of [split, plain]) {
          for (const record of records) rig.process(record);
          rig.endEntry();
        }
      }
      for (const rig of [split, plain]) {
        rig.watermarkMs = 1e6;
        rig.fireDue();
      }
      expect(plain.collected.rows.length).toBeGreaterThan(0);
      expect(sent(split), `seed ${seed}`).toEqual(sent(plain));
    }
  });

  it('cannot be split without merge', () => {
    const { merge: _, ...rest } = mean;
    expect(() => globalAggregate(rest, json())).toThrow(/without merge/);
  });
});
