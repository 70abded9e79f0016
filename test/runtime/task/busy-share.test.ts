// How busy a task is follows what it does of late, is known soon, and is not forgotten when it runs somewhere else.

import { expect, test } from 'vitest';
import { BusyShare, knownBefore } from '#runtime/task/busy-share.ts';

function scene() {
  const clock = { ms: 5_000, nowMs: () => clock.ms, monotonicMs: () => clock.ms, sleep: () => Promise.resolve() };
  const busy = new BusyShare(clock);
  const pass = (seconds: number, share: number) => {
    for (let i = 0; i < seconds * 10; i++) {
      clock.ms += 100;
      busy.worked(100 * share);
    }
  };
  return { clock, busy, pass };
}

test('nothing is known before time passed, and the share soon after', () => {
  const { busy, pass } = scene();
  expect(busy.read()).toEqual({ share: 0, overSeconds: 0 });
  pass(2, 0.5);
  const { share, overSeconds } = busy.read();
  expect(share).toBeCloseTo(0.5, 1);
  expect(overSeconds).toBeGreaterThan(1.9);
  expect(overSeconds).toBeLessThan(2);
});

test('what was an hour ago counts nothing, what was a minute ago less than half', () => {
  const { busy, pass } = scene();
  pass(3_600, 1);
  expect(busy.read()).toMatchObject({ share: expect.closeTo(1, 2), overSeconds: expect.closeTo(60, 3) });
  pass(60, 0);
  expect(busy.read().share).toBeCloseTo(1 / Math.E, 2);
  pass(3_600, 0.2);
  expect(busy.read().share).toBeCloseTo(0.2, 2);
});

test('how often somebody looks changes nothing', () => {
  const [one, other] = [scene(), scene()];
  for (let i = 0; i < 100; i++) {
    one.pass(1, 0.3);
    other.pass(1, 0.3);
    one.busy.read();
  }
  expect(one.busy.read().share).toBeCloseTo(other.busy.read().share, 1);
  expect(one.busy.read().overSeconds).toBeCloseTo(other.busy.read().overSeconds, 6);
});

test('a beginning counts from then on', () => {
  const { clock, busy, pass } = scene();
  clock.ms += 30_000;
  busy.begin();
  pass(1, 0.9);
  expect(busy.read().share).toBeCloseTo(0.9, 1);
});

test('what was known before counts the less, the more is known now', () => {
  const before = { share: 0.8, overSeconds: 60 };
  expect(knownBefore(before, { share: 0, overSeconds: 0 })).toEqual(before);
  const soon = knownBefore(before, { share: 0, overSeconds: 3 });
  expect(soon.share).toBeGreaterThan(0.7);
  expect(soon.overSeconds).toBe(60);
  expect(knownBefore(before, { share: 0.1, overSeconds: 60 })).toEqual({ share: 0.1, overSeconds: 60 });
  const nothing = { share: 0, overSeconds: 0 };
  expect(knownBefore(nothing, nothing)).toEqual(nothing);
});
