// Owns deduplicate: of the records of a key that are less than a time apart, the first that came goes on. By event
// time, so it does not matter how late they come together. State `passed`: event times of what went on, ascending.

import type { FunctionContext, ListState, ProcessCallbacks } from '#operators/process/contract.ts';

export interface DeduplicateOptions {
  readonly withinMs: number;
  /** How far behind the watermark records are still judged; those further behind go to the side output `late`. */
  readonly allowedLatenessMs: number;
}

export function deduplicate({ withinMs, allowedLatenessMs }: DeduplicateOptions): ProcessCallbacks {
  // So long what went on can be less than `withinMs` from a record that is not late.
  const keepMs = withinMs + allowedLatenessMs;
  return {
    process(record, context) {
      const { timestampMs, watermarkMs } = context;
      if (timestampMs + allowedLatenessMs < watermarkMs) {
        context.side('late', record);
        return;
      }
      const passed = passedOf(context);
      const times = passed.get();
      if (times.some((timeMs) => Math.abs(timeMs - timestampMs) < withinMs)) return;
      passed.set([...times, timestampMs].sort((a, b) => a - b));
      context.timers.onEventTime(timestampMs + keepMs);
      context.emit(record);
    },
    onTimer({ timeMs }, context) {
      const passed = passedOf(context);
      passed.set(passed.get().filter((passedMs) => passedMs + keepMs > timeMs));
    },
  };
}

function passedOf({ state }: FunctionContext): ListState<number> {
  return state['passed'] as ListState<number>;
}
