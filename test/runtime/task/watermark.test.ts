import { expect, test } from 'vitest';
import { Watermark } from '#runtime/task/watermark.ts';

const source = { kind: 'source', outOfOrdernessMs: 5_000, idlenessMs: 30_000, maxSkewMs: 600_000 } as const;
const exchange = { kind: 'exchange' } as const;

test('a source follows its running maximum less the bound and never goes back', () => {
  const watermark = new Watermark(source, 0);
  expect(watermark.valueMs).toBe(Number.NEGATIVE_INFINITY);
  watermark.raise(Number.NEGATIVE_INFINITY);
  expect(watermark.valueMs).toBe(Number.NEGATIVE_INFINITY);
  watermark.raise(20_000);
  watermark.raise(10_000);
  expect(watermark.valueMs).toBe(15_000);
  expect(watermark.timestampFor(60_000)).toBe(65_000);
});

test('idle time raises a source, and data that arrives within the bound after it is not late', () => {
  const watermark = new Watermark(source, 0);
  watermark.raise(20_000);
  watermark.advanceIdle(1_000);
  expect(watermark.valueMs).toBe(16_000);
  watermark.raise(20_500);
  expect(watermark.valueMs).toBe(16_000);
});

test('an exchange stands at the smallest contribution, and a writer never heard holds it', () => {
  const watermark = new Watermark(exchange, 2);
  watermark.hear({ writer: 0, watermarkMs: 100, idle: false });
  expect(watermark.valueMs).toBe(Number.NEGATIVE_INFINITY);
  expect(watermark.holders()).toEqual([1]);
  watermark.hear({ writer: 1, watermarkMs: 50, idle: false });
  expect(watermark.valueMs).toBe(50);
  watermark.hear({ writer: 0, watermarkMs: 200, idle: false });
  expect(watermark.valueMs).toBe(50);
  expect(watermark.holders()).toEqual([1]);
});

test('an idle mark lifts its writer to the largest watermark read so far, and not beyond it later', () => {
  const watermark = new Watermark(exchange, 2);
  watermark.hear({ writer: 0, watermarkMs: 100, idle: false });
  watermark.hear({ writer: 1, watermarkMs: 10, idle: true });
  expect(watermark.valueMs).toBe(100);
  watermark.hear({ writer: 0, watermarkMs: 300, idle: false });
  expect(watermark.valueMs, 'the idle writer holds at its last word').toBe(100);
  watermark.hear({ writer: 1, watermarkMs: 10, idle: true });
  expect(watermark.valueMs).toBe(300);
  watermark.hear({ writer: 1, watermarkMs: 20, idle: false });
  expect(watermark.valueMs, 'a lower word of a lifted writer takes nothing back').toBe(300);
});

test('when all writers are idle their own advancing watermarks go on', () => {
  const watermark = new Watermark(exchange, 2);
  for (const writer of [0, 1]) watermark.hear({ writer, watermarkMs: 100, idle: true });
  expect(watermark.allWritersIdle).toBe(true);
  watermark.hear({ writer: 0, watermarkMs: 1_100, idle: true });
  expect(watermark.valueMs).toBe(100);
  watermark.hear({ writer: 1, watermarkMs: 1_099, idle: true });
  expect(watermark.valueMs).toBe(1_100);
});

test('what is saved restores to the same behaviour', () => {
  const original = new Watermark(exchange, 3);
  original.hear({ writer: 0, watermarkMs: 100, idle: false });
  original.hear({ writer: 1, watermarkMs: 40, idle: true });
  const copy = new Watermark(exchange, 3);
  copy.restore(JSON.parse(JSON.stringify(original.save())));
  for (const watermark of [original, copy]) watermark.hear({ writer: 2, watermarkMs: 90, idle: false });
  expect(copy.valueMs).toBe(original.valueMs);
  expect(copy.save()).toEqual(original.save());
  expect(() => new Watermark(exchange, 2).restore(original.save())).toThrow(/number of writers/);
});
