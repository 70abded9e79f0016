import { expect, test } from 'vitest';
import { sharedQuestion } from '#runtime/std/shared-question.ts';

/** A question that is answered by hand, with its number. */
function byHand() {
  const put: { answer: () => void; fail: () => void }[] = [];
  const ask = sharedQuestion(
    () =>
      new Promise<number>((resolve, reject) => {
        const number = put.length;
        put.push({ answer: () => resolve(number), fail: () => reject(new Error(`question ${number}`)) });
      }),
  );
  return { put, ask };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

test('those who ask at the same time share one answer', async () => {
  const { put, ask } = byHand();
  const answers = Promise.all([ask(), ask(), ask()]);
  await settle();
  put[0].answer();
  expect(await answers).toEqual([0, 0, 0]);
  expect(put).toHaveLength(1);
});

test('nobody gets the answer to a question that was put before he asked', async () => {
  const { put, ask } = byHand();
  const first = ask();
  await settle();
  const late = Promise.all([ask(), ask()]);
  await settle();
  expect(put).toHaveLength(1);
  put[0].answer();
  expect(await first).toBe(0);
  await settle();
  put[1].answer();
  expect(await late).toEqual([1, 1]);
});

test('a question that fails takes those who shared it with it, and nobody else', async () => {
  const { put, ask } = byHand();
  const failing = [ask(), ask()];
  await settle();
  const after = ask();
  put[0].fail();
  for (const one of failing) await expect(one).rejects.toThrow('question 0');
  await settle();
  put[1].answer();
  expect(await after).toBe(1);
});
