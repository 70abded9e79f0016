// Columns against a map of rows: what is set, cleared, grown, checkpointed and restored is what the map holds.

import { describe, expect, it } from 'vitest';
import { PagedColumns } from '#checkpoint/paged-columns.ts';
import { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import { PowerDisk } from '#test/checkpoint/power-disk.ts';
import { Seeded } from '#test/checkpoint/seeded.ts';
import { acceptAll, checkpointsOn, confirmedAt, storeOn } from '#test/checkpoint/world.ts';

const COLUMNS = { sum: 'float64', last: 'int32', bits: 'uint32', flag: 'uint8' } as const;

function columns(rowsPerPage = 16) {
  return new PagedColumns({ stateId: 'rows', schemaVersion: 1, columns: COLUMNS, rowsPerPage });
}

type Row = readonly [number, number, number, number];
const VALUES = [0, -0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, -1e300, 5e-324];

function put(state: ReturnType<typeof columns>, slot: number, [sum, last, bits, flag]: Row): void {
  state.use(slot);
  const c = state.columns;
  c.sum[slot] = sum;
  c.last[slot] = last;
  c.bits[slot] = bits;
  c.flag[slot] = flag;
}

function rowsOf(state: ReturnType<typeof columns>): Map<number, Row> {
  const rows = new Map<number, Row>();
  const c = state.columns;
  for (let slot = 0; slot < state.capacity; slot++) {
    if (state.has(slot)) rows.set(slot, [c.sum[slot], c.last[slot], c.bits[slot], c.flag[slot]]);
  }
  return rows;
}

function pageBytes(state: ReturnType<typeof columns>, page: number): string {
  const out = new ByteWriter();
  state.writePage(page, out);
  return out.toBytes().toString('hex');
}

describe('paged columns', () => {
  it('hold and restore what a map holds, over many checkpoints', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = new Seeded(seed);
      const disk = new PowerDisk();
      let checkpoints = checkpointsOn(storeOn(disk));
      let state = columns();
      state.open(checkpoints);
      const model = new Map<number, Row>();
      for (let entry = 1; entry <= 10; entry++) {
        for (let i = 0; i < 60; i++) {
          const slot = random.below(random.chance(90) ? 80 : 700);
          if (random.chance(65)) {
            const row: Row = [
              VALUES[random.below(VALUES.length)],
              random.below(2 ** 31) * (random.chance(50) ? 1 : -1),
              random.below(2 ** 32),
              random.below(256),
            ];
            put(state, slot, row);
            model.set(slot, row);
          } else {
            state.clear(slot);
            model.delete(slot);
          }
        }
        await confirmedAt(checkpoints, entry);
        const before = checkpoints.digest();
        checkpoints = checkpointsOn(storeOn(disk));
        state = columns();
        state.open(checkpoints);
        await checkpoints.restore(acceptAll);
        expect(rowsOf(state)).toEqual(new Map([...model].sort((a, b) => a[0] - b[0])));
        expect(state.usedCount).toBe(model.size);
        expect(checkpoints.digest()).toBe(before);
      }
    }
  });

  it('write the same bytes for the same rows whatever happened before', () => {
    const a = columns();
    const b = columns();
    for (const state of [a, b]) state.open(checkpointsOn(storeOn(new PowerDisk())));
    put(a, 3, [1, 2, 3, 4]);
    put(a, 5, [5, 6, 7, 8]);
    for (let slot = 0; slot < 300; slot++) put(b, slot, [9, 9, 9, 9]);
    for (let slot = 0; slot < 300; slot++) b.clear(slot);
    put(b, 5, [5, 6, 7, 8]);
    put(b, 3, [1, 2, 3, 4]);
    expect(pageBytes(a, 0)).toBe(pageBytes(b, 0));
    expect(pageBytes(b, 1)).toBe('');
    expect(pageBytes(a, 1000)).toBe('');
    a.clear(3);
    expect(pageBytes(a, 0)).not.toBe(pageBytes(b, 0));
  });

  it('know one NaN', () => {
    const state = columns();
    state.open(checkpointsOn(storeOn(new PowerDisk())));
    put(state, 0, [Number.NaN, 0, 0, 0]);
    const plain = pageBytes(state, 0);
    new Uint32Array(state.columns.sum.buffer)[1] = 0xfff80001;
    expect(pageBytes(state, 0)).toBe(plain);
  });

  it('hand out a cleared row as zeros', () => {
    const state = columns();
    state.open(checkpointsOn(storeOn(new PowerDisk())));
    put(state, 7, [1, 2, 3, 4]);
    state.clear(7);
    expect(state.use(7)).toBe(true);
    expect(state.use(7)).toBe(false);
    expect(rowsOf(state).get(7)).toEqual([0, 0, 0, 0]);
  });

  it('keep rows and touch only the page of a changed row when they grow', () => {
    const touched: number[] = [];
    const state = columns();
    state.open({ register: () => ({ epoch: 1, touch: (page) => touched.push(page) }) });
    put(state, 1, [1, 1, 1, 1]);
    put(state, 2, [1, 1, 1, 1]);
    put(state, 1000, [2, 2, 2, 2]);
    expect(state.columns.sum[1]).toBe(1);
    expect(touched).toEqual([0, 62]);
  });

  it('refuse to be used before they are opened, and pages of a size that is no power of two', () => {
    expect(() => columns().use(1)).toThrow('opened before');
    expect(() => columns(24)).toThrow('power of two');
    expect(() => columns(4)).toThrow('power of two');
  });

  it('refuse a page that cannot be theirs', () => {
    const out = new ByteWriter();
    out.uvarint(17);
    expect(() => columns().readPage(0, new ByteReader(out.toBytes()))).toThrow('17 rows');
  });
});
