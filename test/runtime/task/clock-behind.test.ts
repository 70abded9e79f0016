import { expect, test } from 'vitest';
import type { Logger } from '#runtime/std/logger.ts';
import { tellClockBehind } from '#runtime/task/clock-behind.ts';

test('a clock far behind the last entry is told, with what to look at; one that is nearly right is not', () => {
  const told: { fields: object; message: string }[] = [];
  const tell = (fields: object, message: string) => told.push({ fields, message });
  const logger = { debug: tell, info: tell, warn: tell, error: tell } as unknown as Logger;
  const nowMs = 1_700_000_000_000;
  tellClockBehind(nowMs - 5_000_000, nowMs, logger, 'j/s/0');
  tellClockBehind(Number.NEGATIVE_INFINITY, nowMs, logger, 'j/s/0');
  tellClockBehind(nowMs + 59_999, nowMs, logger, 'j/s/0');
  expect(told).toEqual([]);
  tellClockBehind(nowMs + 7_200_000, nowMs, logger, 'j/s/0');
  expect(told).toEqual([
    {
      fields: { task: 'j/s/0', behindMs: 7_200_000, remedy: expect.stringContaining('clock of this machine') },
      message: expect.stringMatching(/ 2h behind the last entry/),
    },
  ]);
});
