// Owns what a counter gained from sample to sample. A value below the one before is a reset: it was gained from 0.
// Nothing is extrapolated: rates of ranges as Prometheus gives them are windows (aggregates/counter-range.ts). State
// `last`: event time and value.

import type { ListState, ProcessCallbacks } from '#operators/process/contract.ts';
import { functionFailed, shown } from '#operators/records/user-function.ts';

export interface CounterIncreaseOptions {
  readonly value: (record: unknown) => unknown;
  /** Samples further apart are not compared: the counter begins anew. */
  readonly gapMs: number;
}

/** What is put out for each sample but the first, at its event time. */
export interface CounterIncrease {
  readonly key: string;
  readonly timestamp: number;
  readonly increase: number;
  /** Per second. */
  readonly rate: number;
  readonly seconds: number;
  readonly reset: boolean;
}

/** As in Prometheus samples come in the order of their time: others go to the side output `out-of-order`. */
export function counterIncrease({ value: read, gapMs }: CounterIncreaseOptions): ProcessCallbacks {
  return {
    process(record, context) {
      const value = read(record);
      if (typeof value !== 'number')
        throw functionFailed('a counter', `gave ${shown(value)} instead of a number`, `for ${shown(record)}`);
      // Stale markers, and what no counter can be.
      if (!Number.isFinite(value)) return;
      const { timestampMs: timestamp, key } = context;
      const last = context.state['last'] as ListState<number>;
      const before = last.get();
      if (before.length === 0) {
        last.set([timestamp, value]);
        return;
      }
      const [beforeMs, beforeValue] = before;
      if (timestamp <= beforeMs) {
        context.side('out-of-order', record);
        return;
      }
      last.set([timestamp, value]);
      if (timestamp - beforeMs > gapMs) return;
      const reset = value < beforeValue;
      const increase = reset ? value : value - beforeValue;
      const seconds = (timestamp - beforeMs) / 1000;
      const gained: CounterIncrease = { key, timestamp, increase, rate: increase / seconds, seconds, reset };
      context.emit(gained);
    },
  };
}
