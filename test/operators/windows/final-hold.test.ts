// Rows that wait until nothing can correct them: which one leaves, when, in what order, and through restarts.

import { expect, test } from 'vitest';
import { FinalHold, type FinalHoldOptions } from '#operators/windows/final-hold.ts';
import { Batch, type BatchConsumer, rollupColumns } from '#runtime/task/contract.ts';
import { OperatorRig, type Row } from './operator-rig.ts';
import { Random } from './random.ts';

const MINUTE = 60_000;

interface Rollup {
  readonly slot: number;
  readonly endMs: number;
  readonly value: number;
  readonly run?: number;
  readonly revision?: number;
}

/** What left, entry by entry: `slot@end=value r<run>.<revision>`. */
class Departures implements BatchConsumer {
  readonly all: string[] = [];
  entry: string[] = [];

  process(batch: Batch): void {
    const { rollups } = batch;
    for (let i = 0; i < batch.count; i++) {
      const text =
        rollups === null
          ? `${batch.key[i]}@${batch.timestampMs[i]}=${batch.value[i]} from ${batch.originOffset[i]}`
          : `${batch.key[i]}@${rollups.windowEndMs[i] / MINUTE}=${[...rollups.values.subarray(i * 8, i * 8 + 8)].join()} r${rollups.run[i]}.${rollups.revision[i]} from ${rollups.windowStartMs[i] / MINUTE}/${batch.originPartition[i]}/${batch.originOffset[i]}`;
      this.entry.push(text);
      this.all.push(text);
    }
  }
}

function hold(options: Partial<FinalHoldOptions> = {}) {
  const gone = new Departures();
  const rig = new OperatorRig((collect) => {
    const base = { id: 'hold', kind: 'rollups', latenessMs: 0, corrections: 'wait' } as const;
    const operator = new FinalHold({ ...base, ...options, next: [gone], late: [collect('late')] });
    return { head: operator, operators: [operator] };
  });
  const put = (...rollups: readonly Rollup[]) => {
    const batch = new Batch(rollups.length);
    batch.rollups = rollupColumns(rollups.length);
    for (const [i, { endMs, revision = 0, run = 0, slot, value }] of rollups.entries()) {
      batch.key[i] = slot;
      batch.timestampMs[i] = endMs - 1;
      batch.originPartition[i] = 2;
      batch.originOffset[i] = value;
      batch.rollups.windowStartMs[i] = endMs - MINUTE;
      batch.rollups.windowEndMs[i] = endMs;
      batch.rollups.values.fill(value, i * 8, i * 8 + 8);
      batch.rollups.run[i] = run;
      batch.rollups.revision[i] = revision;
      batch.count++;
    }
    rig.operators[0].process(batch);
  };
  /** Moves the watermark; gives what left in each entry that it took. */
  const advance = (watermarkMs: number, budget?: number, between = () => {}): string[][] => {
    rig.watermarkMs = watermarkMs;
    const entries: string[][] = [];
    for (let done = false; !done; ) {
      gone.entry = [];
      done = rig.fireDue(budget);
      rig.endEntry();
      between();
      if (gone.entry.length > 0) entries.push(gone.entry);
    }
    return entries;
  };
  const counted = (counter: string) => rig.collected.counts.get(counter) ?? 0;
  return { rig, gone, put, advance, counted };
}

const short = (texts: readonly string[]) => texts.map((text) => text.replace(/=(-?\d+),.*$/, '=$1'));

test('a row leaves when the watermark reaches the end of its window and lateness, whole', () => {
  const { advance, put } = hold({ latenessMs: 5_000 });
  put({ slot: 3, endMs: MINUTE, value: 7, run: 1, revision: 2 });
  expect(advance(MINUTE + 4_999)).toEqual([]);
  expect(advance(MINUTE + 5_000)).toEqual([['3@1=7,7,7,7,7,7,7,7 r1.2 from 0/2/7']]);
  expect(advance(10 * MINUTE)).toEqual([]);
});

test('the newest by run and revision leaves, whatever came last; of equals the last', () => {
  const { advance, counted, put } = hold({ latenessMs: MINUTE });
  put({ slot: 0, endMs: MINUTE, value: 1, revision: 1 }, { slot: 1, endMs: MINUTE, value: 5, run: 1 });
  put({ slot: 0, endMs: MINUTE, value: 2 }, { slot: 1, endMs: MINUTE, value: 6, revision: 9 });
  put({ slot: 2, endMs: MINUTE, value: 8 }, { slot: 2, endMs: MINUTE, value: 9 });
  expect(short(advance(2 * MINUTE)[0])).toEqual(['0@1=1', '1@1=5', '2@1=9']);
  expect(counted('corrections-merged')).toBe(3);
});

test('what comes when its time is over is dropped and counted', () => {
  const { advance, counted, put, rig } = hold({ latenessMs: 1_000 });
  rig.watermarkMs = MINUTE + 999;
  put({ slot: 0, endMs: MINUTE, value: 1 });
  expect(short(advance(MINUTE + 1_000)[0])).toEqual(['0@1=1']);
  put({ slot: 0, endMs: MINUTE, value: 2, revision: 1 });
  expect(advance(9 * MINUTE)).toEqual([]);
  expect(counted('corrections-dropped')).toBe(1);
});

test('where corrections are dropped the first row leaves', () => {
  const { advance, counted, put } = hold({ corrections: 'drop' });
  put({ slot: 0, endMs: MINUTE, value: 1 });
  put({ slot: 0, endMs: MINUTE, value: 2, revision: 1 }, { slot: 1, endMs: MINUTE, value: 3, run: 1 });
  expect(short(advance(MINUTE)[0])).toEqual(['0@1=1']);
  expect(counted('corrections-dropped')).toBe(2);
});

test('rows leave by time and slot, and no key twice in one entry', () => {
  const { advance, put } = hold();
  put(
    { slot: 9, endMs: 2 * MINUTE, value: 1 },
    { slot: 4, endMs: MINUTE, value: 2 },
    { slot: 9, endMs: MINUTE, value: 3 },
  );
  put({ slot: 1, endMs: 2 * MINUTE, value: 4 }, { slot: 9, endMs: 3 * MINUTE, value: 5 });
  expect(advance(3 * MINUTE).map(short)).toEqual([['4@1=2', '9@1=3', '1@2=4'], ['9@2=1'], ['9@3=5']]);
});

function sample(timeMs: number, slot: number, value: number): Row {
  return { slot, timeMs, value, origin: { topic: 'metrics.raw', partition: 1, offset: value } };
}

test('samples leave in order of time when their second is over; late ones go to the late output', () => {
  const { advance, counted, rig } = hold({ kind: 'samples', latenessMs: 2_000 });
  rig.process([sample(1_500, 0, 1), sample(1_400, 1, 2), sample(1_999, 2, 3), sample(2_000, 3, 4)]);
  expect(advance(3_999)).toEqual([]);
  expect(advance(4_000)).toEqual([['1@1400=2 from 2', '0@1500=1 from 1', '2@1999=3 from 3']]);
  rig.process([sample(1_999, 0, 5), sample(2_000, 0, 6)]);
  expect(rig.collected.rows).toMatchObject([{ step: 'late', timeMs: 1_999, value: 5, origin: { offset: 5 } }]);
  expect(counted('late')).toBe(1);
  expect(advance(5_000)).toEqual([['0@2000=6 from 6', '3@2000=4 from 4']]);
});

test('batches are cut where something becomes final, and keys in hold are in use', () => {
  const { put, rig } = hold({ latenessMs: 300 });
  expect(rig.boundaryMs()).toBe(Number.NEGATIVE_INFINITY);
  rig.watermarkMs = 5_299;
  expect(rig.boundaryMs()).toBe(5_300);
  rig.watermarkMs = 5_300;
  expect(rig.boundaryMs()).toBe(6_300);
  put({ slot: 5, endMs: MINUTE, value: 1 });
  expect([4, 5, 70_000].map((slot) => rig.operators[0].usesKey(slot))).toEqual([false, true, false]);
  rig.watermarkMs = 2 * MINUTE;
  rig.fireDue();
  expect(rig.operators[0].usesKey(5)).toBe(false);
});

test('more rows than allowed end the task instead of its memory', () => {
  const { put } = hold({ rowsMax: 3 });
  const row = (slot: number) => ({ slot, endMs: MINUTE, value: 1 });
  put(row(0), row(1), row(2));
  put(row(2));
  expect(() => put(row(3))).toThrow(/holds 4 rows back until their time is final, more than 3/);
});

test.each(['rollups', 'samples'] as const)('%s: restarts at any moment, and small budgets, change nothing', (kind) => {
  for (let seed = 1; seed <= 20; seed++) {
    const plain = drive(kind, seed, false);
    expect(drive(kind, seed, true), `seed ${seed}`).toEqual(plain);
    expect(plain.length).toBeGreaterThan(50);
  }
});

/** Random rows under a rising watermark; what left, in order. */
function drive(kind: 'rollups' | 'samples', seed: number, troubled: boolean): string[] {
  const random = new Random(seed);
  const trouble = new Random(seed + 1_000);
  const { advance, gone, put, rig } = hold({ kind, latenessMs: 1_500 });
  for (let step = 0; step < 60; step++) {
    const nowMs = 1_000_000 + step * 700;
    for (let i = 0; i < 5; i++) {
      const slot = random.below(9_000);
      const atMs = nowMs + random.below(6_000) - 3_000;
      if (kind === 'samples') rig.process([sample(atMs, slot % 7, step * 10 + i)]);
      else put({ slot, endMs: Math.round(atMs / 500) * 500, value: step * 10 + i, revision: random.below(3) });
    }
    const between = () => {
      if (troubled && trouble.below(3) === 0) rig.restart();
    };
    advance(nowMs - 1_000, troubled ? 1 + trouble.below(3) : undefined, between);
  }
  advance(2_000_000, troubled ? 2 : undefined);
  return gone.all;
}

test('a time is final only when the watermark is beyond it: others of the same time may still come', () => {
  const { advance, rig } = hold({ kind: 'samples' });
  rig.process([sample(2_000, 0, 1)]);
  expect(advance(2_000)).toEqual([]);
  rig.process([sample(2_000, 1, 2)]);
  expect(rig.collected.rows).toEqual([]);
  expect(advance(3_000)).toEqual([['0@2000=1 from 1', '1@2000=2 from 2']]);
});
