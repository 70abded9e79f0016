// Figures as people read them.

import { describe, expect, test } from 'vitest';
import {
  humanCount,
  humanDuration,
  humanFigure,
  humanMoments,
  humanRate,
  humanSize,
  printable,
  printableLines,
  shortened,
  shortFigure,
} from '#jobs/commands/human-text.ts';
import { textTable, textWidth } from '#jobs/commands/text-table.ts';

test.each([
  [-5, '0ms'],
  [0, '0ms'],
  [0.4, '0ms'],
  [999, '999ms'],
  [999.6, '1s'],
  [1_000, '1s'],
  [1_249, '1.2s'],
  [9_949, '9.9s'],
  [9_950, '10s'],
  [59_499, '59s'],
  [59_500, '1m'],
  [60_000, '1m'],
  [200_000, '3m 20s'],
  [3_599_400, '59m 59s'],
  [3_599_500, '1h'],
  [3_600_000, '1h'],
  [18_600_000, '5h 10m'],
  [86_369_999, '23h 59m'],
  [86_370_000, '1d'],
  [273_600_000, '3d 4h'],
  [1e15, '11574074d 2h'],
])('%d ms are %s', (ms, text) => {
  expect(humanDuration(ms)).toBe(text);
});

test('every duration has a text, longer ones never a shorter meaning', () => {
  const unit = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
  const meaning = (text: string) =>
    text.split(' ').reduce((sum, part) => {
      const [, value, name] = /^([\d.]+)(ms|s|m|h|d)$/.exec(part) ?? [];
      return sum + Number(value) * unit[name as keyof typeof unit];
    }, 0);
  let last = 0;
  for (let ms = 0; ms < 1e9; ms = Math.ceil(ms * 1.003) + 1) {
    const meant = meaning(humanDuration(ms));
    expect(meant).toBeGreaterThanOrEqual(last);
    expect(Math.abs(meant - ms), `${ms} as ${humanDuration(ms)}`).toBeLessThanOrEqual(Math.max(1, ms * 0.06));
    last = meant;
  }
});

test('counts, rates, sizes and figures', () => {
  expect([0, 999, 1_000, 1_234_567, -1_234].map(humanCount)).toEqual(['0', '999', '1,000', '1,234,567', '-1,234']);
  expect([0, 0.004, 0.254, 7.46, 9.96, 10.4, 123_456.7].map(humanRate)).toEqual([
    '0',
    '0',
    '0.25',
    '7.5',
    '10',
    '10',
    '123,457',
  ]);
  expect([0, 1_023, 1_024, 1_048_000, 1_048_576, 150 * 2 ** 20, 2 ** 60].map(humanSize)).toEqual([
    '0 B',
    '1023 B',
    '1.0 KiB',
    '1023 KiB',
    '1.0 MiB',
    '150 MiB',
    '1024 PiB',
  ]);
  expect([0, 37, -1_500, 24.816243, 0.0331676, 1.5e300, 2 ** 53, -0.1].map(humanFigure)).toEqual([
    '0',
    '37',
    '-1,500',
    '24.816',
    '0.033168',
    '1.5e+300',
    '9007200000000000',
    '-0.1',
  ]);
  expect(humanFigure(1_795_286_732_123)).toBe('1795286732123');
});

test.each([
  [0, '0'],
  [-60, '-60'],
  [999_999, '999,999'],
  [24.816243, '24.82'],
  [0.0331676, '0.0332'],
  [-0.1938, '-0.1938'],
  [999_999.7, '1M'],
  [2_314_980_000, '2.315G'],
  [-116_550_000_000, '-116.6G'],
  [999_999_999, '1G'],
  [1.5e15, '1.5P'],
  [4e17, '400P'],
  [1.5e300, '1.5e+300'],
  [2.5e-7, '2.5e-7'],
])('the short figure of %d is %s', (value, text) => {
  expect(shortFigure(value)).toBe(text);
});

test('a short figure tells the value to half a percent, on six or seven places', () => {
  for (let exponent = -2; exponent < 17.5; exponent += 0.0137) {
    const value = 10 ** exponent;
    const text = shortFigure(value);
    const [, digits, unit] = /^([\d,.]+)([MGTP]?)$/.exec(text) ?? [];
    const scale = { '': 1, M: 1e6, G: 1e9, T: 1e12, P: 1e15 }[unit as 'M'];
    expect(Math.abs(Number(digits.replaceAll(',', '')) * scale - value) / value, text).toBeLessThan(0.005);
    expect(text.length, text).toBeLessThanOrEqual(7);
  }
});

describe('moments', () => {
  const now = Date.UTC(2026, 10, 21, 18, 30);
  const say = (...moments: number[]) => moments.map(humanMoments(moments, now));
  const minute = 60_000;

  test('are as short as all of them allow', () => {
    expect(say(now, now + minute)).toEqual(['18:30', '18:31']);
    expect(say(now, now + 1_000)).toEqual(['18:30:00', '18:30:01']);
    expect(say(now, now + 86_400_000)).toEqual(['11-21 18:30', '11-22 18:30']);
    expect(say(now, 0)).toEqual(['2026-11-21 18:30', '1970-01-01 00:00']);
  });

  test('that no calendar has stay numbers', () => {
    expect(() => say(Number.MAX_SAFE_INTEGER, -1e300, Number.NaN)).not.toThrow();
  });
});

describe('tables', () => {
  test('columns are aligned, numbers to the right, and empty ones left out', () => {
    const columns = [{ title: 'NAME' }, { title: 'COUNT', right: true }, { title: 'GONE' }, { title: 'LAST' }];
    expect(
      textTable(columns, [
        ['a', '1', '', 'x'],
        ['long name', '1,234', '', ''],
      ]),
    ).toEqual(['NAME       COUNT  LAST', 'a              1  x', 'long name  1,234']);
  });

  test('what is wide takes two places, what is combined one', () => {
    expect(['cpu', 'ä', 'a\u0308', '数字', '👩‍🚀', 'é数'].map(textWidth)).toEqual([3, 1, 1, 4, 2, 3]);
    const rows = textTable(
      [{ title: 'A' }, { title: 'B' }],
      [
        ['数', '|'],
        ['xx', '|'],
      ],
    );
    expect(rows.slice(1)).toEqual(['数  |', 'xx  |']);
  });

  test('colours take no place', () => {
    const paint = (text: string) => `<${text}>`;
    const lines = textTable(
      [{ title: 'A', paint }, { title: 'B' }],
      [
        ['x', '1'],
        ['long', '2'],
      ],
    );
    expect(lines).toEqual(['A     B', '<x>     1', '<long>  2'].map((line) => line.replace('<x>     1', '<x>     1')));
  });
});

test('text of others cannot steer a terminal', () => {
  const evil = 'a\u001b[2Jb\u0007\r\n\u009b31m\u202ec\u2028';
  expect(printable(evil)).toBe('a\\u001b[2Jb\\u0007\\u000d\\u000a\\u009b31m\\u202ec\\u2028');
  expect(printableLines('two faults:\n  one\u001b[2J\nmillrace: done\u2028')).toBe(
    'two faults:\n  one\\u001b[2J\n  millrace: done\\u2028',
  );
  expect(printable('cpu{host="ä 数 👩‍🚀"}')).toBe('cpu{host="ä 数 👩‍🚀"}');
});

test('long text is shortened by characters, not by halves of them', () => {
  expect(shortened('👩👩👩👩', 3)).toBe('👩👩…');
  expect(shortened('abc', 3)).toBe('abc');
});
