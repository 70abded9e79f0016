// Owns the top-K of a window: an aggregate whose result is the list of the k best records, best first.

import type { AggregateFunction } from '#operators/process/contract.ts';
import { type Ranked, type RankingOptions, ranked, rankedRecord } from '#operators/records/ranking.ts';

type Top = readonly Ranked[];

export function topK(options: RankingOptions): AggregateFunction<unknown, Top, readonly unknown[]> {
  return {
    create: () => [],
    add: (top, record) => ranked(top, options.k, rankedRecord(record, options)),
    result: (top) => top.map(({ record }) => record),
    merge: (a, b) => b.reduce((top, next) => ranked(top, options.k, next), a),
  };
}
