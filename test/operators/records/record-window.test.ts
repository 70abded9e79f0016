// Windows over records put out what a slow model says, however batches are cut, entries stop and tasks restart.

import { describe, expect, it } from 'vitest';
import { json } from '#checkpoint/codecs.ts';
import { RecordWindow } from '#operators/windows/record-window.ts';
import type { WindowAssigner } from '#operators/windows/window-assigner.ts';
import type { WindowFunction } from '#operators/windows/window-function.ts';
import { OperatorRig, type Row } from '../windows/operator-rig.ts';
import { Random } from '../windows/random.ts';
import { KeyNames } from './key-names.ts';
import { drive, type Entry } from './random-drive.ts';
import { type ModelOptions, WindowModel } from './window-model.ts';

const KEYS = 4;

const LIST: WindowFunction = {
  kind: 'process',
  codec: json(),
  process: (elements, { startMs, endMs, revision }) => [
    endMs === Number.POSITIVE_INFINITY ? [revision, elements] : [startMs, endMs, revision, elements],
  ],
};

function rigOf(options: ModelOptions, plan: WindowFunction = LIST): OperatorRig {
  const keys = new KeyNames();
  for (let slot = 0; slot < KEYS; slot++) keys.slotOf(`k${slot}`);
  const { atEnd, count, purge, earlyMs, earlyByClock } = options;
  return new OperatorRig((collect) => {
    const operator = new RecordWindow({
      id: 'w',
      keys,
      assigner: assignerOf(options),
      trigger: {
        atEnd,
        count,
        purge,
        early: earlyMs === null ? null : { everyMs: earlyMs, by: earlyByClock ? 'clock' : 'event-time' },
      },
      allowedLatenessMs: options.latenessMs,
      function: plan,
      results: [collect('out')],
      late: [collect('late')],
    });
    return { head: operator, operators: [operator] };
  });
}

function assignerOf({ kind, sizeMs, slideMs, offsetMs, gapMs }: ModelOptions): WindowAssigner {
  if (kind === 'tumbling') return { kind, sizeMs, offsetMs };
  if (kind === 'sliding') return { kind, sizeMs, slideMs, offsetMs };
  return kind === 'session' ? { kind, gapMs } : { kind };
}

function randomOptions(random: Random): ModelOptions {
  const kind = (['tumbling', 'sliding', 'session', 'global'] as const)[random.below(4)];
  const atEnd = kind !== 'global' && random.chance(0.8);
  const early = random.chance(0.4);
  return {
    kind,
    sizeMs: 5 + random.below(40),
    slideMs: 3 + random.below(30),
    offsetMs: random.below(10) - 5,
    gapMs: 2 + random.below(20),
    latenessMs: random.chance(0.5) ? 0 : random.below(40),
    atEnd,
    earlyMs: early ? 2 + random.below(15) : null,
    earlyByClock: kind !== 'global' && !atEnd ? true : random.chance(0.5),
    count: random.chance(0.3) ? 1 + random.below(5) : null,
    purge: random.chance(0.3),
  };
}

function randomEntries(random: Random, entries: number): Entry[] {
  const behindMs = 1 + random.below(60);
  let serial = 0;
  let nowMs = 0;
  let clockMs = 0;
  return Array.from({ length: entries }, (): Entry => {
    clockMs += random.below(8);
    const records = Array.from({ length: random.below(6) }, () =>
      Array.from({ length: 1 + random.below(3) }, (): Row => {
        nowMs += random.chance(0.05) ? random.below(80) : random.below(4);
        const timeMs = nowMs - (random.chance(0.4) ? random.below(behindMs) : 0);
        return { slot: random.below(KEYS), timeMs, value: 0, record: serial++ };
      }),
    );
    return { clockMs, records };
  });
}

function sent(rig: OperatorRig): unknown[][] {
  return rig.collected.rows.map(({ step, slot, timeMs, record }) => [step, slot, timeMs, record]);
}

describe('windows over records', () => {
  it.each(Array.from({ length: 20 }, (_, i) => i * 10 + 1))('put out what the model says (seeds from %i)', (first) => {
    for (let seed = first; seed < first + 10; seed++) {
      const random = new Random(seed);
      const options = randomOptions(random);
      const boundMs = random.below(30);
      const rig = rigOf(options);
      const model = new WindowModel(options);
      drive(rig, model, randomEntries(random, 40), boundMs, random);
      expect(sent(rig), `seed ${seed}: ${JSON.stringify(options)}`).toEqual(model.sent);
      if (options.kind === 'global') continue;
      drive(
        rig,
        model,
        [{ clockMs: rig.clockMs, records: [[{ slot: 0, timeMs: 1e6, value: 0, record: 'end' }]] }],
        0,
        random,
      );
      rig.watermarkMs = 2e6;
      model.watermark(2e6);
      rig.fireDue();
      rig.clockMs = 1e6;
      rig.fireClock();
      expect([...rig.pages.snapshot().keys()], `seed ${seed} leaves state`).toEqual([]);
      expect(model.open).toBe(0);
    }
  });

  it('without an end forget a key with the firing that empties its window, and keep what no firing has met', () => {
    const options = { ...randomOptions(new Random(1)), kind: 'global', atEnd: false, earlyMs: null, count: 2 } as const;
    const usedAfter = (purge: boolean) => {
      const rig = rigOf({ ...options, purge });
      rig.process([0, 1, 0].map((slot, at) => ({ slot, timeMs: at, value: 0, record: at })));
      const [window] = rig.operators;
      return [window.usesKey(0), window.usesKey(1), rig.pages.snapshot().size];
    };
    expect(usedAfter(true)).toEqual([false, true, 1]);
    expect(usedAfter(false).slice(0, 2)).toEqual([true, true]);
  });

  it('give the same state however they came to it', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const options = randomOptions(new Random(seed));
      const entries = randomEntries(new Random(seed + 1_000), 20);
      const images = [1, 2].map((again) => {
        const rig = rigOf(options);
        drive(rig, new WindowModel(options), entries, 10, new Random(seed * 10 + again));
        return [...rig.pages.snapshot()].sort();
      });
      expect(images[0], `seed ${seed}: ${JSON.stringify(options)}`).toEqual(images[1]);
    }
  });

  it('can be looked into, key by key', () => {
    const options: ModelOptions = {
      ...{ kind: 'tumbling', sizeMs: 10, slideMs: 1, offsetMs: 0, gapMs: 1, latenessMs: 0 },
      ...{ atEnd: true, earlyMs: 4, earlyByClock: true, count: null, purge: false },
    };
    const rig = rigOf(options);
    rig.process([{ slot: 1, timeMs: 3, value: 0, record: 'a' }]);
    rig.restart();
    const [operator] = rig.operators;
    expect(operator.look?.(0)).toBeNull();
    expect(operator.look?.(1)).toEqual({
      states: { windows: [{ start: 0, end: 10, firings: 0, added: 1, content: ['a'] }] },
      eventTimersMs: [10],
      clockTimersMs: [4],
    });
  });

  it('group by sorting when nothing is late', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = new Random(seed);
      const kind = random.chance(0.5) ? 'session' : 'sliding';
      const size = { sizeMs: 10, slideMs: 5, offsetMs: 0, gapMs: 7 };
      const trigger = { atEnd: true, earlyMs: null, earlyByClock: false, count: null, purge: false };
      const options: ModelOptions = { kind, ...size, latenessMs: 0, ...trigger };
      const sum: WindowFunction = {
        kind: 'aggregate',
        codec: json(),
        aggregate: {
          create: () => 0,
          add: (a, value) => (a as number) + (value as number),
          result: (a) => a,
          merge: (a, b) => (a as number) + (b as number),
        },
        result: (value, { startMs, endMs }) => [startMs, endMs, value],
      };
      const rig = rigOf(options, sum);
      const rows = Array.from({ length: 200 }, (_, i) => ({
        slot: 0,
        timeMs: random.below(2_000),
        value: 0,
        record: i,
      }));
      for (const row of rows) {
        rig.process([row]);
        if (random.chance(0.1)) rig.restart();
      }
      rig.watermarkMs = 10_000;
      rig.fireDue();
      const expected = kind === 'session' ? sessions(rows, 7) : slides(rows);
      expect(
        sent(rig).map((row) => row[3]),
        `seed ${seed}`,
      ).toEqual(expected);
    }
  });
});

function sessions(rows: readonly Row[], gapMs: number): number[][] {
  const found: number[][] = [];
  for (const { timeMs, record } of rows.toSorted((a, b) => a.timeMs - b.timeMs)) {
    const last = found.at(-1);
    if (last !== undefined && timeMs <= last[1]) {
      last[1] = timeMs + gapMs;
      last[2] += record as number;
    } else found.push([timeMs, timeMs + gapMs, record as number]);
  }
  return found;
}

function slides(rows: readonly Row[]): number[][] {
  const found: number[][] = [];
  for (let start = -5; start < 2_000; start += 5) {
    const inside = rows.filter(({ timeMs }) => timeMs >= start && timeMs < start + 10);
    if (inside.length > 0)
      found.push([start, start + 10, inside.reduce((sum, row) => sum + (row.record as number), 0)]);
  }
  return found;
}
