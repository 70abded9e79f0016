// Owns the continuous top-K of a key: each record that changes the ranking puts the whole of it out, best first. State
// `top`: the ranking. A record never leaves but for a better one.

import type { ListState, ProcessCallbacks } from '#operators/process/contract.ts';
import { type Ranked, type RankingOptions, ranked, rankedRecord } from '#operators/records/ranking.ts';

export function rollingTop(options: RankingOptions): ProcessCallbacks {
  return {
    process(record, { state, emit }) {
      const top = state['top'] as ListState<Ranked>;
      const before = top.get();
      const after = ranked(before, options.k, rankedRecord(record, options));
      if (after === before) return;
      top.set(after);
      emit(after.map((place) => place.record));
    },
  };
}
