// Durations, sizes and ULIDs: text and number agree both ways, and what is none is refused.

import { describe, expect, test } from 'vitest';
import { formatDuration, parseDuration } from '#runtime/std/duration.ts';
import { formatSize, parseSize } from '#runtime/std/size.ts';
import { ulid, ulidTimeMs } from '#runtime/std/ulid.ts';

describe('durations', () => {
  test('read what people write', () => {
    expect(parseDuration('200ms')).toBe(200);
    expect(parseDuration('5s')).toBe(5_000);
    expect(parseDuration('1h30m')).toBe(5_400_000);
    expect(parseDuration('7d')).toBe(604_800_000);
    expect(parseDuration('0s')).toBe(0);
  });

  test('refuse anything else', () => {
    for (const text of ['', '5', 's', '-5s', '5 s', '5S', '1.5s', '5s5s', '5s1m', '5sx', '99999999999999d']) {
      expect(parseDuration(text), text).toBeNull();
    }
  });

  test('print what reads back to the same number', () => {
    for (const ms of [0, 1, 200, 999, 1_000, 60_000, 90_061_001, 604_800_000]) {
      expect(parseDuration(formatDuration(ms))).toBe(ms);
    }
    expect(formatDuration(60_000)).toBe('1m');
  });
});

describe('sizes', () => {
  test('read binary units and refuse ambiguous ones', () => {
    expect(parseSize('64MiB')).toBe(67_108_864);
    expect(parseSize('10B')).toBe(10);
    for (const text of ['64MB', '64', 'MiB', '1.5KiB', '-1B', '9999999999TiB'])
      expect(parseSize(text), text).toBeNull();
  });

  test('print what reads back to the same number', () => {
    for (const bytes of [0, 1, 1_023, 1_024, 1_536, 67_108_864, 2 ** 40])
      expect(parseSize(formatSize(bytes))).toBe(bytes);
    expect(formatSize(1_536)).toBe('1536B');
  });
});

describe('ULIDs', () => {
  test('follow the example of the specification in their time part', () => {
    expect(ulid(1_469_918_176_385, new Uint8Array(10)).slice(0, 10)).toBe('01ARYZ6S41');
  });

  test('sort by time, carry their randomness and give the time back', () => {
    const early = ulid(1_700_000_000_000, new Uint8Array(10).fill(255));
    const late = ulid(1_700_000_000_001, new Uint8Array(10));
    expect(early < late).toBe(true);
    expect(early.slice(10)).toBe('ZZZZZZZZZZZZZZZZ');
    expect(ulidTimeMs(early)).toBe(1_700_000_000_000);
    expect(ulidTimeMs('not a ulid')).toBeNull();
  });
});
