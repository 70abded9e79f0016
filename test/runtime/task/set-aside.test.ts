// What enters no result is told once a minute and at the end, and only what is new.

import { expect, test } from 'vitest';
import type { Logger } from '#runtime/std/logger.ts';
import { SetAside } from '#runtime/task/set-aside.ts';

test('what is set aside is told once a minute, and what is left at the end', () => {
  const told: unknown[] = [];
  const warn = (fields: unknown) => void told.push(fields);
  const logger = { warn } as unknown as Logger;
  const counters = new Map<string, number>([['samples', 5]]);
  const aside = new SetAside(counters, 1_000);
  const tell = (nowMs: number) => aside.tell(nowMs, logger, 'a/b/0');
  tell(70_000);
  counters.set('not-finite', 3).set('late', 1);
  tell(100_000);
  tell(130_001);
  tell(200_000);
  counters.set('not-finite', 4).set('dead-letter', 2).set('sum-overflow', 1).set('rows', 9);
  tell(Number.POSITIVE_INFINITY);
  expect(told).toEqual([
    { task: 'a/b/0', 'not-finite': 3, late: 1, remedy: expect.stringMatching(/^not finite: .+; late: raise [^;]+$/) },
    {
      task: 'a/b/0',
      'not-finite': 1,
      'dead-letter': 2,
      'sum-overflow': 1,
      remedy: expect.stringMatching(/^not finite: .+; dead letters: .+; sums beyond all numbers: [^;]+$/),
    },
  ]);
});
