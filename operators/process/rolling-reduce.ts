// Owns the rolling reduce: each record of a key gives what all of them up to it come to. State `value`: a list of one,
// because a value may be null.

import type { ListState, ProcessCallbacks } from '#operators/process/contract.ts';

export function rollingReduce(reduce: (a: unknown, b: unknown) => unknown): ProcessCallbacks {
  return {
    process(record, { state, emit }) {
      const value = state['value'] as ListState<unknown>;
      const before = value.get();
      const next = before.length === 0 ? record : reduce(before[0], record);
      value.set([next]);
      emit(next);
    },
  };
}
