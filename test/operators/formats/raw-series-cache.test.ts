import { expect, test } from 'vitest';
import { finishHash, hashRange, RawSeriesCache } from '#operators/formats/raw-series-cache.ts';
import { seeded } from '#test/operators/formats/sample-generator.ts';

interface Ranges {
  readonly view: DataView;
  readonly at: readonly [nameStart: number, nameSize: number, labelsStart: number, labelsSize: number];
  readonly hash: number;
}

function ranges(name: string, labels: string, shift: number): Ranges {
  const bytes = Buffer.from(`${'#'.repeat(shift)}${name}"${labels}}####`, 'latin1');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const labelsStart = shift + name.length + 1;
  const hash = finishHash(
    hashRange(view, shift, shift + name.length),
    hashRange(view, labelsStart, labelsStart + labels.length),
  );
  return { view, at: [shift, name.length, labelsStart, labels.length], hash };
}

test('finds what was inserted wherever it stands, and nothing else', () => {
  const next = seeded(5);
  const cache = new RawSeriesCache();
  const known = new Map<string, number>();
  for (let i = 0; i < 30_000; i++) {
    const name = 'm'.repeat(Math.floor(next() * 9));
    const labels = `{${String(Math.floor(next() * 900)).repeat(1 + Math.floor(next() * 3))}`;
    const { view, at, hash } = ranges(name, labels, Math.floor(next() * 4));
    const key = `${name}\n${labels}`;
    expect(cache.find(view, ...at, hash)).toBe(known.get(key) ?? -1);
    if (known.has(key)) continue;
    cache.insert(view, ...at, hash, known.size);
    known.set(key, known.size);
  }
  expect(cache.emptied).toBe(0);
  expect(known.size).toBeGreaterThan(5000);
});

test('is emptied when it is full and goes on, within its bytes', () => {
  const cache = new RawSeriesCache({ bytesMax: 96 * 1024 });
  for (let i = 0; i < 20_000; i++) {
    const { view, at, hash } = ranges('cpu', `{"host":"h-${i}"`, 1);
    cache.insert(view, ...at, hash, i);
    expect(cache.find(view, ...at, hash)).toBe(i);
  }
  expect(cache.emptied).toBeGreaterThan(5);
  const huge = ranges('cpu', `{"host":"${'x'.repeat(60_000)}"`, 0);
  cache.insert(huge.view, ...huge.at, huge.hash, 1);
  expect(cache.find(huge.view, ...huge.at, huge.hash)).toBe(1);
  const refused = ranges('cpu', `{"host":"${'x'.repeat(70_000)}"`, 0);
  cache.insert(refused.view, ...refused.at, refused.hash, 1);
  expect(cache.find(refused.view, ...refused.at, refused.hash)).toBe(-1);
});

test('ranges of one hash are told apart; too many of them push each other out', () => {
  const cache = new RawSeriesCache();
  const all = Array.from({ length: 100 }, (_, i) => ranges('cpu', `{${i}`, 0));
  all.forEach(({ view, at }, i) => {
    cache.insert(view, ...at, 77, i);
    expect(cache.find(view, ...at, 77)).toBe(i);
  });
  const found = all.map(({ view, at }) => cache.find(view, ...at, 77));
  expect(found.filter((slot) => slot >= 0)).toHaveLength(64);
  found.forEach((slot, i) => {
    expect([i, -1]).toContain(slot);
  });
});

test('forgets dropped slots and takes them again', () => {
  const cache = new RawSeriesCache();
  const all = Array.from({ length: 3000 }, (_, i) => ranges('cpu', `{${i}`, 0));
  all.forEach(({ view, at, hash }, i) => {
    cache.insert(view, ...at, hash, i);
  });
  cache.drop(all.map((_, i) => i).filter((i) => i % 3 === 0));
  all.forEach(({ view, at, hash }, i) => {
    expect(cache.find(view, ...at, hash)).toBe(i % 3 === 0 ? -1 : i);
    if (i % 3 === 0) cache.insert(view, ...at, hash, i + 1);
  });
  expect(all.map(({ view, at, hash }) => cache.find(view, ...at, hash))).toEqual(
    all.map((_, i) => (i % 3 === 0 ? i + 1 : i)),
  );
});
