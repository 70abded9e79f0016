// Owns distinct: of the records of a key with the same value the first that came goes on; for ever, or until the
// watermark has passed it by a time. State `seen`: the event time of each value that went on.

import type { FunctionContext, MapState, ProcessCallbacks } from '#operators/process/contract.ts';
import { functionFailed, shown } from '#operators/records/user-function.ts';

export interface DistinctOptions {
  readonly by: (record: unknown) => unknown;
  /** Null: values are remembered for ever. Records that lie further behind the watermark go to the side output `late`. */
  readonly forgetMs: number | null;
}

/** How exactly the end of a value's time is looked for; it is never seen after it. */
const SWEEPS = 8;

export function distinct({ by, forgetMs }: DistinctOptions): ProcessCallbacks {
  const stepMs = forgetMs === null ? 0 : Math.max(1, Math.floor(forgetMs / SWEEPS));
  return {
    process(record, context) {
      const value = by(record);
      if (typeof value !== 'string')
        throw functionFailed('distinct', `gave ${shown(value)} instead of a text`, `for ${shown(record)}`);
      const { timestampMs, watermarkMs } = context;
      if (forgetMs !== null && timestampMs + forgetMs <= watermarkMs) {
        context.side('late', record);
        return;
      }
      const seen = seenOf(context);
      const seenMs = seen.get(value);
      if (seenMs !== null && (forgetMs === null || seenMs + forgetMs > watermarkMs)) return;
      seen.set(value, timestampMs);
      if (forgetMs !== null) context.timers.onEventTime(Math.ceil((timestampMs + forgetMs) / stepMs) * stepMs);
      context.emit(record);
    },
    onTimer({ timeMs }, context) {
      const seen = seenOf(context);
      const over = [...seen.entries()].filter(([, seenMs]) => seenMs + forgetMs! <= timeMs);
      for (const [value] of over) seen.delete(value);
    },
  };
}

function seenOf({ state }: FunctionContext): MapState<string, number> {
  return state['seen'] as MapState<string, number>;
}
