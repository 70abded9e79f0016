// The same failure is told once with a count, however often it comes; what is kept is bounded.

import { expect, test } from 'vitest';
import { FailureBook } from '#runtime/task/failure-book.ts';

const failure = (message: string, code = 'operator-failed') => ({ code, message, remedy: 'mend it', stack: 'at …' });

test('the same code and message are one line, with its first and last time', () => {
  const book = new FailureBook();
  book.note(failure('a'), 10);
  book.note(failure('b'), 20);
  book.note(failure('a'), 30);
  book.note(failure('a', 'invariant'), 40);
  expect(book.list()).toEqual([
    { code: 'operator-failed', message: 'b', remedy: 'mend it', firstMs: 20, lastMs: 20, count: 1 },
    { code: 'operator-failed', message: 'a', remedy: 'mend it', firstMs: 10, lastMs: 30, count: 2 },
    { code: 'invariant', message: 'a', remedy: 'mend it', firstMs: 40, lastMs: 40, count: 1 },
  ]);
});

test('twenty are kept, those that came last', () => {
  const book = new FailureBook();
  for (let i = 0; i < 100; i++) book.note(failure(`${i}`), i);
  book.note(failure('80'), 100);
  const kept = book.list().map(({ message }) => message);
  expect(kept).toHaveLength(20);
  expect(kept.at(-1)).toBe('80');
  expect(kept[0]).toBe('81');
});
