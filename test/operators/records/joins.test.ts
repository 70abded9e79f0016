// Joins put out what slow models say, however batches are cut, entries stop and tasks restart.

import { describe, expect, it } from 'vitest';
import { json } from '#checkpoint/codecs.ts';
import { IntervalJoin } from '#operators/process/interval-join.ts';
import { TableLookup } from '#operators/process/table-lookup.ts';
import { OperatorRig, type Row } from '../windows/operator-rig.ts';
import { Random } from '../windows/random.ts';
import { IntervalJoinModel, LookupModel } from './join-model.ts';
import { KeyNames } from './key-names.ts';
import { drive, type Entry } from './random-drive.ts';

const KEYS = 3;

function keyNames(): KeyNames {
  const keys = new KeyNames();
  for (let slot = 0; slot < KEYS; slot++) keys.slotOf(`k${slot}`);
  return keys;
}

interface EntriesOptions {
  readonly boundMs: number;
  readonly behindMs: number;
  readonly deletions: boolean;
  /** Right records are never further behind the watermark. */
  readonly rightLateMaxMs: number;
}

function randomEntries(random: Random, entries: number, options: EntriesOptions): Entry[] {
  let serial = 0;
  let nowMs = 0;
  let watermarkMs = Number.NEGATIVE_INFINITY;
  return Array.from({ length: entries }, (): Entry => {
    const records = Array.from({ length: random.below(6) }, () => {
      const rows = Array.from({ length: 1 + random.below(3) }, (): Row => {
        nowMs += random.chance(0.05) ? random.below(50) : random.below(3);
        const side = random.below(2);
        let timeMs = nowMs - (random.chance(0.5) ? random.below(options.behindMs) : 0);
        if (side === 1) timeMs = Math.max(timeMs, watermarkMs - options.rightLateMaxMs);
        const isDeletion = side === 1 && options.deletions && random.chance(0.3);
        return { slot: random.below(KEYS), timeMs, value: 0, record: [side, isDeletion ? null : serial++] };
      });
      for (const { timeMs } of rows) watermarkMs = Math.max(watermarkMs, timeMs - options.boundMs);
      return rows;
    });
    return { clockMs: 0, records };
  });
}

function sent(rig: OperatorRig): unknown[][] {
  return rig.collected.rows.map(({ step, slot, timeMs, record }) => [step, slot, timeMs, record]);
}

/** Everything that waits for the watermark. */
function finish(rig: OperatorRig, model: { watermark(timeMs: number): void }): void {
  rig.watermarkMs = 1e6;
  rig.fireDue();
  model.watermark(1e6);
}

describe('an interval join', () => {
  it('puts out each pair within the bounds once, and nothing else', () => {
    for (let seed = 1; seed <= 250; seed++) {
      const random = new Random(seed);
      const lowerMs = random.below(30) - 20;
      const upperMs = lowerMs + random.below(25);
      const latenessMs = random.chance(0.5) ? 0 : random.below(20);
      const outer = [random.chance(0.5), random.chance(0.5)] as const;
      const kind = outer[0] ? (outer[1] ? 'full' : 'left') : outer[1] ? 'right' : 'inner';
      const rig = new OperatorRig((collect) => {
        const operator = new IntervalJoin({
          id: 'j',
          keys: keyNames(),
          lowerMs,
          upperMs,
          kind,
          allowedLatenessMs: latenessMs,
          codecs: [json(), json()],
          join: (left, right) => [left, right],
          results: [collect('out')],
          late: [[collect('late-left')], [collect('late-right')]],
        });
        return { head: operator, operators: [operator] };
      });
      const model = new IntervalJoinModel({ lowerMs, upperMs, latenessMs, outer });
      const boundMs = random.below(20);
      const options = { boundMs, behindMs: 40, deletions: false, rightLateMaxMs: Number.POSITIVE_INFINITY };
      drive(rig, model, randomEntries(random, 30, options), boundMs, random);
      finish(rig, model);
      expect(sent(rig), `seed ${seed}: [${lowerMs}, ${upperMs}] ${kind} lateness ${latenessMs}`).toEqual(model.sent);
      expect([...rig.pages.snapshot().keys()], `seed ${seed} leaves state`).toEqual([]);
    }
  });
});

describe('a table lookup', () => {
  it('answers each record once, with the row that it should meet', () => {
    for (let seed = 1; seed <= 250; seed++) {
      const random = new Random(seed);
      const [versioned, left] = [random.chance(0.7), random.chance(0.5)];
      const latenessMs = random.chance(0.5) ? 0 : random.below(20);
      const rig = new OperatorRig((collect) => {
        const operator = new TableLookup({
          id: 'l',
          keys: keyNames(),
          mode: versioned ? 'versioned' : 'latest',
          kind: left ? 'left' : 'inner',
          allowedLatenessMs: latenessMs,
          codecs: [json(), json()],
          isDeleted: null,
          join: (record, row, { rowMs }) => [record, row, rowMs],
          results: [collect('out')],
          late: [collect('late')],
        });
        return { head: operator, operators: [operator] };
      });
      const model = new LookupModel({ versioned, left, latenessMs });
      const boundMs = random.below(20);
      const options = { boundMs, behindMs: 40, deletions: true, rightLateMaxMs: latenessMs };
      drive(rig, model, randomEntries(random, 30, options), boundMs, random);
      finish(rig, model);
      expect(sent(rig), `seed ${seed}: ${versioned} ${left} lateness ${latenessMs}`).toEqual(model.sent);
    }
  });

  it('keeps one row per key, however often it changes, and none after a deletion', () => {
    const rig = new OperatorRig((collect) => {
      const operator = new TableLookup({
        id: 'l',
        keys: keyNames(),
        mode: 'versioned',
        kind: 'inner',
        allowedLatenessMs: 0,
        codecs: [json(), json()],
        isDeleted: null,
        join: (record) => record,
        results: [collect('out')],
        late: [],
      });
      return { head: operator, operators: [operator] };
    });
    for (let timeMs = 1; timeMs <= 500; timeMs++) {
      rig.process([{ slot: 0, timeMs, value: 0, record: [1, 'x'.repeat(50)] }]);
      rig.watermarkMs = timeMs;
      rig.fireDue();
    }
    const bytes = [...rig.pages.snapshot().values()].join('').length / 2;
    expect(bytes).toBeGreaterThan(50);
    expect(bytes).toBeLessThan(200);
    rig.process([{ slot: 0, timeMs: 501, value: 0, record: [1, null] }]);
    rig.watermarkMs = 502;
    rig.fireDue();
    expect([...rig.pages.snapshot().keys()]).toEqual([]);
  });

  it.each([undefined, 1, 'no', null, Promise.resolve(false)])('deletes no row by the answer %s', (answer) => {
    const rig = new OperatorRig((collect) => {
      const operator = new TableLookup({
        id: 'l',
        keys: keyNames(),
        mode: 'latest',
        kind: 'inner',
        allowedLatenessMs: 0,
        codecs: [json(), json()],
        isDeleted: () => answer,
        join: (record) => record,
        results: [collect('out')],
        late: [],
      });
      return { head: operator, operators: [operator] };
    });
    expect(() => rig.process([{ slot: 0, timeMs: 1, value: 0, record: [1, 'row'] }])).toThrow(
      /the function of lookup 'l' (gave|is asynchronous)/,
    );
  });
});
