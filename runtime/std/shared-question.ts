// Owns asking the same thing once for many who want to know. Invariant: an answer is to a question that was put after
// whoever gets it wanted to know, so it is never of a moment before that.

/** While a question is under way, those who come share the next one, which is put when it is answered. */
export function sharedQuestion<T>(ask: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<unknown> = Promise.resolve();
  let next: Promise<T> | null = null;
  return () => {
    next ??= underWay.then(() => {
      next = null;
      const answer = ask();
      underWay = answer.catch(() => {});
      return answer;
    });
    return next;
  };
}
