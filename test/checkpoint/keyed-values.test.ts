// Keyed values against a map: get, set, delete, change in place, checkpoint and restore.

import { describe, expect, it } from 'vitest';
import type { ValueCodec } from '#checkpoint/contract.ts';
import { KeyedValues } from '#checkpoint/keyed-values.ts';
import { SLOTS_PER_PAGE } from '#checkpoint/value-page.ts';
import { ByteWriter } from '#runtime/std/byte-writer.ts';
import { PowerDisk } from '#test/checkpoint/power-disk.ts';
import { Seeded } from '#test/checkpoint/seeded.ts';
import { acceptAll, checkpointsOn, confirmedAt, storeOn } from '#test/checkpoint/world.ts';

interface Seen {
  name: string;
  count: number;
}

const seenCodec: ValueCodec<Seen> = {
  schemaVersion: 3,
  write(value, out) {
    out.text(value.name);
    out.uvarint(value.count);
  },
  read: (input) => ({ name: input.text(), count: input.uvarint() }),
};

function values(): KeyedValues<Seen> {
  return new KeyedValues('seen', seenCodec);
}

describe('keyed values', () => {
  it('hold and restore what a map holds, over many checkpoints', async () => {
    for (let seed = 1; seed <= 15; seed++) {
      const random = new Seeded(seed);
      const disk = new PowerDisk();
      let checkpoints = checkpointsOn(storeOn(disk));
      let state = values();
      state.open(checkpoints);
      const model = new Map<number, Seen>();
      for (let entry = 1; entry <= 8; entry++) {
        for (let i = random.below(entry === 1 ? 80 : 6); i >= 0; i--) {
          const slot = random.below(2000);
          const dice = random.below(3);
          if (dice === 0) {
            state.set(slot, { name: `n${slot}`, count: i });
            model.set(slot, { name: `n${slot}`, count: i });
          } else if (dice === 1) {
            expect(state.delete(slot)).toBe(model.delete(slot));
          } else {
            const value = state.change(slot);
            expect(value).toEqual(model.get(slot));
            if (value !== undefined) {
              value.count += 5;
              model.set(slot, { ...value });
            }
          }
        }
        await confirmedAt(checkpoints, entry);
        checkpoints = checkpointsOn(storeOn(disk));
        state = values();
        state.open(checkpoints);
        await checkpoints.restore(acceptAll);
        expect([...state.slots()]).toEqual([...model.keys()].sort((a, b) => a - b));
        for (const [slot, value] of model) expect(state.get(slot)).toEqual(value);
        expect(state.size).toBe(model.size);
      }
    }
  });

  it('write the same bytes for the same values whatever happened before, and nothing for none', () => {
    const a = values();
    const b = values();
    for (const state of [a, b]) state.open(checkpointsOn(storeOn(new PowerDisk())));
    const bytesOf = (state: KeyedValues<Seen>, page: number) => {
      const out = new ByteWriter();
      state.writePage(page, out);
      return out.toBytes().toString('hex');
    };
    for (let slot = 0; slot < 60; slot++) a.set(slot, { name: 'x', count: 1 });
    for (let slot = 0; slot < 60; slot++) if (slot !== 4) a.delete(slot);
    b.set(4, { name: 'x', count: 1 });
    expect(bytesOf(a, 0)).toBe(bytesOf(b, 0));
    expect(bytesOf(a, 0)).not.toBe('');
    expect(bytesOf(a, 1)).toBe('');
    expect(bytesOf(a, 9)).toBe('');
  });

  it('touch a page once per epoch, before it changes, and not for reading', () => {
    const FIRST = SLOTS_PER_PAGE;
    const touched: [number, number | undefined][] = [];
    const state = values();
    const tracker = {
      epoch: 1,
      touch: (page: number) => {
        touched.push([page, state.get(page * SLOTS_PER_PAGE)?.count]);
      },
    };
    state.open({ register: () => tracker });
    state.set(FIRST, { name: 'a', count: 1 });
    state.set(FIRST + 1, { name: 'b', count: 1 });
    state.get(600);
    state.delete(600);
    expect(touched).toEqual([[1, undefined]]);
    tracker.epoch = 2;
    state.set(FIRST, { name: 'a', count: 2 });
    expect(touched).toEqual([
      [1, undefined],
      [1, 1],
    ]);
    tracker.epoch = 3;
    state.delete(FIRST);
    state.change(FIRST + 1);
    expect(touched.slice(2)).toEqual([[1, 2]]);
    tracker.epoch = 4;
    state.change(FIRST + 1);
    state.change(600);
    expect(touched.slice(3)).toEqual([[1, undefined]]);
  });

  it('refuse to be used before they are opened', () => {
    expect(() => values().set(1, { name: 'a', count: 1 })).toThrow('opened before');
  });
});
