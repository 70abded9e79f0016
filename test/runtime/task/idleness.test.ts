import { expect, test } from 'vitest';
import type { ReaderStatus } from '#runtime/log/contract.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { Idleness } from '#runtime/task/idleness.ts';

class HandClock implements Clock {
  monotonic = 0;
  offset = 1_700_000_000_000;
  nowMs() {
    return this.monotonic + this.offset;
  }
  monotonicMs() {
    return this.monotonic;
  }
  sleep(): Promise<void> {
    return Promise.resolve();
  }
}

function scene() {
  const clock = new HandClock();
  const idleness = new Idleness(clock, 30_000);
  let fetches = 0;
  const lookOnce = (afterMs: number, change: Partial<ReaderStatus> = {}) => {
    clock.monotonic += afterMs;
    fetches++;
    const status = { position: 9n, logStart: 0n, lastStable: 9n, highWatermark: 9n, fetches, fault: null };
    return idleness.observe({ ...status, ...change });
  };
  // As the task does: every second.
  const look = (afterMs: number, change: Partial<ReaderStatus> = {}) => {
    for (let leftMs = afterMs; leftMs > 1_000; leftMs -= 1_000) lookOnce(1_000, change);
    return lookOnce(Math.min(afterMs, 1_000), change);
  };
  return { clock, idleness, look, lookOnce };
}

test('a source is idle only after the whole time of quiet, and advances from that moment on', () => {
  const { clock, look } = scene();
  expect(look(0)).toBeNull();
  for (let i = 0; i < 29; i++) expect(look(1_000)).toBeNull();
  expect(look(1_000), 'established, nothing elapsed yet').toBeNull();
  const establishedMs = clock.nowMs();
  expect(look(1_000)).toBe(establishedMs);
});

test.each<[string, Partial<ReaderStatus>]>([
  ['behind the end of what is committed', { position: 8n }],
  ['behind an open transaction', { highWatermark: 12n }],
  ['failing', { fault: 'broker 1 is away' }],
])('a reader that is %s is not idle and begins anew', (_, change) => {
  const { look } = scene();
  look(0);
  look(29_000);
  expect(look(2_000, change)).toBeNull();
  expect(look(1_000)).toBeNull();
  expect(look(29_000)).toBeNull();
  expect(look(1_000), 'quiet for the whole time again: established').toBeNull();
  expect(look(1_000)).not.toBeNull();
});

test('without a fetch answered since the last look nothing is idle: the process may have been paused', () => {
  const { look } = scene();
  look(0);
  look(30_000);
  expect(look(1_000)).not.toBeNull();
  expect(look(60_000, { fetches: 3 })).toBeNull();
});

test('input interrupts', () => {
  const { idleness, look } = scene();
  look(0);
  look(30_000);
  expect(look(1_000)).not.toBeNull();
  idleness.interrupted();
  expect(look(1_000)).toBeNull();
});

test('a clock that jumps an hour ahead advances no more than the time that really passed', () => {
  const { clock, idleness, look } = scene();
  look(0);
  look(30_000);
  look(1_000);
  idleness.used();
  clock.offset += 3_600_000;
  const sinceMs = look(1_000);
  expect(sinceMs).not.toBeNull();
  expect(clock.nowMs() - (sinceMs ?? 0)).toBe(1_000);
});

test('idle time that no entry used yet is not lost', () => {
  const { clock, idleness, look } = scene();
  look(0);
  look(30_000);
  look(1_000);
  look(1_000);
  const elapsed = (sinceMs: number | null) => clock.nowMs() - (sinceMs ?? 0);
  expect(elapsed(look(1_000))).toBe(3_000);
  idleness.used();
  expect(elapsed(look(1_000))).toBe(1_000);
});

test('after a gap without a look quiet time begins anew', () => {
  const { look, lookOnce } = scene();
  look(0);
  look(31_000);
  expect(look(1_000)).not.toBeNull();
  expect(lookOnce(6_000), 'an outage, or the process was stopped').toBeNull();
  expect(look(29_000)).toBeNull();
  look(2_000);
  expect(look(1_000)).not.toBeNull();
});
