// Owns keeping the largest of many: a list of at most k, best first. Of equal scores the one that came first is ahead.
// With ids each id has one place, that of its best.

import { functionFailed, shown } from '#operators/records/user-function.ts';

export interface Ranked {
  readonly score: number;
  /** Null where places are not per id. */
  readonly id: string | null;
  readonly record: unknown;
}

/** The ranking with one more, the same list when that changes nothing. */
export function ranked(top: readonly Ranked[], k: number, next: Ranked): readonly Ranked[] {
  const held = next.id === null ? -1 : top.findIndex(({ id }) => id === next.id);
  if (held >= 0 && top[held].score >= next.score) return top;
  let at = top.length;
  while (at > 0 && top[at - 1].score < next.score) at--;
  if (at >= k) return top;
  const rest = held < 0 ? top : top.filter((_, place) => place !== held);
  return [...rest.slice(0, at), next, ...rest.slice(at)].slice(0, k);
}

export interface RankingOptions {
  readonly k: number;
  /** The larger the better. */
  readonly by: (record: unknown) => unknown;
  readonly id: ((record: unknown) => unknown) | null;
}

/** A record with its score, as the functions of a job see it. */
export function rankedRecord(record: unknown, { by, id }: RankingOptions): Ranked {
  const score = by(record);
  if (typeof score !== 'number' || Number.isNaN(score))
    throw functionFailed('a ranking', `gave ${shown(score)} instead of a number`, `for ${shown(record)}`);
  const name = id === null ? null : id(record);
  if (name !== null && typeof name !== 'string')
    throw functionFailed('a ranking', `gave the id ${shown(name)} instead of a text`, `for ${shown(record)}`);
  return { score, id: name, record };
}
