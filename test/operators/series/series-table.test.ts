import { expect, test } from 'vitest';
import type { PagedState, PageTracker } from '#checkpoint/contract.ts';
import { SeriesTable } from '#operators/series/series-table.ts';
import { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';
import { murmur2 } from '#runtime/std/murmur2.ts';
import { seeded } from '#test/operators/formats/sample-generator.ts';

/** Keeps what every page held when the epoch began, and says which pages were touched. */
class TestTracker implements PageTracker {
  epoch = 1;
  readonly touched = new Set<number>();
  #before = new Map<number, string>();
  readonly #state: PagedState;

  constructor(state: PagedState) {
    this.#state = state;
  }

  touch(page: number): void {
    expect(pageOf(this.#state, page), `page ${page} changed before it was touched`).toBe(this.#before.get(page) ?? '');
    expect(this.touched.has(page), `page ${page} was touched twice in an epoch`).toBe(false);
    this.touched.add(page);
  }

  /** The state was restored. */
  begin(): void {
    this.#before = pagesOf(this.#state);
  }

  /** Ends the epoch: a page that differs must have been touched. The pages by number. */
  nextEpoch(): Map<number, string> {
    const now = pagesOf(this.#state);
    for (const page of new Set([...now.keys(), ...this.#before.keys()])) {
      const changed = (now.get(page) ?? '') !== (this.#before.get(page) ?? '');
      if (changed) expect(this.touched, `page ${page} changed`).toContain(page);
    }
    this.#before = now;
    this.touched.clear();
    this.epoch++;
    return now;
  }
}

function pageOf(state: PagedState, page: number): string {
  const out = new ByteWriter();
  state.writePage(page, out);
  return out.toBytes().toString('hex');
}

function pagesOf(state: PagedState): Map<number, string> {
  const pages = new Map<number, string>();
  for (let page = 0; page < 40; page++) if (pageOf(state, page) !== '') pages.set(page, pageOf(state, page));
  return pages;
}

function open(seriesMax?: number): { table: SeriesTable; tracker: TestTracker } {
  const table = new SeriesTable(seriesMax === undefined ? { stateId: 't/series' } : { stateId: 't/series', seriesMax });
  const tracker = new TestTracker(table);
  const registry = { register: () => tracker };
  table.open(registry);
  table.open(registry);
  return { table, tracker };
}

function restored(pages: Map<number, string>): SeriesTable {
  const { table, tracker } = open();
  for (const [page, hex] of [...pages].sort((a, b) => a[0] - b[0]))
    table.readPage(page, new ByteReader(Buffer.from(hex, 'hex')));
  tracker.begin();
  return table;
}

const unused = (): boolean => false;
const name = (i: number): string => `series_${i}{host="h-${i}"}`;

test('gives slots in the order of first appearance and knows everything about them', () => {
  const { table } = open();
  for (let i = 0; i < 3000; i++) expect(table.slotOfText(name(i))).toBe(i);
  for (let i = 0; i < 3000; i++) {
    const bytes = Buffer.from(`xx${name(i)}yy`);
    expect(table.slotOf(bytes, 2, bytes.length - 2)).toBe(i);
    expect(table.find(bytes, 2, bytes.length - 2)).toBe(i);
  }
  expect(table.find(Buffer.from('other'))).toBe(-1);
  expect([table.size, table.slotCount]).toEqual([3000, 3000]);
  expect(table.canonicalBytes(7).toString()).toBe(name(7));
  expect(table.hash(7)).toBe(murmur2(Buffer.from(name(7))));
  expect(table.metricName(7)).toBe('series_7');
  expect(table.labels(7)).toEqual([['host', 'h-7']]);
  expect(table.jsonBytes(7).toString()).toBe('"metric_name":"series_7","labels":{"host":"h-7"}');
  expect(() => table.canonicalBytes(3000)).toThrow(/holds no series/);
});

test('frees what was not seen for two generations and is not used, and fills the lowest slot first', () => {
  const { table } = open();
  const freed: number[][] = [];
  table.onEvict((slots) => freed.push([...slots]));
  for (let i = 0; i < 6; i++) table.slotOfText(name(i));
  expect(table.evict(unused)).toBe(0);
  table.markSeen(Int32Array.of(1, 4, 1), 3);
  expect(table.evict(unused)).toBe(0);
  table.markSeen(Int32Array.of(5, 2), 1);
  expect(table.evict((slot) => slot === 2)).toBe(2);
  expect(freed).toEqual([[0, 3]]);
  expect([0, 1, 2, 3, 4, 5].map((slot) => table.isLive(slot))).toEqual([false, true, true, false, true, true]);
  expect(table.slotOfText(name(10))).toBe(0);
  expect(table.slotOfText(name(0))).toBe(3);
  expect(table.slotOfText(name(11))).toBe(6);
  expect(table.find(Buffer.from(name(3)))).toBe(-1);
});

test('marking touches a page only when a mark changes', () => {
  const { table, tracker } = open();
  for (let i = 0; i < 600; i++) table.slotOfText(name(i));
  tracker.nextEpoch();
  table.markSeen(
    Int32Array.from({ length: 600 }, (_, i) => i),
    600,
  );
  expect(tracker.touched).toEqual(new Set());
  table.evict(unused);
  table.markSeen(Int32Array.of(300, 300, 301), 3);
  expect(tracker.touched).toEqual(new Set([0, 2]));
  tracker.nextEpoch();
  table.markSeen(Int32Array.of(300, 301), 2);
  expect(tracker.touched).toEqual(new Set());
});

test('any history leaves pages that follow from its last state only, and a restored table goes on alike', () => {
  for (let seed = 1; seed <= 12; seed++) {
    const next = seeded(seed);
    const { table, tracker } = open();
    let twin = restored(new Map());
    const used = new Set<number>();
    for (let round = 0; round < 30; round++) {
      const keys = Int32Array.from({ length: 60 }, () => {
        const canonical = Buffer.from(name(Math.floor(next() * 900)));
        const slot = table.slotOf(canonical);
        expect(twin.slotOf(canonical)).toBe(slot);
        return slot;
      });
      const marked = Math.floor(next() * 60);
      table.markSeen(keys, marked);
      twin.markSeen(keys, marked);
      if (next() < 0.3) used.add(keys[0]);
      if (next() < 0.3) used.clear();
      if (next() < 0.5) expect(twin.evict((slot) => used.has(slot))).toBe(table.evict((slot) => used.has(slot)));
      if (next() < 0.5) table.jsonBytes(keys[0]);
      const pages = tracker.nextEpoch();
      expect(pagesOf(twin)).toEqual(pages);
      expect([twin.slotCount, twin.size, twin.generation]).toEqual([table.slotCount, table.size, table.generation]);
      if (next() < 0.3) twin = restored(pages);
    }
  }
});

test('keeps its bytes when most series go', () => {
  const { table } = open();
  for (let i = 0; i < 20_000; i++) table.jsonBytes(table.slotOfText(name(i)));
  const kept = Int32Array.from({ length: 100 }, (_, i) => i * 200);
  for (let i = 0; i < 3; i++) {
    table.markSeen(kept, kept.length);
    table.evict(unused);
  }
  expect(table.size).toBe(100);
  for (const slot of kept) {
    expect(table.canonicalBytes(slot).toString()).toBe(name(slot));
    expect(table.jsonBytes(slot).toString()).toContain(`"h-${slot}"`);
    expect(table.canonicalBytes(slot).buffer.byteLength).toBeLessThan(32 * 1024);
  }
});

test('one series more than seriesMax is an error that names series and knob', () => {
  const { table } = open(3);
  for (let i = 0; i < 3; i++) table.slotOfText(name(i));
  expect(table.slotOfText(name(1))).toBe(1);
  expect(() => table.slotOfText(name(3))).toThrow(
    expect.objectContaining({
      code: 'series-limit',
      message: expect.stringContaining(name(3)),
      remedy: expect.stringContaining('seriesMax (3)'),
    }),
  );
  for (let i = 0; i < 3; i++) table.evict(unused);
  expect(table.slotOfText(name(3))).toBe(0);
});

test('cannot change before it is opened, nor be opened twice', () => {
  const table = new SeriesTable({ stateId: 't/series' });
  expect(() => table.slotOfText('up')).toThrow(/before it was opened/);
  table.open({ register: () => ({ epoch: 1, touch: () => {} }) });
  expect(() => table.open({ register: () => ({ epoch: 1, touch: () => {} }) })).toThrow(/another attempt/);
});
